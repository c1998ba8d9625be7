"""What every operator says of itself, and what those with weights share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from picotrain_golden.fixedpoint import bound, scale
from picotrain_golden.layers import Float
from picotrain_golden.network import MAX_POSITIONS, Affine, Layer
from picotrain_golden.numerics import Int8, Int32, Int64, dynamic_shift, peak, requantise
from picotrain_golden.operators.scales import Scale, largest_factor, times_factor, times_power


@dataclass
class Contribution:
    """To the error of an input, int8 [H, W, C]; with weights also max|acc| before it was
    requantised, and what saturated."""

    values: Int8
    scale: Scale
    peak: int | None = None
    saturated: int = 0


@dataclass(frozen=True)
class Given:
    """What a layer's error operation works on: its effective weights, inputs int8 [H, W, C], its
    own error int8 [OH, OW, OC] with its scale, and the static shift, None where it is dynamic."""

    weights: Int8 | Float | None
    inputs: Sequence[Int8]
    error: Int8
    scale: Scale
    shift: int | None


class Operator(ABC):
    """One kind of layer in the affine form."""

    inputs = 1
    least_multiplier = 1 << 30

    @abstractmethod
    def shape_error(self, layer: Layer) -> str:
        """What is wrong with the layer's shapes, as the end of "layer 3 ..."; empty if nothing."""

    @abstractmethod
    def multiplier_counts(self, layer: Layer) -> tuple[int, ...]:
        """How many multipliers it may have."""

    def affine_error(self, layer: Layer, affine: Affine) -> str:
        """The same for its integers, beyond what holds for all kinds."""
        return ""

    def training_error(self, layer: Layer, affine: Affine, weights: Int8 | None) -> str:
        """The same for what only training asks for (section 15)."""
        return "" if affine.multiplier.all() else "has a multiplier of 0"

    @abstractmethod
    def largest_sums(self, layer: Layer, affine: Affine, weights: Int8 | None) -> Int64:
        """What each multiplier may at most be given, in magnitude (section 14, Range)."""

    @abstractmethod
    def forward(
        self, layer: Layer, affine: Affine, weights: Int8 | Float | None, inputs: Sequence[Int8]
    ) -> Int8:
        """int8 [N, H, W, C] of each input -> int8 [N, OH, OW, OC]."""

    @abstractmethod
    def contribution(self, layer: Layer, affine: Affine, given: Given, place: int) -> Contribution:
        """To the error of the input at `place` among those that the layer reads."""


class Weighted(Operator):
    """A sum for each row, from its bias, brought to int8 by its multiplier."""

    def multiplier_counts(self, layer: Layer) -> tuple[int, ...]:
        return (layer.rows,)

    def training_error(self, layer: Layer, affine: Affine, weights: Int8 | None) -> str:
        assert weights is not None
        if weights.min() == -128:
            return "has a weight of -128"
        if layer.positions > MAX_POSITIONS:
            return f"has {layer.positions} output positions, more than {MAX_POSITIONS}"
        return "" if affine.multiplier.any() else "has multipliers that are all 0"

    def largest_sums(self, layer: Layer, affine: Affine, weights: Int8 | None) -> Int64:
        assert weights is not None
        magnitudes = np.abs(weights.astype(np.int64)).sum(axis=1)
        result: Int64 = np.abs(affine.bias.astype(np.int64)) + 255 * magnitudes
        return result

    @abstractmethod
    def sums(self, layer: Layer, zero: int, weights: Int8 | Float, inputs: Int8) -> Int64:
        """The sums of section 14 without their bias: int64 [N, OH, OW, rows]."""

    @abstractmethod
    def spread(self, layer: Layer, weights: Int8 | Float, error: Int8) -> Int32:
        """`W^T d`: int8 [OH, OW, rows] -> int32 [H, W, C]."""

    @abstractmethod
    def gradient(self, layer: Layer, zero: int, error: Int8, inputs: Int8) -> Int32:
        """G of section 15: int8 [OH, OW, rows] and int8 [H, W, C] -> int32 [rows, K]."""

    def forward(
        self, layer: Layer, affine: Affine, weights: Int8 | Float | None, inputs: Sequence[Int8]
    ) -> Int8:
        assert weights is not None
        sums = self.sums(layer, affine.zero_in[0], weights, inputs[0]) + affine.bias
        scaled = affine.zero_out + scale(sums, affine.multiplier, affine.shift)
        return bound(scaled, affine.low, affine.high).reshape(len(sums), *layer.out_shape)

    def contribution(self, layer: Layer, affine: Affine, given: Given, place: int) -> Contribution:
        assert given.weights is not None
        acc = self.spread(layer, given.weights, given.error)
        k = dynamic_shift(acc) if given.shift is None else given.shift
        values, saturated = requantise(acc, k, relu=False)
        factor = times_factor(given.scale, *largest_factor(affine))
        return Contribution(values, times_power(factor, k), peak(acc), saturated)
