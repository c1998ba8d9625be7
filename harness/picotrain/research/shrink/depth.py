"""Every cut, head and tail of a task, of one seed: what depth pruning gives."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from picotrain.device.backends import open_device
from picotrain.learn.float_pretrain import ready
from picotrain.research.shrink.place import Place, quiet
from picotrain.shrink.depth.cell import TAILS, Cell
from picotrain.shrink.depth.cuts import chosen
from picotrain.shrink.depth.heads import HEADS
from picotrain.shrink.depth.kept import Outcome, Store
from picotrain.shrink.depth.sweep import DepthSweep
from picotrain.shrink.depth.table import choice
from picotrain.shrink.removal import Parameters

_KEPT = (
    *("name", "cut", "layer", "head", "tail", "parameters", "macs", "float_validation"),
    *("validation", "test", "equal_tensors", "unfit"),
)
_TAKEN = ("flash", "ram", "cycles", "ms")
_MEANS = ("float_validation", "validation", "test")


def run(place: Place, pretrained: Parameters) -> dict[str, Any]:
    """Of one seed, of the task's network as it was trained."""
    task = place.task
    architecture, dataset = task.load()
    cells = [
        Cell(cut, head, tail)
        for cut in chosen(architecture, task.cuts)
        for head in HEADS
        for tail in TAILS
    ]
    train = task.cutting(dataset, place.seed)
    warm = task.warming(dataset, place.seed)
    store = Store(place.path("depth", ""))
    with open_device(place.target) as device:
        torch = ready(dataset, train)
        sweep = DepthSweep(
            *(architecture, dataset, warm, train, store, device, torch, quiet, quiet)
        )
        whole = sweep.whole(pretrained)
        outcomes = sweep.run(cells, whole)
    return {
        "task": task.name,
        "seed": place.seed,
        "whole": _short(whole.outcome),
        "cells": [_short(one) for one in outcomes],
        "chosen": choice(outcomes, whole.outcome)["name"],
    }


def _short(outcome: Outcome) -> Outcome:
    """Without the history of its epochs."""
    found = {name: outcome[name] for name in _KEPT if name in outcome}
    taken = outcome["taken"]
    return found | {"taken": None if taken is None else {name: taken[name] for name in _TAKEN}}


def means(runs: Sequence[dict[str, Any]]) -> tuple[Outcome, list[Outcome]]:
    """Over the seeds of a task: the whole network and its cells, with the standard deviation of
    their accuracies, `test_std` and so on, 0 of a single seed."""
    whole = mean([run["whole"] for run in runs])
    return whole, [mean(cells) for cells in zip(*(run["cells"] for run in runs), strict=True)]


def mean(outcomes: Sequence[Outcome]) -> Outcome:
    """Of one cell, over seeds."""
    found = dict(outcomes[0])
    for name in _MEANS:
        values = [one[name] for one in outcomes]
        found[name] = fmean(values)
        found[f"{name}_std"] = stdev(values) if len(values) > 1 else 0.0
    if all(one["taken"] for one in outcomes):
        found["taken"] = {
            name: _mean_of([one["taken"][name] for one in outcomes]) for name in _TAKEN
        }
    return found


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return fmean(known) if len(known) == len(values) else None
