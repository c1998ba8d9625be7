"""conv2d."""

from __future__ import annotations

import numpy as np

from picotrain_golden.network import MAX_KERNEL, Layer
from picotrain_golden.numerics import Int8, Int64
from picotrain_golden.operators.base import Weighted
from picotrain_golden.operators.windows import window_error, windows


def exact_product(columns: Int64, weights: Int8) -> Int64:
    """`columns` [N, K] times `weights` [rows, K]; int64 [N, rows].

    In floating point, through BLAS: every partial sum is an integer of magnitude up to
    K * 128 * 255, which float32 holds to 2^24 and float64 for every K of section 12.
    """
    dtype = np.float32 if weights.shape[1] * 128 * 255 <= 1 << 24 else np.float64
    result: Int64 = (columns.astype(dtype) @ weights.T.astype(dtype)).astype(np.int64)
    return result


class Convolution(Weighted):
    def shape_error(self, layer: Layer) -> str:
        return window_error(layer, MAX_KERNEL, 2)

    def sums(self, layer: Layer, zero: int, weights: Int8, inputs: Int8) -> Int64:
        # What is outside the input counts as its zero point, so as a term of 0.
        seen = windows(layer, inputs.astype(np.int16) - np.int16(zero), 0)
        columns = seen.reshape(-1, layer.row_length)
        return exact_product(columns, weights).reshape(len(inputs), *layer.out_shape)
