"""depthwise: each channel for itself."""

from __future__ import annotations

import numpy as np

from picotrain_golden.network import MAX_KERNEL, Layer
from picotrain_golden.numerics import Int8, Int64
from picotrain_golden.operators.base import Weighted
from picotrain_golden.operators.windows import window_error, windows


class Depthwise(Weighted):
    def shape_error(self, layer: Layer) -> str:
        if layer.out_shape[2] != layer.in_shape[2]:
            return f"makes {layer.out_shape[2]} channels of {layer.in_shape[2]}"
        return window_error(layer, MAX_KERNEL, 2)

    def sums(self, layer: Layer, zero: int, weights: Int8, inputs: Int8) -> Int64:
        seen = windows(layer, inputs.astype(np.int32) - np.int32(zero), 0)
        taps = weights.T.reshape(*layer.kernel, -1)
        sums = np.zeros((len(inputs), *layer.out_shape), np.int64)
        for ky in range(layer.kernel[0]):
            for kx in range(layer.kernel[1]):
                sums += seen[:, :, :, ky, kx] * taps[ky, kx].astype(np.int32)
        return sums
