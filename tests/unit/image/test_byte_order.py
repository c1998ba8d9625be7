"""Kernels that take words for the bytes in them do not build for machines of another order."""

from __future__ import annotations

import subprocess

from picotrain.places import SHIPPED

FIRMWARE = SHIPPED / "firmware"
TUNED = sorted((FIRMWARE / "kernels" / "cortex_m0plus").glob("*.c"))
BIG_ENDIAN = ["-Wno-builtin-macro-redefined", "-U__BYTE_ORDER__", "-D__BYTE_ORDER__=4321"]


def compiled(source: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["cc", "-std=c11", "-I.", "-fsyntax-only", *options, source]
    return subprocess.run(command, cwd=FIRMWARE, capture_output=True, text=True, check=False)


def test_tuned_kernels_are_refused_on_big_endian_machines() -> None:
    seen = 0
    for path in TUNED:
        text = path.read_text(encoding="utf-8")
        if "pt_load_word" in text or "pt_bits" in text:
            refused = compiled(str(path), *BIG_ENDIAN)
            assert refused.returncode != 0, path
            assert "kernels/cortex_m0plus are for little-endian machines" in refused.stderr, path
            assert compiled(str(path)).returncode == 0, path
            seen += 1
    assert seen > 5
    portable = FIRMWARE / "kernels" / "portable" / "pt_edges.c"
    assert compiled(str(portable), *BIG_ENDIAN).returncode == 0
