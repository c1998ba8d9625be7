"""An ONNX model as a float graph: its nodes, walked in their order."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from picotrain.convert.onnx import layers, scales
from picotrain.convert.onnx.builder import Builder
from picotrain.convert.onnx.constants import KINDS as OF_CONSTANTS
from picotrain.convert.onnx.constants import folded, slices
from picotrain.convert.onnx.file import Model, Node
from picotrain.convert.onnx.views import (
    NO_PADS,
    Constant,
    Follows,
    Index,
    NotTaken,
    Refused,
    Request,
    Value,
    View,
    reshaped,
    squeezed,
    transposed,
    unsqueezed,
)
from picotrain.errors import UserError
from picotrain.quantise.graph import FloatGraph
from picotrain.text import printable

_INSTEAD = {
    **dict.fromkeys(
        (
            *("Sigmoid", "Tanh", "Gelu", "Elu", "Selu", "Celu", "Erf", "Mish", "Softplus"),
            *("LeakyRelu", "PRelu", "HardSwish", "HardSigmoid", "Softsign", "ThresholdedRelu"),
        ),
        "ReLU or ReLU6",
    ),
    **dict.fromkeys(("Concat", "Sum", "Split", "Max", "Min"), "Add of two layers"),
    **dict.fromkeys(("ConvTranspose", "Resize", "Upsample"), "Conv"),
    **dict.fromkeys(("Einsum",), "Gemm"),
    **dict.fromkeys(
        ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "LRN"),
        "BatchNormalization",
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "convolutions"),
    **dict.fromkeys(
        (
            *("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger"),
            *("DynamicQuantizeLinear", "com.microsoft.QLinearAdd", "com.microsoft.QGemm"),
        ),
        "QuantizeLinear and DequantizeLinear (QuantFormat.QDQ)",
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "a network without conditions and loops"),
}


@dataclass(frozen=True, eq=False)
class Floats:
    """`order`[p] is the element of an image, counted as the file does, at place p of the network's
    [H, W, C]. `absorbed` are kinds of operators that are no layers, and how many of each."""

    model: Model
    graph: FloatGraph
    order: Index
    absorbed: dict[str, int]

    def made(self) -> dict[str, Any]:
        """For the backbone file: where it is from."""
        return {
            "imported": {
                "file": self.model.path.name,
                "sha256": hashlib.sha256(self.model.content).hexdigest(),
                "absorbed": self.absorbed,
            }
        }


def import_floats(model: Model, name: str | None = None) -> Floats:
    """The float graph of a model; UserError, one sentence, for one that is not taken."""
    nodes = _needed(model)
    walk = _Walk(model, nodes)
    end = walk.run()
    builder = walk.builder
    if not builder.layers:
        kinds = ", ".join(dict.fromkeys(node.kind for node in nodes))
        raise UserError(
            f"{model.path} has no layer, only {printable(kinds)}; give a network with Conv, Gemm "
            "or MatMul"
        )
    in_order = np.array_equal(builder.native(end).reshape(-1), np.arange(end.index.size))
    last = builder.layers[-1].layer
    whole = end.index.size == np.prod(last.out_shape)
    if end.source != len(builder.layers) - 1 or end.pads != NO_PADS or not (in_order and whole):
        raise UserError(
            f"{model.path}: its output is not that of its last layer, in that order; end the "
            "network with Gemm or MatMul"
        )
    graph = builder.graph(name or _name(model))
    assert builder.layout is not None
    return Floats(model, graph, builder.layout, dict(walk.absorbed))


def _name(model: Model) -> str:
    """Of the file, as far as a network may be called so."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", model.path.stem).lstrip("-_")[:32]
    return plain or "imported"


def _needed(model: Model) -> list[Node]:
    """The nodes that lead to the output; others compute nothing that is asked for."""
    wanted, found = {model.output}, []
    for node in reversed(model.nodes):
        if wanted & set(node.outputs):
            wanted |= set(node.inputs)
            found.append(node)
    return found[::-1]


_ELEMENTWISE = {
    *("Sub", "Div", "Mul", "Add", "Cast", "Identity", "BatchNormalization"),
    *("QuantizeLinear", "DequantizeLinear"),
}
_CHANNELS_FIRST = [0, 3, 1, 2]


def _channels_last(model: Model, nodes: list[Node]) -> bool:
    """Whether the input is [N, H, W, C]: what is made of it is transposed before any layer."""
    value = model.input
    for node in nodes:
        if value not in node.inputs:
            continue
        if node.kind == "Transpose":
            return node.attributes.get("perm") == _CHANNELS_FIRST
        if node.kind not in _ELEMENTWISE:
            return False
        value = node.outputs[0]
    return False


