"""The network without the channels gives the outputs of the one in which they are masked.

Integers are added in any order. Sums in floating point are not: here each is made term by term in
one order, in which a term of 0 changes nothing, so that float outputs must be equal as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from picotrain.errors import DeviceFailure
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.untrained import float_graph
from picotrain.quantise.graph import Float, FloatGraph, FloatLayer, Real
from picotrain.quantise.quantise import Quantised, quantise
from picotrain.shrink.groups import Groups, Kept
from picotrain.shrink.removal import masked, rows
from picotrain_golden import Network
from picotrain_golden.operators.windows import windows
from picotrain_golden.passes import forward_pass

IMAGES = 1000
_FLOAT_BATCH, _INT8_BATCH = 8, 50
_THROUGH = 3
"""int8 weights of channels that are masked."""

Weights = Sequence[tuple[Real, Real] | None]
Progress = Callable[[int], object]


@dataclass(frozen=True)
class Proof:
    """How many logits of so many images differ."""

    images: int
    logits: int
    differing: int

    def require(self, what: str) -> Proof:
        """Raise DeviceFailure where any does."""
        if self.differing:
            raise DeviceFailure(
                f"{self.differing} of {self.logits} {what} logits differ between the masked and "
                "the smaller network: this is a fault of picotrain"
            )
        return self


def of_floats(
    whole: Architecture,
    groups: Groups,
    kept: Kept,
    weights: Weights,
    small: FloatGraph,
    images: Real,
    progress: Progress | None = None,
) -> Proof:
    """The network as it was trained, with the outputs of its channels multiplied by 0 or 1, against
    `small`, which has the others alone."""
    graph = float_graph(whole, weights)
    gates = [
        kept[groups.made(index)].astype(np.float32) if layer.layer.has_weights else None
        for index, layer in enumerate(graph.layers)
    ]
    differing = logits = 0
    for start in range(0, len(images), _FLOAT_BATCH):
        batch = images[start : start + _FLOAT_BATCH]
        one, other = outputs(graph, batch, gates), outputs(small, batch)
        differing += int((one != other).sum())
        logits += one.size
        if progress is not None:
            progress(len(batch))
    return Proof(len(images), logits, differing)


def outputs(
    graph: FloatGraph, images: Real, gates: Sequence[NDArray[np.float32] | None] | None = None
) -> Float:
    """float32 [N, outputs], every sum term by term; `gates` are factors of a layer's channels."""
    tensors = [np.asarray(images, np.float32)]
    for index, held in enumerate(graph.layers):
        made = _forward(held, [tensors[number + 1] for number in graph.reads(index)])
        gate = None if gates is None else gates[index]
        tensors.append(made if gate is None else made * gate)
    found: Float = tensors[-1].reshape(len(images), -1)
    return found


def _forward(held: FloatLayer, inputs: list[Float]) -> Float:
    layer = held.layer
    if layer.kind == "add":
        made = inputs[0] + inputs[1]
    elif layer.kind == "maxpool":
        made = windows(layer, inputs[0], -np.inf).max(axis=(3, 4))
    elif layer.kind == "avgpool":
        seen = windows(layer, inputs[0], 0)
        count = windows(layer, np.ones((1, *layer.in_shape), np.float32), 0).sum(axis=(3, 4))
        made = np.zeros((len(seen), *layer.out_shape), np.float32)
        for ky in range(layer.kernel[0]):
            for kx in range(layer.kernel[1]):
                made += seen[:, :, :, ky, kx]
        made /= count
    else:
        made = _weighted(held, inputs[0])
    found: Float = np.clip(made, held.least, held.largest).astype(np.float32, copy=False)
    return found


def _weighted(held: FloatLayer, given: Float) -> Float:
    layer = held.layer
    assert held.weights is not None and held.bias is not None
    weights = held.weights.astype(np.float32)
    sums = np.zeros((len(given), *layer.out_shape), np.float32)
    if layer.kind == "linear":
        flat = given.reshape(len(given), -1)
        for term in range(layer.row_length):
            sums[:, 0, 0] += flat[:, term, None] * weights[:, term]
        return sums + held.bias.astype(np.float32)
    seen = windows(layer, given, 0)
    channels = 1 if layer.kind == "depthwise" else layer.in_shape[2]
    taps = weights.reshape(layer.rows, *layer.kernel, channels)
    for ky in range(layer.kernel[0]):
        for kx in range(layer.kernel[1]):
            if layer.kind == "depthwise":
                sums += seen[:, :, :, ky, kx] * taps[:, ky, kx, 0]
                continue
            for channel in range(channels):
                if not seen[:, :, :, ky, kx, channel].any():
                    continue  # 0 times a weight: no sum changes, and whole networks are large
                sums += seen[:, :, :, ky, kx, channel, None] * taps[:, ky, kx, channel]
    return sums + held.bias.astype(np.float32)


def masked_int8(
    whole: Architecture, groups: Groups, kept: Kept, small: FloatGraph, made: Quantised
) -> Network:
    """The whole network with the integers and scales of the smaller one. What was removed has rows
    of zeros; what reads it has weights there, which nothing may come through."""
    weights: list[tuple[Real, Real] | None] = []
    for index, held in enumerate(small.layers):
        if held.weights is None or held.bias is None:
            weights.append(None)
            continue
        bias = np.zeros(whole.layers[index].rows)
        bias[rows(groups, kept, index)] = held.bias
        each = made.weight_scales[index]
        assert each is not None
        filled = masked(whole, groups, kept, index, held.weights, _THROUGH * each)
        weights.append((filled, bias))
    graph = float_graph(whole, weights)
    layers = []
    for index, layer in enumerate(graph.layers):
        each = made.weight_scales[index]
        scales = None
        if each is not None:
            scales = np.ones(layer.layer.rows)
            scales[rows(groups, kept, index)] = each
        layers.append(replace(layer, weight_scales=scales, scale=made.tensors[index]))
    return quantise(replace(graph, layers=tuple(layers), input_scale=made.input)).network


def of_integers(
    whole: Network, small: Network, images: NDArray[np.uint8], progress: Progress | None = None
) -> Proof:
    """Golden's logits of both, of pixels as a device takes them: uint8 [N, H, W, C]."""
    differing = logits = 0
    for start in range(0, len(images), _INT8_BATCH):
        batch = images[start : start + _INT8_BATCH]
        one, other = (_logits(network, batch) for network in (whole, small))
        differing += int((one != other).sum())
        logits += one.size
        if progress is not None:
            progress(len(batch))
    return Proof(len(images), logits, differing)


def _logits(network: Network, images: NDArray[np.uint8]) -> NDArray[np.int8]:
    weights = [None if held is None else held.weights for held in network.parameters]
    return forward_pass(network, weights, images, dynamic=False).logits
