"""From real scales to the integers of docs/numerics.md section 14."""

from __future__ import annotations

from math import floor, frexp, isinf

import numpy as np

from picotrain_golden.network import MAX_LOGITS_E, MIN_LOGITS_E


def multiplier(factor: float) -> tuple[int, int]:
    """`m` and `s` of a factor of 0 or more."""
    if factor == 0:
        return 0, 0
    fraction, s = frexp(factor)
    m = floor(fraction * (1 << 31) + 0.5)
    if m == 1 << 31:
        m, s = m // 2, s + 1
    return (0, 0) if s < -31 else (m, s)


def mean_multiplier(factor: float, count: int) -> tuple[int, int]:
    """The same for a mean of `count` elements: 1 / count is taken into it."""
    m, s = multiplier(factor)
    j = min(count.bit_length() - 1, 31 + s)
    return (m << j) // count, s - j


def add_factors(scale_a: float, scale_b: float, scale_out: float) -> tuple[float, float, float]:
    """The three factors of an add; each must be less than 1."""
    common = 2 * max(scale_a, scale_b)
    return scale_a / common, scale_b / common, common / ((1 << 20) * scale_out)


def logits_scale(scale: float) -> tuple[tuple[int, int], str]:
    """M and E of section 15 of the scale of the outputs, and a note where E had to be another."""
    fraction, e = frexp(scale)
    m, e = floor(fraction * (1 << 16) + 0.5), e - 1
    if m == 1 << 16:
        m, e = m // 2, e + 1
    kept = min(max(e, MIN_LOGITS_E), MAX_LOGITS_E)
    if kept == e:
        return (m, e), ""
    return (m, kept), (
        f"the outputs have scale {scale:.6g}, which training takes for {m * 2.0 ** (kept - 15):.6g}"
    )


def bounds(least: float, largest: float, scale: float, zero: int) -> tuple[int, int]:
    """`low` and `high` of the real bounds of an activation, on a tensor of that scale and zero.

    OverflowError where 32 bits do not hold a finite bound: TFLite Micro then has none.
    """

    def quantised(real: float, otherwise: int) -> int:
        if isinf(real):
            return otherwise
        with np.errstate(over="ignore"):
            steps = float(np.float32(real) / np.float32(scale))
        if abs(steps) > (1 << 31) - 256:
            raise OverflowError
        away = floor(abs(steps) + 0.5)
        return zero + (away if steps >= 0 else -away)

    return max(-128, quantised(least, -128)), min(127, quantised(largest, 127))