class _Walk:
    def __init__(self, model: Model, nodes: list[Node]) -> None:
        self._model, self._nodes = model, nodes
        self.builder = Builder(model.shape[1:], _channels_last(model, nodes))
        self.absorbed: Counter[str] = Counter()
        self._readers = Counter(name for node in nodes for name in node.inputs)
        self._readers[model.output] += 1
        self._values: dict[str, Value] = {
            name: Constant(array) for name, array in model.constants.items()
        }

    def run(self) -> View:
        """The value of the output; UserError with all that is not taken."""
        model, refused = self._model, []
        try:
            self._values[model.input] = self.builder.input()
        except NotTaken as why:
            raise UserError(f"{model.path} is not taken: {printable(str(why))}") from None
        for node in self._nodes:
            made: Value = Refused()
            try:
                made = self._made(node)
            except Follows:
                if node.kind not in LAYERS and node.kind not in ABSORBED:
                    refused.append((node, _unknown(node)))
            except NotTaken as why:
                refused.append((node, str(why)))
            for output in node.outputs:
                self._values[output] = Refused()
            self._values[node.outputs[0]] = made
        if refused:
            raise _refusal(model, refused)
        end = self._values[model.output]
        if not isinstance(end, View):
            raise UserError(
                f"{model.path}: its output does not depend on its input; export the network again"
            )
        return end

    def _made(self, node: Node) -> Value:
        request = Request(node, [self._read(name) for name in node.inputs], self._model.opset)
        if node.kind == "Constant":
            return _constant(node)
        given = [one for one in request.values if one is not None]
        constant = bool(given) and all(isinstance(one, Constant) for one in given)
        if constant and node.kind in OF_CONSTANTS:
            return folded(request)
        before = len(self.builder.layers)
        if node.kind in LAYERS:
            made = LAYERS[node.kind](self.builder, request)
        elif node.kind in ABSORBED:
            made = ABSORBED[node.kind](request, self._model.shape[0])
        else:
            raise NotTaken(_unknown(node))
        if isinstance(made, View) and len(self.builder.layers) == before:
            self.absorbed[node.kind] += 1
        return made

    def _read(self, name: str) -> Value | None:
        if not name:
            return None
        found = self._values[name]
        if isinstance(found, View):
            return replace(found, alone=found.alone and self._readers[name] == 1)
        return found


def _unknown(node: Node) -> str:
    return f"it is not known here, so use {_INSTEAD.get(node.kind, 'a network without it')}"


def _refusal(model: Model, refused: list[tuple[Node, str]]) -> UserError:
    listed = "; ".join(f"{node.title}: {why}" for node, why in refused)
    what = "1 operator that is" if len(refused) == 1 else f"{len(refused)} operators that are"
    return UserError(f"{model.path} has {what} not taken: {printable(listed)}")


def _constant(node: Node) -> Constant:
    for name, kind in (
        *(("value", None), ("value_int", np.int64), ("value_ints", np.int64)),
        *(("value_float", np.float32), ("value_floats", np.float32)),
    ):
        found = node.attributes.get(name)
        if found is not None and not isinstance(found, str):
            return Constant(np.asarray(found, kind))
    raise NotTaken("it is no number, so export the network again")


# Nodes that make no layer: another view of the same tensor


def _same(request: Request, batch: int) -> Value:
    return request.integers_or_view()


def _cast(request: Request, batch: int) -> Value:
    if request.whole("to", 1) != 1:
        raise NotTaken("it makes other numbers than FLOAT of a tensor, so leave it out")
    return request.view()


def _shape(request: Request, batch: int) -> Value:
    sizes = (batch, *request.integers_or_view().index.shape)
    end = request.node.attributes.get("end")
    return Constant(np.array(sizes[request.whole("start", 0) : end], np.int64))


def _unpadded(request: Request) -> View:
    view = request.integers_or_view()
    if view.pads != NO_PADS:
        raise NotTaken("it reads a Pad, so pad before convolutions only")
    return view


def _reshape(request: Request, batch: int) -> Value:
    keep_zero = bool(request.whole("allowzero", 0))
    return reshaped(_unpadded(request), batch, request.constant(1).integers(), keep_zero)


def _flatten(request: Request, batch: int) -> Value:
    view, axis = _unpadded(request), request.whole("axis", 1)
    sizes = (batch, *view.index.shape)
    axis += len(sizes) if axis < 0 else 0
    if not 1 <= axis <= len(sizes):
        raise NotTaken(f"it flattens from axis {axis}, so flatten from axis 1")
    rows = int(np.prod(sizes[:axis]))
    return reshaped(view, batch, [rows, -1], False)


