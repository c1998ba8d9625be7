"""Pixels for affine networks, which take int8 with a scale and a zero point."""

from __future__ import annotations

import numpy as np

from picotrain.quantise.graph import Float, TensorScale
from picotrain_golden.numerics import UInt8

PIXELS = TensorScale(float(np.float32(1 / 255)), -128)
"""Of the input: a pixel of 0 to 255 stands for 0 to 1, and is int8 as pixel - 128."""


def as_int8(images: UInt8) -> UInt8:
    """The bytes of the int8 that stand for pixels."""
    return images ^ np.uint8(128)


_USUAL = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0))
_NEAR = 0.02


def span(scale: TensorScale) -> tuple[float, float]:
    """What the least and the largest int8 stand for."""
    return scale.scale * (-128 - scale.zero), scale.scale * (127 - scale.zero)


def covers_pixels(low: float, high: float) -> bool:
    """Whether an input of that span takes pixels, as `pixel - 128`, for what networks do."""
    near = _NEAR * (high - low)
    return any(abs(low - a) <= near and abs(high - b) <= near for a, b in _USUAL)


def real(images: UInt8) -> Float:
    """What pixels stand for."""
    return PIXELS.real(as_int8(images).view(np.int8))
