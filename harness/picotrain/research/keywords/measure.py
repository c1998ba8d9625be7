"""Every task with every method, on the host; and what a step costs on the emulated chip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from picotrain.datasets.dataset import Split
from picotrain.device.backends import open_device
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError
from picotrain.learn.adapt import epoch_order, mu_at
from picotrain.profile.profile import profile
from picotrain.research.keywords import tasks
from picotrain.research.keywords.tasks import Task
from picotrain.research.sweep import pool
from picotrain_golden import Method

EPOCHS = 10
SEEDS = 5
CHOOSING_SEEDS = 1
EMULATED = "qemu"
COSTED_IMAGES = 4

_THETA = -64
CANDIDATES: dict[str, tuple[Method, ...]] = {
    "NITI static": tuple(
        Method("niti-static", mu=first, later_mu=tuple(later))
        for first, *later in ((3, 2, 1, 0), (2, 1, 0, -1), (0, -1, -2))
    ),
    "PRIOT": tuple(
        Method("priot", mu=first, later_mu=tuple(later), theta=_THETA)
        for first, *later in ((7, 6, 5, 4, 3), (6, 5, 4, 3, 2), (5, 4, 3, 2, 1))
    ),
    **{
        f"PRIOT-S {share // 10} %": tuple(
            Method("priot-s", mu=first, later_mu=tuple(later), theta=_THETA, permille=share)
            for first, *later in ((7, 6, 5, 4, 3), (6, 5, 4, 3, 2), (5, 4, 3, 2, 1))
        )
        for share in (100, 200)
    },
}
"""Step sizes and thresholds, of which validation recordings choose for each kind of task."""


@dataclass(frozen=True)
class Run:
    """Shares of the evaluated images that get their label: before, and after each epoch."""

    task: str
    method: str
    mu: tuple[int, ...]
    seed: int
    before: float
    after: tuple[float, ...]


def adapted(task: Task, label: str, method: Method, seed: int, evaluated: Split) -> Run:
    """One adaptation on a device of its own, batch size 1; with scores the weights are frozen."""
    with open_device("host") as device:
        device.load_model(task.network, frozen=method.scored)
        device.set_method(Method("infer"))
        before = _accuracy(device, evaluated)
        device.set_method(replace(method, seed=seed))
        after = []
        for epoch in range(1, EPOCHS + 1):
            device.set_mu(mu_at(method.schedule, epoch, EPOCHS))
            order = epoch_order(len(task.train), seed, epoch)
            device.train(task.train.images[order], task.train.labels[order])
            after.append(_accuracy(device, evaluated))
        if method.scored:
            _require_frozen(device, task)
    return Run(task.name, label, method.schedule, seed, before, tuple(after))


def _accuracy(device: Device, split: Split) -> float:
    return device.evaluate(split.images, split.labels).correct(split.labels) / len(split)


def _require_frozen(device: Device, task: Task) -> None:
    for index, held in enumerate(task.network.parameters):
        if held is not None and not np.array_equal(
            device.weights(index).reshape(-1), held.weights.reshape(-1)
        ):
            raise UserError(f"weights of layer {index} changed, which were frozen; report it")


def measure(processes: int | None = None) -> dict[str, Any]:
    """The file of results. What is missing is told first: the costs need most, and come before the
    hour of adaptations."""
    open_device(EMULATED).close()
    every = list(tasks.everything())
    device = costs(every[0])
    found = {
        kind: _kind([task for task in every if task.kind == kind], processes)
        for kind in (tasks.VOICES, tasks.MICROPHONES)
    }
    return {
        "epochs": EPOCHS,
        "seeds": SEEDS,
        "choosing_seeds": CHOOSING_SEEDS,
        "train_images": len(every[0].train),
        "microphone_images": len(_first(every, tasks.MICROPHONES).train),
        "test_images": {kind: len(_first(every, kind).test) for kind in found},
        **found,
        "device": device,
    }


def _first(every: Sequence[Task], kind: str) -> Task:
    return next(task for task in every if task.kind == kind)


def _kind(every: Sequence[Task], processes: int | None) -> dict[str, Any]:
    trials = [
        (task, label, method, seed, task.validation)
        for task in every
        for label, methods in CANDIDATES.items()
        for method in methods
        for seed in range(CHOOSING_SEEDS)
    ]
    tried = _all(f"{every[0].kind}, choosing", trials, processes)
    chosen = {
        label: max(methods, key=lambda method: _mean_last(tried, label, method.schedule))
        for label, methods in CANDIDATES.items()
    }
    runs = [
        (task, label, method, seed, task.test)
        for task in every
        for label, method in chosen.items()
        for seed in range(SEEDS)
    ]
    made = _all(every[0].kind, runs, processes)
    return {
        "chosen": {label: list(method.schedule) for label, method in chosen.items()},
        "validation": {
            label: {
                ",".join(map(str, method.schedule)): _mean_last(tried, label, method.schedule)
                for method in methods
            }
            for label, methods in CANDIDATES.items()
        },
        "runs": [asdict(run) for run in made],
    }


def _mean_last(runs: Iterable[Run], label: str, schedule: tuple[int, ...]) -> float:
    return fmean(run.after[-1] for run in runs if (run.method, run.mu) == (label, schedule))


_Job = tuple[Task, str, Method, int, Split]


def _all(label: str, jobs: Sequence[_Job], processes: int | None) -> list[Run]:
    return pool.in_order(label, _adapted, jobs, processes, "none of its runs is kept")


def _adapted(job: _Job) -> Run:
    return adapted(*job)


def costs(task: Task) -> dict[str, Any]:
    """Cycles of an inference and of a training step, and RAM, with weights in flash where they are
    frozen."""
    split = Split(task.train.images[:COSTED_IMAGES], task.train.labels[:COSTED_IMAGES])
    found: dict[str, Any] = {}
    for label, methods in {"inference": (Method("infer"),), **CANDIDATES}.items():
        method = methods[0]
        frozen = not method.trains or method.scored
        with open_device(EMULATED) as device:
            if not isinstance(device, MailboxDevice):
                raise UserError(f"target {EMULATED} does not count cycles")
            made = profile(device, task.network, method, split, frozen)[0]
        found[label] = {
            "infer": made.infer,
            "step": made.train_with_error,
            "ram_bytes": made.ram_bytes,
            "model_in_flash": made.model_in_flash,
        }
    return found
