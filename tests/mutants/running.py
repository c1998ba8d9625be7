"""Runs mutants in copies of the checkout, side by side."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from mutants.mutants import ROOT, Mutant, Suite, mutants, sample, suites, today
from picotrain.output import write_json

SECONDS = 300
"""A suite that has not ended then hangs."""
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
RESULTS = ROOT / "experiments" / "results" / "mutants.json"
_FOLDER = ROOT / "build" / "mutants"


@dataclass(frozen=True)
class Outcome:
    """`by`: the first test that failed, or what ended it; of a broken one what went wrong."""

    mutant: Mutant
    result: str
    by: str
    seconds: float


class Copy:
    """A checkout of its own, with what is built; times of files stay, so that make builds only
    what changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        listed = subprocess.run(
            ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        own = shutil.ignore_patterns(_FOLDER.name)
        shutil.copytree(ROOT / "build", folder / "build", symlinks=True, ignore=own)

    def passes(self, suite: Suite, only: str = "") -> str:
        """Empty where all tests pass; else the first that does not, or what went wrong."""
        for goal in suite.goals:
            made = self._run(("make", "-s", "-C", "firmware", goal))
            if made is None or made[0]:
                return f"build: {'' if made is None else _first(made[1], 'error')}"
        options = ("-x", "-q", "-p", "no:cacheprovider", "--tb=no", "--no-header")
        narrow = ("-k", only) if only else ()
        ran = self._run((sys.executable, "-m", "pytest", *options, *suite.pytest, *narrow))
        if ran is None:
            return f"no end in {SECONDS} s"
        status, said = ran
        if status == 0:
            return "" if re.search(r"\d+ passed", said) else "broken: no test ran"
        return _first(said, "FAILED") or _first(said, "ERROR") or f"broken: {said[-200:]}"

    def tried(self, mutant: Mutant, suite: Suite) -> Outcome:
        begun = time.monotonic()
        path = self._folder / mutant.file
        before, times = path.read_bytes(), path.stat()
        mutant.put(self._folder)
        try:
            found = self.passes(suite, mutant.only)
        finally:
            path.write_bytes(before)
            # Python's and make's caches must see the change back: a new time, later than any.
            later = max(time.time(), times.st_mtime + 2)
            os.utime(path, (later, later))
        broken = found.startswith(("build", "broken"))
        result = BROKEN if broken else KILLED if found else SURVIVED
        return Outcome(mutant, result, found, time.monotonic() - begun)

    def _run(self, command: Sequence[str]) -> tuple[int, str] | None:
        paths = [str(self._folder / name) for name in ("harness", "golden")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        started = subprocess.Popen(
            command,
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            said, _ = started.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)  # Emulators that it started, too.
            started.communicate()
            return None
        return started.returncode, said


def _first(text: str, word: str) -> str:
    lines = [line for line in text.splitlines() if word in line]
    return lines[0].removeprefix(f"{word} ").split(" - ")[0] if lines else ""


def run(wanted: Sequence[Mutant], jobs: int, say: Any = print) -> list[Outcome]:
    """Every mutant by its suite, which must pass without it: else RuntimeError."""
    known = suites()
    copies: SimpleQueue[Copy] = SimpleQueue()
    made = [Copy(_FOLDER / str(number)) for number in range(jobs)]
    for one in made:
        copies.put(one)

    def with_copy(what: Any) -> Any:
        copy = copies.get()
        try:
            return what(copy)
        finally:
            copies.put(copy)

    def unharmed(tests: tuple[str, str]) -> str:
        name, only = tests
        found: str = with_copy(lambda copy: copy.passes(known[name], only))
        return f"{name} {only} fails without a mutant: {found}" if found else ""

    def tried(mutant: Mutant) -> Outcome:
        found: Outcome = with_copy(lambda copy: copy.tried(mutant, known[mutant.suite]))
        say(f"{found.result:9}{found.seconds:6.1f} s  {mutant.name}  {found.by}", flush=True)
        return found

    with ThreadPoolExecutor(jobs) as pool:
        used = dict.fromkeys((one.suite, one.only) for one in wanted)
        bad = [found for found in pool.map(unharmed, used) if found]
        if bad:
            raise RuntimeError("; ".join(bad))
        return list(pool.map(tried, wanted))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="so many, chosen by the seed; default: all")
    parser.add_argument("--seed", default=today(), help="default: the date of today")
    parser.add_argument("--area", action="append", help="only these files of mutants")
    parser.add_argument("--file", action="append", help="only mutants of these files")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    everyone = [
        one
        for one in mutants()
        if one.area in (args.area or [one.area]) and one.file in (args.file or [one.file])
    ]
    wanted = everyone if args.sample is None else sample(everyone, args.sample, args.seed)
    found = run(wanted, args.jobs)
    bad = [one for one in found if one.result != KILLED and not one.mutant.survives]
    if args.sample is None and not args.area and not args.file:
        write_json(RESULTS, [asdict(one) for one in found])
    killed = sum(one.result == KILLED for one in found)
    print(f"{killed} of {len(found)} mutants killed (seed {args.seed})")
    for one in bad:
        print(f"{one.result}: {one.mutant.name} {one.by}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
