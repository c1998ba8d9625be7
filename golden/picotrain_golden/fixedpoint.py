"""Scalar functions of docs/numerics.md section 14, on whole int64 arrays of int32 values."""

from __future__ import annotations

import numpy as np

from picotrain_golden.numerics import Int8, Int32, Int64

_LEAST, _LARGEST = -(1 << 31), (1 << 31) - 1


def srdhm(a: Int64, b: Int64 | int) -> Int64:
    """`SRDHM`: the upper half of the doubled product, to the nearest, halves upwards."""
    product = a * np.int64(b) if isinstance(b, int) else a * b
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    # Towards zero, where a shift alone would round down.
    high = np.sign(nudged) * (np.abs(nudged) >> 31)
    both_least = (a == _LEAST) & (np.asarray(b) == _LEAST)
    result: Int64 = np.where(both_least, _LARGEST, high)
    return result


def rdp(x: Int64, n: Int64 | int) -> Int64:
    """`RDP`: `x / 2^n` to the nearest, halves away from zero; n of 0..31 broadcasts against x."""
    mask = (np.int64(1) << n) - 1
    result: Int64 = (x >> n) + ((x & mask) > (mask >> 1) + (x < 0))
    return result


def scale(x: Int64, m: Int32 | int, s: Int32 | int) -> Int64:
    """`scale`: x times `m * 2^(s - 31)`; m and s broadcast against x."""
    multiplier, shift = np.asarray(m, np.int64), np.asarray(s, np.int64)
    return rdp(srdhm(x << np.maximum(shift, 0), multiplier), np.maximum(-shift, 0))


def halves_away(total: Int64, count: Int64 | int) -> Int64:
    """`total / count` to the nearest, halves away from zero, as avgpool divides."""
    counts = np.asarray(count, np.int64)
    magnitude: Int64 = (np.abs(total) + counts // 2) // counts
    result: Int64 = np.where(total < 0, -magnitude, magnitude)
    return result


def bound(x: Int64, low: int, high: int) -> Int8:
    """`bound`, into int8."""
    return np.clip(x, low, high).astype(np.int8)
