"""The whole network, fewer channels, fewer layers, and both: what each takes and how it adapts.

It adapts to what the task's network was not trained for: pictures that are turned, a speaker who
was not heard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from picotrain import datasets
from picotrain.device.backends import open_device
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.room import need_of
from picotrain.image.firmware import layout, pico_arena_bytes
from picotrain.inputs import read_json
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, adapt, configured, prepare
from picotrain.learn.float_pretrain import ready
from picotrain.profile.profile import profile
from picotrain.research.shrink.kept import Found, kept
from picotrain.research.shrink.place import Place, quiet
from picotrain.research.shrink.pruned import cell_name
from picotrain.research.shrink.tasks import Task
from picotrain.shrink import float_file
from picotrain.shrink.depth.cell import Cell
from picotrain.shrink.depth.kept import Store, digest
from picotrain.shrink.depth.sweep import DepthSweep
from picotrain.shrink.groups import groups_of
from picotrain.shrink.pruning.training import GatedTraining
from picotrain_golden import Method, Network

WHOLE, PRUNED, CUT, BOTH = "whole", "pruned", "cut", "pruned, then cut"
KINDS = (WHOLE, PRUNED, CUT, BOTH)
METHOD = "gates"
CANDIDATES: dict[str, tuple[Method, ...]] = {
    "NITI": tuple(
        Method("niti-static", mu=first, later_mu=tuple(later))
        for first, *later in ((4, 3, 2, 1), (3, 2, 1, 0), (2, 1, 0, -1), (0, -1, -2))
    ),
    "PRIOT": tuple(
        Method("priot", mu=first, later_mu=tuple(later))
        for first, *later in ((4, 3, 2, 1), (2, 1, 0, -1), (0, -1, -2), (-2, -3, -4))
    ),
}
"""Step sizes, of which validation images choose for each kind of network."""
_CALIBRATION = 512
_COSTED = 4


@dataclass(frozen=True)
class Made:
    """A network in its file, and what is known of it."""

    path: Path
    found: Found


def networks(place: Place, cut: Cell | None) -> dict[str, Made]:
    """Of one seed, by kind; `cut` is the cell of depth pruning that is taken, None where there is
    none. A whole network that the target has no room for is none that could adapt there."""
    pruned = cell_name(place.task.limit, METHOD)
    found = {
        WHOLE: _made(place.path("longer", ".npz")),
        PRUNED: _made(place.path(pruned, ".npz")),
    }
    if found[WHOLE].found["taken"] is None:
        del found[WHOLE]
    if cut is not None:
        found[CUT] = _made(Store(place.path("depth", "")).path(cut.name, ".npz"))
        found[BOTH] = _both(place, pruned, cut)
    return found


def _made(path: Path) -> Made:
    found = read_json(path.with_suffix(".json"), "remove it")
    names = ("parameters", "macs", "float_validation", "validation", "test", "taken")
    return Made(path, {name: found[name] for name in names})


def _both(place: Place, pruned: str, cut: Cell) -> Made:
    """The smaller network cut as the whole one was."""
    task = place.task
    _, dataset = task.load()
    architecture = models.load(place.path(pruned, ".toml"))
    train, warm = task.cutting(dataset, place.seed), task.warming(dataset, place.seed)
    torch = ready(dataset, train)
    training = GatedTraining(architecture, dataset, warm, torch, groups_of(architecture))
    pretrained = float_file.of(place.path(pruned, "-float.npz"), training)
    store = Store(place.path("both", ""))
    with open_device(place.target) as device:
        sweep = DepthSweep(
            *(architecture, dataset, warm, train, store, device, torch, quiet, quiet)
        )
        sweep.run([cut], sweep.whole(pretrained))
    return _made(store.path(cut.name, ".npz"))


# On the device


@dataclass(frozen=True)
class Job:
    """One adaptation of one network, in order `order`, evaluated on images of split `on`."""

    task: Task
    kind: str
    seed: int
    path: Path
    label: str
    method: Method
    order: int
    on: str


def adapted(job: Job) -> tuple[Job, float, float]:
    """Accuracy before and after; kept beside the network."""
    options = replace(
        _options(job.task, job.method),
        method=replace(job.method, seed=job.order),
        seed=job.order,
        evaluate_on=job.on,
    )
    dataset = datasets.load(job.task.adapts_to)
    choices = {
        "network": hashlib.sha256(job.path.read_bytes()).hexdigest(),
        "dataset": dataset.sha256 or dataset.name,
        "options": asdict(options),
    }

    def make() -> Found:
        network = models.load_backbone(job.path)[0]
        room = need_of(network, options.method, layout(), frozen=job.method.scored)
        with open_device("host", room) as device:
            result = adapt(device, network, prepare(dataset, options), options)
        return {"before": result.accuracy_before, "after": result.accuracy_final}

    found = kept(job.path.parent / "adapted" / f"{digest(choices)}.json", choices, make)
    return job, found["before"], found["after"]


def _options(task: Task, method: Method) -> AdaptOptions:
    return AdaptOptions(
        angle=task.angle,
        method=method,
        epochs=task.adapt,
        train_samples=task.samples,
        test_samples=task.samples,
        calibration_samples=min(_CALIBRATION, task.samples or _CALIBRATION),
        plan="lean" if method.scored else "fast",
    )


Key = tuple[str, str]
"""A kind of network, and a label of CANDIDATES."""


def jobs(
    place: Place, made: Mapping[str, Made], methods: Mapping[Key, Sequence[Method]], on: str
) -> list[Job]:
    """Of one seed: every network by every method that is given for its kind."""
    task = place.task
    return [
        Job(task, kind, place.seed, one.path, label, method, order, on)
        for kind, one in made.items()
        for label in CANDIDATES
        for method in methods[kind, label]
        for order in range(task.orders if on == "test" else 1)
    ]


def choose(tried: Iterable[tuple[Job, float, float]]) -> dict[Key, Method]:
    """For each kind and label the method that is right most often after, on validation images, in
    the mean of all seeds and orders."""
    after: dict[Key, dict[Method, list[float]]] = {}
    for job, _, accuracy in tried:
        mine = after.setdefault((job.kind, job.label), {})
        mine.setdefault(job.method, []).append(accuracy)
    return {
        key: max(found, key=lambda method: fmean(found[method])) for key, found in after.items()
    }


def everything() -> dict[Key, Sequence[Method]]:
    """All step sizes for every kind of network."""
    return {(kind, label): found for kind in KINDS for label, found in CANDIDATES.items()}


def images(task: Task) -> dict[str, dict[str, int]]:
    """Of each split how many are drawn for an order, and how many there are."""
    dataset = datasets.load(task.adapts_to)
    drawn = prepare(dataset, _options(task, CANDIDATES["NITI"][0]))
    return {
        "train": {"drawn": len(drawn.train), "there": len(dataset.train)},
        "test": {"drawn": len(drawn.test), "there": len(dataset.test)},
    }


def cost(place: Place, path: Path) -> dict[str, Any]:
    """By label: bytes of RAM of a training step, by the plan; whether a Pico holds that; and then,
    where the target counts them, its cycles, over images with a loss error."""
    network = models.load_backbone(path)[0]
    found: dict[str, Any] = {}
    for label, (method, *_) in CANDIDATES.items():
        ram = need_of(network, method, layout(), method.scored)
        fits = ram <= pico_arena_bytes()
        cycles = _cycles(place, network, method) if fits else None
        found[label] = {"ram": ram, "fits": fits, "cycles": cycles}
    return found


def _cycles(place: Place, network: Network, method: Method) -> float | None:
    options = replace(_options(place.task, method), train_samples=_COSTED, test_samples=1)
    data = prepare(datasets.load(place.task.adapts_to), options)
    with open_device(place.target) as device:
        if not isinstance(device, MailboxDevice) or device.blocks() is None:
            return None
        made = configured(network, data, options)
        return profile(device, made, method, data.train, frozen=method.scored)[0].train_with_error
