"""Every cut, head and tail of a task, of one seed: what depth pruning gives."""

from __future__ import annotations

from typing import Any

from picotrain.device.backends import open_device
from picotrain.learn.float_pretrain import ready
from picotrain.research.shrink.place import Place, quiet
from picotrain.shrink.depth.cell import TAILS, Cell
from picotrain.shrink.depth.cuts import chosen
from picotrain.shrink.depth.heads import HEADS
from picotrain.shrink.depth.kept import Outcome, Store
from picotrain.shrink.depth.sweep import DepthSweep
from picotrain.shrink.removal import Parameters

_KEPT = (
    *("name", "cut", "layer", "head", "tail", "parameters", "macs", "float_validation"),
    *("validation", "test", "equal_tensors", "unfit"),
)
TAKEN = ("flash", "ram", "cycles", "ms")


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
        "seed": place.seed,
        "whole": _short(whole.outcome),
        "cells": [_short(one) for one in outcomes],
    }


def _short(outcome: Outcome) -> Outcome:
    """Without the history of its epochs."""
    found = {name: outcome[name] for name in _KEPT if name in outcome}
    taken = outcome["taken"]
    return found | {"taken": None if taken is None else {name: taken[name] for name in TAKEN}}
