"""maxpool and avgpool, over the elements of a window that lie in the input."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from picotrain_golden.fixedpoint import bound, halves_away, scale
from picotrain_golden.layers import Float
from picotrain_golden.network import MAX_WINDOW, Affine, Layer
from picotrain_golden.numerics import Int8, Int64, clamp, rhu
from picotrain_golden.operators.base import Contribution, Given, Operator
from picotrain_golden.operators.scales import over_count, times_factor, times_power
from picotrain_golden.operators.windows import gathered, overlap, window_error, windows

_UNEQUAL = "has zero points that differ, where a pool keeps them"


class _Pool(Operator):
    def shape_error(self, layer: Layer) -> str:
        if layer.out_shape[2] != layer.in_shape[2]:
            return f"makes {layer.out_shape[2]} channels of {layer.in_shape[2]}"
        return window_error(layer, MAX_WINDOW, MAX_WINDOW)


class MaximumPool(_Pool):
    def multiplier_counts(self, layer: Layer) -> tuple[int, ...]:
        return (0,)

    def affine_error(self, layer: Layer, affine: Affine) -> str:
        return "" if affine.zero_in == (affine.zero_out,) else _UNEQUAL

    def largest_sums(self, layer: Layer, affine: Affine, weights: Int8 | None) -> Int64:
        return np.zeros(0, np.int64)

    def forward(
        self, layer: Layer, affine: Affine, weights: Int8 | Float | None, inputs: Sequence[Int8]
    ) -> Int8:
        highest = windows(layer, inputs[0], -128).max(axis=(3, 4))
        return bound(highest.astype(np.int64), affine.low, affine.high)

    def contribution(self, layer: Layer, affine: Affine, given: Given, place: int) -> Contribution:
        # -129 is less than anything in the input, and so never the maximum.
        seen = windows(layer, given.inputs[0][np.newaxis].astype(np.int16), -129)[0]
        rows, pixels, height, width, channels = seen.shape
        first = seen.reshape(rows, pixels, height * width, channels).argmax(axis=2)
        tap = np.arange(height * width)[:, np.newaxis]
        taps = np.where(first[:, :, np.newaxis] == tap, given.error[:, :, np.newaxis], 0)
        sums = gathered(layer, taps.reshape(seen.shape).astype(np.int32))
        return Contribution(clamp(sums), given.scale)


class AveragePool(_Pool):
    """Without a multiplier the mean itself, of the int8 as they stand; with one, a scaled sum."""

    least_multiplier = 1 << 29

    def multiplier_counts(self, layer: Layer) -> tuple[int, ...]:
        return (0, 1)

    def affine_error(self, layer: Layer, affine: Affine) -> str:
        if not affine.multiplier.size:
            return "" if affine.zero_in == (affine.zero_out,) else _UNEQUAL
        whole = (layer.in_shape[:2], (1, 1), (0, 0), (1, 1))
        if (layer.kernel, layer.stride, layer.padding, layer.out_shape[:2]) != whole:
            return "has a multiplier, so its window is the whole input, stride 1, no padding"
        return ""

    def largest_sums(self, layer: Layer, affine: Affine, weights: Int8 | None) -> Int64:
        return np.full(affine.multiplier.size, 255 * prod(layer.kernel), np.int64)

    def forward(
        self, layer: Layer, affine: Affine, weights: Int8 | Float | None, inputs: Sequence[Int8]
    ) -> Int8:
        if affine.multiplier.size:
            centred = inputs[0].astype(np.int64) - affine.zero_in[0]
            total = centred.sum(axis=(1, 2), keepdims=True)
            scaled = affine.zero_out + scale(total, affine.multiplier, affine.shift)
            return bound(scaled, affine.low, affine.high)
        total = windows(layer, inputs[0].astype(np.int64), 0).sum(axis=(3, 4))
        inside = np.ones((1, *layer.in_shape), np.int64)
        count = windows(layer, inside, 0).sum(axis=(3, 4))
        return bound(halves_away(total, count), affine.low, affine.high)

    def contribution(self, layer: Layer, affine: Affine, given: Given, place: int) -> Contribution:
        j = overlap(layer)
        shape = (*layer.out_shape[:2], *layer.kernel, layer.out_shape[2])
        taps = np.broadcast_to(given.error[:, :, np.newaxis, np.newaxis, :], shape)
        values = clamp(rhu(gathered(layer, taps.astype(np.int32)), j))
        if affine.multiplier.size:
            return Contribution(
                values, times_factor(given.scale, int(affine.multiplier[0]), int(affine.shift[0]))
            )
        return Contribution(values, over_count(times_power(given.scale, j), prod(layer.kernel)))
