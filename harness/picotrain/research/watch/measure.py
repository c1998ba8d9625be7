"""Every person with every method: chosen among the people that the network knows, measured on the
one that it does not; and what a step costs on the emulated chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import fmean
from typing import Any

import numpy as np

from picotrain.datasets import watch
from picotrain.datasets.dataset import Split
from picotrain.datasets.watch import Recording
from picotrain.device.backends import open_device
from picotrain.device.interface import Device, cycles_spent
from picotrain.errors import UserError
from picotrain.progress import progress_bar
from picotrain.research.sweep import pool
from picotrain.research.watch import made_up, people
from picotrain.research.watch.adapting import Run, adapted, information, load, select
from picotrain.research.watch.people import Fold, Known, Lesson, Make
from picotrain.research.watch.ways import CANDIDATES, Search, Way
from picotrain.versions import to_install
from picotrain_golden import Information, Method, Network, Trainer

SECONDS = (4, 8)
"""Of each recording of the new person, that teach."""
CHOSEN_WITH = SECONDS[-1]
SEEDS = 5
EMULATED = "qemu"
COSTED_WINDOWS = 4


@dataclass(frozen=True)
class Scope:
    """What the small version does less of."""

    people: Sequence[int] = watch.PEOPLE
    seconds: Sequence[int] = SECONDS
    seeds: int = SEEDS
    settings: int | None = None
    """How many candidates of each method."""


SMALL = Scope(people=(1,), seconds=(CHOSEN_WITH,), seeds=1, settings=1)


def measure(processes: int | None = None) -> dict[str, Any]:
    """The file of results. What is missing is told first."""
    if find_spec("torch") is None:
        raise UserError(f"its backbones are trained with PyTorch: `{to_install('train')}`")
    open_device(EMULATED).close()
    recordings = watch.recordings(watch.FILES)
    return _measured(recordings, people.in_float, Scope(), processes, emulated=True)


def measure_small(processes: int | None = None) -> dict[str, Any]:
    """The same of made-up exercises, with less of everything and no emulator."""
    recordings = made_up.recordings()
    return _measured(recordings, made_up.in_integers, SMALL, processes, emulated=False)


def _measured(
    recordings: Sequence[Recording],
    make: Make,
    scope: Scope,
    processes: int | None,
    emulated: bool,
) -> dict[str, Any]:
    folds = list(people.folds(recordings, scope.people, make))
    first = folds[0]
    others = {fold.person: _others(recordings, fold) for fold in folds}
    costed = people.lesson(recordings, first.person, first.final, CHOSEN_WITH)
    device = costs(first.final, costed, others[first.person]) if emulated else {}
    choices = _chosen(recordings, folds, others, scope, processes)
    jobs = [
        _Job(fold.person, seconds, label, way, seed, fold.final, lesson, others[fold.person])
        for fold in folds
        for seconds in scope.seconds
        for lesson in (people.lesson(recordings, fold.person, fold.final, seconds),)
        for label, way in choices[fold.person].items()
        for seed in range(scope.seeds)
    ]
    lessons = {(job.person, job.seconds): job.lesson for job in jobs}
    return {
        "people": list(scope.people),
        "seeds": scope.seeds,
        "chosen_with": CHOSEN_WITH,
        "support_windows": {
            str(seconds): len(lessons[first.person, seconds].train) for seconds in scope.seconds
        },
        "test_windows": {
            str(fold.person): len(lessons[fold.person, CHOSEN_WITH].test) for fold in folds
        },
        "candidates": {label: len(found) for label, found in _candidates(scope).items()},
        "chosen": {
            str(person): {label: _setting(way) for label, way in found.items()}
            for person, found in choices.items()
        },
        "runs": [_entry(run) for run in _all("adaptations", jobs, processes)],
        "device": device,
    }


def _candidates(scope: Scope) -> dict[str, tuple[Way, ...]]:
    return {label: found[: scope.settings] for label, found in CANDIDATES.items()}


def _others(recordings: Sequence[Recording], fold: Fold) -> Information:
    """Of the validating people's windows, by the network that knows neither them nor the person."""
    return information(
        fold.choosing.network,
        [
            people.lesson(recordings, other, fold.choosing, CHOSEN_WITH).train
            for other in watch.validating(fold.person)
        ],
    )


