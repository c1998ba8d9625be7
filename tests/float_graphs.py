"""Networks in floating point, drawn at random, for tests."""

from __future__ import annotations

from math import inf

import numpy as np

from picotrain.quantise.graph import FloatGraph, FloatLayer
from picotrain_golden.network import Kind, Layer, Pair, Shape


class Drawn:
    """Adds layers one by one; an index stands for a layer, -1 for the input."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.random = np.random.default_rng([seed, 5])
        self.shape = shape
        self.layers: list[FloatLayer] = []

    def shape_of(self, index: int) -> Shape:
        return self.shape if index < 0 else self.layers[index].layer.out_shape

    def _append(self, layer: Layer, least: float, largest: float) -> int:
        weights = bias = None
        if layer.has_weights:
            spread = np.sqrt(2 / layer.row_length)
            weights = self.random.normal(0, spread, (layer.rows, layer.row_length))
            bias = self.random.normal(0, 0.2, layer.rows)
        self.layers.append(FloatLayer(layer, weights, bias, least, largest))
        return len(self.layers) - 1

    def windowed(
        self,
        kind: Kind,
        source: int,
        kernel: Pair,
        stride: Pair = (1, 1),
        before: Pair = (0, 0),
        after: Pair = (0, 0),
        channels: int = 0,
        least: float = -inf,
        largest: float = inf,
    ) -> int:
        shape = self.shape_of(source)
        height, width = (
            (shape[axis] + before[axis] + after[axis] - kernel[axis]) // stride[axis] + 1
            for axis in (0, 1)
        )
        out = (height, width, channels or shape[2])
        layer = Layer(kind, shape, out, kernel, stride, before, False, (source,))
        return self._append(layer, least, largest)

    def linear(self, source: int, outputs: int, least: float = -inf) -> int:
        shape, out = self.shape_of(source), (1, 1, outputs)
        layer = Layer("linear", shape, out, (1, 1), (1, 1), (0, 0), False, (source,))
        return self._append(layer, least, inf)

    def add(self, one: int, other: int, least: float = -inf) -> int:
        shape = self.shape_of(one)
        layer = Layer("add", shape, shape, (1, 1), (1, 1), (0, 0), False, (one, other))
        return self._append(layer, least, inf)

    def graph(self, name: str = "drawn") -> FloatGraph:
        return FloatGraph(name, self.shape, tuple(self.layers))


def residual(seed: int) -> FloatGraph:
    """Every kind of layer, odd sizes, a padding that is not the same on all sides, a fork."""
    net = Drawn(seed, (11, 9, 3))
    first = net.windowed(
        "conv2d", -1, (3, 3), (2, 2), (1, 0), (1, 2), channels=8, least=0.0, largest=6.0
    )
    each = net.windowed("depthwise", first, (3, 3), (1, 1), (1, 1), (1, 1), least=0.0)
    point = net.windowed("conv2d", each, (1, 1), channels=8)
    fork = net.add(first, point, least=0.0)
    high = net.windowed("maxpool", fork, (3, 2), (2, 1), (1, 0), (1, 0))
    mean = net.windowed("avgpool", high, (2, 2), (1, 1), (1, 1), (0, 0))
    whole = net.windowed("avgpool", mean, net.shape_of(mean)[:2])
    net.linear(net.linear(whole, 16, least=0.0), 5)
    return net.graph()
