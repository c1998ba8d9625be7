"""The affine form: a graph of layers, each of which may read any before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, cast

from picotrain.errors import UserError
from picotrain.learn.architectures.architecture import Activation, Architecture, Step, in_words
from picotrain.learn.architectures.table import (
    Table,
    check_kernel,
    check_output,
    check_sizes,
    head,
)
from picotrain.text import is_name
from picotrain_golden import Network
from picotrain_golden.network import (
    MAX_AFFINE_LAYERS,
    MAX_AFFINE_OUTPUTS,
    MAX_DIMENSION,
    MAX_ELEMENTS,
    MAX_KERNEL,
    MAX_WINDOW,
    WEIGHTED,
    Kind,
    Layer,
    Pair,
    Shape,
)
from picotrain_golden.operators import OPERATORS

FORM = "affine"
TOP = ("form", "name", "input", "layer")
ACTIVATIONS: tuple[Activation, ...] = ("none", "relu", "relu6")
INPUT = "input"
"""The name of the network's input."""
SAME = "same"
_MAX_STRIDE = 2
"""Of convolutions."""


@dataclass(frozen=True)
class Row:
    """A kind: the keys of its own, and its layer from a table and the shape that it reads."""

    keys: frozenset[str]
    layer: Callable[[Table, Shape], Layer]


def _convolution(table: Table, shape: Shape) -> Layer:
    channels = table.size("channels", 1, MAX_DIMENSION)
    return _windowed("conv2d", table, shape, channels, MAX_KERNEL, _MAX_STRIDE)


def _depthwise(table: Table, shape: Shape) -> Layer:
    return _windowed("depthwise", table, shape, shape[2], MAX_KERNEL, _MAX_STRIDE)


def _linear(table: Table, shape: Shape) -> Layer:
    outputs = table.size("outputs", 1, MAX_DIMENSION)
    return _plain("linear", shape, (1, 1, outputs))


def _add(table: Table, shape: Shape) -> Layer:
    return _plain("add", shape, shape)


def _maxpool(table: Table, shape: Shape) -> Layer:
    return _windowed("maxpool", table, shape, shape[2], MAX_WINDOW, MAX_WINDOW)


def _avgpool(table: Table, shape: Shape) -> Layer:
    if not table.flag("global", False):
        return _windowed("avgpool", table, shape, shape[2], MAX_WINDOW, MAX_WINDOW)
    for key in _WINDOW:
        if key in table.values:
            raise table.error(f"it has global = true and {key}; leave one of them out")
    if max(shape[:2]) > MAX_WINDOW:
        raise table.error(
            f"its input {in_words(shape)} is larger than {MAX_WINDOW}; make it smaller before"
        )
    return Layer("avgpool", shape, (1, 1, shape[2]), shape[:2], (1, 1), (0, 0), False)


_WINDOW = ("kernel", "stride", "padding")
KINDS: dict[str, Row] = {
    "conv2d": Row(frozenset(("channels", *_WINDOW, "bias")), _convolution),
    "depthwise": Row(frozenset((*_WINDOW, "bias")), _depthwise),
    "linear": Row(frozenset(("outputs", "bias")), _linear),
    "maxpool": Row(frozenset(_WINDOW), _maxpool),
    "avgpool": Row(frozenset((*_WINDOW, "global")), _avgpool),
    "add": Row(frozenset(), _add),
}
ALL_KINDS = ("kind", "name", "inputs", "activation")
"""Keys that every layer may have."""


def _plain(kind: Kind, shape: Shape, out_shape: Shape) -> Layer:
    return Layer(kind, shape, out_shape, (1, 1), (1, 1), (0, 0), False)


def _windowed(
    kind: Kind, table: Table, shape: Shape, channels: int, largest: int, largest_stride: int
) -> Layer:
    kernel = table.pair("kernel", 1, largest)
    pools = largest_stride > _MAX_STRIDE
    stride = table.pair("stride", 1, largest_stride, default=list(kernel) if pools else 1)
    if table.values.get("padding") == SAME:
        out, padding = zip(
            *(same_padding(shape[axis], kernel[axis], stride[axis]) for axis in (0, 1)), strict=True
        )
    else:
        padding = table.pair("padding", 0, largest - 1, default=0, more='"same", ')
        check_kernel(table, shape, kernel, padding)
        out = tuple(
            (shape[axis] + 2 * padding[axis] - kernel[axis]) // stride[axis] + 1 for axis in (0, 1)
        )
    layer = Layer(kind, shape, (*out, channels), kernel, stride, padding, False)
    check_output(table, layer)
    return layer


