"""What of the parser, the mailbox, the link and the kernels is reached: clang's counters of lines
and branches, over the suites on hosts and the corpora of the fuzz targets.

Counters lie in files that the programs map, so a device that is killed leaves them too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fuzz.covered import FOLDER, PORTABLE, TUNED
from fuzz.programs import HERE, ROOT, SHARES, committed
from picotrain.errors import told
from picotrain.inputs import read_json
from reliability import page

SUITES = (
    *("tests/device/protocol", "tests/device/test_bench.py", "tests/device/test_kernels.py"),
    *("tests/device/test_blob_fuzz.py", "tests/device/test_affine_blob.py"),
    *("tests/device/test_exactness.py", "tests/device/test_affine.py"),
    *("tests/device/test_affine_training.py", "tests/device/test_sparse.py"),
    *("tests/device/test_lean.py", "tests/emulation/test_link_device.py"),
    "tests/emulation/test_link_target.py",
)
WHOLE = ("nn/pt_model.c", "nn/operators/pt_geometry.c", "app/pt_app.c", "app/pt_link.c")
"""Of which every line is to be reached."""

OPERATORS = {"nn/operators/*_operator.c": r"nn/operators/\w+_operator\.c"}
"""Which say what shapes can be, and have tables of functions."""

KERNELS = {
    "kernels, portable": r"kernels/(portable/)?[^/]+\.[ch]",
    "kernels, tuned": r"kernels/cortex_m0plus/[^/]+\.[ch]",
}
_INSTRUMENT = (
    "-fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation "
    "-Wno-unused-command-line-argument"  # of the second half, where programs are linked
)
_PROFILES = FOLDER / "profiles"
_REPLAY = FOLDER / "replay"


def build() -> None:
    # make takes no path with a space in it: those from where it runs.
    built = os.path.relpath(FOLDER, ROOT / "firmware")
    firmware = ["make", "-s", "-C", str(ROOT / "firmware"), f"BUILD={built}", "CC=clang"]
    firmware += [f"HOST_OPTIMISE=-O0 {_INSTRUMENT}", "host-plain", "host-tuned"]
    subprocess.run(firmware, check=True)
    objects = [
        f"{name}_OBJECTS={os.path.relpath(program.parent, HERE)}"
        for name, program in (("portable", PORTABLE), ("tuned", TUNED))
    ]
    replay = os.path.relpath(_REPLAY, HERE)
    replays = ["make", "-s", "-C", str(HERE), "replays", "CC=clang", f"REPLAY={replay}"]
    subprocess.run([*replays, *objects, f"FLAGS=-O0 {_INSTRUMENT}"], check=True)


def environment() -> dict[str, str]:
    return os.environ | {"LLVM_PROFILE_FILE": f"{_PROFILES}/%m%c.profraw"}


def run_corpora() -> None:
    for target in SHARES:
        inputs = sorted(map(str, committed(target).iterdir()))
        command = [str(_REPLAY / target), *inputs]
        subprocess.run(command, check=True, env=environment(), stderr=subprocess.DEVNULL)


def run_suites(suites: Iterable[str]) -> None:
    """With portable kernels and tuned ones; a test that fails is no matter of this."""
    for target in ("host", "host-tuned"):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "fuzz.covered", *suites]
        subprocess.run(
            [*command, "--picotrain-target", target],
            check=False,
            cwd=ROOT,
            env=environment() | {"PYTHONPATH": str(ROOT / "tests")},
        )


def _programs() -> list[str]:
    programs = [PORTABLE, TUNED, *(_REPLAY / target for target in SHARES)]
    first, *rest = map(str, programs)
    return [first, *(word for one in rest for word in ("-object", one))]


def measured() -> dict[str, Mapping[str, Any]]:
    """Of each file of the firmware, by its path there, what is reached."""
    merged = FOLDER / "all.profdata"
    raw = sorted(map(str, _PROFILES.glob("*.profraw")))
    subprocess.run(["llvm-profdata", "merge", "-sparse", "-o", merged, *raw], check=True)
    command = ["llvm-cov", "export", "-summary-only", f"-instr-profile={merged}", *_programs()]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    files = json.loads(said)["data"][0]["files"]
    start = "firmware/"
    return {
        one["filename"].rpartition(start)[2]: one["summary"]
        for one in files
        if start in one["filename"]
    }


def missed(file: str) -> list[str]:
    """The lines of a file that nothing reached, as llvm-cov shows them."""
    command = ["llvm-cov", "show", f"-instr-profile={FOLDER / 'all.profdata'}", *_programs()]
    command.append(str(ROOT / "firmware" / file))
    said = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    return [line for line in said.splitlines() if re.match(r" *\d+\| +0\|", line)]


def row(name: str, summaries: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over files, as the page has them."""

    def total(what: str, key: str) -> int:
        return sum(int(one[what][key]) for one in summaries)

    return {
        "file": name,
        "lines": total("lines", "covered"),
        "of_lines": total("lines", "count"),
        "branches": total("branches", "covered"),
        "of_branches": total("branches", "count"),
    }


def rows(files: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = [row(name, [files[name]]) for name in WHOLE]
    operators = [
        one for name, one in files.items() if re.fullmatch(r"nn/operators/.*_operator\.c", name)
    ]
    found.append(row("nn/operators/*_operator.c", operators))
    for name, pattern in KERNELS.items():
        found.append(row(name, [one for file, one in files.items() if re.fullmatch(pattern, file)]))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", action="append", help="instead of all of them")
    parser.add_argument("--corpora-only", action="store_true", help="no suites")
    parser.add_argument("--add", action="store_true", help="to what was reached before")
    parser.add_argument("--keep", action="store_true", help="write the results, and their page")
    args = parser.parse_args(arguments)
    for tool in ("clang", "llvm-cov", "llvm-profdata"):
        if shutil.which(tool) is None:
            print(f"coverage: {tool} is not installed: apt install clang llvm", file=sys.stderr)
            return 2
    if not args.add:
        shutil.rmtree(_PROFILES, ignore_errors=True)
    _PROFILES.mkdir(parents=True, exist_ok=True)
    build()
    run_corpora()
    if not args.corpora_only:
        run_suites(args.suite or SUITES)
    found = rows(measured())
    for one in found:
        branches = f"branches {one['branches']:5} of {one['of_branches']}"
        print(f"{one['file']:28} lines {one['lines']:5} of {one['of_lines']:5}  {branches}")
    for file in WHOLE:
        for line in missed(file):
            print(f"{file}: {line}")
    if args.keep:
        file = page.file_of("fuzzing")
        results = read_json(file, "make fuzz KEEP=1") if file.is_file() else {"targets": {}}
        page.keep("fuzzing", results | {"coverage": found})
    return 0


if __name__ == "__main__":
    sys.exit(told("coverage", main))
