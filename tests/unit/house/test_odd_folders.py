"""A checkout may lie in a folder of any name: make, the compilers and what they leave behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ODD = "it's a (v2) & more"
"""All at once: each of these has a meaning to make or to the shell."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The sources that make builds from, in a folder with an odd name."""
    folder = tmp_path / ODD
    for name in ("firmware", "emulation"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize(
    ("part", "goal", "made"),
    [
        ("firmware", "rp2040", "rp2040/picotrain.elf"),
        ("emulation/rom", "rom", "rp2040/rom.bin"),
        ("emulation/qemu", "plugin", "qemu/cycles.so"),
        ("emulation/renode", "accelerator", "cycle-counter/libcycle_counter.so"),
    ],
)
def test_make_in_an_odd_folder(checkout: Path, part: str, goal: str, made: str) -> None:
    if part in ("firmware", "emulation/rom") and shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    up = "/".join([".."] * len(Path(part).parts))
    command = ["make", "-s", "-C", part, f"BUILD={up}/build", goal]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data = (checkout / "build" / made).read_bytes()
    assert data.startswith(b"\x7fELF") or made.endswith(".bin")
    # Its debug information says `firmware`, wherever that lay.
    assert ODD.encode() not in data
    assert (b"firmware\0" in data) == (part == "firmware")


def test_the_top_makefile_names_nothing_by_its_full_path() -> None:
    text = (ROOT / "Makefile").read_text()
    assert "CURDIR" not in text
    assert "PWD" not in text
    assert "abspath" not in text
    assert "realpath" not in text
