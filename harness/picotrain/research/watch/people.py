"""Networks that know all people but some, and what the new one's recordings teach and test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from picotrain.datasets import watch
from picotrain.datasets.dataset import Dataset, Split
from picotrain.datasets.watch import Ranges, Recording
from picotrain.device.given import images_for
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.calibration import of_images
from picotrain.learn.float_pretrain import FloatOptions, pretrain_graph
from picotrain.places import MADE_BACKBONES, made_folder
from picotrain.progress import progress_bar
from picotrain_golden import Network

MODEL = "motion"
OPTIONS = FloatOptions(epochs=20, rate=0.05, batch=64, mirror=False)
"""Chosen on two validating people each of persons 1 and 4."""
CALIBRATED = 512
"""Windows of the known people, evenly taken, that the static numbers are made from."""

Make = Callable[[Architecture, Dataset], Network]


@dataclass(frozen=True, eq=False)
class Known:
    """A network with static numbers, and the ranges of the people that it was trained on."""

    network: Network
    ranges: Ranges


@dataclass(frozen=True, eq=False)
class Fold:
    """`final` knows all but the new person; `choosing` knows neither the validating two."""

    person: int
    choosing: Known
    final: Known


@dataclass(frozen=True, eq=False)
class Lesson:
    """Of one person, as a device takes it."""

    train: Split
    test: Split


def folds(recordings: Sequence[Recording], people: Sequence[int], make: Make) -> Iterator[Fold]:
    """For each of the people; what `make` trained before is kept in the folder of backbones."""
    architecture = models.resolve(MODEL)
    with progress_bar("backbones", 2 * len(people), "backbone") as advance:
        for person in people:
            made = []
            for new in ((person, *watch.validating(person)), (person,)):
                known = [one for one in recordings if one.person not in new]
                made.append(_known(architecture, known, make))
                advance(1)
            yield Fold(person, *made)


def _known(architecture: Architecture, recordings: Sequence[Recording], make: Make) -> Known:
    ranges = Ranges.of(recordings)
    every = watch.windows(recordings, ranges)
    splits = {"train": every, "validation": every, "test": every}
    people = sorted({one.person for one in recordings})
    name = "watch-" + "-".join(map(str, people))
    network = make(architecture, Dataset(name, splits, len(watch.EXERCISES), "", {}))
    chosen = np.linspace(0, len(every) - 1, min(CALIBRATED, len(every))).astype(np.int64)
    return Known(of_images(network, _taken(network, every.take(chosen))), ranges)


def _taken(network: Network, split: Split) -> Split:
    return Split(images_for(network, split.images), split.labels)


def in_float(architecture: Architecture, dataset: Dataset) -> Network:
    """Trained with PyTorch, or what it was trained to before."""
    path = MADE_BACKBONES / f"{architecture.name}-{dataset.name}.npz"
    key = _key(architecture, dataset)
    with suppress(UserError):
        network, info = models.load_backbone(path)
        if info.get("key") == key:
            return network
    network = pretrain_graph(architecture, dataset, OPTIONS, lambda _: None)[0].network
    made_folder(path.parent)
    models.save_backbone(path, network, {"key": key})
    return network


def _key(architecture: Architecture, dataset: Dataset) -> str:
    """Of all but the code that decides a backbone."""
    text = repr((OPTIONS, architecture.layers, architecture.steps))
    images = dataset.train.images.tobytes() + dataset.train.labels.tobytes()
    return hashlib.sha256(text.encode() + images).hexdigest()


def lesson(recordings: Sequence[Recording], person: int, known: Known, seconds: float) -> Lesson:
    """The first seconds of each recording teach; what tests is the same for any number of them."""
    own = [one for one in recordings if one.person == person]
    samples = round(seconds * watch.RATE_HZ)
    train = watch.windows(own, known.ranges, stop=samples)
    test = watch.windows(own, known.ranges, start=watch.QUERY)
    return Lesson(_taken(known.network, train), _taken(known.network, test))
