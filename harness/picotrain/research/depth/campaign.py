"""Every cut, head and tail of two tasks, over seeds: what depth pruning gives.

Photographs and spoken digits. Each seed trains a network of its own, and cuts that. A folder keeps
what is finished: a campaign that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from picotrain import datasets
from picotrain.datasets import Dataset
from picotrain.device.backends import open_device
from picotrain.learn import models
from picotrain.learn.float_pretrain import ready, suited
from picotrain.places import RESULTS
from picotrain.progress import progress_bar
from picotrain.research.sweep import pool
from picotrain.shrink.depth.cell import TAILS, Cell
from picotrain.shrink.depth.cuts import ALL, chosen
from picotrain.shrink.depth.heads import HEADS
from picotrain.shrink.depth.kept import Outcome, Store
from picotrain.shrink.depth.sweep import DepthSweep
from picotrain.shrink.depth.table import choice
from picotrain.shrink.depth.training import EPOCHS, RATE

SEEDS = 3
FOLDER = RESULTS / "depth"
_KEPT = (
    *("name", "cut", "layer", "head", "tail", "parameters", "macs", "float_validation"),
    *("validation", "test", "equal_tensors", "unfit"),
)
_TAKEN = ("flash", "ram", "cycles", "ms")
_MEANS = ("float_validation", "validation", "test")


@dataclass(frozen=True)
class Task:
    """A network, by name or file, and what it learns. `warm`: epochs of the whole network, None for
    those of `pretrain`."""

    name: str
    model: str
    dataset: str
    epochs: int = EPOCHS
    warm: int | None = None
    cuts: tuple[str, ...] = (ALL,)

    def load(self) -> Dataset:
        return datasets.load(self.dataset)


PICTURES = Task("pictures", "resnet8", "cifar10", epochs=20, warm=40)
SPEECH = Task("speech", "ds-cnn", "spoken-digits")


@dataclass(frozen=True)
class _Job:
    task: Task
    seed: int
    folder: Path
    target: str


def measure(
    tasks: Sequence[Task] = (PICTURES, SPEECH),
    seeds: int = SEEDS,
    folder: Path = FOLDER,
    target: str = "qemu",
    processes: int | None = None,
) -> dict[str, Any]:
    """Of each task its options and its runs, one for each seed, as a file of results has them."""
    jobs = [_Job(task, seed, folder, target) for task in tasks for seed in range(seeds)]
    runs: list[dict[str, Any]] = []
    outcomes = pool.results(_run, jobs, processes, f"finished cells are kept in {folder}")
    with closing(outcomes), progress_bar("depth", len(jobs), "seed") as advance:
        for run in outcomes:
            runs.append(run)
            advance(1)
    runs.sort(key=lambda one: one["seed"])
    return {
        task.name: {
            "model": task.model,
            "dataset": task.dataset,
            "epochs": task.epochs,
            "target": target,
            "runs": [run for run in runs if run["task"] == task.name],
        }
        for task in tasks
    }


def _run(job: _Job) -> dict[str, Any]:
    task = job.task
    architecture, dataset = models.resolve(task.model), task.load()
    models.check_fit(architecture, dataset)
    base = replace(suited(dataset), int8_epochs=0, seed=job.seed)
    warm = replace(base, epochs=task.warm or base.epochs)
    train = replace(base, epochs=task.epochs, rate=RATE, decay=0.0)
    cells = [
        Cell(cut, head, tail)
        for cut in chosen(architecture, task.cuts)
        for head in HEADS
        for tail in TAILS
    ]
    store = Store(job.folder / f"{task.name}-{job.seed}")
    with open_device(job.target) as device:
        torch = ready(dataset, train)
        sweep = DepthSweep(
            *(architecture, dataset, warm, train, store, device, torch, _quiet, _quiet)
        )
        whole = sweep.whole(None)
        outcomes = sweep.run(cells, whole)
    return {
        "task": task.name,
        "seed": job.seed,
        "whole": _short(whole.outcome),
        "cells": [_short(one) for one in outcomes],
        "chosen": choice(outcomes, whole.outcome)["name"],
    }


def _quiet(_: object) -> None:
    """Processes side by side say nothing."""


def _short(outcome: Outcome) -> Outcome:
    """Without the history of its epochs."""
    found = {name: outcome[name] for name in _KEPT if name in outcome}
    taken = outcome["taken"]
    return found | {"taken": None if taken is None else {name: taken[name] for name in _TAKEN}}


def means(runs: Sequence[dict[str, Any]]) -> tuple[Outcome, list[Outcome]]:
    """Over the seeds of a task: the whole network and its cells, with the standard deviation of
    their accuracies, `test_std` and so on, 0 of a single seed."""
    whole = _mean([run["whole"] for run in runs])
    return whole, [_mean(cells) for cells in zip(*(run["cells"] for run in runs), strict=True)]


def _mean(outcomes: Sequence[Outcome]) -> Outcome:
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
