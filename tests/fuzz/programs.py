"""The fuzz targets in C as libFuzzer's programs: built, run for a while, and what came of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build"
FOLDER = BUILD / "fuzz"
FOUND = FOLDER / "found"
"""Inputs that broke something."""

SHARES = {"link": 6, "mailbox": 3, "mailbox-tuned": 3, "blob": 3, "blob-tuned": 3}
"""Targets, and how much of the time each has. Those of the same name have one corpus."""

MISSING = (
    "clang is not installed, and libFuzzer comes with it: apt install clang libclang-rt-14-dev"
)
_MOST_BYTES = {"link": 600, "mailbox": 4096, "blob": 4096}
_MOST_SECONDS = 60  # of one input, under sanitizers and beside other work


@dataclass(frozen=True)
class Found:
    """What a run of one target came to."""

    target: str
    executions: int
    seconds: int
    edges: int
    broken: str = ""
    """One line: what did not hold, the input, and how to run it again. Empty: nothing."""


class Unbuilt(Exception):
    """The targets cannot be built here; says why."""


def name_of(target: str) -> str:
    """Of its corpus."""
    return target.removesuffix("-tuned")


def program(target: str) -> Path:
    return FOLDER / target / "fuzz"


def committed(target: str) -> Path:
    """Its minimised corpus."""
    return HERE / "corpus" / name_of(target)


def grown(target: str) -> Path:
    """What earlier runs on this machine have added to it."""
    return FOLDER / target / "corpus"


def build(targets: Collection[str] = tuple(SHARES)) -> None:
    """Those that are programs. Raises Unbuilt."""
    wanted = [one for one in SHARES if one in targets]
    if not wanted:
        return
    if shutil.which("clang") is None:
        raise Unbuilt(MISSING)
    command = ["make", "-s", "-j2", "-C", str(HERE), "fuzzers", f"PROGRAMS={' '.join(wanted)}"]
    made = subprocess.run(command, check=False)
    if made.returncode:
        raise Unbuilt("the fuzz targets could not be built: see above")
    FOUND.mkdir(parents=True, exist_ok=True)


def command(target: str, *options: str) -> list[str]:
    """libFuzzer's, without the time that features' frequencies take, which is half of it."""
    most = _MOST_BYTES[name_of(target)]
    bounds = (f"-max_len={most}", f"-timeout={_MOST_SECONDS}", "-entropic=0")
    return [str(program(target)), *bounds, f"-artifact_prefix={FOUND}/{target}-", *options]


def run(target: str, seconds: int, seed: int) -> Found:
    """The target for so many seconds."""
    grown(target).mkdir(parents=True, exist_ok=True)
    options = (f"-max_total_time={seconds}", f"-seed={seed}", "-print_final_stats=1")
    folders = (str(grown(target)), str(committed(target)))
    ended = subprocess.run(
        command(target, *options, *folders),
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    return outcome(target, seconds, ended.stderr, ended.returncode)


def outcome(target: str, seconds: int, said: str, code: int) -> Found:
    """What libFuzzer's last words mean."""
    executions = re.search(r"stat::number_of_executed_units: (\d+)", said)
    edges = [int(number) for number in re.findall(r" cov: (\d+)", said)]
    broken = ""
    if code:
        written = re.search(r"Test unit written to (.+)", said)
        rule = re.search(r"fuzz: this does not hold: .*|runtime error: .*|SUMMARY: .*", said)
        why = rule.group().strip() if rule else f"it ended with exit status {code}"
        again = f"{program(target).relative_to(ROOT)} {_short(written.group(1))}" if written else ""
        broken = f"{target}: {why}" + (f"; again: {again}" if again else "")
    return Found(
        target,
        int(executions.group(1)) if executions else 0,
        seconds,
        edges[-1] if edges else 0,
        broken,
    )


def _short(path: str) -> str:
    return str(Path(path).relative_to(ROOT)) if path.startswith(f"{ROOT}/") else path
