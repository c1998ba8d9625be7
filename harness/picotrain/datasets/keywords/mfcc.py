"""What MLPerf Tiny's keyword spotter takes: 49 frames of 10 mel cepstral coefficients.

By the description of the benchmark (Banbury and others, arXiv 2106.07597): one second at 16 kHz,
Hann windows of 30 ms every 20 ms, magnitudes of an FFT of 512 points, 40 mel bands from 20 to
4,000 Hz, natural logarithms, the first ten coefficients of an orthogonal DCT-II. What is silent
gives -123.57, and the network's int8 input begins at -123.37.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.dataset import Bytes

Floats = NDArray[np.float64]

RATE_HZ = 16_000
WINDOW, HOP, FFT = 480, 320, 512
BANDS, COEFFICIENTS = 40, 10
LOWEST_HZ, HIGHEST_HZ = 20.0, 4_000.0
SHAPE = (49, COEFFICIENTS, 1)
_FLOOR = 1e-6

_STEP, _ZERO = 0.584702909, 211
"""Of the spotter's input, as pixels: they count from what is silent, 128 more than its int8."""


def coefficients(sound: Floats) -> Floats:
    """Of one second at 16 kHz, float64 [16000] with a peak of about 1: float64 [49, 10, 1]."""
    # Here, because it takes longer to import than most verbs to start.
    from scipy import fft, signal

    window = signal.windows.hann(WINDOW, sym=False)
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    magnitudes = np.abs(np.fft.rfft(frames * window, FFT, axis=1))
    bands = np.einsum("fb,tf->tb", filterbank(), magnitudes, optimize=False)
    # SciPy's "ortho" scales the first coefficient differently; here all are scaled alike.
    cepstrum = fft.dct(np.log(bands + _FLOOR), type=2, axis=1) / np.sqrt(2.0 * BANDS)
    kept: Floats = cepstrum[:, :COEFFICIENTS, np.newaxis]
    return kept


def pixels(heard: Floats) -> Bytes:
    """Coefficients as an image of the same shape, uint8."""
    steps = np.rint(heard / _STEP) + _ZERO
    kept: Bytes = np.clip(steps, 0, 255).astype(np.uint8)
    return kept


def _mel(hertz: Floats) -> Floats:
    scale: Floats = 1127.0 * np.log1p(hertz / 700.0)
    return scale


@cache
def filterbank() -> Floats:
    """Triangles, straight on the mel scale and overlapping by half: float64 [257, 40]. The bin of
    0 Hz is in none."""
    hertz = np.arange(FFT // 2 + 1, dtype=np.float64) * (RATE_HZ / FFT)
    pitch = _mel(hertz)[:, np.newaxis]
    low, high = _mel(np.array([LOWEST_HZ, HIGHEST_HZ]))
    edges = np.linspace(low, high, BANDS + 2)
    step = edges[1] - edges[0]
    rising, falling = (pitch - edges[:-2]) / step, (edges[2:] - pitch) / step
    triangles: Floats = np.maximum(0.0, np.minimum(rising, falling))
    triangles[0] = 0.0
    return triangles
