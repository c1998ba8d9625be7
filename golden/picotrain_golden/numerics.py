"""Scalar functions of docs/numerics.md sections 2 and 6, on whole arrays.

Everything here takes int32 (or wider) arrays; the bounds of section 1 keep int32 from overflowing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]

LIMIT = 127


def rhu(x: Int32, k: int | Int32) -> Int32:
    """Round half up: `(x + 2^(k-1)) >> k`, and x for k = 0. An array `k` broadcasts against `x`."""
    # (1 << k) >> 1 is 2^(k-1), and 0 for k = 0: one formula for both cases.
    return (x + ((1 << k) >> 1)) >> k


def clamp(x: Int32, relu: bool = False) -> Int8:
    """Into [-127, 127], or [0, 127] with ReLU; int8 of the shape of `x`."""
    return np.clip(x, 0 if relu else -LIMIT, LIMIT).astype(np.int8)


def peak(tensor: Int32) -> int:
    """max|T|; two reductions instead of an array of magnitudes."""
    return max(int(tensor.max()), -int(tensor.min()))


def image_peaks(tensor: Int32) -> Int64:
    """max|T| of each image of `tensor` [N, ...]; int64 [N]."""
    axes = tuple(range(1, tensor.ndim))
    highest = tensor.max(axis=axes).astype(np.int64)
    lowest = tensor.min(axis=axes).astype(np.int64)
    peaks: Int64 = np.maximum(highest, -lowest)
    return peaks


def peak_bits(peaks: Int64) -> Int64:
    """`range_bits` from max|T|, elementwise."""
    # frexp's exponent is the bit length of an integer that a double holds exactly, and 0 for 0.
    exponents: Int64 = np.frexp(np.maximum(peaks - 1, 0).astype(np.float64))[1].astype(np.int64)
    return exponents


def range_bits(tensor: Int32) -> int:
    """0 if max|T| <= 1, else bit_length(max|T| - 1) (NITI)."""
    return max(peak(tensor) - 1, 0).bit_length()


def dynamic_shift(tensor: Int32) -> int:
    """The shift that brings `tensor` into int8."""
    return max(range_bits(tensor) - 7, 0)


def shift(bits: int, mu: int) -> int:
    """The shift of an update: `bits - mu`, kept in [0, 31] (section 6)."""
    return min(max(bits - mu, 0), 31)


def psto(x: Int32, s: int) -> Int32:
    """NITI's pseudo-stochastic rounding of x / 2^s, on magnitudes; not clamped."""
    if s == 0:
        return x
    half = s // 2
    magnitude = np.abs(x)
    fraction = magnitude & ((1 << s) - 1)
    threshold = fraction & ((1 << half) - 1)
    if s % 2:
        threshold <<= 1
    magnitude >>= s
    magnitude += (fraction >> half) > threshold
    # A conditional negation without a branch: `sign` is -1 or 0.
    sign = x >> (8 * x.itemsize - 1)
    magnitude ^= sign
    magnitude -= sign
    return magnitude


def requantise(acc: Int32, k: int | Int32, relu: bool) -> tuple[Int8, int]:
    """`clamp(RHU(acc, k))` and how many elements saturated (section 9, forward and error)."""
    values, saturated = requantise_each(acc[np.newaxis], k, relu)
    return values[0], int(saturated[0])


def requantise_each(acc: Int32, k: int | Int32, relu: bool) -> tuple[Int8, Int64]:
    """The same of images [N, ...], with the count of each, int64 [N]."""
    rounded = rhu(acc, k)
    beyond = rounded > LIMIT
    if not relu:
        beyond |= rounded < -LIMIT
    axes = tuple(range(1, beyond.ndim))
    return clamp(rounded, relu), np.count_nonzero(beyond, axis=axes).astype(np.int64)
