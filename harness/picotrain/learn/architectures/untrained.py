"""Affine networks from real weights: drawn at random, or trained in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

import numpy as np

from picotrain.learn.architectures.architecture import Activation, Architecture
from picotrain.learn.architectures.pixels import PIXELS, real
from picotrain.quantise.graph import FloatGraph, FloatLayer, Real
from picotrain.quantise.quantise import Quantised, quantise
from picotrain_golden import generator

_BOUNDS: dict[Activation, tuple[float, float]] = {
    "none": (-inf, inf),
    "relu": (0.0, inf),
    "relu6": (0.0, 6.0),
}
_IMAGES = 32
_BIAS = 0.1
_SPREAD = 32
"""Standard deviation of the generator's normal int8."""


def float_graph(
    architecture: Architecture, weights: Sequence[tuple[Real, Real] | None]
) -> FloatGraph:
    """The graph of an affine architecture with weights [rows, K] and biases [rows]."""
    layers = []
    for layer, step, held in zip(architecture.layers, architecture.steps, weights, strict=True):
        matrix, bias = (None, None) if held is None else held
        layers.append(FloatLayer(layer, matrix, bias, *_BOUNDS[step.activation]))
    return FloatGraph(architecture.name, architecture.input_shape, tuple(layers), PIXELS)


def untrained(architecture: Architecture, seed: int) -> Quantised:
    """He's normal weights, small biases where a layer has any, scales for images of noise."""
    weights: list[tuple[Real, Real] | None] = []
    for index, (layer, step) in enumerate(
        zip(architecture.layers, architecture.steps, strict=True)
    ):
        if not layer.has_weights:
            weights.append(None)
            continue
        stream = generator.stream(index, generator.WEIGHTS)
        count = layer.weight_count
        drawn = generator.normal_scores(seed, stream, count + layer.rows) / _SPREAD
        matrix = drawn[:count].reshape(layer.rows, layer.row_length) * sqrt(2 / layer.row_length)
        weights.append((matrix, drawn[count:] * (_BIAS if step.bias else 0.0)))
    shape = (_IMAGES, *architecture.input_shape)
    images = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return quantise(float_graph(architecture, weights), real(images))
