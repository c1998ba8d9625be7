"""Shoulder exercises under a smart watch (Burns and others, arXiv 1802.01489): ten people, seven
exercises, once with either arm.

`watch-3` holds what a watch needs that is to adapt to person 3: a backbone's train and test windows
come from seven others, its validation windows from the two people after 3, and `device-train`,
`device-validation` and `device-test` from person 3 alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.dataset import Bytes, Dataset, Split
from picotrain.datasets.files import Archive, DataFile, FileSet, read_all

Floats = NDArray[np.float64]

EXERCISES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
"""Pendulum, abduction, forward elevation, internal and external rotation, trapezius, row."""
CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")
PEOPLE = tuple(range(1, 11))
_PREFIX = "watch-"
NAMES = tuple(f"{_PREFIX}{person}" for person in PEOPLE)

RATE_HZ = 12.5
_MEAN_OF = 4
"""Samples at 50 Hz, in one of ours."""
WINDOW, HOP = 50, 25
"""4 s, every 2 s: two or three repetitions of an exercise."""
SUPPORT, QUERY = 100, 150
"""Of the new person's recordings the first 8 s teach and what comes after 12 s tests, so that no
repetition is in both; the window between them validates."""
_CENTRAL = (0.5, 99.5)
"""Percent of the training people's samples, that the ends of a channel's range cut off."""

_FILE = "watch_dataset.npy"
_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
_COMMIT = "86442614b0fced837b42c45ba9ef5ea0f72b2908"


def _installed() -> tuple[str, ...]:
    """The folder of the package seglearn that holds the file; it is not imported for that."""
    package = find_spec("seglearn")
    if package is None or package.origin is None:
        return ()
    return (str(Path(package.origin).parent / "data"),)


FILES = FileSet(
    name="watch",
    folders=("watch", *_installed()),
    files=(DataFile(_FILE, _SHA256),),
    archives=(
        Archive(
            _FILE,
            f"https://raw.githubusercontent.com/dmbee/seglearn/{_COMMIT}/seglearn/data/{_FILE}",
            sha256=_SHA256,
            size=18_118_091,
        ),
    ),
)


@dataclass(frozen=True, eq=False)
class Recording:
    """About 20 repetitions: `samples` float64 [N, 6] at RATE_HZ, in g and radians a second."""

    person: int
    exercise: int
    right: bool
    samples: Floats


@dataclass(frozen=True, eq=False)
class Ranges:
    """What the pixels 0 and 255 of each channel stand for, float64 [6]."""

    low: Floats
    high: Floats

    @classmethod
    def of(cls, recordings: Iterable[Recording]) -> Ranges:
        """Those of the people that a network learns from, and of nobody else."""
        samples = np.concatenate([one.samples for one in recordings])
        low, high = np.percentile(samples, _CENTRAL, axis=0)
        return cls(low, high)

    def pixels(self, samples: Floats) -> Bytes:
        """Rounded half up, and cut off at the ends."""
        scaled = np.floor(255.0 * (samples - self.low) / (self.high - self.low) + 0.5)
        return np.clip(scaled, 0, 255).astype(np.uint8)


def recordings(fileset: FileSet = FILES, download: bool = True) -> list[Recording]:
    """All 140, by person, exercise and arm (the left one first)."""
    contents = read_all(fileset, download)[_FILE]
    # A pickle runs what its author likes: this one is the published file, which was just verified.
    data = np.load(io.BytesIO(contents), allow_pickle=True).item()
    found = [
        Recording(int(person), int(exercise), bool(side), _slower(np.asarray(samples)))
        for samples, exercise, person, side in zip(
            data["X"], data["y"], data["subject"], data["side"], strict=True
        )
    ]
    return sorted(found, key=lambda one: (one.person, one.exercise, one.right))


def _slower(samples: Floats) -> Floats:
    """Means of so many samples each; a rest that is shorter is dropped."""
    whole = len(samples) // _MEAN_OF * _MEAN_OF
    means: Floats = samples[:whole].reshape(-1, _MEAN_OF, samples.shape[1]).mean(axis=1)
    return means


def windows(
    some: Iterable[Recording], ranges: Ranges, start: int = 0, stop: int | None = None
) -> Split:
    """All whole windows of samples `start` to `stop` of each recording, in order of time: images
    uint8 [N, 50, 1, 6], labelled with the exercise. A negative number counts from the end."""
    images, labels = [], []
    for one in some:
        pixels = ranges.pixels(one.samples[start:stop])
        for first in range(0, len(pixels) - WINDOW + 1, HOP):
            images.append(pixels[first : first + WINDOW, np.newaxis])
            labels.append(one.exercise)
    return Split(np.stack(images), np.array(labels, np.uint8))


def validating(person: int) -> tuple[int, int]:
    """The two people after one, in a circle: on them is chosen what is not learnt."""
    first, second = (PEOPLE[(person + step - 1) % len(PEOPLE)] for step in (1, 2))
    return first, second


def of_person(every: Iterable[Recording], person: int, ranges: Ranges) -> dict[str, Split]:
    """What teaches ("train"), validates and tests on the watch of a new person."""
    own = [one for one in every if one.person == person]
    return {
        "train": windows(own, ranges, stop=SUPPORT),
        "validation": windows(own, ranges, SUPPORT, QUERY),
        "test": windows(own, ranges, QUERY),
    }


def load(name: str, fileset: FileSet = FILES, download: bool = True) -> Dataset:
    """The dataset of that name, one of `NAMES`. The last 8 s of a known person's recordings
    test."""
    person = int(name.removeprefix(_PREFIX))
    every = recordings(fileset, download)
    known = [one for one in every if one.person not in (person, *validating(person))]
    ranges = Ranges.of(known)
    splits = {
        "train": windows(known, ranges, stop=-SUPPORT),
        "validation": windows([one for one in every if one.person in validating(person)], ranges),
        "test": windows(known, ranges, start=-SUPPORT),
    }
    own = of_person(every, person, ranges)
    return Dataset(
        name=name,
        splits=splits | {f"device-{part}": split for part, split in own.items()},
        classes=len(EXERCISES),
        source=f"smart-watch exercises of seglearn (Burns), commit {_COMMIT[:8]}",
        sha256={file.name: file.sha256 for file in fileset.files},
    )
