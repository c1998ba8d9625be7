"""Nodes that compute: each becomes a layer, or a part of the layer before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, prod

import numpy as np

from picotrain.convert.onnx.builder import Builder, Real
from picotrain.convert.onnx.views import Constant, NotTaken, Pads, Request, View, identity
from picotrain_golden.network import MAX_KERNEL, Kind, Pair

_CONV_STRIDE = 2


def _pair(values: list[int] | None, rank: int, what: str) -> Pair:
    """One number for each axis of the image, whose second one a sequence has not."""
    found = [1] * rank if values is None else values
    if rank not in (1, 2) or len(found) != rank or min(found) < 1:
        raise NotTaken(f"its {what} is {found}, so export the network again")
    return found[0], (found[1] if rank == 2 else 1)


class _Windows:
    """Kernel, stride, padding and number of windows of a node over an image or a sequence."""

    def __init__(self, builder: Builder, request: Request, view: View, kernel: Pair) -> None:
        self.rank = view.index.ndim - 1
        if self.rank not in (1, 2):
            raise NotTaken(
                f"it reads a tensor of {self.rank + 2} dimensions, so use it on images or sequences"
            )
        self.in_shape = builder.spatial(view)
        self.kernel = kernel
        self.stride = _pair(request.numbers("strides"), self.rank, "stride")
        if _pair(request.numbers("dilations"), self.rank, "dilation") != (1, 1):
            raise NotTaken(f"it has dilation {request.numbers('dilations')}, so use 1")
        self.ceil = bool(request.whole("ceil_mode", 0))
        own = self._pads(request)
        top, left, bottom, right = (one + more for one, more in zip(own, view.pads, strict=True))
        self.padded = own != (0, 0, 0, 0)
        self.before: Pair = (top, left)
        self.after: Pair = (bottom, right)
        self.out = (self._outputs(0), self._outputs(1))

    def _pads(self, request: Request) -> Pads:
        auto = request.text("auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            both = [self._same(axis, auto == "SAME_LOWER") for axis in (0, 1)]
            return both[0][0], both[1][0], both[0][1], both[1][1]
        if auto not in ("NOTSET", "VALID"):
            raise NotTaken(f"its auto_pad is {auto}, so export the network again")
        found = request.numbers("pads") if auto == "NOTSET" else None
        found = [0] * (2 * self.rank) if found is None else found
        if len(found) != 2 * self.rank or min(found) < 0:
            raise NotTaken(f"its pads are {found}, so pad by 0 or more on each side")
        if self.rank == 1:
            return found[0], 0, found[1], 0
        return found[0], found[1], found[2], found[3]

    def _same(self, axis: int, lower: bool) -> Pair:
        size, kernel, stride = self.in_shape[axis], self.kernel[axis], self.stride[axis]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        less = total // 2
        return (total - less, less) if lower else (less, total - less)

    def _outputs(self, axis: int) -> int:
        size, stride = self.in_shape[axis], self.stride[axis]
        room = size + self.before[axis] + self.after[axis] - self.kernel[axis]
        if room < 0:
            raise NotTaken(
                f"its kernel {self.kernel[axis]} is larger than its input with padding, so use a "
                "smaller one"
            )
        if not self.ceil:
            return room // stride + 1
        outputs = -(-room // stride) + 1
        # The last window begins within the image, or in the padding before it.
        if (outputs - 1) * stride >= size + self.before[axis]:
            outputs -= 1
        return outputs

    @property
    def reaches_out(self) -> bool:
        """Whether windows reach beyond image and padding."""
        return any(
            (self.out[axis] - 1) * self.stride[axis] + self.kernel[axis]
            > self.in_shape[axis] + self.before[axis] + self.after[axis]
            for axis in (0, 1)
        )

    def layer(
        self,
        builder: Builder,
        kind: Kind,
        view: View,
        channels: int,
        weights: Real | None = None,
        bias: Real | None = None,
        scales: Real | None = None,
    ) -> View:
        source = builder.append(
            kind,
            (view.source,),
            (*self.out, channels),
            self.kernel,
            self.stride,
            self.before,
            weights,
            bias,
            scales,
        )
        return builder.view_of(source, self.rank + 1)


def _bias(held: Constant | None, rows: int) -> Real | None:
    if held is None:
        return None
    if held.array.size != rows:
        raise NotTaken(f"it has {held.array.size} biases for {rows} outputs, so export it again")
    return held.real.reshape(-1)


def convolution(builder: Builder, request: Request) -> View:
    view, held = request.live(), request.constant(1)
    shape, rank = held.array.shape, view.index.ndim - 1
    if len(shape) != rank + 2 or prod(shape) < 1:
        raise NotTaken(f"its weights are {list(shape)}, so use images or sequences")
    kernel = _pair(list(shape[2:]), rank, "kernel")
    if request.numbers("kernel_shape", shape[2:]) != list(shape[2:]):
        raise NotTaken("its kernel is not that of its weights, so export the network again")
    seen = _Windows(builder, request, view, kernel)
    channels, rows, group = seen.in_shape[2], shape[0], request.whole("group", 1)
    bias, scales = _bias(request.optional(2), rows), held.each(rows, 0)
    matrix = held.real.reshape(rows, shape[1], *kernel)
    if group == 1 and shape[1] == channels:
        weights = matrix.transpose(0, 2, 3, 1).reshape(rows, -1)
        return seen.layer(builder, "conv2d", view, rows, weights, bias, scales)
    if group == channels and shape[1] == 1 and rows == channels:
        return seen.layer(builder, "depthwise", view, rows, matrix.reshape(rows, -1), bias, scales)
    if shape[1] * group != channels:
        raise NotTaken(
            f"its weights are {list(shape)} for {channels} channels, so export the network again"
        )
    raise NotTaken(
        f"it has {group} groups of {channels} channels and makes {rows}, so use 1, or as many as "
        "channels with as many outputs"
    )


def gemm(builder: Builder, request: Request) -> View:
    view, held = request.plain(), request.constant(1)
    if request.whole("transA", 0):
        raise NotTaken("it transposes its input, so leave that out")
    if view.index.ndim != 1:
        raise NotTaken("it reads no row of numbers, so flatten before it")
    flip = not request.whole("transB", 0)
    weights = _matrix(held, flip, view.index.size)
    alpha, beta = request.real("alpha", 1.0), request.real("beta", 1.0)
    rows = len(weights)
    scales, added = held.each(rows, int(flip)), request.optional(2)
    if added is not None:
        *leading, last = added.array.shape or (1,)
        if prod(leading) != 1 or last not in (1, rows):
            raise NotTaken(
                f"its bias is {list(added.array.shape)} for {rows} outputs, so use one number, or "
                "one for each output"
            )
    if added is not None and added.array.size == 1:
        added = replace(added, array=np.broadcast_to(added.array.reshape(-1), rows))
    bias = _bias(added, rows)
    if alpha != 1:
        scales = None if scales is None or not alpha > 0 else scales * alpha
    made = builder.linear(view, weights * alpha, scales, None if bias is None else bias * beta)
    return View(made, identity((rows,)))


def _matrix(held: Constant, flip: bool, columns: int) -> Real:
    weights = held.real
    if weights.ndim == 2 and flip:
        weights = weights.T
    if weights.ndim != 2 or weights.shape[1] != columns or not weights.size:
        raise NotTaken(
            f"its weights are {list(held.array.shape)} for {columns} inputs, so export the network "
            "again"
        )
    return weights


def matmul(builder: Builder, request: Request) -> View:
    view, held = request.plain(), request.constant(1)
    if not view.index.ndim:
        raise NotTaken("it reads no row of numbers, so flatten before it")
    *leading, columns = view.index.shape
    weights = _matrix(held, True, columns)
    rows = len(weights)
    scales = held.each(rows, 1)
    if prod(leading) == 1:
        made = builder.linear(replace(view, index=view.index.reshape(-1)), weights, scales, None)
        return View(made, identity((*leading, rows)))
    # The same matrix at each place: a convolution of 1x1, if the places are those of an image.
    channels_first = replace(view, index=np.moveaxis(view.index, -1, 0))
    shape = builder.spatial(channels_first)
    made = builder.append(
        "conv2d", (view.source,), (*shape[:2], rows), weights=weights, weight_scales=scales
    )
    return View(made, identity((*leading, rows)))


def pool(kind: Kind) -> Callable[[Builder, Request], View]:
    def made(builder: Builder, request: Request) -> View:
        view = request.plain()
        if request.whole("storage_order", 0) or len(request.node.outputs) > 1:
            raise NotTaken("it makes indices too, so export the network without them")
        rank = view.index.ndim - 1
        if request.numbers("kernel_shape") is None or rank not in (1, 2):
            raise NotTaken("it has no kernel, or reads no image, so export the network again")
        kernel = _pair(request.numbers("kernel_shape"), rank, "kernel")
        seen = _Windows(builder, request, view, kernel)
        channels = seen.in_shape[2]
        counts_pads = kind == "avgpool" and seen.padded
        if not (counts_pads and request.whole("count_include_pad", 0)):
            return seen.layer(builder, kind, view, channels)
        if seen.reaches_out or max(kernel) > MAX_KERNEL or max(seen.stride) > _CONV_STRIDE:
            raise NotTaken("it counts its padding in its mean, so use count_include_pad=False")
        # A mean with zeros in it is a depthwise convolution whose weights are all one share.
        weights = np.full((channels, prod(kernel)), 1 / prod(kernel))
        return seen.layer(builder, "depthwise", view, channels, weights)

    return made


def _over(builder: Builder, view: View, kind: Kind, axes: list[int], keep: bool) -> View:
    """A pool over whole axes of an image or a sequence; axis 1 is the channels."""
    rank = view.index.ndim - 1
    if rank not in (1, 2) or any(axis < 2 for axis in axes) or not axes:
        raise NotTaken("it is not over height and width, so use a global pool there")
    height, width, channels = builder.spatial(view)
    kernel = (height if 2 in axes else 1, width if 3 in axes or rank == 1 else 1)
    out = (height // kernel[0], width // kernel[1], channels)
    made = builder.view_of(builder.append(kind, (view.source,), out, kernel), rank + 1)
    if keep:
        return made
    sizes = [size for axis, size in enumerate(made.index.shape) if axis + 1 not in axes]
    return replace(made, index=made.index.reshape(sizes))


def global_pool(kind: Kind) -> Callable[[Builder, Request], View]:
    def made(builder: Builder, request: Request) -> View:
        view = request.plain()
        return _over(builder, view, kind, list(range(2, view.index.ndim + 1)), True)

    return made


def reduced(kind: Kind) -> Callable[[Builder, Request], View]:
    def made(builder: Builder, request: Request) -> View:
        view = request.plain()
        axes = request.axes(1, view.index.ndim + 1)
        if axes is None:
            raise NotTaken("it is over all axes, so use a global pool")
        return _over(builder, view, kind, axes, bool(request.whole("keepdims", 1)))

    return made


def normalised(builder: Builder, request: Request) -> View:
    """BatchNormalization, with the moments that it has learnt."""
    view = request.plain()
    if request.whole("training_mode", 0):
        raise NotTaken("it normalises by the batch, so export the network with model.eval()")
    held = [request.constant(number) for number in range(1, 5)]
    channels = view.index.shape[0] if view.index.ndim else 0
    if any(one.array.size != channels for one in held):
        sizes = [one.array.size for one in held]
        raise NotTaken(f"it has {sizes} numbers for {channels} channels, so export it again")
    gain, offset, mean, variance = (one.real.reshape(-1) for one in held)
    shape = (1, -1, *(1,) * (view.index.ndim - 1))
    with np.errstate(all="ignore"):
        factor = gain / np.sqrt(variance + request.real("epsilon", 1e-5))
        shift = offset - mean * factor
    found = [builder.channels(view, one.reshape(shape), "normalises by") for one in (factor, shift)]
    return builder.scaled(view, found[0], found[1])


def added(builder: Builder, request: Request) -> View:
    one, other = request.value(0), request.value(1)
    if isinstance(one, View) and isinstance(other, View):
        return builder.add(request.plain(0), request.plain(1))
    number = 0 if isinstance(one, View) else 1
    view, values = request.plain(number), request.constant(1 - number).real
    shift = builder.channels(view, values, "adds")
    return builder.scaled(view, np.ones_like(shift), shift)


def subtracted(builder: Builder, request: Request) -> View:
    one, other = request.value(0), request.value(1)
    if isinstance(one, View) and isinstance(other, View):
        raise NotTaken("it subtracts two tensors, so use Add")
    if isinstance(one, View):
        view, sign, values = request.plain(0), 1.0, -request.constant(1).real
    else:
        view, sign, values = request.plain(1), -1.0, request.constant(0).real
    shift = builder.channels(view, values, "subtracts")
    return builder.scaled(view, np.full_like(shift, sign), shift)


def multiplied(inverse: bool) -> Callable[[Builder, Request], View]:
    what = "divides by" if inverse else "multiplies"

    def made(builder: Builder, request: Request) -> View:
        number = 0 if inverse or isinstance(request.value(0), View) else 1
        if isinstance(request.value(1 - number), View):
            raise NotTaken(f"it {what} two tensors, so use Add")
        view, values = request.plain(number), request.constant(1 - number).real
        with np.errstate(all="ignore"):
            factor = builder.channels(view, 1 / values if inverse else values, what)
        return builder.scaled(view, factor, np.zeros_like(factor))

    return made


def rectified(builder: Builder, request: Request) -> View:
    return builder.bounded(request.plain(), 0.0, inf)


def clipped(builder: Builder, request: Request) -> View:
    ends = []
    for number, name, default in ((1, "min", -inf), (2, "max", inf)):
        held = request.optional(number)
        end = request.real(name, default) if held is None else default
        if held is not None:
            if held.array.size != 1:
                raise NotTaken("it clips to more than one number, so use one")
            end = float(held.real.reshape(-1)[0])
        ends.append(end)
    return builder.bounded(request.plain(), ends[0], ends[1])
