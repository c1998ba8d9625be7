"""Networks as data: layers, parameters, and the limits of docs/numerics.md sections 3, 4 and 12."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import numpy as np

from picotrain_golden.loss import LEAST_LOGITS_EXPONENT
from picotrain_golden.numerics import Int8

Kind = Literal["conv2d", "maxpool2", "linear"]
Shape = tuple[int, int, int]

INPUT_EXPONENT = -7

MAX_LAYERS = 24
MAX_CLASSES = 256
MAX_DIMENSION = 4096
MAX_KERNEL = 15
MAX_TERMS = 1 << 17
MAX_WEIGHTS = 1 << 22
MAX_SCALE_SHIFT = 24
MAX_BITS = 31
MIN_EXPONENT, MAX_EXPONENT = -24, 8


@dataclass(frozen=True)
class Layer:
    """One layer; shapes are [H, W, C]. A linear layer has out_shape (1, 1, OUT)."""

    kind: Kind
    in_shape: Shape
    out_shape: Shape
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int]
    relu: bool

    @property
    def has_weights(self) -> bool:
        return self.kind != "maxpool2"

    @property
    def rows(self) -> int:
        """Output channels; 0 without weights."""
        return self.out_shape[2] if self.has_weights else 0

    @property
    def row_length(self) -> int:
        """K, the weights of one output channel; 0 without weights."""
        if self.kind == "conv2d":
            return self.kernel[0] * self.kernel[1] * self.in_shape[2]
        return prod(self.in_shape) if self.kind == "linear" else 0

    @property
    def weight_count(self) -> int:
        return self.rows * self.row_length

    @property
    def positions(self) -> int:
        """OH*OW."""
        return self.out_shape[0] * self.out_shape[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense forward pass, padding counted."""
        return self.positions * self.weight_count

    @property
    def most_terms(self) -> int:
        """Terms of the longest sum that this layer makes: forward, error or gradient."""
        return max(self.row_length, self.rows * prod(self.kernel), self.positions)


def conv2d(
    in_shape: Shape,
    channels: int,
    kernel: tuple[int, int],
    stride: int,
    padding: tuple[int, int],
    relu: bool,
) -> Layer:
    height = (in_shape[0] + 2 * padding[0] - kernel[0]) // stride + 1
    width = (in_shape[1] + 2 * padding[1] - kernel[1]) // stride + 1
    return Layer("conv2d", in_shape, (height, width, channels), kernel, stride, padding, relu)


