"""A .tflite model as an affine network: its layers, and what they absorb."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

from picotrain.convert.model import Model, Operator, Tensor
from picotrain.convert.operators import (
    LAYERS,
    PADS,
    Made,
    NotTaken,
    pads_of,
    quantised,
    shape_of,
)
from picotrain.errors import UserError
from picotrain.learn.affine_file import Scales
from picotrain.quantise.arithmetic import logits_scale
from picotrain.text import printable
from picotrain_golden import Network, Parameters, validate
from picotrain_golden.network import Shape

RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
ENDS = ("SOFTMAX", "DEQUANTIZE", "QUANTIZE")
"""Absorbed behind the last layer; QUANTIZE before the first one too."""

_INSTEAD = {
    **dict.fromkeys(
        ("TANH", "LOGISTIC", "HARD_SWISH", "ELU", "LEAKY_RELU", "PRELU"), "ReLU or ReLU6"
    ),
    **dict.fromkeys(("RELU", "RELU6"), "the activation of the layer before it"),
    **dict.fromkeys(("SUB", "CONCATENATION", "MUL"), "ADD of two layers"),
    "TRANSPOSE_CONV": "CONV_2D",
    "BATCH_MATMUL": "FULLY_CONNECTED",
}

_INPUTS = ("INT8", "UINT8", "FLOAT32")

_RISING = ("LOGISTIC", "TANH")
"""At the end they can be left out, as SOFTMAX: the largest output stays the largest."""


@dataclass(frozen=True)
class Imported:
    """`tensors[l]` is the tensor of the file that layer l makes; `input` is that of the network,
    int8. `absorbed` are operators that are no layer of their own."""

    model: Model
    network: Network
    input: Tensor
    tensors: tuple[Tensor, ...]
    absorbed: tuple[Operator, ...]

    @property
    def note(self) -> str:
        """On what is not as in the file; empty if all is."""
        return logits_scale(quantised(self.tensors[-1])[0])[1]

    @property
    def scales(self) -> Scales:
        """Of the input, of the layers' outputs and of their weights."""
        weights = []
        for tensor, layer in zip(self.tensors, self.network.layers, strict=True):
            operator = self.model.producer(tensor.index)
            assert operator is not None
            held = layer.has_weights
            weights.append(self.model.tensors[operator.inputs[1]].scales if held else ())
        tensors = (quantised(one)[0] for one in (self.input, *self.tensors))
        return Scales(tuple(tensors), tuple(weights))

    def made(self) -> dict[str, Any]:
        """For the backbone file: where it is from, and how its numbers are read."""
        scale, zero = quantised(self.input)
        out_scale, out_zero = quantised(self.tensors[-1])
        return {
            "imported": {
                "file": self.model.path.name,
                "sha256": hashlib.sha256(self.model.content).hexdigest(),
                "absorbed": [one.title for one in self.absorbed],
            },
            "input": {"scale": scale, "zero": zero},
            "output": {"scale": out_scale, "zero": out_zero},
        }


def import_model(model: Model, name: str | None = None) -> Imported:
    """The network of a model; UserError, one sentence, for one that is not taken."""
    _check_types(model)
    made, refused = _layers(model)
    found = _Links(model)
    links: list[tuple[int, ...]] = []
    for one in made:
        try:
            links.append(tuple(found.origin(source) for source in one.sources))
        except _Follows:
            continue
        except NotTaken as why:
            refused.append((one.operator, str(why)))
    end = -1
    try:
        end = found.end()
    except _Follows:
        pass
    except NotTaken as why:
        refused.append((model.operators[-1], str(why)))
    if refused:
        raise _refusal(model, refused)
    if not made:
        kinds = ", ".join(dict.fromkeys(operator.kind for operator in model.operators))
        raise UserError(
            f"{model.path} has no layer, only {kinds}; give a network with one of "
            f"{', '.join(LAYERS)}"
        )
    by_tensor = {one.operator.outputs[0]: index for index, one in enumerate(made)}
    by_tensor[found.input.index] = -1
    if by_tensor.get(end) != len(made) - 1:
        raise UserError(
            f"{model.path}: its output is not that of its last layer; convert the network again"
        )
    reads = [tuple(by_tensor[origin] for origin in origins) for origins in links]
    network = _network(model, name or _name(model), made, reads, found.input)
    absorbed = tuple(one for one in model.operators if one.kind not in LAYERS)
    outputs = tuple(model.tensors[one.operator.outputs[0]] for one in made)
    return Imported(model, network, found.input, outputs, absorbed)