def same_padding(size: int, kernel: int, stride: int) -> Pair:
    """Outputs along an axis and the padding before it, by TFLite's rule SAME."""
    outputs = -(-size // stride)
    return outputs, max((outputs - 1) * stride + kernel - size, 0) // 2


def parse(top: Table) -> Architecture:
    top.allow(TOP)
    name, shape, tables = head(top)
    if not 1 <= len(tables) <= MAX_AFFINE_LAYERS:
        raise top.error(f"there are {len(tables)} layers; use 1 to {MAX_AFFINE_LAYERS}")
    names: dict[str, int] = {INPUT: -1}
    shapes = {-1: shape}
    layers: list[Layer] = []
    steps: list[Step] = []
    titles: list[str] = []
    for index, values in enumerate(tables):
        table = _titled(top.where, index, values)
        layer = _layer(table, index, names, shapes)
        step = _step(table, layer)
        if step.name:
            if step.name in names:
                raise table.error(
                    f"name {step.name!r} is that of {_owner(names, step.name)}; use another"
                )
            names[step.name] = index
        shapes[index] = layer.out_shape
        layers.append(layer)
        steps.append(step)
        titles.append(table.where)
    _check_read(top, layers, titles)
    outputs = prod(layers[-1].out_shape)
    if not 2 <= outputs <= MAX_AFFINE_OUTPUTS:
        raise UserError(
            f"{titles[-1]}: its output, the network's, has {outputs:,} elements; "
            f"use 2 to {MAX_AFFINE_OUTPUTS:,}"
        )
    return Architecture(name, shape, tuple(layers), tuple(steps))


def _titled(source: str, index: int, values: dict[str, Any]) -> Table:
    """A layer's table, of a kind that is known and with keys that it has."""
    table = Table(f"{source}: layer {index}", values)
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise table.error(f"unknown kind {kind!r}; use one of {', '.join(KINDS)}")
    name = values.get("name")
    called = f", {name!r}" if isinstance(name, str) else ""
    table = Table(f"{table.where} ({kind}{called})", values)
    table.allow((*ALL_KINDS, *KINDS[kind].keys))
    return table


def _layer(table: Table, index: int, names: dict[str, int], shapes: dict[int, Shape]) -> Layer:
    kind = cast(Kind, table.values["kind"])
    wanted = OPERATORS[kind].inputs
    reads = _reads(table, index, names, wanted)
    shape = shapes[reads[0]]
    for other in reads[1:]:
        if shapes[other] != shape:
            raise table.error(
                f"it reads {in_words(shape)} and {in_words(shapes[other])}; name two layers of "
                "one shape"
            )
    layer = KINDS[kind].layer(table, shape)
    if reads != (index - 1,):
        layer = replace(layer, inputs=reads)
    check_sizes(table, layer, layer.row_length)
    if prod(layer.out_shape) > MAX_ELEMENTS:
        raise table.error(
            f"its output {in_words(layer.out_shape)} has more than {MAX_ELEMENTS:,} elements; "
            "use fewer channels"
        )
    complaint = OPERATORS[kind].shape_error(layer)
    if complaint:
        raise table.error(f"it {complaint}; use another kernel, stride or padding")
    return layer


def _reads(table: Table, index: int, names: dict[str, int], wanted: int) -> tuple[int, ...]:
    given = table.values.get("inputs")
    if given is None and wanted == 1:
        return (index - 1,)
    how = f"name {'one layer' if wanted == 1 else 'two layers'} before it, or {INPUT!r}"
    if not isinstance(given, list) or len(given) != wanted:
        raise table.error(f"inputs is {'missing' if given is None else repr(given)}; {how}")
    for one in given:
        if one not in names if isinstance(one, str) else True:
            raise table.error(f"inputs names {one!r}, which is no layer before it; {how}")
    return tuple(names[one] for one in given)


def _step(table: Table, layer: Layer) -> Step:
    name = table.get("name", "")
    if name != "" and not is_name(name):
        raise table.error(f"name is {name!r}; use 1 to 32 letters, digits, '-' and '_'")
    activation = cast(Activation, table.word("activation", ACTIVATIONS, "none"))
    return Step(name, layer.kind in WEIGHTED and table.flag("bias", True), activation)


def _owner(names: dict[str, int], name: str) -> str:
    return "the network's input" if name == INPUT else f"layer {names[name]}"


def _check_read(top: Table, layers: list[Layer], titles: list[str]) -> None:
    """Every output but the last is read by someone, and so is the input."""
    read = {one for index, layer in enumerate(layers) for one in layer.inputs or (index - 1,)}
    for number in range(-1, len(layers) - 1):
        if number not in read:
            where = top.where if number < 0 else titles[number]
            what = "the input" if number < 0 else "its output"
            raise UserError(f"{where}: {what} is read by no layer; name it in inputs of one")


def document(network: Network | Architecture) -> dict[str, Any]:
    """The shapes of an affine network: two of the same are one architecture."""
    tables = [
        {
            "kind": layer.kind,
            **{key: list(getattr(layer, key)) for key in ("out_shape", *_WINDOW)},
            "inputs": list(layer.inputs or (index - 1,)),
        }
        for index, layer in enumerate(network.layers)
    ]
    return {"name": network.name, "input": list(network.input_shape), "layer": tables}
