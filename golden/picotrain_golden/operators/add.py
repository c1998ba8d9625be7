"""add: two tensors of one shape, each with a scale of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from picotrain_golden.fixedpoint import bound, scale
from picotrain_golden.layers import Float
from picotrain_golden.network import Affine, Layer
from picotrain_golden.numerics import Int8, Int64
from picotrain_golden.operators.base import Contribution, Given, Operator
from picotrain_golden.operators.scales import times_factor, times_power

HEADROOM = 20
"""Bits that both inputs gain before they are brought to a common scale."""


class Add(Operator):
    inputs = 2

    def shape_error(self, layer: Layer) -> str:
        if layer.out_shape != layer.in_shape:
            return f"adds tensors of {layer.in_shape} to one of {layer.out_shape}"
        if (layer.kernel, layer.stride, layer.padding) != ((1, 1), (1, 1), (0, 0)):
            return "is an add, so its kernel and stride are 1 and its padding is 0"
        return ""

    def multiplier_counts(self, layer: Layer) -> tuple[int, ...]:
        return (3,)

    def affine_error(self, layer: Layer, affine: Affine) -> str:
        return "" if affine.shift.max() <= 0 else "is an add with a shift above 0"

    def largest_sums(self, layer: Layer, affine: Affine, weights: Int8 | None) -> Int64:
        one = 255 << HEADROOM
        return np.array([one, one, 2 * one], np.int64)

    def forward(
        self, layer: Layer, affine: Affine, weights: Int8 | Float | None, inputs: Sequence[Int8]
    ) -> Int8:
        total: Int64 = np.zeros(inputs[0].shape, np.int64)
        for number, (values, zero) in enumerate(zip(inputs, affine.zero_in, strict=True)):
            lifted = (values.astype(np.int64) - zero) << HEADROOM
            total += scale(lifted, affine.multiplier[number], affine.shift[number])
        scaled = affine.zero_out + scale(total, affine.multiplier[2], affine.shift[2])
        return bound(scaled, affine.low, affine.high)

    def contribution(self, layer: Layer, affine: Affine, given: Given, place: int) -> Contribution:
        scale_ = given.scale
        for number in (place, 2):
            multiplier, shift = affine.multiplier[number], affine.shift[number]
            scale_ = times_factor(scale_, int(multiplier), int(shift))
        return Contribution(given.error, times_power(scale_, HEADROOM))
