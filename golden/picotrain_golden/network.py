"""Networks as data: layers and parameters of docs/numerics.md sections 3, 12, 13 and 14."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from picotrain_golden.numerics import Int8, Int32

Kind = Literal["conv2d", "maxpool2", "linear", "depthwise", "maxpool", "avgpool", "add"]
POWER_OF_TWO: tuple[Kind, ...] = ("conv2d", "maxpool2", "linear")
AFFINE: tuple[Kind, ...] = ("conv2d", "depthwise", "linear", "maxpool", "avgpool", "add")
"""The kinds of each form (section 13)."""
WEIGHTED: tuple[Kind, ...] = ("conv2d", "depthwise", "linear")

Pair = tuple[int, int]
Shape = tuple[int, int, int]

INPUT_EXPONENT = -7

MAX_LAYERS, MAX_AFFINE_LAYERS = 24, 48
MAX_CLASSES, MAX_AFFINE_OUTPUTS = 256, 4096
MAX_DIMENSION = 4096
MAX_KERNEL, MAX_WINDOW = 15, 255
MAX_TERMS = 1 << 17
MAX_WEIGHTS = MAX_ELEMENTS = 1 << 22
MAX_SCALE_SHIFT = 24
MAX_BITS = 31
MIN_EXPONENT, MAX_EXPONENT = -24, 8
MIN_AFFINE_SHIFT, MAX_AFFINE_SHIFT = -31, 30
MAX_POSITIONS = 1 << 16
MAX_TRAINED_LAYERS, MAX_TRAINED_OUTPUTS = 32, 256
"""Of affine networks that train."""
MIN_LOGITS_E, MAX_LOGITS_E = -16, 8


@dataclass(frozen=True)
class Layer:
    """One layer; shapes are [H, W, C]. A linear layer has out_shape (1, 1, OUT).

    `padding` is that above and left; below and right it is the same in the power-of-two form, and
    what `out_shape` makes of it in the affine one. `inputs` are the layers that it reads, -1 the
    network's input; empty stands for the layer before it.
    """

    kind: Kind
    in_shape: Shape
    out_shape: Shape
    kernel: Pair
    stride: Pair
    padding: Pair
    relu: bool
    inputs: tuple[int, ...] = ()

    @property
    def has_weights(self) -> bool:
        return self.kind in WEIGHTED

    @property
    def rows(self) -> int:
        """Output channels; 0 without weights."""
        return self.out_shape[2] if self.has_weights else 0

    @property
    def row_length(self) -> int:
        """K, the weights of one output channel; 0 without weights."""
        if self.kind == "linear":
            return prod(self.in_shape)
        channels = {"conv2d": self.in_shape[2], "depthwise": 1}.get(self.kind, 0)
        return prod(self.kernel) * channels

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
    kernel: Pair,
    stride: int,
    padding: Pair,
    relu: bool,
) -> Layer:
    """A layer of the power-of-two form, like those below: one stride, as much padding all round."""
    height = (in_shape[0] + 2 * padding[0] - kernel[0]) // stride + 1
    width = (in_shape[1] + 2 * padding[1] - kernel[1]) // stride + 1
    out_shape = (height, width, channels)
    return Layer("conv2d", in_shape, out_shape, kernel, (stride, stride), padding, relu)


def maxpool2(in_shape: Shape) -> Layer:
    height, width, channels = in_shape
    out_shape = (height // 2, width // 2, channels)
    return Layer("maxpool2", in_shape, out_shape, (2, 2), (2, 2), (0, 0), False)


def linear(in_shape: Shape, outputs: int, relu: bool) -> Layer:
    return Layer("linear", in_shape, (1, 1, outputs), (1, 1), (1, 1), (0, 0), relu)


@dataclass
class Parameters:
    """Weights int8 [rows, row_length] with their exponent, and a layer's calibrated numbers."""

    weights: Int8
    exponent: int
    forward_shift: int = 0
    error_shift: int = 0
    gradient_bits: int = 0
    score_bits: int = 0


@dataclass(frozen=True, eq=False)
class Affine:
    """The integers of an affine layer (section 14).

    `zero_in` has one zero point for each input, `bias` one int32 for each row, `multiplier` and
    `shift` one int32 for each row; without weights three for add (a, b, out), none or one for
    avgpool, none for maxpool.
    """

    zero_in: tuple[int, ...]
    zero_out: int
    low: int
    high: int
    bias: Int32
    multiplier: Int32
    shift: Int32


@dataclass
class Network:
    """Layers in order; `parameters[l]` is None exactly where layer l has no weights.

    `affine` has one entry for each layer of an affine network, and none for the power-of-two form.
    The weights of an affine network may be -128, and its parameters have no exponent and no
    `forward_shift`. `logits_scale` is M and E of section 15: a logit of it is v * M * 2^(E-15)
    nats.
    """

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    parameters: tuple[Parameters | None, ...]
    affine: tuple[Affine, ...] = ()
    logits_scale: Pair = (1 << 15, 0)

    @property
    def classes(self) -> int:
        return prod(self.layers[-1].out_shape)

    def reads(self, index: int) -> tuple[int, ...]:
        """What layer `index` reads: earlier layers, and -1 for the network's input."""
        return self.layers[index].inputs or (index - 1,)

    def shape_of(self, index: int) -> Shape:
        """The shape of a layer's output; -1 is the network's input."""
        return self.input_shape if index == -1 else self.layers[index].out_shape

    @property
    def learning(self) -> tuple[bool, ...]:
        """Of each layer, if it learns: it has weights, or reads a layer that learns."""
        return self.learning_from([layer.has_weights for layer in self.layers])

    def learning_from(self, updated: Sequence[bool]) -> tuple[bool, ...]:
        """The same where only the layers that are `updated` change."""
        result: list[bool] = []
        for index, changes in enumerate(updated):
            below = any(result[number] for number in self.reads(index) if number >= 0)
            result.append(changes or below)
        return tuple(result)

    def learning_inputs(
        self, index: int, learning: Sequence[bool] | None = None
    ) -> tuple[int, ...]:
        """The layers that layer `index` reads and that learn, each once, in their order."""
        if learning is None:
            learning = self.learning
        found = (number for number in self.reads(index) if number >= 0 and learning[number])
        return tuple(dict.fromkeys(found))

    @property
    def first_weighted(self) -> int:
        """F of docs/numerics.md section 5."""
        return next(index for index, layer in enumerate(self.layers) if layer.has_weights)

    @property
    def logits_exponent(self) -> int:
        """The exponent of the logits under the static shifts; of an affine network E, which is
        that of the power of two that is next below."""
        if self.affine:
            return self.logits_scale[1]
        return INPUT_EXPONENT + sum(
            held.exponent + held.forward_shift for held in self.parameters if held is not None
        )

    @property
    def calibrated(self) -> bool:
        """If any layer has a calibrated number other than 0."""
        return any(
            held.forward_shift or held.error_shift or held.gradient_bits or held.score_bits
            for held in self.parameters
            if held is not None
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