def _check_types(model: Model) -> None:
    """A network that is no int8 network at all is told so once, not for every operator."""
    for operator in model.operators:
        if operator.kind not in LAYERS:
            continue
        for index in (*operator.inputs[:1], *operator.outputs):
            kind = "INT8" if index < 0 else model.tensors[index].type
            if kind != "INT8":
                raise UserError(
                    f"{model.path} computes with {kind} (tensor {index} of {operator.title}), "
                    "picotrain with int8 only; convert it again with full int8 quantisation of "
                    "weights and activations"
                )
    if model.input.type not in _INPUTS:
        raise UserError(
            f"{model.path}: its input is {model.input.type}; convert the network with an input of "
            f"{', '.join(_INPUTS)}"
        )


def _layers(model: Model) -> tuple[list[Made], list[tuple[Operator, str]]]:
    made: list[Made] = []
    refused: list[tuple[Operator, str]] = []
    for operator in model.operators:
        try:
            if operator.kind in LAYERS:
                made.append(LAYERS[operator.kind](model, operator))
            elif operator.kind in PADS:
                pads_of(model, operator)
            elif operator.kind in RESHAPES:
                _check_reshape(model, operator)
            elif operator.kind not in ENDS:
                raise NotTaken(f"it is not known here, so {_instead(model, operator)}")
            elif len(operator.inputs) != 1 or len(operator.outputs) != 1:
                raise NotTaken("it reads or makes several tensors, so convert the network again")
        except NotTaken as why:
            refused.append((operator, str(why)))
    return made, refused


def _instead(model: Model, operator: Operator) -> str:
    if operator.kind in _RISING and any(map(model.producer, operator.inputs)):
        last = model.producer(model.output.index)
        while last is not None and last.kind in (*RESHAPES, *ENDS) and last.inputs:
            last = model.producer(last.inputs[0])
        if last == operator:
            return "end with the layer before it, whose outputs have the same order"
    return f"use {_INSTEAD.get(operator.kind, 'a network without it')}"


def _check_reshape(model: Model, operator: Operator) -> None:
    if not operator.inputs or operator.inputs[0] < 0 or len(operator.outputs) != 1:
        raise NotTaken("it reads no tensor, so convert the network again")
    source, output = model.tensors[operator.inputs[0]], model.tensors[operator.outputs[0]]
    if source.elements != output.elements or source.quantisation != output.quantisation:
        raise NotTaken("it changes more than the shape, so convert the network again")
    if source.data is not None:
        raise NotTaken("it reads a constant, so convert the network again")


class _Follows(NotTaken):
    """Not taken only since an operator before it, which is listed already, is not."""


