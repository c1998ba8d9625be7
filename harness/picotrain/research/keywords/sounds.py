"""Spoken digits as the keyword spotter hears them, as they are or changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import fsdd
from picotrain.datasets.dataset import Split
from picotrain.datasets.keywords import mfcc
from picotrain.datasets.keywords.sounds import one_second
from picotrain.quantise.graph import TensorScale

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """What a device's microphone does to a sound whose peak is 1: `gain` in decibels, `late` in
    milliseconds of silence before it, `tilt`: `y[n] = x[n] - tilt * x[n-1]`, a high-pass."""

    name: str
    gain: float = 0.0
    late: float = 0.0
    tilt: float = 0.0


CLEAN = Change("clean")
CHANGES = (
    Change("quiet", gain=-20.0),
    Change("late", late=160.0),
    Change("tilted", tilt=0.95),
    Change("all three", gain=-20.0, late=160.0, tilt=0.95),
)


def heard(sound: Floats, change: Change = CLEAN) -> Floats:
    """One second at 16 kHz, float64 [16000], as the microphone gives it."""
    whole = sound.copy()
    if change.tilt:
        whole[1:] -= change.tilt * whole[:-1]
    length = mfcc.RATE_HZ
    late = round(change.late * length / 1000.0)
    moved = np.concatenate([np.zeros(late), whole])[:length]
    result: Floats = moved * 10.0 ** (change.gain / 20.0)
    return result


class Recordings:
    """The 3,000 recordings, as int8 images of a network whose input has a scale.

    Images of a change are made when they are first asked for.
    """

    def __init__(self, scale: TensorScale) -> None:
        self._scale = scale
        self._samples = fsdd.recordings()
        self._images: dict[tuple[str, str], NDArray[np.uint8]] = {}

    def _image(self, name: str, change: Change) -> NDArray[np.uint8]:
        key = (change.name, name)
        if key not in self._images:
            sound = heard(one_second(self._samples[name].astype(np.float64)), change)
            self._images[key] = self._scale.quantised(mfcc.coefficients(sound)).view(np.uint8)
        return self._images[key]

    def split(self, speakers: tuple[str, ...], which: range, change: Change = CLEAN) -> Split:
        """The recordings of these speakers with these numbers, by speaker, digit and number."""
        keys = fsdd.chosen(speakers, which)
        return Split(
            np.stack([self._image(name, change) for _, name in keys]),
            np.array([digit for digit, _ in keys], np.uint8),
        )
