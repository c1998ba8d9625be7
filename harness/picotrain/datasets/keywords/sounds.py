"""One second of sound, as a keyword spotter listens to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.keywords import mfcc

Floats = NDArray[np.float64]


def one_second(samples: Floats) -> Floats:
    """A recording at 8 kHz in the middle of one second at 16 kHz, its peak 1: float64 [16000]."""
    from scipy import signal

    return fitted(signal.resample_poly(samples, 2, 1))


def fitted(sound: Floats) -> Floats:
    """The same of a recording at 16 kHz; silence stays silent.

    Of what is longer, the part around the middle of its energy is taken.
    """
    sound = sound / max(float(np.abs(sound).max()), 1.0)
    length = mfcc.RATE_HZ
    if len(sound) > length:
        energy = np.cumsum(sound * sound)
        middle = int(np.searchsorted(energy, energy[-1] / 2.0))
        first = min(max(middle - length // 2, 0), len(sound) - length)
        sound = sound[first : first + length]
    whole = np.zeros(length)
    begin = (length - len(sound)) // 2
    whole[begin : begin + len(sound)] = sound
    return whole
