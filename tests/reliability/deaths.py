"""`make deaths`: devices that die in every way that there is, and what the harness says of it; and
runs that go on over twenty deaths."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

import dying
from picotrain import datasets
from picotrain.device import backends
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.repeating.retrying import RetryingDevice
from picotrain.errors import told
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, AdaptResult, adapt
from reliability.page import keep

SEED = 18
EACH = {"host": 14, "qemu": 7, "rp2040js": 1}
"""Injections of each kind."""
RUNS = ("host", "qemu")
DEATHS = 20
LATE_SECONDS = 5.0
_SLOW = ("endless loop", "stopped")
_FEW = 3
"""Of what takes seconds each."""


def opened(target: str) -> tuple[dying.Mortal, MailboxDevice]:
    made = backends.open_target(target)
    made.connect()
    assert isinstance(made, dying.Mortal)
    return made, MailboxDevice(made, backends.choose_kernels(target))


def told_apart(target: str, each: int) -> dict[str, Any]:
    """Of each kind `each` deaths, and what the harness called them."""
    random = np.random.default_rng(SEED)
    table, placed, coded = {}, 0, 0
    for kind in dying.kinds(target):
        counts: Counter[str] = Counter()
        for _ in range(min(each, _FEW) if kind in _SLOW else each):
            mortal, device = opened(target)
            try:
                told = dying.die(mortal, device, kind, random, LATE_SECONDS)
            finally:
                device.close()
            counts[told.kind] += 1
            in_code = kind not in ("killed", "stopped", "sent signal", "lockup")
            coded += in_code
            placed += in_code and "TRAIN, operation" in told.text
            print(f"{target}: {kind}: {told.text}", file=sys.stderr, flush=True)
        table[kind] = {"wanted": dying.wanted(kind, target), "told": dict(counts)}
    return {"kinds": table, "coded": coded, "with_operation": placed}


def outcome(result: AdaptResult) -> dict[str, Any]:
    return asdict(replace(result, deaths=[], wall_seconds=0.0, versions={}))


def run_with_deaths(target: str) -> dict[str, Any]:
    """Ten epochs on a device that dies twenty times, of one kind after the other, beside ten on
    one that does not."""
    options = AdaptOptions(angle=30, epochs=10, train_samples=192, test_samples=64)
    digits = datasets.load("digits")
    network = models.load_network("tinycnn", "digits")
    with backends.open_device(target) as device:
        plain = adapt(device, network, digits, options)
    random = np.random.default_rng(SEED)
    # What takes no time of its own to be seen.
    quick = [kind for kind in dying.kinds(target) if kind not in _SLOW]
    commands, lives, made, due = 0, 0, 0, 10

    def start() -> Device:
        nonlocal lives
        lives += 1
        mortal, device = opened(target)
        run = mortal.run

        def run_or_die(timeout: float) -> None:
            nonlocal commands, made, due
            commands += 1
            # Code is met by the next step only: no death before the last one has come.
            if commands >= due and made < DEATHS and lives == made + 1:
                dying.inject(mortal, quick[made % len(quick)], random)
                made += 1
                due = commands + int(random.integers(3, 16))
            run(timeout)

        mortal.run = run_or_die  # type: ignore[method-assign]
        return device

    with RetryingDevice(start, DEATHS) as device:
        result = adapt(device, network, digits, options)
    kinds = Counter(death["kind"] for death in result.deaths)
    return {
        "epochs": options.epochs,
        "deaths": len(result.deaths),
        "kinds": dict(sorted(kinds.items())),
        "images_again": sum(death["images"] for death in result.deaths),
        "train_images": options.epochs * result.train_samples,
        "undisturbed": plain.state_sha256,
        "sha256": result.state_sha256,
        "same_outcome": outcome(plain) == outcome(result),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", nargs="+", default=list(EACH), choices=list(EACH))
    targets = parser.parse_args(arguments).targets
    found: dict[str, Any] = {"seed": SEED, "targets": {}, "runs": {}}
    for target in targets:
        found["targets"][target] = told_apart(target, EACH[target])
    for target in RUNS:
        if target in targets:
            found["runs"][target] = run_with_deaths(target)
    keep("deaths", found)
    print(json.dumps(found["runs"], indent=1))
    kinds = [one for of in found["targets"].values() for one in of["kinds"].values()]
    wrong = sum(sum(k["told"].values()) - k["told"].get(k["wanted"], 0) for k in kinds)
    runs = found["runs"].values()
    same = all(run["same_outcome"] and run["sha256"] == run["undisturbed"] for run in runs)
    died = all(run["deaths"] == DEATHS for run in runs)
    return 0 if wrong == 0 and same and died else 1


if __name__ == "__main__":
    sys.exit(told("deaths", main))
