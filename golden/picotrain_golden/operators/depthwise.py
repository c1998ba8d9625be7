"""depthwise: each channel for itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.layers import Float
from picotrain_golden.network import MAX_KERNEL, Layer
from picotrain_golden.numerics import Int8, Int32, Int64
from picotrain_golden.operators.base import Weighted
from picotrain_golden.operators.windows import gathered, window_error, windows


class Depthwise(Weighted):
    def shape_error(self, layer: Layer) -> str:
        if layer.out_shape[2] != layer.in_shape[2]:
            return f"makes {layer.out_shape[2]} channels of {layer.in_shape[2]}"
        return window_error(layer, MAX_KERNEL, 2)

    def _seen(self, layer: Layer, zero: int, inputs: Int8) -> NDArray[np.int32]:
        return windows(layer, inputs.astype(np.int32) - np.int32(zero), 0)

    def _taps(self, layer: Layer, weights: Int8 | Float) -> NDArray[np.int32]:
        """[KH, KW, C]."""
        return weights.T.reshape(*layer.kernel, -1).astype(np.int32)

    def sums(self, layer: Layer, zero: int, weights: Int8 | Float, inputs: Int8) -> Int64:
        seen, taps = self._seen(layer, zero, inputs), self._taps(layer, weights)
        sums = np.zeros((len(inputs), *layer.out_shape), np.int64)
        for ky in range(layer.kernel[0]):
            for kx in range(layer.kernel[1]):
                sums += seen[:, :, :, ky, kx] * taps[ky, kx]
        return sums

    def spread(self, layer: Layer, weights: Int8 | Float, error: Int8) -> Int32:
        taps = self._taps(layer, weights)
        return gathered(layer, error[:, :, np.newaxis, np.newaxis, :] * taps)

    def gradient(self, layer: Layer, zero: int, error: Int8, inputs: Int8) -> Int32:
        seen = self._seen(layer, zero, inputs[np.newaxis])[0]
        products = seen * error[:, :, np.newaxis, np.newaxis, :].astype(np.int32)
        result: Int32 = products.sum(axis=(0, 1), dtype=np.int32).reshape(-1, layer.rows).T
        return np.ascontiguousarray(result)
