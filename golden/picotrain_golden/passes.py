"""One forward pass over a batch and one backward pass over an image, shared by all methods.

docs/numerics.md sections 3, 5 and 17, of affine networks 14 and 15. The caller gives the effective
weights, and applies the updates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from picotrain_golden import layers
from picotrain_golden.layers import Float
from picotrain_golden.loss import affine_loss_error, loss_error
from picotrain_golden.network import INPUT_EXPONENT, Layer, Network
from picotrain_golden.numerics import (
    Int8,
    Int32,
    Int64,
    UInt8,
    clamp,
    image_peaks,
    peak,
    peak_bits,
    requantise,
    requantise_each,
    rhu,
)
from picotrain_golden.operators import OPERATORS
from picotrain_golden.operators.base import Given, Weighted
from picotrain_golden.operators.scales import ONE, Scale, merge, row_weights

Weights = Sequence[Int8 | Float | None]

# Up to so many output positions int32 holds G * w; above, G is made smaller first. The inputs of an
# affine layer reach 255 from their zero point.
POSITIONS_LIMIT, AFFINE_POSITIONS_LIMIT = 1048, 518


@dataclass
class ForwardPass:
    """Lists have one entry per layer; `activations` starts with the input, so it has one more.

    `columns` [N, OH*OW, K] and `peaks` (max|acc| of each image, int64 [N], only with dynamic
    scales) are None where a layer has none. `saturated` counts elements of each image, int64 [N].
    `exponents` int64 [N] are those of the logits. The activation of a layer that is one operation
    with its pool is empty; `places` has those of such layers, int8 [N, OH//2, OW//2, OC].
    """

    activations: list[Int8]
    columns: list[Float | None]
    peaks: list[Int64 | None]
    saturated: list[Int64]
    exponents: Int64
    places: dict[int, Int8] = field(default_factory=dict)

    @property
    def logits(self) -> Int8:
        """int8 [N, classes]."""
        return self.activations[-1].reshape(len(self.exponents), -1)


@dataclass
class BackwardStep:
    """The backward operations of one layer.

    `errors` are those of its inputs, by their layers, int8 [H, W, C]; `error_peak` is max|acc|
    before it was requantised, `gradient` G, int32 [rows, K]: None where there is none. `masked` are
    the errors of affine layers that were finished here, as they are after step 1 of section 15,
    with their scales.
    """

    layer: int
    errors: dict[int, Int8] = field(default_factory=dict)
    error_peak: int | None = None
    error_saturated: int = 0
    gradient: Int32 | None = None
    masked: dict[int, tuple[Int8, Scale]] = field(default_factory=dict)


def dynamic_shifts(peaks: Int64) -> Int32:
    return np.maximum(peak_bits(peaks) - 7, 0).astype(np.int32)


def forward_pass(
    network: Network,
    weights: Weights,
    images: UInt8,
    dynamic: bool,
    fused: Sequence[bool] = (),
) -> ForwardPass:
    """Images uint8 [N, H, W, C]; every image has its own scales if `dynamic`. Those of an affine
    network are int8 as they stand, and its scales its own. `fused`: the layers that are one
    operation with the pool behind them (section 17).
    """
    if network.affine:
        return _affine_pass(network, weights, images)
    n = len(images)
    activation: Int8 = (images >> 1).view(np.int8)
    exponents = np.full(n, INPUT_EXPONENT, np.int64)
    done = ForwardPass([activation], [], [], [], exponents)
    pooled = activation
    for index, layer in enumerate(network.layers):
        columns: Float | None = None
        peaks: Int64 | None = None
        saturated = np.zeros(n, np.int64)
        matrix = weights[index]
        if index - 1 in done.places:
            activation = pooled
        elif matrix is None:
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
            if any(fused) and fused[index]:
                made = layers.pool_sums(acc, held.forward_shift)
                pooled, done.places[index], saturated = made
                activation = np.zeros((n, 0), np.int8)
            else:
                activation, saturated = requantise_each(acc, shifts, layer.relu)
        done.activations.append(activation)
        done.columns.append(columns)
        done.peaks.append(peaks)
        done.saturated.append(saturated)
    return done


def _affine_pass(network: Network, weights: Weights, images: UInt8) -> ForwardPass:
    count = len(network.layers)
    tensors: list[Int8] = [images.view(np.int8)]
    for index, layer in enumerate(network.layers):
        # `tensors` begins with the input, whose number is -1.
        inputs = [tensors[number + 1] for number in network.reads(index)]
        made = OPERATORS[layer.kind].forward(layer, network.affine[index], weights[index], inputs)
        tensors.append(made)
    exponents = np.zeros(len(images), np.int64)
    nothing = [np.zeros(len(images), np.int64)] * count
    return ForwardPass(tensors, [None] * count, [None] * count, nothing, exponents)


def backward_pass(
    network: Network,
    weights: Weights,
    done: ForwardPass,
    error: Int8,
    dynamic: bool,
    updated: Sequence[bool] | None = None,
    learning: Sequence[bool] | None = None,
) -> Iterator[BackwardStep]:
    """From the last layer down, for the one image of `done`; `error` is that of the logits.

    Only the layers that are `updated` have gradients, and only those that are `learning` have
    errors; None: all that can. A layer's weights may be changed when its step has been yielded: it
    is not read again.
    """
    if updated is None:
        updated = [layer.has_weights for layer in network.layers]
    if learning is None:
        learning = network.learning_from(updated)
    if network.affine:
        yield from _affine_backward_pass(network, weights, done, error, dynamic, updated, learning)
        return
    first = learning.index(True)
    for index in range(len(network.layers) - 1, first - 1, -1):
        if index - 1 in done.places:
            continue  # a pool that is one operation with the convolution before it
        layer = network.layers[index]
        if index in done.places:
            error = layers.unpool(layer, error, done.places[index][0])
        inputs = done.activations[index][0]
        matrix, columns = weights[index], done.columns[index]
        step = BackwardStep(index)
        made: Int8 | None = None
        if index > first:
            if matrix is None:
                made = layers.maxpool2_backward(inputs, done.activations[index + 1][0], error)
            else:
                acc = layers.backward(layer, matrix, error)
                k = network.of(index).error_shift
                if dynamic:
                    step.error_peak = peak(acc)
                    k = int(dynamic_shifts(np.array(step.error_peak)))
                made, step.error_saturated = requantise(acc, k, relu=False)
            if network.layers[index - 1].relu or index - 2 in done.places:
                made *= inputs > 0
            step.errors[index - 1] = made
        if columns is not None and updated[index]:
            step.gradient = layers.gradient(layer, error, columns[0])
        yield step
        if made is not None:
            error = made


def output_error(network: Network, done: ForwardPass, label: int) -> tuple[Int8, int]:
    """The error of the logits, int8 [OH, OW, OC], of the one image of `done`, and its norm.

    That of an affine network is finished, and its norm what it was before.
    """
    error = raw_output_error(network, done, label)
    norm = int(np.abs(error.astype(np.int64)).sum())
    if network.affine:
        error = _weighted(network, len(network.layers) - 1, error)
    return error, norm


def raw_output_error(network: Network, done: ForwardPass, label: int) -> Int8:
    """The loss error as it comes, int8 [OH, OW, OC]."""
    logits = done.logits[0]
    if network.affine:
        v = logits.astype(np.int32) - np.int32(network.affine[-1].zero_out)
        error = affine_loss_error(v, network.logits_scale, label)
    else:
        error = loss_error(logits, int(done.exponents[0]), label)
    return error.reshape(network.layers[-1].out_shape)


def _masked(network: Network, index: int, output: Int8, error: Int8) -> Int8:
    """The error of an affine layer once all of it is there, step 1; `output` is what it made."""
    affine = network.affine[index]
    stopped = np.zeros(output.shape, np.bool_)
    if affine.low > -128 or affine.low == affine.zero_out:
        stopped |= output == affine.low
    if affine.high < 127:
        stopped |= output == affine.high
    return np.where(stopped, np.int8(0), error)


def _weighted(network: Network, index: int, error: Int8) -> Int8:
    """Step 2."""
    if network.layers[index].has_weights:
        error = clamp(rhu(error.astype(np.int32) * row_weights(network.affine[index]), 7))
    return error


def _affine_backward_pass(
    network: Network,
    weights: Weights,
    done: ForwardPass,
    error: Int8,
    dynamic: bool,
    updated: Sequence[bool],
    learning: Sequence[bool],
) -> Iterator[BackwardStep]:
    tensors = [tensor[0] for tensor in done.activations]
    last = len(network.layers) - 1
    errors = {last: (error, ONE)}
    readers: dict[int, int] = {}
    for reader in range(last + 1):
        for number in network.reads(reader):
            readers.setdefault(number, reader)
    for index in range(last, -1, -1):
        if not learning[index]:
            continue
        layer, affine, held = (
            network.layers[index],
            network.affine[index],
            network.parameters[index],
        )
        operator = OPERATORS[layer.kind]
        inputs = [tensors[number + 1] for number in network.reads(index)]
        own, scale = errors.pop(index)
        shift = None if dynamic or held is None else held.error_shift
        given = Given(weights[index], inputs, own, scale, shift)
        step = BackwardStep(index)
        for place, number in enumerate(network.reads(index)):
            if number < 0 or not learning[number]:
                continue
            made = operator.contribution(layer, affine, given, place)
            step.error_peak, step.error_saturated = made.peak, made.saturated
            there = errors.get(number)
            errors[number] = (
                (made.values, made.scale)
                if there is None
                else merge(*there, made.values, made.scale)
            )
        for number in network.learning_inputs(index, learning):
            if readers[number] == index:
                merged, scale = errors[number]
                masked = _masked(network, number, tensors[number + 1], merged)
                step.masked[number] = masked, scale
                errors[number] = _weighted(network, number, masked), scale
            step.errors[number] = errors[number][0]
        if updated[index] and isinstance(operator, Weighted):
            step.gradient = operator.gradient(layer, affine.zero_in[0], own, inputs[0])
        yield step


def score_gradient(layer: Layer, gradient: Int32, weights: Int8, affine: bool = False) -> Int32:
    """`G' * w` of section 6, elementwise; G is rounded first where int32 would not hold it."""
    limit = AFFINE_POSITIONS_LIMIT if affine else POSITIONS_LIMIT
    g = 0
    while limit << g < layer.positions:
        g += 1
    reduced = rhu(gradient, g) if g else gradient
    return reduced * weights.astype(np.int32)
