"""Training and evaluation by any method: docs/numerics.md sections 5, 6, 9 and 10."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.generator import SCORES, normal_scores, scored_counts, select_edges, stream
from picotrain_golden.layers import Float, product_dtype
from picotrain_golden.method import Method, check_mu
from picotrain_golden.network import Layer, Network, Parameters
from picotrain_golden.numerics import (
    LIMIT,
    Int8,
    Int32,
    Int64,
    UInt8,
    clamp,
    psto,
    range_bits,
    shift,
)
from picotrain_golden.passes import (
    ForwardPass,
    backward_pass,
    forward_pass,
    output_error,
    raw_output_error,
    score_gradient,
)
from picotrain_golden.plan import fused
from picotrain_golden.sparse.fisher import Information, accumulate, added
from picotrain_golden.sparse.prototypes import Prototypes
from picotrain_golden.sparse.selection import Selection, learning, of_method, updated
from picotrain_golden.validation import validate, validate_training

Trace = Callable[[str, int, NDArray[Any]], None]

FORWARD, ERROR, UPDATE = 0, 1, 2

# Floats of one batch's patches in `predict`: few enough to stay in the processor's caches.
BATCH_FLOATS = 1 << 20


@dataclass(frozen=True)
class StepResult:
    """Prediction before the update, loss norm, saturated elements of the step.

    The loss norm is that of the loss error as it is before an easy image's counts as zero.
    """

    prediction: int
    loss_norm: int
    saturated: int


class Trainer:
    """A network being trained by a method. The network given is copied, not changed.

    An affine one takes images whose bytes are int8 as they stand. Of a selection only the selected
    rows are updated.
    """

    def __init__(
        self, network: Network, method: Method, selection: Selection | None = None
    ) -> None:
        validate(network, dynamic=method.dynamic)
        if method.trains:
            validate_training(network, method, selection)
        self.method = method
        self.selection = of_method(network, method, selection)
        self.network = network.copy()
        self._mu = method.mu
        self._saturation = np.zeros((len(network.layers), 3), np.int64)
        # Of layers without weights, and of methods without scores, the entries stay None.
        self._scores: list[Int8 | None] = [None] * len(network.layers)
        self._edges: list[Int64 | None] = [None] * len(network.layers)
        # Weights and effective weights in the type that BLAS multiplies: made once per change.
        self._floats: list[Float | None] = [None] * len(network.layers)
        self._effective: list[Float | None] = [None] * len(network.layers)
        self._learning = learning(network, self.selection)
        self._updated = updated(network, method, self.selection)
        self._fused = fused(network, method)
        self._information: Information = tuple(
            np.zeros(layer.rows, np.uint64) if layer.has_weights else None
            for layer in network.layers
        )
        self.prototypes = Prototypes(network) if method.name == "prototype" else None
        """What `prototype` has gathered."""
        edges = [layer.weight_count for layer in self.network.layers]
        scored = scored_counts(edges, method.permille)
        for index, held in enumerate(self.network.parameters):
            if held is not None:
                self._start(index, held, scored[index])

    def _start(self, index: int, held: Parameters, scored: int) -> None:
        method = self.method
        if method.scored and self._updated[index]:
            shape: tuple[int, ...] = held.weights.shape
            if method.name == "priot-s":
                edges = select_edges(held.weights, scored, method.select, method.seed, index)
                self._edges[index] = edges
                shape = edges.shape
            elif self.selection is not None:
                row = held.weights.shape[1]
                edges = np.arange(held.weights.size).reshape(-1, row)[self.selection.rows[index]]
                self._edges[index] = edges.reshape(-1)
                shape = (edges.size,)
            scores = np.zeros(shape, np.int8)
            if method.start == "normal":
                drawn = normal_scores(method.seed, stream(index, SCORES), scores.size)
                scores = drawn.reshape(shape)
            self._scores[index] = scores
        self._refresh(index, weights_changed=True)

    def _refresh(self, index: int, weights_changed: bool) -> None:
        """Remake the effective weights of a layer after its weights or scores changed."""
        weights = self.network.of(index).weights
        if weights_changed:
            # Each product of an affine layer picks its own type; float32 holds the weights.
            layer = self.network.layers[index]
            dtype = np.float32 if self.network.affine else product_dtype(layer)
            self._floats[index] = weights.astype(dtype)
        floats, scores, edges = self._floats[index], self._scores[index], self._edges[index]
        assert floats is not None
        if scores is None:
            self._effective[index] = floats
            return
        kept = scores >= self.method.theta
        if edges is None:
            self._effective[index] = floats * kept
            return
        masked = floats.copy()
        flat = masked.reshape(-1)
        flat[edges] *= kept
        self._effective[index] = masked

    @property
    def mu(self) -> int:
        return self._mu

    @mu.setter
    def mu(self, value: int) -> None:
        check_mu(value)
        self._mu = value

    @property
    def saturation(self) -> Int64:
        """Counts since the last reset: forward, error, update of each layer; int64 [L, 3]."""
        return self._saturation.copy()

    def reset_saturation(self) -> None:
        self._saturation[:] = 0

    def weights(self, index: int) -> Int8:
        """The weights of a layer; int8 [rows, K]."""
        return self.network.of(index).weights.copy()

    def effective_weights(self, index: int) -> Int8:
        """The weights that the next forward pass uses; int8 [rows, K]."""
        self.network.of(index)
        effective = self._effective[index]
        assert effective is not None
        return effective.astype(np.int8)

    def scores(self, index: int) -> Int8:
        """Scores int8: [rows, K] for `priot`, [n] in ascending flat index for `priot-s` and under a
        selection, empty where no row is selected."""
        self.network.of(index)
        if not self.method.scored:
            raise ValueError(f"method {self.method.name} has no scores")
        scores = self._scores[index]
        return np.zeros(0, np.int8) if scores is None else scores.copy()

    def scored_edges(self, index: int) -> Int64:
        """Flat indices `o*K + k` of the edges that have scores, ascending; int64."""
        count = self.scores(index).size
        edges = self._edges[index]
        return np.arange(count, dtype=np.int64) if edges is None else edges.copy()

    def set_weights(self, index: int, values: Int8) -> None:
        """Weights that were trained before, in the shape that `weights` gives them in."""
        self._set(index, self.network.of(index).weights.shape, values)

    def set_scores(self, index: int, values: Int8) -> None:
        """Scores that were trained before, in the shape that `scores` gives them in."""
        self._set(index, self.scores(index).shape, values)

    def _set(self, index: int, shape: tuple[int, ...], values: Int8) -> None:
        if values.dtype != np.int8 or values.shape != shape or (values < -LIMIT).any():
            raise ValueError(f"layer {index} takes int8 {list(shape)}, without -128")
        held = self.network.of(index)
        if self.method.scored:
            self._scores[index] = values.copy()
        else:
            held.weights = values.copy()
        self._refresh(index, weights_changed=not self.method.scored)

    def fisher(self) -> Information:
        """D of each layer with weights, uint64 [rows], that method `fisher` has gathered."""
        if self.method.name != "fisher":
            raise ValueError(f"method {self.method.name} has no Fisher information")
        return tuple(None if one is None else one.copy() for one in self._information)

    def forward(self, image: UInt8) -> tuple[Int8, int]:
        """Logits int8 [classes] and their exponent, of an image uint8 [H, W, C].

        The logits of an affine network have no exponent: 0 stands there.
        """
        done = self._forward(image[np.newaxis])
        return done.logits[0], int(done.exponents[0])

    def predict(self, images: UInt8) -> Int64:
        """Predictions int64 [N] of images uint8 [N, H, W, C]; counts forward saturation."""
        return self.evaluate(images)[0]

    def evaluate(self, images: UInt8) -> tuple[Int64, Int64]:
        """The same, with how many elements of each image saturate, int64 [N]."""
        largest = max(_patches(layer) for layer in self.network.layers)
        size = max(1, BATCH_FLOATS // largest)
        predictions, saturated = (np.empty(len(images), np.int64) for _ in range(2))
        for start in range(0, len(images), size):
            part = slice(start, start + size)
            done = self._forward(images[part])
            predictions[part] = done.logits.argmax(axis=1)
            saturated[part] = np.sum(done.saturated, axis=0)
        return predictions, saturated

    def train_step(self, image: UInt8, label: int, trace: Trace | None = None) -> StepResult:
        """Forward, loss, backward and update with one image uint8 [H, W, C].

        `trace(kind, layer, tensor)` is called with every tensor in order of computation. Errors
        and activations have the layer's [H, W, C], places those of the pool behind it; the rest the
        shape of the state that learns.
        """
        if not self.method.trains:
            raise ValueError("method infer does not train")
        if not 0 <= label < self.network.classes:
            raise ValueError(f"label {label} is outside 0..{self.network.classes - 1}")
        if self.prototypes is not None:
            return self._gather(self.prototypes, image, label, trace)
        before = int(self._saturation.sum())
        done = self._forward(image[np.newaxis])
        logits = done.logits[0]
        error, loss_norm = output_error(self.network, done, label)
        if loss_norm <= self.method.easy:
            error = np.zeros_like(error)
        last = len(self.network.layers) - 1
        if trace is not None:
            _trace_activations(done, trace)
            trace("error", last, error)
        # An all-zero error changes nothing (section 10); a trace still shows that it does not.
        if self.method.name == "fisher" and loss_norm > self.method.easy:
            self._inform(last, done, raw_output_error(self.network, done, label))
        if trace is not None or error.any():
            self._backward(done, error, trace)
        return StepResult(
            prediction=int(logits.argmax()),
            loss_norm=loss_norm,
            saturated=int(self._saturation.sum()) - before,
        )

    def _gather(
        self, prototypes: Prototypes, image: UInt8, label: int, trace: Trace | None
    ) -> StepResult:
        done = self._forward(image[np.newaxis])
        if trace is not None:
            _trace_activations(done, trace)
        read = self.network.reads(len(self.network.layers) - 1)[0]
        prototypes.add(done.activations[read + 1][0], label)
        return StepResult(int(done.logits[0].argmax()), 0, 0)

    def _inform(self, index: int, done: ForwardPass, masked: Int8) -> None:
        """Add an image to the Fisher information of a layer, of its error."""
        layer, information = self.network.layers[index], self._information[index]
        if information is not None:
            output = done.activations[index + 1][0]
            more = added(layer, self.network.affine[index], output, masked)
            accumulate(information, more)

    def trace_forward(self, image: UInt8, trace: Trace) -> int:
        """The prediction for one image [H, W, C], with every activation reported as in a step."""
        done = self._forward(image[np.newaxis])
        _trace_activations(done, trace)
        return int(done.logits[0].argmax())

    def _forward(self, images: UInt8) -> ForwardPass:
        if images.dtype != np.uint8 or images.shape[1:] != self.network.input_shape:
            raise ValueError(
                f"images must be uint8 of shape {self.network.input_shape}, "
                f"not {images.dtype} of {images.shape[1:]}"
            )
        dynamic = self.method.dynamic
        done = forward_pass(self.network, self._effective, images, dynamic, self._fused)
        self._saturation[:, FORWARD] += np.sum(done.saturated, axis=1)
        return done

    def _backward(self, done: ForwardPass, error: Int8, trace: Trace | None) -> None:
        steps = backward_pass(
            self.network,
            self._effective,
            done,
            error,
            self.method.dynamic,
            self._updated,
            self._learning,
        )
        for step in steps:
            self._saturation[step.layer, ERROR] += step.error_saturated
            if trace is not None:
                for number, made in step.errors.items():
                    trace("error", number, made)
            if self.method.name == "fisher":
                for number, (masked, _) in step.masked.items():
                    self._inform(number, done, masked)
            if step.gradient is not None:
                self._update(step.layer, step.gradient, trace)

    def _update(self, index: int, gradient: Int32, trace: Trace | None) -> None:
        held = self.network.of(index)
        state = held.weights
        scores, edges = self._scores[index], self._edges[index]
        rows = None
        if scores is None:
            if self.selection is not None:
                rows = self.selection.rows[index]
                gradient, state = gradient[rows], state[rows]
            bits = range_bits(gradient) if self.method.dynamic else held.gradient_bits
        else:
            bits, state = held.score_bits, scores
            weights = held.weights
            if edges is not None:
                gradient, weights = gradient.reshape(-1)[edges], weights.reshape(-1)[edges]
            layer, affine = self.network.layers[index], bool(self.network.affine)
            gradient = score_gradient(layer, gradient, weights, affine)
        rounded = psto(gradient, shift(bits, self._mu))
        update = clamp(rounded)
        wanted = state.astype(np.int16) - update
        changed = np.clip(wanted, -LIMIT, LIMIT).astype(np.int8)
        self._saturation[index, UPDATE] += np.count_nonzero(
            (update != rounded) | (changed != wanted)
        )
        # The old array is replaced, never written: traces and copies keep what they were given.
        if scores is None:
            if rows is not None:
                weights = held.weights.copy()
                weights[rows] = changed
                changed = weights
            held.weights = changed
        else:
            self._scores[index] = changed
        self._refresh(index, weights_changed=scores is None)
        if trace is not None:
            trace("update", index, update)
            trace("weights" if scores is None else "scores", index, changed)


def _patches(layer: Layer) -> int:
    """How many elements all windows of a layer have."""
    channels = layer.in_shape[2] if layer.kind != "linear" else layer.row_length
    return layer.positions * prod(layer.kernel) * channels


def _trace_activations(done: ForwardPass, trace: Trace) -> None:
    for index, activation in enumerate(done.activations):
        if index - 1 not in done.places:
            trace("activation", index - 1, activation[0])
        if index - 2 in done.places:
            trace("places", index - 2, done.places[index - 2][0])
