"""The float graph that grows as the nodes of a file are walked."""

from __future__ import annotations

from dataclasses import replace
from math import inf, prod

import numpy as np
from numpy.typing import NDArray

from picotrain.convert.onnx.views import Index, NotTaken, View, identity
from picotrain.quantise.graph import FloatGraph, FloatLayer, TensorScale
from picotrain_golden.network import (
    MAX_DIMENSION,
    MAX_ELEMENTS,
    MAX_WEIGHTS,
    Kind,
    Layer,
    Pair,
    Shape,
)
from picotrain_golden.operators import OPERATORS

Real = NDArray[np.float64]
ONE: Pair = (1, 1)
NONE: Pair = (0, 0)


class Builder:
    """`layout`[p] is the element of the file's input, counted in its own order, that stands at
    place p of the network's [H, W, C]."""

    def __init__(self, sizes: tuple[int, ...], channels_last: bool) -> None:
        self.layers: list[FloatLayer] = []
        self.input_scale: TensorScale | None = None
        self.layout: Index | None = None
        self._sizes = sizes
        self._channels_last = channels_last
        self._input_shape: Shape = (1, 1, 1)
        self._places: Index = np.zeros(0, np.int64)

    # Shapes and orders

    def input(self) -> View:
        if prod(self._sizes) > MAX_ELEMENTS or max(self._sizes) > MAX_DIMENSION:
            raise NotTaken(f"its input is {list(self._sizes)}, so use a smaller one")
        return View(-1, identity(self._sizes))

    def shape_of(self, source: int) -> Shape:
        return self._input_shape if source < 0 else self.layers[source].layer.out_shape

    def _lay_out(self, index: Index) -> None:
        """Decide how the input lies in [H, W, C], by the first that reads it: `index`, [C, H, W],
        [C, L] or [F]."""
        if self.layout is not None:
            return
        if index.ndim == 3:
            placed = index.transpose(1, 2, 0)
        elif index.ndim == 2:
            placed = index.T[:, None, :]
        else:
            placed = index.reshape(1, 1, -1)
        if self._channels_last and index.ndim == 3 and index.size == prod(self._sizes):
            placed = identity(self._sizes)
        order = placed.reshape(-1)
        if not np.array_equal(np.sort(order), np.arange(prod(self._sizes))):
            raise NotTaken("it reads a part of the input, so let the first layer read all of it")
        height, width, channels = placed.shape
        self._input_shape = (height, width, channels)
        self.layout = order.copy()
        self._places = np.argsort(order)

    def native(self, view: View) -> Index:
        """The elements of a view, counted in [H, W, C] of its source."""
        if view.source >= 0:
            return view.index
        self._lay_out(self.input().index)
        return self._places[view.index]

    def spatial(self, view: View) -> Shape:
        """[H, W, C] of a view that is an image [C, H, W], a sequence [C, L] or a row [C]."""
        if view.source < 0 and view.index.ndim in (2, 3):
            self._lay_out(view.index)
        index = self.native(view)
        if not 1 <= index.ndim <= 3:
            raise NotTaken(f"it reads a tensor of {index.ndim + 1} dimensions, so use at most 4")
        channels, height, width = (*index.shape, 1, 1)[:3]
        shape = (height, width, channels)
        order = identity(shape).transpose(2, 0, 1).reshape(index.shape)
        if shape != self.shape_of(view.source) or not np.array_equal(order, index):
            raise NotTaken(
                "it reads elements in another order or shape than they are made in, so reshape and "
                "transpose before Gemm or MatMul only"
            )
        return shape

    def view_of(self, source: int, rank: int) -> View:
        """The output of a layer as ONNX shows it: [C, H, W], [C, L] or [C]."""
        index = identity(self.shape_of(source)).transpose(2, 0, 1)
        return View(source, index if rank == 3 else index.reshape(index.shape[:rank]))

    def graph(self, name: str) -> FloatGraph:
        return FloatGraph(name, self._input_shape, tuple(self.layers), self.input_scale)

    # Layers

    def append(
        self,
        kind: Kind,
        sources: tuple[int, ...],
        out: Shape,
        kernel: Pair = ONE,
        stride: Pair = ONE,
        padding: Pair = NONE,
        weights: Real | None = None,
        bias: Real | None = None,
        weight_scales: Real | None = None,
    ) -> int:
        inputs = () if sources == (len(self.layers) - 1,) else sources
        layer = Layer(kind, self.shape_of(sources[0]), out, kernel, stride, padding, False, inputs)
        if max(out) > MAX_DIMENSION or prod(out) > MAX_ELEMENTS:
            raise NotTaken(f"it makes {list(out)}, so build a smaller network")
        complaint = OPERATORS[kind].shape_error(layer)
        if complaint:
            raise NotTaken(
                f"it {complaint}, so build the network within docs/numerics.md, section 14"
            )
        if layer.weight_count > MAX_WEIGHTS:
            raise NotTaken(
                f"it has {layer.weight_count:,} weights, so build it with at most {MAX_WEIGHTS:,}"
            )
        if layer.has_weights and bias is None:
            bias = np.zeros(layer.rows)
        self.layers.append(FloatLayer(layer, weights, bias, weight_scales=weight_scales))
        return len(self.layers) - 1

    def linear(self, view: View, weights: Real, scales: Real | None, bias: Real | None) -> int:
        """`weights` [rows, F], whose columns meet the view's elements in their order."""
        index = self.native(view).reshape(-1)
        shape = self.shape_of(view.source)
        rows, total = len(weights), prod(shape)
        if rows * total > MAX_WEIGHTS or rows > MAX_DIMENSION:
            raise NotTaken(
                f"it has {rows:,} times {total:,} weights, so build it with at most {MAX_WEIGHTS:,}"
            )
        placed = np.zeros((rows, total))
        # Each element once or, where a Gather repeats some, as often as it is met.
        for column, place in enumerate(index.tolist()):
            placed[:, place] += weights[:, column]
        if len(np.unique(index)) != len(index):
            scales = None
        return self.append(
            "linear",
            (view.source,),
            (1, 1, rows),
            weights=placed,
            bias=bias,
            weight_scales=scales,
        )

    def add(self, one: View, other: View) -> View:
        left, right = self.native(one), self.native(other)
        shape = self.shape_of(one.source)
        alike = left.shape == right.shape and np.array_equal(left, right)
        if not alike or shape != self.shape_of(other.source):
            raise NotTaken(
                f"it adds tensors of {list(left.shape)} and {list(right.shape)} that do not lie "
                "alike, so add two of one shape and order"
            )
        made = self.append("add", (one.source, other.source), shape)
        return View(made, left)

    def channels(self, view: View, values: Real, what: str) -> Real:
        """[C] of numbers that broadcast to a view, each the same for the whole of a channel."""
        full = (1, *view.index.shape)
        try:
            spread = np.broadcast_to(values, full)
        except ValueError:
            raise NotTaken(
                f"it {what} a constant of {list(values.shape)} and a tensor of {list(full)}, so "
                "use one number, or one for each channel"
            ) from None
        index = self.native(view)
        shape = self.shape_of(view.source)
        flat = np.full(prod(shape), np.nan)
        flat[index.reshape(-1)] = spread.reshape(-1)
        table = flat.reshape(-1, shape[2])
        if not np.isfinite(flat).all() or (table != table[0]).any():
            raise NotTaken(
                f"it {what} a constant that differs within a channel, or is not finite, so use one "
                "number for each channel"
            )
        found: Real = table[0]
        return found

    def scaled(self, view: View, factor: Real, offset: Real) -> View:
        """`factor` and `offset` [C], folded into the layer before where nothing else reads that,
        or else a depthwise layer of 1x1."""
        made = self.layers[view.source] if view.source >= 0 else None
        if (
            made is not None
            and made.weights is not None
            and made.bias is not None
            and view.alone
            and (made.least, made.largest, made.scale) == (-inf, inf, None)
        ):
            scales = made.weight_scales
            if scales is not None:
                scales = scales * factor if (factor > 0).all() else None
            self.layers[view.source] = replace(
                made,
                weights=made.weights * factor[:, None],
                bias=made.bias * factor + offset,
                weight_scales=scales,
            )
            return view
        index, shape = self.native(view), self.shape_of(view.source)
        source = self.append(
            "depthwise", (view.source,), shape, weights=factor[:, None], bias=offset
        )
        return View(source, index)

    def bounded(self, view: View, least: float, largest: float) -> View:
        """An activation: the bounds of the layer before it, or else a maxpool of 1x1 with them."""
        if not least <= largest:
            raise NotTaken(f"it clips to {least:g}..{largest:g}, which leaves nothing")
        if view.source >= 0 and view.alone:
            made = self.layers[view.source]
            low = min(max(made.least, least), largest)
            high = max(min(made.largest, largest), least)
            self.layers[view.source] = replace(made, least=low, largest=high)
            return view
        index, shape = self.native(view), self.shape_of(view.source)
        source = self.append("maxpool", (view.source,), shape)
        self.layers[source] = replace(self.layers[source], least=least, largest=largest)
        return View(source, index)

    # Given scales

    def scale_of(self, source: int) -> TensorScale | None:
        if source < 0:
            return self.input_scale
        made = self.layers[source]
        if made.scale is None and made.keeps_scale:
            return self.scale_of(self._reads(source))
        return made.scale

    def quantised(self, view: View, scale: TensorScale) -> View:
        """The view on the scale that a file gives it: that of the layer, or, where the layer has
        another one already, of a depthwise layer of 1x1 that rescales."""
        found = self.scale_of(view.source)
        if found is None:
            self._set_scale(view.source, scale)
        elif found != scale:
            index, shape = self.native(view), self.shape_of(view.source)
            ones = np.ones((shape[2], 1))
            source = self.append(
                "depthwise",
                (view.source,),
                shape,
                weights=ones,
                weight_scales=ones[:, 0] / 127,
            )
            self.layers[source] = replace(self.layers[source], scale=scale)
            return View(source, index, pads=view.pads)
        return view

    def _set_scale(self, source: int, scale: TensorScale) -> None:
        if source < 0:
            self.input_scale = scale
        elif self.layers[source].keeps_scale:
            self._set_scale(self._reads(source), scale)
        else:
            self.layers[source] = replace(self.layers[source], scale=scale)

    def _reads(self, source: int) -> int:
        return (self.layers[source].layer.inputs or (source - 1,))[0]
