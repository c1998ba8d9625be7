"""An affine network as an int8 .tflite file, whose scales make the network's own integers again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ldexp
from pathlib import Path

import numpy as np

from picotrain.convert import arithmetic
from picotrain.convert.export import flatbuffer
from picotrain.convert.importer import import_model
from picotrain.convert.model import Operator, Tensor, parsed
from picotrain.convert.operators import LAYERS, SAME, VALID, NotTaken
from picotrain.errors import UserError
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.graph import same_padding
from picotrain_golden import Affine, Layer, Network
from picotrain_golden.network import Kind

_OPERATORS: dict[Kind, str] = {
    "conv2d": "CONV_2D",
    "depthwise": "DEPTHWISE_CONV_2D",
    "linear": "FULLY_CONNECTED",
    "maxpool": "MAX_POOL_2D",
    "avgpool": "AVERAGE_POOL_2D",
    "add": "ADD",
}


def tflite_file(network: Network, scales: Scales | None) -> bytes:
    """The bytes of the file. UserError, one sentence, for a network that no such file computes."""
    if not network.affine:
        raise UserError(
            f"network {network.name} is of the power-of-two form, which rounds otherwise than "
            "TFLite; export it as .blob or .h"
        )
    given = _guessed(network) if scales is None else scales
    content = _Export(network, given).content()
    _check(network, content)
    return content


def _guessed(network: Network) -> Scales:
    """Without scales of its own: all tensors have that of the logits. It makes the multipliers of
    weights again where they have no more digits than a float32."""
    mantissa, exponent = network.logits_scale
    weights = [
        tuple(float(np.float32(ldexp(m, s - 31))) for m, s in zip(*pairs, strict=True))
        if layer.has_weights
        else ()
        for layer, pairs in zip(
            network.layers,
            ((one.multiplier.tolist(), one.shift.tolist()) for one in network.affine),
            strict=True,
        )
    ]
    tensors = (ldexp(mantissa, exponent - 15),) * (len(network.layers) + 1)
    return Scales(tensors, tuple(weights))


class _Export:
    def __init__(self, network: Network, scales: Scales) -> None:
        self._network, self._scales = network, scales
        self._tensors: list[Tensor] = []
        self._operators: list[Operator] = []

    def content(self) -> bytes:
        network = self._network
        zero = next(
            affine.zero_in[network.reads(index).index(-1)]
            for index, affine in enumerate(network.affine)
            if -1 in network.reads(index)
        )
        shape = (1, *network.input_shape)
        made = {-1: self._tensor("input", shape, (self._scales.tensors[0],), zero)}
        for index in range(len(network.layers)):
            made[index] = self._layer(index, made)
        last = len(network.layers) - 1
        return flatbuffer.content(self._tensors, self._operators, made[-1].index, made[last].index)

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        scales: tuple[float, ...],
        zero: int = 0,
        axis: int = 0,
        data: tuple[str, bytes] = ("INT8", b""),
    ) -> Tensor:
        kind, held = data
        zeros = (zero,) * len(scales)
        made = Tensor(len(self._tensors), name, shape, kind, scales, zeros, axis, held or None)
        self._tensors.append(made)
        return made

    def _run(self, kind: str, reads: list[Tensor], makes: Tensor, **options: int) -> Tensor:
        inputs = tuple(one.index for one in reads)
        at = len(self._operators)
        self._operators.append(Operator(at, kind, inputs, (makes.index,), options))
        return makes

    def _layer(self, index: int, made: dict[int, Tensor]) -> Tensor:
        network = self._network
        layer, affine = network.layers[index], network.affine[index]
        name = f"layer {index}, {layer.kind}"
        reads = [made[number] for number in network.reads(index)]
        for number, tensor, zero in zip(network.reads(index), reads, affine.zero_in, strict=True):
            if tensor.zeros != (zero,):
                other = "the input" if number < 0 else f"layer {number}"
                raise self._refusal(index, f"its zero point {zero} is not that of {other}")
        kind = _OPERATORS[layer.kind]
        options: dict[str, int] = {}
        constants: list[Tensor] = []
        if layer.kind == "avgpool" and affine.multiplier.size:
            if (affine.low, affine.high) != (-128, 127):
                raise self._refusal(index, "a mean with a scale of its own has no activation there")
            kind, options = "MEAN", {"KeepDims": 1}
            axes = np.array([1, 2], "<i4").tobytes()
            constants = [self._tensor(f"{name}, axes", (2,), (), data=("INT32", axes))]
        else:
            options["FusedActivationFunction"] = self._activation(index)
            if layer.kind not in ("linear", "add"):
                source, options["Padding"] = self._padded(index, reads[0])
                reads = [source]
                options["StrideH"], options["StrideW"] = layer.stride
            if layer.kind in ("maxpool", "avgpool"):
                options["FilterHeight"], options["FilterWidth"] = layer.kernel
            if layer.kind == "depthwise":
                options["DepthMultiplier"] = 1
            if layer.has_weights:
                constants = self._weights(index, name, reads[0])
        output = self._tensor(
            name, self._shape(index), (self._scales.tensors[index + 1],), affine.zero_out
        )
        return self._run(kind, [*reads, *constants], output, **options)

    def _shape(self, index: int) -> tuple[int, ...]:
        """Of a layer's output: what is linear has two dimensions, unless a window reads it."""
        layers = self._network.layers
        readers = [n for n in range(len(layers)) if index in self._network.reads(n)]
        flat = all(layers[number].kind == "linear" for number in readers)
        layer = layers[index]
        return (1, layer.rows) if layer.kind == "linear" and flat else (1, *layer.out_shape)

    def _activation(self, index: int) -> int:
        affine, scale = self._network.affine[index], self._scales.tensors[index + 1]
        for activation in sorted(arithmetic.ACTIVATIONS):
            try:
                found = arithmetic.bounds(activation, scale, affine.zero_out)
            except OverflowError:
                continue
            if found == (affine.low, affine.high):
                return activation
        raise self._refusal(
            index, f"its bounds {affine.low}..{affine.high} are those of no activation of TFLite"
        )

    def _padded(self, index: int, source: Tensor) -> tuple[Tensor, int]:
        """What a layer with windows reads, a PAD between if need be, and its own padding."""
        layer = self._network.layers[index]
        rules = {
            SAME: [same_padding(*one) for one in _axes(layer)],
            VALID: [(arithmetic.valid_outputs(*one), 0) for one in _axes(layer)],
        }
        wanted = list(zip(layer.out_shape, layer.padding, strict=False))
        for rule, found in rules.items():
            if found == wanted:
                return source, rule
        if layer.kind in ("maxpool", "avgpool"):
            raise self._refusal(
                index, f"its padding {list(layer.padding)} is neither none nor TFLite's SAME"
            )
        after = [
            max(0, (out - 1) * stride + kernel - size - before)
            for (size, kernel, stride), (out, before) in zip(_axes(layer), wanted, strict=True)
        ]
        for (size, kernel, stride), (out, before), more in zip(
            _axes(layer), wanted, after, strict=True
        ):
            if arithmetic.valid_outputs(size + before + more, kernel, stride) != out:
                raise self._refusal(index, "its windows end before its input does")
        (top, left), (bottom, right) = layer.padding, after
        amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], "<i4")
        held = self._tensor(
            f"layer {index}, padding", (4, 2), (), data=("INT32", amounts.tobytes())
        )
        height, width, channels = layer.in_shape
        shape = (1, height + top + bottom, width + left + right, channels)
        output = self._tensor(f"layer {index}, padded", shape, source.scales, source.zeros[0])
        return self._run("PAD", [source, held], output), VALID

    def _weights(self, index: int, name: str, source: Tensor) -> list[Tensor]:
        layer, affine = self._network.layers[index], self._network.affine[index]
        weights, scales = self._network.of(index).weights, self._scales.weights[index]
        height, width = layer.kernel
        shapes: dict[Kind, tuple[int, ...]] = {
            "conv2d": (layer.rows, height, width, layer.in_shape[2]),
            "depthwise": (1, height, width, layer.rows),
            "linear": weights.shape,
        }
        depthwise = layer.kind == "depthwise"
        held = np.ascontiguousarray(weights.T if depthwise else weights).tobytes()
        bias = tuple(float(np.float32(source.scales[0] * one)) for one in scales)
        return [
            self._tensor(
                *(f"{name}, weights", shapes[layer.kind], scales),
                axis=3 if depthwise else 0,
                data=("INT8", held),
            ),
            self._tensor(
                *(f"{name}, bias", (layer.rows,), bias),
                data=("INT32", affine.bias.astype("<i4").tobytes()),
            ),
        ]

    def _refusal(self, index: int, why: str) -> UserError:
        return _refusal(self._network, index, why)


