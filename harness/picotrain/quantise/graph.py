"""A network in floating point: layers as golden has them, with real weights; and what it computes.

From ONNX files, from PyTorch, or drawn at random: who makes a graph fills in `FloatLayer`s, and
`quantise` makes a network of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.network import Layer, Shape
from picotrain_golden.operators.windows import windows

Real = NDArray[np.floating[Any]]
Float = NDArray[np.float32]

_BATCH = 64
_BATCH_FLOATS = 1 << 24
"""Of the windows of one batch: 64 MiB."""


@dataclass(frozen=True)
class TensorScale:
    """How int8 stands for real numbers: `real = scale * (q - zero)`."""

    scale: float
    zero: int

    def quantised(self, values: Real) -> NDArray[np.int8]:
        """int8 of real values, rounded and clamped."""
        steps = np.rint(np.asarray(values, np.float64) / self.scale) + self.zero
        held: NDArray[np.int8] = np.clip(steps, -128, 127).astype(np.int8)
        return held

    def real(self, values: NDArray[np.int8]) -> Float:
        return ((values.astype(np.float32) - self.zero) * self.scale).astype(np.float32)


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """A layer, geometry by golden's `Layer` (`relu` is False: an activation is `least` and
    `largest`).

    `weights` are [rows, K] in golden's order, `bias` [rows]. Where a file gives scales already,
    `weight_scales` [rows] are those of the weights, and `scale` is that of the output.
    """

    layer: Layer
    weights: Real | None = None
    bias: Real | None = None
    least: float = -inf
    largest: float = inf
    weight_scales: Real | None = None
    scale: TensorScale | None = None

    @property
    def keeps_scale(self) -> bool:
        """Whether its output has the scale of its input: of a pool, but for a mean of all."""
        return self.layer.kind == "maxpool" or (self.layer.kind == "avgpool" and not self.is_mean)

    @property
    def is_mean(self) -> bool:
        """An avgpool over the whole of its input: it may have another scale than that."""
        layer = self.layer
        whole = (layer.in_shape[:2], (1, 1), (0, 0), (1, 1))
        found = (layer.kernel, layer.stride, layer.padding, layer.out_shape[:2])
        return layer.kind == "avgpool" and found == whole


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """Layers in order. Each reads what its `inputs` name (-1: the network's input), or else the
    layer before it. `input_scale` is that of the input, where it is given."""

    name: str
    input_shape: Shape
    layers: tuple[FloatLayer, ...]
    input_scale: TensorScale | None = None

    def reads(self, index: int) -> tuple[int, ...]:
        return self.layers[index].layer.inputs or (index - 1,)

    def needed(self) -> list[TensorScale | None]:
        """The given scale of the input and of each layer's output; of a pool, that of its input."""
        found = [self.input_scale]
        for index, held in enumerate(self.layers):
            inherited = found[self.reads(index)[0] + 1] if held.keeps_scale else None
            found.append(held.scale or inherited)
        return found

    def tensors(self, images: Real) -> list[Float]:
        """All tensors of a batch float [N, H, W, C], the images first."""
        with np.errstate(over="ignore", invalid="ignore"):  # Who asks looks for infinities.
            given = np.asarray(images, np.float32)
            tensors = [given.reshape(len(images), *self.input_shape)]
            for index, held in enumerate(self.layers):
                inputs = [tensors[number + 1] for number in self.reads(index)]
                tensors.append(_forward(held, inputs))
        return tensors

    def batches(self, images: Real) -> Iterator[list[Float]]:
        """`tensors` of all images, some at a time."""
        largest = max(
            held.layer.positions * prod(held.layer.kernel) * held.layer.in_shape[2]
            for held in self.layers
        )
        size = max(1, min(_BATCH, _BATCH_FLOATS // max(largest, prod(self.input_shape))))
        for start in range(0, len(images), size):
            yield self.tensors(images[start : start + size])

    def outputs(self, images: Real) -> Float:
        """float [N, outputs]."""
        found = [tensors[-1].reshape(len(tensors[-1]), -1) for tensors in self.batches(images)]
        return np.concatenate(found)

    def predict(self, images: Real) -> NDArray[np.int64]:
        """The first maximum of each image's outputs."""
        first: NDArray[np.int64] = self.outputs(images).argmax(axis=1)
        return first


def _forward(held: FloatLayer, inputs: list[Float]) -> Float:
    layer = held.layer
    if layer.kind == "add":
        made = inputs[0] + inputs[1]
    elif layer.kind == "maxpool":
        made = windows(layer, inputs[0], -inf).max(axis=(3, 4))
    elif layer.kind == "avgpool":
        inside = windows(layer, np.ones((1, *layer.in_shape), np.float32), 0).sum(axis=(3, 4))
        made = windows(layer, inputs[0], 0).sum(axis=(3, 4)) / inside
    else:
        made = _weighted(held, inputs[0])
    if (held.least, held.largest) != (-inf, inf):
        made = np.clip(made, held.least, held.largest)
    return made.astype(np.float32, copy=False)


def _weighted(held: FloatLayer, given: Float) -> Float:
    layer = held.layer
    if held.weights is None or held.bias is None:
        raise ValueError(f"a layer of kind {layer.kind} has no weights or no bias")
    weights, bias = held.weights.astype(np.float32), held.bias.astype(np.float32)
    if layer.kind == "linear":
        sums = given.reshape(len(given), -1) @ weights.T
    elif layer.kind == "conv2d":
        sums = windows(layer, given, 0).reshape(-1, layer.row_length) @ weights.T
    else:
        seen, taps = windows(layer, given, 0), weights.T.reshape(*layer.kernel, -1)
        sums = np.zeros((len(given), *layer.out_shape), np.float32)
        for ky in range(layer.kernel[0]):
            for kx in range(layer.kernel[1]):
                sums += seen[:, :, :, ky, kx] * taps[ky, kx]
    made: Float = sums.reshape(len(given), *layer.out_shape) + bias
    return made
