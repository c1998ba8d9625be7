"""linear, over the flattened input."""

from __future__ import annotations

import numpy as np

from picotrain_golden.network import Layer
from picotrain_golden.numerics import Int8, Int64
from picotrain_golden.operators.base import Weighted
from picotrain_golden.operators.convolution import exact_product


class Linear(Weighted):
    def shape_error(self, layer: Layer) -> str:
        if layer.out_shape[:2] != (1, 1):
            return f"has an output of {layer.out_shape}, not (1, 1, outputs)"
        if (layer.kernel, layer.stride, layer.padding) != ((1, 1), (1, 1), (0, 0)):
            return "is linear, so its kernel and stride are 1 and its padding is 0"
        return ""

    def sums(self, layer: Layer, zero: int, weights: Int8, inputs: Int8) -> Int64:
        flat = inputs.reshape(len(inputs), -1).astype(np.int64) - zero
        return exact_product(flat, weights).reshape(len(inputs), *layer.out_shape)
