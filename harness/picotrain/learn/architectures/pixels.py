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


def real(images: UInt8) -> Float:
    """What pixels stand for."""
    return PIXELS.real(as_int8(images).view(np.int8))