def _chosen(
    recordings: Sequence[Recording],
    folds: Sequence[Fold],
    others: Mapping[int, Information],
    scope: Scope,
    processes: int | None,
) -> dict[int, dict[str, Way]]:
    """Of each person and method the best mean accuracy on the two validating people, whom that
    network does not know; of equals the first. The person has no part in it."""
    candidates = _candidates(scope)
    jobs = [
        _Job(fold.person, CHOSEN_WITH, label, way, 0, fold.choosing, lesson, others[fold.person])
        for fold in folds
        for other in watch.validating(fold.person)
        for lesson in (people.lesson(recordings, other, fold.choosing, CHOSEN_WITH),)
        for label, found in candidates.items()
        for way in found
    ]
    tried = _all("choosing", jobs, processes)

    def score(person: int, label: str, way: Way) -> float:
        wanted = (person, label, way)
        return fmean(run.after for run in tried if (run.person, run.label, run.way) == wanted)

    return {
        fold.person: {
            label: max(found, key=lambda way: score(fold.person, label, way))
            for label, found in candidates.items()
        }
        for fold in folds
    }


def _setting(way: Way) -> dict[str, Any]:
    return {"mu": list(way.method.schedule), "epochs": way.epochs, "permille": way.permille}


def _entry(run: Run) -> dict[str, Any]:
    return {
        "person": run.person,
        "seconds": run.seconds,
        "method": run.label,
        "seed": run.seed,
        "before": run.before,
        "after": run.after,
        "macs": run.macs,
        "ram": run.ram,
    }


@dataclass(frozen=True, eq=False)
class _Job:
    person: int
    seconds: int
    label: str
    way: Way
    seed: int
    known: Known
    lesson: Lesson
    others: Information


def _all(label: str, jobs: Sequence[_Job], processes: int | None) -> list[Run]:
    return pool.in_order(label, _run, jobs, processes, "none of its runs is kept")


def _run(job: _Job) -> Run:
    result = adapted(job.known.network, job.lesson, job.way, job.seed, job.others)
    return Run(job.person, job.seconds, job.label, job.way, job.seed, *result)


def costs(known: Known, lesson: Lesson, others: Information) -> dict[str, Any]:
    """Cycles of an inference, of a step with an error, and of choosing rows with all windows; and
    RAM. Of each method with its first setting, on windows that the network takes for others."""
    said = Trainer(known.network, Method("infer")).predict(lesson.train.images)
    wrong = np.flatnonzero(said != lesson.train.labels)[:COSTED_WINDOWS]
    split = lesson.train.take(wrong)
    found: dict[str, Any] = {}
    with progress_bar("costs", len(CANDIDATES), "method") as advance:
        for label, (way, *_) in CANDIDATES.items():
            with open_device(EMULATED) as device:
                found[label] = _costs(device, known.network, lesson.train, split, way, others)
            advance(1)
    return found


def _costs(
    device: Device,
    network: Network,
    train: Split,
    split: Split,
    way: Way,
    others: Information,
) -> dict[str, Any]:
    load(device, network, way)
    device.set_method(Method("infer"))
    start = cycles_spent(device)
    device.evaluate(split.images, split.labels)
    inferred = cycles_spent(device)
    select(device, network, train, way, 0, others)
    chosen = cycles_spent(device)
    device.set_method(way.method)
    steps = []
    for number in range(len(split)):
        ready = cycles_spent(device)
        one = split.take(np.array([number]))
        # Who has learnt from the first may make no error on the next.
        if device.train(one.images, one.labels).loss_norms[0] > 0:
            steps.append(cycles_spent(device) - ready)
    memory = device.memory()
    return {
        "infer": (inferred - start) / len(split),
        "step": fmean(steps),
        "choosing": chosen - inferred if _asks_the_device(way) else 0,
        "ram_bytes": memory.by_part(),
        "model_in_flash": memory.model_in_flash,
    }


def _asks_the_device(way: Way) -> bool:
    return isinstance(way.learns, Search) and way.learns.rows != "fixed"
