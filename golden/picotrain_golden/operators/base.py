"""What every operator says of itself, and what those with weights share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from picotrain_golden.fixedpoint import bound, scale
from picotrain_golden.network import Affine, Layer
from picotrain_golden.numerics import Int8, Int64


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

    @abstractmethod
    def largest_sums(self, layer: Layer, affine: Affine, weights: Int8 | None) -> Int64:
        """What each multiplier may at most be given, in magnitude (section 14, Range)."""

    @abstractmethod
    def forward(
        self, layer: Layer, affine: Affine, weights: Int8 | None, inputs: Sequence[Int8]
    ) -> Int8:
        """int8 [N, H, W, C] of each input -> int8 [N, OH, OW, OC]."""


class Weighted(Operator):
    """A sum for each row, from its bias, brought to int8 by its multiplier."""

    def multiplier_counts(self, layer: Layer) -> tuple[int, ...]:
        return (layer.rows,)

    def largest_sums(self, layer: Layer, affine: Affine, weights: Int8 | None) -> Int64:
        assert weights is not None
        magnitudes = np.abs(weights.astype(np.int64)).sum(axis=1)
        result: Int64 = np.abs(affine.bias.astype(np.int64)) + 255 * magnitudes
        return result

    @abstractmethod
    def sums(self, layer: Layer, zero: int, weights: Int8, inputs: Int8) -> Int64:
        """The sums of section 14 without their bias: int64 [N, OH, OW, rows]."""

    def forward(
        self, layer: Layer, affine: Affine, weights: Int8 | None, inputs: Sequence[Int8]
    ) -> Int8:
        assert weights is not None
        sums = self.sums(layer, affine.zero_in[0], weights, inputs[0]) + affine.bias
        scaled = affine.zero_out + scale(sums, affine.multiplier, affine.shift)
        return bound(scaled, affine.low, affine.high).reshape(len(sums), *layer.out_shape)