def _transpose(request: Request, batch: int) -> Value:
    view = _unpadded(request)
    order = request.numbers("perm")
    return transposed(view, list(range(view.index.ndim + 1))[::-1] if order is None else order)


def _squeeze(request: Request, batch: int) -> Value:
    view = _unpadded(request)
    return squeezed(view, request.axes(1, view.index.ndim + 1))


def _unsqueeze(request: Request, batch: int) -> Value:
    view = _unpadded(request)
    held = request.optional(1)
    found = held.integers() if held is not None else request.numbers("axes")
    if not found:
        raise NotTaken("it has no axes, so export the network again")
    axes = request.axes(1, view.index.ndim + 1 + len(found))
    return unsqueezed(view, axes or [])


def _slice(request: Request, batch: int) -> Value:
    view = _unpadded(request)
    whole, *kept = slices(request, view.index.ndim + 1)
    if range(batch)[whole] != range(batch):
        raise NotTaken("it takes a part of the batch, so leave that whole")
    index = view.index[tuple(kept)]
    if not index.size:
        raise NotTaken("it leaves nothing, so export the network again")
    return replace(view, index=index)


def _pad(request: Request, batch: int) -> Value:
    view = request.live()
    if request.text("mode", "constant") != "constant":
        raise NotTaken(f"it pads by {request.text('mode', '')}, so pad with 0")
    held, value = request.optional(1), request.optional(2)
    found = held.integers() if held is not None else request.numbers("pads")
    fill = request.real("value", 0.0) if value is None else value.real.sum()
    rank = view.index.ndim + 1
    if request.optional(3) is not None:
        found = _spread(found or [], request.axes(3, rank) or [], rank)
    if found is None or len(found) != 2 * rank or rank not in (3, 4):
        raise NotTaken("it pads what is no image, so pad height and width only")
    before, after = found[:rank], found[rank:]
    if any((*before[:2], *after[:2])) or min(found) < 0:
        raise NotTaken("it pads the batch or channels, or cuts off, so pad height and width only")
    if fill != 0:
        raise NotTaken("it pads with another number than 0, so pad with 0")
    top, left, bottom, right = (*before[2:], 0)[:2] + (*after[2:], 0)[:2]
    more = (top, left, bottom, right)
    pads = tuple(one + other for one, other in zip(view.pads, more, strict=True))
    return replace(view, pads=(pads[0], pads[1], pads[2], pads[3]))


def _spread(found: list[int], axes: list[int], rank: int) -> list[int]:
    """Paddings of some axes, as those of all."""
    if len(found) != 2 * len(axes):
        raise NotTaken("its pads are not those of its axes, so export the network again")
    whole = [0] * (2 * rank)
    for place, axis in enumerate(axes):
        whole[axis], whole[rank + axis] = found[place], found[len(axes) + place]
    return whole


def _end(request: Request, batch: int) -> Value:
    """Left out: it keeps the order of the outputs, if it is over all of them at once."""
    view = request.view()
    sizes = (batch, *view.index.shape)
    # Before opset 13 it is over that axis and all behind it.
    older = request.opset < 13
    axis = request.whole("axis", 1 if older else -1)
    if not -len(sizes) <= axis < len(sizes):
        raise NotTaken(f"its axis is {axis} of {len(sizes)}, so export the network again")
    first = axis % len(sizes)
    over = prod(sizes[first:]) if older else sizes[first]
    if over != view.index.size or (first == 0 and batch != 1):
        raise NotTaken(
            f"it is over axis {axis} of {list(sizes)}, so use it at the end, over all outputs"
        )
    return replace(view, ended=True)


ABSORBED: dict[str, Callable[[Request, int], Value]] = {
    **dict.fromkeys(("Identity", "Dropout"), _same),
    "Cast": _cast,
    "Shape": _shape,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Pad": _pad,
    **dict.fromkeys(("Softmax", "LogSoftmax"), _end),
}

LAYERS: dict[str, Callable[[Builder, Request], Value]] = {
    "Conv": layers.convolution,
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "MaxPool": layers.pool("maxpool"),
    "AveragePool": layers.pool("avgpool"),
    "GlobalMaxPool": layers.global_pool("maxpool"),
    "GlobalAveragePool": layers.global_pool("avgpool"),
    "ReduceMax": layers.reduced("maxpool"),
    "ReduceMean": layers.reduced("avgpool"),
    "BatchNormalization": layers.normalised,
    "Add": layers.added,
    "Sub": layers.subtracted,
    "Mul": layers.multiplied(False),
    "Div": layers.multiplied(True),
    "Relu": layers.rectified,
    "Clip": layers.clipped,
    "QuantizeLinear": scales.quantise,
    "DequantizeLinear": scales.dequantise,
}
