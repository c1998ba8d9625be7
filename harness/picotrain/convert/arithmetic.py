"""What TFLite means by its numbers: activations, and the padding VALID."""

from __future__ import annotations

from math import inf

from picotrain.quantise import arithmetic

NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3
"""Activations, as the schema numbers them."""
_BOUNDS: dict[int, tuple[float, float]] = {
    NONE: (-inf, inf),
    RELU: (0.0, inf),
    RELU_N1_TO_1: (-1.0, 1.0),
    RELU6: (0.0, 6.0),
}
ACTIVATIONS = frozenset(_BOUNDS)


def bounds(activation: int, scale: float, zero: int) -> tuple[int, int]:
    """`low` and `high` of an activation on a tensor of that scale and zero point.

    OverflowError where 32 bits do not hold a bound: TFLite Micro then has none.
    """
    return arithmetic.bounds(*_BOUNDS[activation], scale, zero)


def valid_outputs(size: int, kernel: int, stride: int) -> int:
    """Outputs along an axis for VALID."""
    return (size - kernel) // stride + 1
