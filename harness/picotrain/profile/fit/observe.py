"""What a step's values are like, looked at in golden: the `Activity` of each layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from picotrain.datasets import Split
from picotrain.profile.fit.terms.activity import Activity, Lists
from picotrain.profile.fit.terms.shapes import axis_of
from picotrain_golden import (
    Layer,
    Method,
    Network,
    Selection,
    Trainer,
    conv2d,
    layers,
    learning,
    range_bits,
    shift,
)
from picotrain_golden.numerics import LIMIT
from picotrain_golden.operators import OPERATORS
from picotrain_golden.operators.base import Weighted
from picotrain_golden.passes import (
    BackwardStep,
    ForwardPass,
    backward_pass,
    forward_pass,
    output_error,
    score_gradient,
)

Array = Any
"""An array of NumPy, or a number that is one's only element."""

BUDGET = 258
"""Magnitudes that the lanes of the tuned convolution hold together: docs/kernels.md."""


def share(values: Array) -> float:
    """Of those that are not 0."""
    return float(np.count_nonzero(values)) / max(int(values.size), 1)


def words(values: Array) -> Array:
    """Groups of four, the last one filled with zeros, as bool [groups]: one is not 0."""
    flat = values.reshape(-1) != 0
    padded = np.zeros(-(-flat.size // 4) * 4, np.bool_)
    padded[: flat.size] = flat
    grouped: Array = padded.reshape(-1, 4).any(axis=1)
    return grouped


class Observer:
    """Steps of a method from its beginning: nothing is learnt in between."""

    def __init__(
        self, network: Network, method: Method, selection: Selection | None = None
    ) -> None:
        self._trainer = Trainer(network, method, selection)
        self.network, self.method, self._selection = network, method, self._trainer.selection
        self._weights = [
            None if held is None else self._trainer.effective_weights(index)
            for index, held in enumerate(network.parameters)
        ]
        self._static = [self._masks(index) for index in range(len(network.layers))]

    def _masks(self, index: int) -> Activity:
        seen = Activity()
        weights = self._weights[index]
        if weights is None:
            return seen
        seen = replace(seen, empty_rows=1 - share(weights.any(axis=1)))
        scores = self._trainer.scores(index) if self.method.scored else np.zeros(0, np.int8)
        if not scores.size:
            return seen
        pruned = scores < self.method.theta
        if pruned.size == weights.size:
            rows = pruned.reshape(weights.shape)
            rows = rows[:, : weights.shape[1] // 4 * 4]
            seen = replace(seen, pruned_words=share(words(rows)) if rows.size else 0.0)
        return replace(seen, pruned=share(pruned))

    def step(self, image: Array, label: int) -> list[Activity]:
        """Of each layer, in the training step or the prediction of one image."""
        dynamic = self.method.dynamic
        done = forward_pass(self.network, self._weights, image[np.newaxis], dynamic)
        found = [self._forward(index, done) for index in range(len(self.network.layers))]
        if not self.method.goes_back:
            return found
        error, _ = output_error(self.network, done, label)
        learns = learning(self.network, self._selection)
        errors = {len(found) - 1: error}
        updated = None
        if self._selection is not None:
            updated = [self._selection.count(index) > 0 for index in range(len(found))]
        for step in backward_pass(
            self.network, self._weights, done, error, dynamic, updated, learns
        ):
            found[step.layer] = self._backward(found[step.layer], step, errors, done)
            errors |= step.errors
        return found

    def _forward(self, index: int, done: ForwardPass) -> Activity:
        seen = self._static[index]
        if not self.network.affine:
            return self._chain_forward(seen, index, done)
        affine, output = self.network.affine[index], done.activations[index + 1]
        low = float(np.mean(output == affine.low))
        return replace(seen, low=low, high=float(np.mean(output == affine.high)))

    def _backward(
        self, seen: Activity, step: BackwardStep, errors: dict[int, Array], done: ForwardPass
    ) -> Activity:
        network, index = self.network, step.layer
        layer, own = network.layers[index], errors[index]
        rows = own.reshape(-1, own.shape[-1])
        updated = None if self._selection is None else self._selection.rows[index]
        kept = rows if updated is None else rows[:, updated]
        seen = replace(
            seen,
            errors=share(own),
            row_errors=share(kept),
            error_rows=share(kept.any(axis=0)),
        )
        if not network.affine:
            seen = self._chain_backward(seen, index, own, step)
        else:
            weights = self._weights[index]
            operator = OPERATORS[layer.kind]
            if weights is not None and isinstance(operator, Weighted) and step.errors:
                seen = replace(seen, reached=share(words(operator.spread(layer, weights, own))))
            if step.masked:
                stopped = [self._stopped(number, done) for number in step.masked]
                passed = [share(masked) for masked, _ in step.masked.values()]
                seen = replace(seen, stopped=float(np.mean(stopped)), passed=float(np.mean(passed)))
        if step.gradient is not None:
            seen = self._steps(seen, index, step.gradient)
        return seen

    def _chain_forward(self, seen: Activity, index: int, done: ForwardPass) -> Activity:
        layer = self.network.layers[index]
        inputs, columns = done.activations[index], done.columns[index]
        output = done.activations[index + 1]
        eights = output.reshape(-1, output.shape[-1])[:, : output.shape[-1] // 8 * 8]
        clamped = (eights == LIMIT).reshape(-1, 8).any(axis=1)
        pairs = (eights != 0).reshape(-1, 2).any(axis=1)
        seen = replace(seen, outputs=share(words(output)), clamped=share(clamped))
        seen = replace(seen, pairs=share(pairs))
        if columns is None:
            # Where all four inputs of every one of four channels are 0 the output is known.
            height, width = layer.out_shape[:2]
            four = inputs[0, : 2 * height, : 2 * width].astype(np.int16)
            some = np.abs(four).reshape(height, 2, width, 2, -1).max(axis=(1, 3))
            lists = Lists(signed=bool((inputs < 0).any()))
            return replace(seen, outputs=share(words(some)), inputs=lists)
        if layer.kind == "linear":
            return replace(seen, inputs=_values(inputs))
        return replace(seen, inputs=_lists(layer, inputs, columns[0]))

    def _chain_backward(
        self, seen: Activity, index: int, own: Array, step: BackwardStep
    ) -> Activity:
        layer, weights = self.network.layers[index], self._weights[index]
        rows = own.reshape(-1, own.shape[-1])
        seen = replace(seen, positions=share(rows.any(axis=1)))
        channels = rows.T[rows.any(axis=0)]
        if layer.kind == "conv2d" and len(channels):
            lists = 1 + _spills(np.abs(channels.astype(np.int64))).mean()
            # A list also ends behind as many positions.
            ends = -(-np.count_nonzero(rows.any(axis=1)) // BUDGET)
            seen = replace(seen, lists=max(float(lists), float(ends)))
        if weights is None or not step.errors:
            return seen
        seen = replace(seen, reached=share(words(layers.backward(layer, weights, own))))
        if layer.kind == "conv2d" and layer.stride == (1, 1):
            turned = _turned(layer)
            lists = _lists(turned, own[None], layers.columns(turned, own[None])[0])
            seen = replace(seen, output_errors=lists)
        return seen

    def _stopped(self, index: int, done: ForwardPass) -> float:
        affine, output = self.network.affine[index], done.activations[index + 1]
        stopped = np.zeros(output.shape, np.bool_)
        if affine.low > -128 or affine.low == affine.zero_out:
            stopped |= output == affine.low
        if affine.high < 127:
            stopped |= output == affine.high
        return share(stopped)

    def _steps(self, seen: Activity, index: int, gradient: Array) -> Activity:
        """Of the rows that have any gradient, as those without are left out."""
        held, layer = self.network.of(index), self.network.layers[index]
        rows = gradient.any(axis=1)
        if self._selection is not None:
            chosen = self._selection.rows[index]
            assert chosen is not None
            rows = rows & chosen
        if not rows.any():
            return replace(seen, stepping=0.0, moving=0.0)
        if self.method.scored:
            bits = held.score_bits
            made = score_gradient(layer, gradient, held.weights, bool(self.network.affine))
        else:
            bits = range_bits(gradient) if self.method.dynamic else held.gradient_bits
            made = gradient
        amount = shift(bits, self.method.mu)
        if self.method.name == "priot-s":
            mask = np.zeros(made.size, np.bool_)
            mask[self._trainer.scored_edges(index)] = True
            made = made[rows][mask.reshape(made.shape)[rows]]
        else:
            made = made[rows]
        magnitude = np.abs(made.astype(np.int64))
        stepping = magnitude >= 1 << amount // 2
        moving = magnitude >= 1 << amount
        return replace(seen, stepping=share(stepping), moving=share(moving))


def _values(tensor: Array) -> Lists:
    signed = bool((tensor < 0).any())
    return Lists(values=share(tensor), words=share(words(tensor)), signed=signed)


def _lists(layer: Layer, tensor: Array, columns: Array) -> Lists:
    """Of a convolution's input int8 [1, H, W, C], and its patches [OH * OW, K]."""
    windows: Array = np.abs(columns).reshape(layer.positions, layer.kernel[0], -1)
    # Of one channel the columns are walked, not the rows.
    one = layer.in_shape[2] == 1
    walked = windows.transpose(0, 2, 1) if one else windows
    spills = _spills(walked.reshape(layer.positions, -1))
    lines = windows.any(axis=2)
    full: Array = lines.any(axis=1)
    taken = int(np.count_nonzero(windows))
    inside = axis_of(layer, 0).taps * axis_of(layer, 1).taps * layer.in_shape[2]
    sizes = np.abs(tensor[0].astype(np.int64)).sum(axis=(1, 2))
    targets = _under(layer, sizes)
    some = targets > 0
    return replace(
        _values(tensor),
        taken=float(taken / inside),
        windows=share(full),
        rows=share(lines[full]) if full.any() else 0.0,
        target_rows=share(some),
        walked=_walked(full.reshape(layer.out_shape[:2])) if one else share(some),
        columns=_columns(layer, tensor[0]) if one else 1.0,
        small=float((targets[some] <= BUDGET).mean()) if some.any() else 0.0,
        spilled=float((spills > 0).sum()) / max(int(full.sum()), 1),
        spills=float(spills.sum()) / max(taken, 1),
    )


def _walked(full: Array) -> float:
    """The share of windows [OH, OW] between the first and the last of their row that have any."""
    ends = (
        np.maximum.accumulate(full, axis=1) & np.maximum.accumulate(full[:, ::-1], axis=1)[:, ::-1]
    )
    return share(ends)


def _columns(layer: Layer, image: Array) -> float:
    """Of an image [H, W, 1], whose rows may be read in words."""
    if layer.in_shape[1] % 4:
        return 1.0
    some = (image[:, :, 0] != 0).reshape(len(image), -1, 4).any(axis=2)
    taken = [
        some[max(start, 0) : start + layer.kernel[0]].any(axis=0)
        for start in range(-layer.padding[0], len(image), layer.stride[0])
    ]
    return share(np.array(taken[: layer.out_shape[0]]))


def _spills(magnitudes: Array) -> Array:
    """How often lanes are full on the way through magnitudes [N, terms]; int [N]."""
    left = np.full(len(magnitudes), BUDGET, np.int64)
    spills = np.zeros(len(magnitudes), np.int64)
    for one in magnitudes.T.astype(np.int64):
        left -= one
        over = left < 0
        spills += over
        left[over] = BUDGET - one[over]
    return spills


def _under(layer: Layer, rows: Array) -> Array:
    """Sums of the input's rows under each row of outputs."""
    starts = [at * layer.stride[0] - layer.padding[0] for at in range(layer.out_shape[0])]
    sums = [rows[max(start, 0) : start + layer.kernel[0]].sum() for start in starts]
    return np.array(sums)


def _turned(layer: Layer) -> Layer:
    """The error of a convolution of stride 1, as a convolution of that error."""
    down, across = (one - 1 - pad for one, pad in zip(layer.kernel, layer.padding, strict=True))
    return conv2d(layer.out_shape, layer.in_shape[2], layer.kernel, 1, (down, across), False)


def observe(
    network: Network, method: Method, images: Split, selection: Selection | None = None
) -> list[list[Activity]]:
    """Of each image, the activity of each layer."""
    observer = Observer(network, method, selection)
    return [
        observer.step(image, int(label))
        for image, label in zip(images.images, images.labels, strict=True)
    ]