class _Links:
    """Who made a tensor, seen through the operators that are absorbed."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.input = model.input
        readers = model.consumers(model.input.index)
        # An input that is not int8 is made so at once; the network begins behind that.
        if model.input.type != "INT8" and [one.kind for one in readers] == ["QUANTIZE"]:
            self.input = model.tensors[readers[0].outputs[0]]

    def origin(self, tensor: int) -> int:
        """The tensor of a layer or of the network's input that a layer reads as `tensor`."""
        while tensor != self.input.index:
            operator = self._model.producer(tensor)
            if operator is None:
                raise NotTaken(f"tensor {tensor} is made by nothing, so convert the network again")
            if operator.kind in LAYERS:
                break
            if operator.kind in PADS:
                raise NotTaken(f"it reads a {operator.kind}, so pad before convolutions only")
            if operator.kind in ENDS and not self._same(operator):
                raise NotTaken(f"it reads a {operator.kind}, so use that at the end only")
            if operator.kind not in (*RESHAPES, *ENDS):
                raise _Follows
            tensor = operator.inputs[0] if operator.inputs else -1
        return tensor

    def end(self) -> int:
        """The layer's tensor behind which only what is absorbed leads to the output."""
        tensor = self._model.output.index
        while tensor != self.input.index:
            operator = self._model.producer(tensor)
            if operator is None or operator.kind in LAYERS or not operator.inputs:
                break
            if operator.kind not in (*RESHAPES, *ENDS, *PADS):
                raise _Follows
            if operator.kind in PADS:
                raise NotTaken("the output does not come from a layer, so end with one")
            tensor = operator.inputs[0]
        return tensor

    def _same(self, operator: Operator) -> bool:
        """A QUANTIZE that changes nothing."""
        if operator.kind != "QUANTIZE":
            return False
        source = self._model.tensors[operator.inputs[0]]
        output = self._model.tensors[operator.outputs[0]]
        return source.type == output.type and source.quantisation == output.quantisation


def _refusal(model: Model, refused: list[tuple[Operator, str]]) -> UserError:
    refused.sort(key=lambda one: one[0].position)
    listed = "; ".join(f"{operator.title}: {why}" for operator, why in refused)
    count = len({operator.position for operator, _ in refused})
    what = "1 operator that is" if count == 1 else f"{count} operators that are"
    return UserError(f"{model.path} has {what} not taken: {printable(listed)}")


def _name(model: Model) -> str:
    """Of the file, as far as a network may be called so."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", model.path.stem).lstrip("-_")[:32]
    return plain or "imported"


def _network(
    model: Model, name: str, made: list[Made], reads: list[tuple[int, ...]], input_: Tensor
) -> Network:
    input_shape = _input_shape(input_, made, reads)
    shapes: list[Shape] = []
    layers = []
    for index, (one, numbers) in enumerate(zip(made, reads, strict=True)):
        layer = one.layer
        sources = [input_shape if number < 0 else shapes[number] for number in numbers]
        if layer.kind == "linear":
            # It takes its input in whatever shape.
            layer = replace(layer, in_shape=sources[0])
        elif any(shape != layer.in_shape for shape in sources):
            raise _refusal(
                model,
                [
                    (
                        one.operator,
                        f"it reads a tensor of {list(sources[0])} in the shape "
                        f"{list(layer.in_shape)}, so reshape before FULLY_CONNECTED or at the "
                        "input only",
                    )
                ],
            )
        if numbers != (index - 1,):
            layer = replace(layer, inputs=numbers)
        layers.append(layer)
        shapes.append(layer.out_shape)
    parameters = tuple(None if one.weights is None else Parameters(one.weights, 0) for one in made)
    scale, _ = quantised(model.tensors[made[-1].operator.outputs[0]])
    network = Network(
        name,
        input_shape,
        tuple(layers),
        parameters,
        tuple(one.affine for one in made),
        logits_scale(scale)[0],
    )
    try:
        validate(network)
    except ValueError as error:
        raise UserError(
            f"{model.path} is not taken: {printable(str(error))}; build the network otherwise"
        ) from None
    return network


def _input_shape(input_: Tensor, made: list[Made], reads: list[tuple[int, ...]]) -> Shape:
    """That in which the first layer with an opinion reads it: a RESHAPE may stand before."""
    for one, numbers in zip(made, reads, strict=True):
        if -1 in numbers and one.layer.kind != "linear":
            return one.layer.in_shape
    return shape_of(input_)
