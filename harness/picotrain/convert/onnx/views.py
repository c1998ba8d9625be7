"""What the values of an ONNX graph are, and what a node may ask of its own text.

A value is a constant, or a view: some elements of one tensor of the network, in some order and
shape. So a Reshape, a Transpose or a Flatten makes a view and no layer, and a Gemm behind it
finds in the view which of its columns meets which element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.convert.onnx.file import Node
from picotrain.quantise.graph import TensorScale
from picotrain_golden.network import MAX_ELEMENTS

Index = NDArray[np.int64]
Pads = tuple[int, int, int, int]
"""Rows above, columns left, rows below, columns right."""
NO_PADS: Pads = (0, 0, 0, 0)


class NotTaken(Exception):
    """Why a node is not taken and what to do: the end of "operator 3, Conv: ..."."""


@dataclass(frozen=True, eq=False)
class View:
    """`index` has the shape of the ONNX tensor without its batch, and says of each element which
    one of layer `source` it is, counted in [H, W, C]; -1 is the input, counted as in the file.

    `alone`: nothing else reads that tensor. `held`: between a QuantizeLinear and its
    DequantizeLinear, the scale that the integers have. `ended`: behind a Softmax.
    """

    source: int
    index: Index
    alone: bool = True
    pads: Pads = NO_PADS
    held: TensorScale | None = None
    ended: bool = False


@dataclass(frozen=True, eq=False)
class Constant:
    """Real numbers or integers. Of int8 numbers that were made real, `scales` along `axis` (or one
    for all) are what they were multiplied by."""

    array: NDArray[Any]
    scales: NDArray[np.float64] | None = None
    axis: int = 0

    @property
    def real(self) -> NDArray[np.float64]:
        if self.array.dtype.kind not in "fiu":
            raise NotTaken(f"a constant of it is {self.array.dtype}, so export the network again")
        with np.errstate(invalid="ignore"):  # Bits of a damaged file may be no number.
            return self.array.astype(np.float64)

    def each(self, rows: int, axis: int) -> NDArray[np.float64] | None:
        """The scale of each of `rows`, which lie along `axis`; None where it has none such."""
        if self.scales is None or (self.scales.size > 1 and self.axis != axis):
            return None
        return np.broadcast_to(self.scales, rows).astype(np.float64)

    def integers(self) -> list[int]:
        if self.array.dtype.kind not in "iu":
            raise NotTaken("sizes are not whole numbers, so export the network again")
        return [int(one) for one in self.array.reshape(-1)]


class Refused:
    """Made by a node that is not taken, and so is no use to those that read it."""


Value = View | Constant | Refused


class Follows(NotTaken):
    """Not taken only since a node before it, which is listed already, is not."""


class Request:
    """A node with the values that it reads."""

    def __init__(self, node: Node, values: Sequence[Value | None], opset: int) -> None:
        if any(isinstance(one, Refused) for one in values):
            raise Follows
        self.node, self.values, self.opset = node, values, opset

    def value(self, number: int) -> Value | None:
        """None where it is left out."""
        return self.values[number] if number < len(self.values) else None

    def view(self, number: int = 0) -> View:
        """A tensor of the network, as real numbers."""
        found = self.integers_or_view(number)
        if found.held is not None:
            raise NotTaken("it reads integers, so put a DequantizeLinear before it")
        return found

    def integers_or_view(self, number: int = 0) -> View:
        found = self.value(number)
        if not isinstance(found, View):
            raise NotTaken("it reads a constant where a tensor should be, so export it again")
        return found

    def live(self, number: int = 0) -> View:
        """A view that a layer may read: not behind the end."""
        found = self.view(number)
        if found.ended:
            raise NotTaken("it reads a Softmax, so use that at the end only")
        return found

    def plain(self, number: int = 0) -> View:
        """The same, with no Pad before it."""
        found = self.live(number)
        if found.pads != NO_PADS:
            raise NotTaken("it reads a Pad, so pad before convolutions only")
        return found

    def constant(self, number: int) -> Constant:
        found = self.value(number)
        if not isinstance(found, Constant):
            raise NotTaken("it reads a computed tensor as its parameter, so make that a constant")
        return found

    def optional(self, number: int) -> Constant | None:
        return None if self.value(number) is None else self.constant(number)

    def whole(self, name: str, default: int) -> int:
        found = self.node.attributes.get(name, default)
        if not isinstance(found, int):
            raise NotTaken(f"its {name} is no whole number, so export the network again")
        return found

    def real(self, name: str, default: float) -> float:
        found = self.node.attributes.get(name, default)
        if not isinstance(found, (int, float)):
            raise NotTaken(f"its {name} is no number, so export the network again")
        return float(found)

    def text(self, name: str, default: str) -> str:
        found = self.node.attributes.get(name, default)
        if not isinstance(found, str):
            raise NotTaken(f"its {name} is no text, so export the network again")
        return found

    def numbers(self, name: str, default: Sequence[int] | None = None) -> list[int] | None:
        found = self.node.attributes.get(name, default)
        if found is None:
            return None
        if not isinstance(found, (list, tuple)) or any(not isinstance(one, int) for one in found):
            raise NotTaken(f"its {name} is no list of whole numbers, so export the network again")
        return list(found)

    def axes(self, number: int, rank: int) -> list[int] | None:
        """Of an attribute or, in later opsets, of an input; counted from 0, the batch."""
        held = self.optional(number)
        found = held.integers() if held is not None else self.numbers("axes")
        if found is None:
            return None
        if any(not -rank <= axis < rank for axis in found):
            raise NotTaken(f"its axes are {found} of {rank}, so export the network again")
        return sorted({axis % rank for axis in found})


def identity(shape: Sequence[int]) -> Index:
    """All elements in their own order."""
    if prod(shape) > MAX_ELEMENTS:
        raise NotTaken(
            f"it makes {prod(shape):,} elements, so build the network with at most {MAX_ELEMENTS:,}"
        )
    return np.arange(prod(shape)).reshape(shape)


def reshaped(view: View, batch: int, sizes: Sequence[int], keep_zero: bool) -> View:
    """Of a Reshape: -1 is what is left, 0 the size that there was."""
    before = (batch, *view.index.shape)
    wanted = list(sizes)
    for place, size in enumerate(wanted):
        if size == 0 and not keep_zero:
            if place >= len(before):
                raise NotTaken(f"it asks for the shape {list(sizes)}, so export the network again")
            wanted[place] = before[place]
    if wanted.count(-1) == 1:
        known = -prod(wanted)
        wanted[wanted.index(-1)] = prod(before) // known if known > 0 else 0
    if any(size < 1 for size in wanted) or prod(wanted) != prod(before):
        raise NotTaken(
            f"it makes {list(before)} to {list(sizes)}, so export the network with fixed sizes"
        )
    if not wanted or wanted[0] != batch:
        raise NotTaken(
            f"it makes {list(before)} to {list(wanted)}, which mixes the batch in, so keep the "
            "first size"
        )
    return replace(view, index=view.index.reshape(wanted[1:]))


def transposed(view: View, order: Sequence[int]) -> View:
    if sorted(order) != list(range(view.index.ndim + 1)) or order[0] != 0:
        raise NotTaken(f"it orders axes as {list(order)}, so leave the batch first")
    return replace(view, index=view.index.transpose([axis - 1 for axis in order[1:]]))


def squeezed(view: View, axes: Sequence[int] | None) -> View:
    shape = view.index.shape
    if axes is None:
        axes = [axis + 1 for axis, size in enumerate(shape) if size == 1]
    if any(not 1 <= axis <= len(shape) or shape[axis - 1] != 1 for axis in axes):
        raise NotTaken(f"it squeezes axes {list(axes)}, so squeeze sizes of 1 behind the batch")
    kept = [size for axis, size in enumerate(shape) if axis + 1 not in axes]
    return replace(view, index=view.index.reshape(kept))


def unsqueezed(view: View, axes: Sequence[int]) -> View:
    rank = view.index.ndim + 1 + len(axes)
    if 0 in axes or max(axes, default=0) >= rank or rank > 8:
        raise NotTaken(f"it adds axes {list(axes)}, so add them behind the batch")
    sizes = iter(view.index.shape)
    shape = [1 if axis in axes else next(sizes) for axis in range(1, rank)]
    return replace(view, index=view.index.reshape(shape))
