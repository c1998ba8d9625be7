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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

from mutants import results
from mutants.mutants import ROOT, Mutant, Suite, mutants, sample, suites, today
from mutants.results import BROKEN, KILLED, SURVIVED, Outcome
from picotrain.datasets.files import roots
from picotrain.errors import UserError, told
from picotrain.inputs import positive
from reliability import asked, page

HANGS = "no end"
_FOLDER = ROOT / "build" / "mutants"
_MOST_SECONDS = 600
"""For tests without a mutant; with one they hang after four times as long, and a minute."""

_PLUGINS = ("-p", "picotrain.pytest_plugin", "-p", "pytest_timeout")
"""All that the suites need: others take two thirds of the time in which a run starts."""

_Result = TypeVar("_Result")


class Copy:
    """A checkout of its own, with what is built; times of files stay, so that make builds only
    what changes. Nothing that a run keeps for the next one stays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept = (folder / ".cache", folder / "build" / "calibrations")
        self._clock = time.time()
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

    def passes(self, suite: Suite, only: str, seconds: float) -> str:
        """Empty where all tests pass; else the first that does not, or what went wrong."""
        for folder in self._kept:
            shutil.rmtree(folder, ignore_errors=True)
        for words in (
            *(("firmware", goal) for goal in suite.goals),
            *((folder, "BUILD=../../build") for folder in suite.folders),
        ):
            made = self._run(("make", "-s", "-C", *words), _MOST_SECONDS)
            if made is None or made[0]:
                return f"{BROKEN}: {HANGS if made is None else _first(made[1], 'rror')}"
        options = (*_PLUGINS, "-x", "-q", "-p", "no:cacheprovider", "--tb=no", "--no-header")
        narrow = ("-k", only) if only else ()
        tests = (sys.executable, "-m", "pytest", *options, *suite.pytest, *narrow)
        ran = self._run(tests, seconds)
        if ran is None:
            return HANGS
        status, said = ran
        if "is not built" in said:
            return f"{BROKEN}: {_first(said, 'is not built')}"
        if status == 0:
            return "" if re.search(r"\d+ passed", said) else f"{BROKEN}: no test ran"
        found = _first(said, "FAILED") or _first(said, "ERROR")
        return found or f"{BROKEN}: {said[-200:]}"

    def tried(self, mutant: Mutant, suite: Suite, seconds: float) -> Outcome:
        path = self._folder / mutant.file
        before = path.read_bytes()
        mutant.put(self._folder)
        self._touch(path)
        try:
            found = self.passes(suite, mutant.only, seconds)
        finally:
            path.write_bytes(before)
            self._touch(path)
        result = BROKEN if found.startswith(BROKEN) else KILLED if found else SURVIVED
        return Outcome(mutant, result, found)

    def _touch(self, path: Path) -> None:
        """A time that is later than any before by more than a second: caches of Python, which count
        in seconds, and make see each change."""
        self._clock = max(time.time(), self._clock + 2)
        os.utime(path, (self._clock, self._clock))

    def _run(self, command: Sequence[str], seconds: float) -> tuple[int, str] | None:
        """Exit status and output; None where it does not end."""
        paths = [str(self._folder / name) for name in ("harness", "golden")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "XDG_CACHE_HOME": str(self._kept[0]),
        }
        environment.pop("PICOTRAIN_CACHE", None)
        # The copy lies elsewhere, but its data is ours.
        if data := [one for one in roots() if one.is_dir()]:
            environment["PICOTRAIN_DATA"] = str(data[0])
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
            said, _ = started.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(started.pid, signal.SIGKILL)  # Emulators that it started, too.
            started.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise
        return started.returncode, said


def _first(text: str, word: str) -> str:
    lines = [line for line in text.splitlines() if word in line]
    return lines[0].removeprefix(f"{word} ").split(" - ")[0] if lines else ""


def _unharmed(wanted: Sequence[Mutant]) -> dict[str, str]:
    """Of each suite the tests that any of the mutants asks for, at once."""
    found: dict[str, list[str]] = {}
    for one in wanted:
        found.setdefault(one.suite, []).append(one.only)
    return {
        name: "" if "" in each else " or ".join(f"({only})" for only in dict.fromkeys(each))
        for name, each in found.items()
    }


def run(wanted: Sequence[Mutant], jobs: int, keep: Callable[[Outcome], None]) -> list[Outcome]:
    """Every mutant by its suite, which must pass without it: else RuntimeError. `keep` is given
    each outcome as it comes, by one thread at a time."""
    known, one_at_a_time = suites(), Lock()
    copies: SimpleQueue[Copy] = SimpleQueue()
    for number in range(min(jobs, len(wanted))):
        copies.put(Copy(_FOLDER / str(number)))

    def with_copy(what: Callable[[Copy], _Result]) -> tuple[_Result, float]:
        copy = copies.get()
        begun = time.monotonic()
        try:
            return what(copy), time.monotonic() - begun
        finally:
            copies.put(copy)

    def unharmed(tests: tuple[str, str]) -> tuple[str, float]:
        name, only = tests
        found, taken = with_copy(lambda copy: copy.passes(known[name], only, _MOST_SECONDS))
        said = "fails" if found else "passes"
        print(f"{said:9}{taken:6.1f} s  {name} without a mutant", flush=True)
        return f"{name} fails without a mutant: {found}" if found else "", taken

    def tried(mutant: Mutant) -> Outcome:
        most = 60 + 4 * taken[mutant.suite]
        found, seconds = with_copy(lambda copy: copy.tried(mutant, known[mutant.suite], most))
        with one_at_a_time:
            keep(found)
        print(f"{found.result:9}{seconds:6.1f} s  {mutant.name}  {found.by}", flush=True)
        return found

    with ThreadPoolExecutor(jobs) as pool:
        used = _unharmed(wanted)
        passed = dict(zip(used, pool.map(unharmed, used.items()), strict=True))
        bad = [said for said, _ in passed.values() if said]
        if bad:
            raise RuntimeError("; ".join(bad))
        taken = {name: seconds for name, (_, seconds) in passed.items()}
        return list(pool.map(tried, wanted))


def chosen(areas: Sequence[str] | None, files: Sequence[str] | None) -> list[Mutant]:
    """Those of all areas and files, or of these. UserError for one that has none."""
    every = mutants()
    known = {one.area for one in every}
    if lacks := [one for one in areas or () if one not in known]:
        raise UserError(f"no mutant is of {', '.join(lacks)}; areas are {', '.join(sorted(known))}")
    known = {one.file for one in every}
    if lacks := [one for one in files or () if one not in known]:
        raise UserError(
            f"no mutant is of {', '.join(lacks)}; name files by their paths from the root, as "
            f"{every[0].file}: those that have mutants are in tests/mutants/*.toml"
        )
    return [
        one
        for one in every
        if one.area in (areas or [one.area]) and one.file in (files or [one.file])
    ]


def main(arguments: Sequence[str]) -> int:
    """Run what was chosen, and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=positive, help="so many, chosen by the seed; default: all")
    parser.add_argument("--seed", default=today(), help="default: the date of today")
    parser.add_argument("--area", action="append", help="only these files of mutants")
    parser.add_argument(
        "--file", action="append", help="only mutants of these, by their paths from the root"
    )
    parser.add_argument("--new", action="store_true", help="only mutants without an outcome")
    parser.add_argument("--jobs", type=asked.jobs, default=os.cpu_count() or 1)
    args = parser.parse_args(arguments)
    known = {one.mutant for one in results.read()} if args.new else set()
    everyone = [one for one in chosen(args.area, args.file) if one not in known]
    if not everyone and not args.new:
        parser.error("no mutant is of these areas and of these files too; leave one of them out")
    wanted = everyone if args.sample is None else sample(everyone, args.sample, args.seed)
    begun = time.monotonic()
    keep = results.keep if args.sample is None else lambda _: None
    try:
        found = run(wanted, args.jobs, keep)
    except RuntimeError as error:
        print(error)
        return 2
    bad = [one for one in found if one.result != KILLED and not one.mutant.survives]
    if args.sample is None:
        page.write()
    killed = sum(one.result == KILLED for one in found)
    print(
        f"{killed} of {len(found)} mutants killed (seed {args.seed}) "
        f"in {time.monotonic() - begun:.0f} s"
    )
    for one in bad:
        print(f"{one.result}: {one.mutant.name} {one.by}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(told("mutants", main))