def _refusal(
    network: Network, index: int, why: str, fix: str = "export it as .blob or .h"
) -> UserError:
    layer = network.layers[index]
    return UserError(
        f"layer {index} ({layer.kind}) of network {network.name} cannot be said in TFLite: {why}; "
        f"{fix}"
    )


def _axes(layer: Layer) -> Iterator[tuple[int, int, int]]:
    """Size, kernel and stride, down and across."""
    return zip(layer.in_shape, layer.kernel, layer.stride, strict=False)


def _check(network: Network, content: bytes) -> None:
    """Raise UserError unless the file reads back as the network."""
    model = parsed(Path(f"{network.name}.tflite"), content)
    # Each layer for itself first: what the importer says is for those who made a file elsewhere.
    operators = [one for one in model.operators if one.kind in LAYERS]
    for index, (operator, affine) in enumerate(zip(operators, network.affine, strict=True)):
        try:
            alike = _same(LAYERS[operator.kind](model, operator).affine, affine)
        except NotTaken:
            alike = False
        if not alike:
            why = "its multipliers come from scales that the backbone does not have"
            raise _refusal(network, index, why, "import or quantise the network again")
    try:
        found = import_model(model, network.name).network
    except UserError as error:
        raise UserError(
            f"network {network.name} cannot be said in TFLite: its file does not read back; export "
            "it as .blob or .h"
        ) from error
    for index, layer in enumerate(network.layers):
        have, want = found.parameters[index], network.parameters[index]
        alike = replace(found.layers[index], inputs=found.reads(index)) == replace(
            layer, inputs=network.reads(index)
        )
        if not alike or (have and want and not np.array_equal(have.weights, want.weights)):
            raise _refusal(network, index, "it reads back as another layer")


def _same(one: Affine, other: Affine) -> bool:
    return all(np.array_equal(value, vars(other)[name]) for name, value in vars(one).items())
