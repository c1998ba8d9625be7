"""From the scales of a file to the integers of docs/numerics.md section 14."""

from __future__ import annotations

from math import floor, frexp

import numpy as np

from picotrain_golden.network import MAX_LOGITS_E, MIN_LOGITS_E

NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3
"""Activations, as the schema numbers them."""
_BOUNDS: dict[int, tuple[float | None, float | None]] = {
    NONE: (None, None),
    RELU: (0.0, None),
    RELU_N1_TO_1: (-1.0, 1.0),
    RELU6: (0.0, 6.0),
}
ACTIVATIONS = frozenset(_BOUNDS)


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


def bounds(activation: int, scale: float, zero: int) -> tuple[int, int]:
    """`low` and `high` of an activation on a tensor of that scale and zero point.

    OverflowError where 32 bits do not hold a bound: TFLite Micro then has none.
    """

    def quantised(real: float | None, otherwise: int) -> int:
        if real is None:
            return otherwise
        with np.errstate(over="ignore"):
            steps = float(np.float32(real) / np.float32(scale))
        if abs(steps) > (1 << 31) - 256:
            raise OverflowError
        away = floor(abs(steps) + 0.5)
        return zero + (away if steps >= 0 else -away)

    least, largest = _BOUNDS[activation]
    return max(-128, quantised(least, -128)), min(127, quantised(largest, 127))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Outputs along an axis and the padding before it, for SAME."""
    outputs = -(-size // stride)
    return outputs, max((outputs - 1) * stride + kernel - size, 0) // 2


def valid_outputs(size: int, kernel: int, stride: int) -> int:
    """Outputs along an axis for VALID."""
    return (size - kernel) // stride + 1
