"""Sound as images: log-mel spectrograms, computed with SciPy.

A spectrogram of 28 bands and 28 frames is an image as MNIST's are, so the same networks take it.
All arithmetic is float64 up to the last rounding, half up. No matrix library takes part, so the
order of the additions does not depend on the machine.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.dataset import Bytes

if TYPE_CHECKING:
    from scipy import signal

Floats = NDArray[np.float64]

BANDS = 28
FRAMES = 28
RATE_HZ = 8_000
LOWEST_HZ = 50.0
WINDOW = 256
HOP = 160
FFT = 512
"""Samples: 32 ms of sound in a frame, a frame every 20 ms, padded to 512 for finer bands."""

QUIET_DB = 30.0
"""What is this much quieter than the loudest frame is silence at the beginning and the end."""

RANGE_DB = 50.0
"""The pixels 0..255 are the uppermost 50 dB of a recording."""


def image(samples: Floats) -> Bytes:
    """The spectrogram of a recording, samples float64 [N >= 128] in units of a 16-bit sample's
    last bit, at 8 kHz: uint8 [28, 28, 1].

    Time runs to the right, pitch upwards, and the loudest point is 255. Silence before and after
    is cut off. What is left is put in the middle; of what is longer than 0.56 s the part around
    the middle of its energy is taken.
    """
    pixels: Bytes = np.floor(levels(samples) + 0.5).astype(np.uint8)
    return pixels[:, :, np.newaxis]


def levels(samples: Floats) -> Floats:
    """The pixels before they are rounded: float64 [28, 28], 0..255."""
    power = _fitted(_trimmed(_power(samples)))
    decibels = 10.0 * np.log10(np.maximum(power, 1.0))
    # Of a recording without any sound nothing is loud.
    loudest = max(float(decibels.max()), RANGE_DB)
    scaled = 255.0 * (decibels - (loudest - RANGE_DB)) / RANGE_DB
    return np.maximum(scaled, 0.0)[::-1]


def _power(samples: Floats) -> Floats:
    """The power in each band and frame, of every frame that overlaps the recording: float64
    [28, frames]."""
    spectrum = _transform().spectrogram(samples)
    power: Floats = np.einsum("bf,ft->bt", filterbank(), spectrum, optimize=False)
    return power


def _trimmed(power: Floats) -> Floats:
    """Without the quiet frames before and after."""
    loudness = power.sum(axis=0)
    loud = np.flatnonzero(loudness >= loudness.max() * 10.0 ** (-QUIET_DB / 10.0))
    return power[:, loud[0] : loud[-1] + 1]


def _fitted(power: Floats) -> Floats:
    """Exactly 28 frames."""
    frames = power.shape[1]
    if frames <= FRAMES:
        before = (FRAMES - frames) // 2
        return np.pad(power, ((0, 0), (before, FRAMES - frames - before)))
    energy = np.cumsum(power.sum(axis=0))
    middle = int(np.searchsorted(energy, energy[-1] / 2.0))
    first = min(max(middle - FRAMES // 2, 0), frames - FRAMES)
    return power[:, first : first + FRAMES]


@cache
def _transform() -> signal.ShortTimeFFT:
    # Here, because it takes longer to import than most verbs to start.
    from scipy import signal

    window = signal.windows.hann(WINDOW, sym=False)
    return signal.ShortTimeFFT(window, HOP, RATE_HZ, mfft=FFT)


@cache
def filterbank() -> Floats:
    """Triangles, evenly spaced and overlapping by half on the mel scale: float64 [28, 257].

    The scale is 2595 log10(1 + f / 700) (O'Shaughnessy, Speech Communication, 1987).
    """
    highest = RATE_HZ / 2.0
    ends = 2595.0 * np.log10(1.0 + np.array([LOWEST_HZ, highest]) / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(ends[0], ends[1], BANDS + 2) / 2595.0) - 1.0)
    pitch = np.arange(FFT // 2 + 1) * (RATE_HZ / FFT)
    widths = np.diff(edges)[:, np.newaxis]
    rising = (pitch - edges[:-2, np.newaxis]) / widths[:-1]
    falling = (edges[2:, np.newaxis] - pitch) / widths[1:]
    triangles: Floats = np.maximum(0.0, np.minimum(rising, falling))
    return triangles
