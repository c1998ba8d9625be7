"""Runs the fuzz targets, side by side, for so many minutes in all."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from fuzz import corpora, programs
from fuzz.programs import FOUND, ROOT, SHARES, Found, Unbuilt
from picotrain.errors import told
from picotrain.inputs import positive_number, read_json, seed
from reliability import asked, page

MODELS = "models"
"""Damaged .tflite and .onnx files: a target in Python, without edges."""

EVERY = {**SHARES, MODELS: 2}


def run_models(seconds: int, seed: int) -> Found:
    """Damaged files for so many seconds."""
    command = [sys.executable, "-m", "fuzz.damaged", "--found", str(FOUND)]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    ended = subprocess.run(
        command, check=False, cwd=ROOT / "tests", stdout=subprocess.PIPE, encoding="utf-8"
    )
    if ended.returncode not in (0, 1):
        return Found(
            MODELS, 0, seconds, 0, f"{MODELS}: it ended with {ended.returncode}; see above"
        )
    said = json.loads(ended.stdout)
    broken = ""
    if said["broken"]:
        file = said["broken"].split(": ")[0].removeprefix(f"{ROOT}/")
        why = said["broken"].partition(": ")[2]
        broken = f"{MODELS}: {why}; again: .venv/bin/picotrain import {file} --out x.npz"
    return Found(MODELS, said["executions"], seconds, 0, broken)


def shares(targets: Sequence[str], minutes: float, jobs: int) -> dict[str, int]:
    """Seconds of each, so that `jobs` of them at a time take so many minutes."""
    parts = sum(EVERY[target] for target in targets)
    jobs = min(jobs, len(targets))
    return {one: max(1, round(60 * minutes * jobs * EVERY[one] / parts)) for one in targets}


def run(seconds: dict[str, int], jobs: int, seed: int) -> list[Found]:
    def one(target: str) -> Found:
        if target == MODELS:
            found = run_models(seconds[target], seed)
        else:
            found = programs.run(target, seconds[target], seed)
        edges = f"{found.edges:6} edges" if found.edges else ""
        print(f"{target:14}{found.executions:12,} executions in {found.seconds} s {edges}")
        return found

    longest = sorted(seconds, key=lambda target: -seconds[target])
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, longest))


def keep(found: Sequence[Found]) -> None:
    """In the results, in place of what these targets had; and the page."""
    file = page.file_of("fuzzing")
    results = read_json(file, "make fuzz KEEP=1") if file.is_file() else {}
    targets = results.setdefault("targets", {})
    for one in found:
        targets[one.target] = {
            key: value for key, value in asdict(one).items() if key not in ("target", "broken")
        } | {"crashes": int(bool(one.broken)), "corpus": corpora.size(one.target)}
    results["targets"] = {name: targets[name] for name in EVERY if name in targets}
    page.keep("fuzzing", results)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=positive_number, default=1.0, help="in all; default: 1")
    parser.add_argument("--target", action="append", choices=EVERY, help="default: all")
    parser.add_argument("--seed", type=seed, default=int(time.time()), help="default: the time")
    parser.add_argument("--jobs", type=asked.jobs, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true", help="write the results, and their page")
    args = parser.parse_args(arguments)
    targets = args.target or list(EVERY)
    try:
        programs.build(targets)
    except Unbuilt as reason:
        print(f"fuzz: {reason}", file=sys.stderr)
        return 2
    found = run(shares(targets, args.minutes, args.jobs), args.jobs, args.seed)
    if args.keep:
        keep(found)
    broken = [one.broken for one in found if one.broken]
    total = sum(one.executions for one in found)
    print(f"{total:,} executions, {len(broken)} broken (seed {args.seed})")
    for line in broken:
        print(f"fuzz: {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(told("fuzz", main))
