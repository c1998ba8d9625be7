"""The sizes of a layer that costs depend on. Channels may be floats or tensors of a framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from picotrain_golden import Layer
from picotrain_golden.network import Pair

Number = Any
"""An int, a float, or whatever adds, subtracts, multiplies and divides like them."""


def whole(x: Number) -> bool:
    """An int: what is rounded as the firmware rounds it. Anything else stays smooth."""
    return isinstance(x, int)


def up(x: Number, step: int) -> Number:
    """The next multiple of `step`; what is no int is taken for one already."""
    return -(-x // step) * step if whole(x) else x


def parts(x: Number, step: int) -> Number:
    """How many stretches of `step` make up x."""
    return -(-x // step) if whole(x) else x / step


def aligned(length: Number) -> float:
    """The share of rows, one behind the other, that begin on a word; smooth numbers all do."""
    if not whole(length) or length % 4 == 0:
        return 1.0
    return 0.5 if length % 2 == 0 else 0.25


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: how many, how many are whole, and the taps of all that lie inside."""

    windows: int
    complete: int
    taps: int

    @property
    def mean_taps(self) -> float:
        return self.taps / self.windows


def axis(size: int, out: int, kernel: int, stride: int, padding: int) -> Axis:
    starts = [at * stride - padding for at in range(out)]
    inside = [min(start + kernel, size) - max(start, 0) for start in starts]
    return Axis(out, sum(one == kernel for one in inside), sum(inside))


def axis_of(layer: Layer, which: int) -> Axis:
    return axis(
        layer.in_shape[which],
        layer.out_shape[which],
        layer.kernel[which],
        layer.stride[which],
        layer.padding[which],
    )


@dataclass(frozen=True)
class Shape:
    """A layer; only `in_c` and `out_c` may be anything but an int."""

    kind: str
    in_h: int
    in_w: int
    in_c: Number
    out_h: int
    out_w: int
    out_c: Number
    kernel: Pair
    stride: Pair
    padding: Pair

    @classmethod
    def of(cls, layer: Layer, in_c: Number = None, out_c: Number = None) -> Shape:
        """With other channels where they are given."""
        return cls(
            layer.kind,
            *layer.in_shape[:2],
            layer.in_shape[2] if in_c is None else in_c,
            *layer.out_shape[:2],
            layer.out_shape[2] if out_c is None else out_c,
            layer.kernel,
            layer.stride,
            layer.padding,
        )

    @property
    def down(self) -> Axis:
        return axis(self.in_h, self.out_h, self.kernel[0], self.stride[0], self.padding[0])

    @property
    def across(self) -> Axis:
        return axis(self.in_w, self.out_w, self.kernel[1], self.stride[1], self.padding[1])

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def positions(self) -> int:
        return self.out_h * self.out_w

    @property
    def in_size(self) -> Number:
        return self.in_h * self.in_w * self.in_c

    @property
    def out_size(self) -> Number:
        return self.positions * self.out_c

    @property
    def row_length(self) -> Number:
        """K of a layer with weights."""
        if self.kind == "linear":
            return self.in_size
        return self.taps * self.in_c if self.kind == "conv2d" else self.taps

    @property
    def whole_windows(self) -> int:
        return self.down.complete * self.across.complete

    @property
    def pointwise(self) -> bool:
        """A window is one position of the input, and there is one for each."""
        same = (self.in_h, self.in_w) == (self.out_h, self.out_w)
        return self.taps == 1 and self.stride == (1, 1) and same

    @property
    def inside(self) -> bool:
        """No window reaches over the edge."""
        return self.whole_windows == self.positions and self.padding == (0, 0)
