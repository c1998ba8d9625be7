"""linear, over the flattened input."""

from __future__ import annotations

import numpy as np

from picotrain_golden.layers import Float
from picotrain_golden.network import Layer
from picotrain_golden.numerics import Int8, Int32, Int64
from picotrain_golden.operators.base import Weighted
from picotrain_golden.operators.convolution import exact_product


class Linear(Weighted):
    def shape_error(self, layer: Layer) -> str:
        if layer.out_shape[:2] != (1, 1):
            return f"has an output of {layer.out_shape}, not (1, 1, outputs)"
        if (layer.kernel, layer.stride, layer.padding) != ((1, 1), (1, 1), (0, 0)):
            return "is linear, so its kernel and stride are 1 and its padding is 0"
        return ""

    def sums(self, layer: Layer, zero: int, weights: Int8 | Float, inputs: Int8) -> Int64:
        flat = inputs.reshape(len(inputs), -1).astype(np.int16) - np.int16(zero)
        product = exact_product(flat, weights.T, layer.row_length)
        return product.astype(np.int64).reshape(len(inputs), *layer.out_shape)

    def spread(self, layer: Layer, weights: Int8 | Float, error: Int8) -> Int32:
        product = exact_product(error.reshape(1, -1), weights, layer.rows)
        return product.astype(np.int32).reshape(layer.in_shape)

    def gradient(self, layer: Layer, zero: int, error: Int8, inputs: Int8) -> Int32:
        flat = inputs.reshape(-1).astype(np.int32) - np.int32(zero)
        return np.outer(error.reshape(-1).astype(np.int32), flat)
