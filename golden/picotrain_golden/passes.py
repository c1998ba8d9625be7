"""One forward pass over a batch and one backward pass over an image, shared by all methods.

docs/numerics.md sections 3 and 5. The caller gives the effective weights, and applies the updates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from picotrain_golden import layers
from picotrain_golden.layers import Float
from picotrain_golden.network import INPUT_EXPONENT, Layer, Network
from picotrain_golden.numerics import (
    Int8,
    Int32,
    Int64,
    UInt8,
    image_peaks,
    peak,
    peak_bits,
    requantise,
    rhu,
)
from picotrain_golden.operators import OPERATORS

Weights = Sequence[Int8 | Float | None]

# Up to so many output positions int32 holds G * w; above, G is made smaller first.
POSITIONS_LIMIT = 1048


@dataclass
class ForwardPass:
    """Lists have one entry per layer; `activations` starts with the input, so it has one more.

    `columns` [N, OH*OW, K] and `peaks` (max|acc| of each image, int64 [N], only with dynamic
    scales) are None where a layer has none. `exponents` int64 [N] are those of the logits.
    """

    activations: list[Int8]
    columns: list[Float | None]
    peaks: list[Int64 | None]
    saturated: list[int]
    exponents: Int64

    @property
    def logits(self) -> Int8:
        """int8 [N, classes]."""
        return self.activations[-1].reshape(len(self.exponents), -1)


@dataclass
class BackwardStep:
    """The backward operations of one layer.

    `error` is that of the layer's input, int8 [H, W, C]; `error_peak` is max|acc| before it was
    requantised; `gradient` is G, int32 [rows, K]. None where there is none.
    """

    layer: int
    error: Int8 | None
    error_peak: int | None
    error_saturated: int
    gradient: Int32 | None


def dynamic_shifts(peaks: Int64) -> Int32:
    return np.maximum(peak_bits(peaks) - 7, 0).astype(np.int32)


def forward_pass(network: Network, weights: Weights, images: UInt8, dynamic: bool) -> ForwardPass:
    """Images uint8 [N, H, W, C]; every image has its own scales if `dynamic`."""
    n = len(images)
    activation: Int8 = (images >> 1).view(np.int8)
    exponents = np.full(n, INPUT_EXPONENT, np.int64)
    done = ForwardPass([activation], [], [], [], exponents)
    for index, layer in enumerate(network.layers):
        columns: Float | None = None
        peaks: Int64 | None = None
        saturated = 0
        matrix = weights[index]
        if matrix is None:
            activation = layers.maxpool2_forward(activation)
        else:
            held = network.of(index)
            columns = layers.columns(layer, activation)
            acc = layers.accumulate(layer, matrix, columns)
            shifts: int | Int32 = held.forward_shift
            if dynamic:
                peaks = image_peaks(acc)
                shifts = dynamic_shifts(peaks)
                exponents += held.exponent + shifts
                shifts = shifts.reshape(n, 1, 1, 1)
            else:
                exponents += held.exponent + shifts
            activation, saturated = requantise(acc, shifts, layer.relu)
        done.activations.append(activation)
        done.columns.append(columns)
        done.peaks.append(peaks)
        done.saturated.append(saturated)
    return done


def affine_pass(network: Network, images: UInt8) -> ForwardPass:
    """Of an affine network; images uint8 [N, H, W, C], which are int8 as they stand."""
    count = len(network.layers)
    tensors: list[Int8] = [images.view(np.int8)]
    for index, layer in enumerate(network.layers):
        held = network.parameters[index]
        # `tensors` begins with the input, whose number is -1.
        inputs = [tensors[number + 1] for number in network.reads(index)]
        weights = None if held is None else held.weights
        made = OPERATORS[layer.kind].forward(layer, network.affine[index], weights, inputs)
        tensors.append(made)
    exponents = np.zeros(len(images), np.int64)
    return ForwardPass(tensors, [None] * count, [None] * count, [0] * count, exponents)


def backward_pass(
    network: Network, weights: Weights, done: ForwardPass, error: Int8, dynamic: bool
) -> Iterator[BackwardStep]:
    """From the last layer down to F, for the one image of `done`; `error` is that of the logits.

    A layer's weights may be changed when its step has been yielded: it is not read again.
    """
    first = network.first_weighted
    for index in range(len(network.layers) - 1, first - 1, -1):
        layer = network.layers[index]
        inputs = done.activations[index][0]
        matrix, columns = weights[index], done.columns[index]
        step = BackwardStep(index, None, None, 0, None)
        if index > first:
            if matrix is None:
                step.error = layers.maxpool2_backward(inputs, done.activations[index + 1][0], error)
            else:
                acc = layers.backward(layer, matrix, error)
                k = network.of(index).error_shift
                if dynamic:
                    step.error_peak = peak(acc)
                    k = int(dynamic_shifts(np.array(step.error_peak)))
                step.error, step.error_saturated = requantise(acc, k, relu=False)
            if network.layers[index - 1].relu:
                step.error *= inputs > 0
        if columns is not None:
            step.gradient = layers.gradient(layer, error, columns[0])
        yield step
        if step.error is not None:
            error = step.error


def score_gradient(layer: Layer, gradient: Int32, weights: Int8) -> Int32:
    """`G' * w` of section 6, elementwise; G is rounded first where int32 would not hold it."""
    g = 0
    while POSITIONS_LIMIT << g < layer.positions:
        g += 1
    reduced = rhu(gradient, g) if g else gradient
    return reduced * weights.astype(np.int32)