def maxpool2(in_shape: Shape) -> Layer:
    height, width, channels = in_shape
    out_shape = (height // 2, width // 2, channels)
    return Layer("maxpool2", in_shape, out_shape, (2, 2), 2, (0, 0), False)


def linear(in_shape: Shape, outputs: int, relu: bool) -> Layer:
    return Layer("linear", in_shape, (1, 1, outputs), (1, 1), 1, (0, 0), relu)


@dataclass
class Parameters:
    """Weights int8 [rows, row_length] with their exponent, and a layer's calibrated numbers."""

    weights: Int8
    exponent: int
    forward_shift: int = 0
    error_shift: int = 0
    gradient_bits: int = 0
    score_bits: int = 0


@dataclass
class Network:
    """Layers in order; `parameters[l]` is None exactly where layer l has no weights."""

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    parameters: tuple[Parameters | None, ...]

    @property
    def classes(self) -> int:
        return self.layers[-1].out_shape[2]

    @property
    def first_weighted(self) -> int:
        """F of docs/numerics.md section 5."""
        return next(index for index, layer in enumerate(self.layers) if layer.has_weights)

    @property
    def logits_exponent(self) -> int:
        """The exponent of the logits under the static shifts."""
        return INPUT_EXPONENT + sum(
            held.exponent + held.forward_shift for held in self.parameters if held is not None
        )

    def of(self, index: int) -> Parameters:
        """The parameters of a layer that has weights."""
        held = self.parameters[index] if 0 <= index < len(self.parameters) else None
        if held is None:
            raise ValueError(f"layer {index} has no weights")
        return held

    def copy(self) -> Network:
        """A copy that shares no weights with this network."""
        return replace(
            self,
            parameters=tuple(
                None if held is None else replace(held, weights=held.weights.copy())
                for held in self.parameters
            ),
        )


def validate(network: Network, dynamic: bool = False) -> None:
    """Raise ValueError, in one sentence, for what sections 3, 4 and 12 forbid.

    `dynamic` is for `niti-dynamic` and calibration: the logits' exponent is then not static, so the
    rule of section 4 does not apply.
    """
    layers = network.layers
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise ValueError(f"a network has 1 to {MAX_LAYERS} layers, not {len(layers)}")
    if len(network.parameters) != len(layers):
        raise ValueError(f"{len(network.parameters)} parameter sets for {len(layers)} layers")
    shape = network.input_shape
    for index, layer in enumerate(layers):
        if layer.in_shape != shape:
            raise ValueError(f"layer {index} takes {layer.in_shape} but is given {shape}")
        _validate_layer(index, layer)
        _validate_parameters(index, layer, network.parameters[index])
        shape = layer.out_shape
    if layers[-1].kind != "linear" or layers[-1].relu:
        raise ValueError("the last layer must be linear without ReLU")
    if not 2 <= network.classes <= MAX_CLASSES:
        raise ValueError(f"a network has 2 to {MAX_CLASSES} classes, not {network.classes}")
    if not dynamic and network.logits_exponent < LEAST_LOGITS_EXPONENT:
        raise ValueError(
            f"the logits have exponent {network.logits_exponent}, {LEAST_LOGITS_EXPONENT} is the "
            "least"
        )


def _validate_layer(index: int, layer: Layer) -> None:
    if any(not 1 <= size <= MAX_DIMENSION for size in (*layer.in_shape, *layer.out_shape)):
        raise ValueError(f"layer {index} has a dimension outside 1..{MAX_DIMENSION}")
    expected: Layer
    if layer.kind == "conv2d":
        if any(not 1 <= size <= MAX_KERNEL for size in layer.kernel):
            raise ValueError(f"layer {index} has a kernel outside 1..{MAX_KERNEL}")
        if layer.stride not in (1, 2):
            raise ValueError(f"layer {index} has stride {layer.stride}, not 1 or 2")
        if any(not 0 <= pad < size for pad, size in zip(layer.padding, layer.kernel, strict=True)):
            raise ValueError(f"layer {index} has a padding that is not less than its kernel")
        expected = conv2d(
            layer.in_shape, layer.rows, layer.kernel, layer.stride, layer.padding, layer.relu
        )
    elif layer.kind == "maxpool2":
        expected = maxpool2(layer.in_shape)
    elif layer.kind == "linear":
        expected = linear(layer.in_shape, layer.rows, layer.relu)
    else:
        raise ValueError(f"layer {index} has unknown kind {layer.kind!r}")
    if layer != expected:
        raise ValueError(f"layer {index} is {layer}, but its fields ask for {expected}")
    if layer.weight_count > MAX_WEIGHTS:
        raise ValueError(f"layer {index} has {layer.weight_count} weights, more than {MAX_WEIGHTS}")
    if layer.has_weights and layer.most_terms > MAX_TERMS:
        raise ValueError(f"layer {index} sums {layer.most_terms} terms, more than {MAX_TERMS}")


def _validate_parameters(index: int, layer: Layer, held: Parameters | None) -> None:
    if held is None or not layer.has_weights:
        if (held is not None) != layer.has_weights:
            raise ValueError(f"layer {index}, {layer.kind}, has weights where it must not, or none")
        return
    if held.weights.dtype != np.int8 or held.weights.shape != (layer.rows, layer.row_length):
        raise ValueError(
            f"layer {index} needs int8 weights of shape {(layer.rows, layer.row_length)}, "
            f"not {held.weights.dtype} of {held.weights.shape}"
        )
    if held.weights.min() == -128:
        raise ValueError(f"layer {index} has a weight of -128")
    for name, value, low, high in (
        ("exponent", held.exponent, MIN_EXPONENT, MAX_EXPONENT),
        ("forward_shift", held.forward_shift, 0, MAX_SCALE_SHIFT),
        ("error_shift", held.error_shift, 0, MAX_SCALE_SHIFT),
        ("gradient_bits", held.gradient_bits, 0, MAX_BITS),
        ("score_bits", held.score_bits, 0, MAX_BITS),
    ):
        if not low <= value <= high:
            raise ValueError(f"layer {index} has {name} {value}, outside {low}..{high}")
