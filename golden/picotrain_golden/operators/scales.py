"""Scales of errors, and what errors do where they meet: docs/numerics.md section 15."""

from __future__ import annotations

import numpy as np

from picotrain_golden.network import Affine
from picotrain_golden.numerics import Int8, Int32, clamp, rhu

Scale = tuple[int, int]
"""M and E of M * 2^(E-15); M is in 2^15..2^16-1."""

ONE: Scale = (1 << 15, 0)


def times_power(g: Scale, k: int) -> Scale:
    return g[0], g[1] + k


def times_factor(g: Scale, m: int, s: int) -> Scale:
    """Of a multiplier that is not 0; one below 2^30, as avgpool may have, is doubled first."""
    if m < 1 << 30:
        m, s = 2 * m, s - 1
    product = g[0] * (m >> 15)
    if product >= 1 << 31:
        return product >> 16, g[1] + s
    return product >> 15, g[1] + s - 1


def over_count(g: Scale, n: int) -> Scale:
    quotient = (g[0] << 16) // n
    j = quotient.bit_length() - 16
    return (quotient >> j if j >= 0 else quotient << -j), g[1] - 16 + j


def merge(d: Int8, g: Scale, c: Int8, h: Scale) -> tuple[Int8, Scale]:
    """The sum of two errors, at the larger of their scales."""
    if (h[1], h[0]) > (g[1], g[0]):
        d, g, c, h = c, h, d, g
    t = (h[0] << 15) // g[0]
    k = min(15 + g[1] - h[1], 30)
    return clamp(d + rhu(c.astype(np.int32) * np.int32(t), k)), g


def largest_factor(affine: Affine) -> tuple[int, int]:
    """The largest multiplier and its shift; a multiplier of 0 is the least."""
    pairs = zip(affine.multiplier.tolist(), affine.shift.tolist(), strict=True)
    return max(pairs, key=lambda pair: (pair[0] > 0, pair[1], pair[0]))


def row_weights(affine: Affine) -> Int32:
    """`r` of every row: 128 times its multiplier by the largest one."""
    largest, shift = largest_factor(affine)
    ratios = ((affine.multiplier >> 16) << 16) // (largest >> 16)
    # A multiplier of 0 may have any shift.
    below = np.clip(shift - affine.shift, 0, 21)
    weights: Int32 = np.where(affine.multiplier == 0, 0, rhu(ratios, 9 + below)).astype(np.int32)
    return weights
