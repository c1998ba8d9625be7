"""conv2d."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.layers import Float
from picotrain_golden.network import MAX_KERNEL, MAX_TERMS, Affine, Layer
from picotrain_golden.numerics import Int8, Int32, Int64
from picotrain_golden.operators.base import Weighted
from picotrain_golden.operators.windows import gathered, window_error, windows


def exact_product(
    left: NDArray[np.integer] | Float, right: NDArray[np.integer] | Float, terms: int
) -> Float:
    """A matrix product of integers, the left up to 255 and the right up to 128 in magnitude.

    In floating point, through BLAS: every partial sum of so many terms is an integer of magnitude
    up to terms * 128 * 255, which float32 holds to 2^24 and float64 for whatever section 12 allows.
    """
    dtype = np.float32 if terms * 128 * 255 <= 1 << 24 else np.float64
    result: Float = left.astype(dtype, copy=False) @ right.astype(dtype, copy=False)
    return result


class Convolution(Weighted):
    def shape_error(self, layer: Layer) -> str:
        return window_error(layer, MAX_KERNEL, 2)

    def training_error(self, layer: Layer, affine: Affine, weights: Int8 | None) -> str:
        terms = layer.kernel[0] * layer.kernel[1] * layer.rows
        if terms > MAX_TERMS:
            return f"sums {terms} terms for the error of its input, more than {MAX_TERMS}"
        return super().training_error(layer, affine, weights)

    def _columns(self, layer: Layer, zero: int, inputs: Int8) -> NDArray[np.int16]:
        """[N * OH * OW, K]; what is outside the input counts as its zero point, so as a term of
        0."""
        seen = windows(layer, inputs.astype(np.int16) - np.int16(zero), 0)
        return seen.reshape(-1, layer.row_length)

    def sums(self, layer: Layer, zero: int, weights: Int8 | Float, inputs: Int8) -> Int64:
        columns = self._columns(layer, zero, inputs)
        product = exact_product(columns, weights.T, layer.row_length)
        return product.astype(np.int64).reshape(len(inputs), *layer.out_shape)

    def spread(self, layer: Layer, weights: Int8 | Float, error: Int8) -> Int32:
        # The sums of a tap over the rows; a position gathers those of KH*KW taps.
        terms = layer.rows * layer.kernel[0] * layer.kernel[1]
        taps = exact_product(error.reshape(-1, layer.rows), weights, terms)
        return gathered(layer, taps.reshape(*layer.out_shape[:2], *layer.kernel, -1))

    def gradient(self, layer: Layer, zero: int, error: Int8, inputs: Int8) -> Int32:
        columns = self._columns(layer, zero, inputs[np.newaxis])
        rows = error.reshape(-1, layer.rows).T
        return exact_product(rows, columns, layer.positions).astype(np.int32)
