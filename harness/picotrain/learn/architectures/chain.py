"""The power-of-two form: a chain of layers, each of which reads the one before it."""

from __future__ import annotations

from typing import Any

from picotrain.errors import UserError
from picotrain.learn.architectures.architecture import Architecture, in_words
from picotrain.learn.architectures.table import (
    Table,
    check_kernel,
    check_output,
    check_sizes,
    head,
)
from picotrain_golden import Network
from picotrain_golden.network import (
    MAX_CLASSES,
    MAX_DIMENSION,
    MAX_KERNEL,
    MAX_LAYERS,
    Layer,
    Shape,
    conv2d,
    linear,
    maxpool2,
)

TOP = ("name", "input", "layer")
KEYS = {
    "conv2d": {"kind", "channels", "kernel", "stride", "padding", "relu"},
    "maxpool2": {"kind"},
    "linear": {"kind", "outputs", "relu"},
}


def parse(top: Table) -> Architecture:
    top.allow(TOP)
    name, shape, tables = head(top)
    if not 1 <= len(tables) <= MAX_LAYERS:
        raise top.error(f"there are {len(tables)} layers; use 1 to {MAX_LAYERS}")
    layers = []
    for index, values in enumerate(tables):
        layer = _layer(Table(f"{top.where}: layer {index}", values), shape)
        layers.append(layer)
        shape = layer.out_shape
    last = layers[-1]
    if last.kind != "linear" or last.relu:
        what = f"{last.kind} with ReLU" if last.relu else last.kind
        raise UserError(
            f"{top.where}: layer {len(layers) - 1}, the last one, is {what}; "
            "end the network with a linear layer with relu = false, whose outputs are the classes"
        )
    if not 2 <= last.rows <= MAX_CLASSES:
        raise UserError(
            f"{top.where}: layer {len(layers) - 1}: outputs is {last.rows}, but these are the "
            f"classes; use 2 to {MAX_CLASSES}"
        )
    return Architecture(name, layers[0].in_shape, tuple(layers))


def _layer(table: Table, shape: Shape) -> Layer:
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KEYS:
        raise table.error(f"unknown kind {kind!r}; use one of {', '.join(KEYS)}")
    table = Table(f"{table.where} ({kind})", table.values)
    table.allow(KEYS[kind])
    if kind == "maxpool2":
        if min(shape[:2]) < 2:
            raise table.error(
                f"its input is {in_words(shape)}, too small to halve; remove this layer"
            )
        return maxpool2(shape)
    if kind == "linear":
        layer = linear(shape, table.size("outputs", 1, MAX_DIMENSION), table.flag("relu", False))
    else:
        layer = _convolution(table, shape)
    check_sizes(table, layer, layer.most_terms)
    return layer


def _convolution(table: Table, shape: Shape) -> Layer:
    kernel = table.pair("kernel", 1, MAX_KERNEL)
    padding = table.pair("padding", 0, MAX_KERNEL - 1, default=0)
    check_kernel(table, shape, kernel, padding)
    layer = conv2d(
        shape,
        table.size("channels", 1, MAX_DIMENSION),
        kernel,
        table.size("stride", 1, 2, default=1),
        padding,
        table.flag("relu", False),
    )
    check_output(table, layer)
    return layer


def document(network: Network | Architecture) -> dict[str, Any]:
    """What `parse` reads, of a network."""
    tables: list[dict[str, Any]] = []
    for layer in network.layers:
        table: dict[str, Any] = {"kind": layer.kind}
        if layer.kind == "conv2d":
            table |= {
                "channels": layer.rows,
                "kernel": list(layer.kernel),
                "stride": layer.stride[0],
                "padding": list(layer.padding),
            }
        elif layer.kind == "linear":
            table["outputs"] = layer.rows
        if layer.has_weights:
            table["relu"] = layer.relu
        tables.append(table)
    return {"name": network.name, "input": list(network.input_shape), "layer": tables}
