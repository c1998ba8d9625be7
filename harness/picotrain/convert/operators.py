"""Operators of TFLite that are layers here: each made from what the file says of it alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from picotrain.convert import arithmetic
from picotrain.convert.model import Model, Operator, Tensor
from picotrain.learn.architectures.graph import same_padding
from picotrain.quantise.arithmetic import add_factors, mean_multiplier, multiplier
from picotrain_golden.network import Affine, Kind, Layer, Pair, Shape
from picotrain_golden.numerics import Int8, Int32
from picotrain_golden.operators import OPERATORS

SAME, VALID = 0, 1
PADS = ("PAD", "PADV2")


class NotTaken(Exception):
    """Why an operator is not taken and what to do: the end of "operator 3, CONV_2D: ..."."""


@dataclass(frozen=True)
class Made:
    """A layer, and the tensors that it reads."""

    operator: Operator
    layer: Layer
    affine: Affine
    weights: Int8 | None
    sources: tuple[int, ...]


def shape_of(tensor: Tensor) -> Shape:
    """[H, W, C] of a tensor with a batch of one."""
    if len(tensor.shape) > 4 or (len(tensor.shape) > 1 and tensor.shape[0] != 1):
        raise NotTaken(
            f"a tensor of shape {list(tensor.shape)} is no single image, so convert the network "
            "with a batch of 1 and at most 4 dimensions"
        )
    sizes = tensor.shape if len(tensor.shape) < 2 else tensor.shape[1:]
    height, width, channels = (1, 1, 1, *sizes)[-3:]
    return height, width, channels


def quantised(tensor: Tensor) -> tuple[float, int]:
    """Scale and zero point of an int8 tensor."""
    if tensor.type != "INT8":
        raise NotTaken(f"tensor {tensor.index} is {tensor.type}, so quantise the network to int8")
    if len(tensor.scales) != 1 or len(tensor.zeros) != 1:
        raise NotTaken(f"tensor {tensor.index} has not one scale, so convert the network again")
    scale, zero = tensor.scales[0], tensor.zeros[0]
    if not (isfinite(scale) and scale > 0 and -128 <= zero <= 127):
        raise NotTaken(
            f"tensor {tensor.index} has scale {scale} and zero point {zero}, so convert the "
            "network again"
        )
    return scale, zero


def data_of(tensor: Tensor, dtype: type[np.generic]) -> NDArray[np.generic]:
    """The constant elements of a tensor, flat."""
    name = np.dtype(dtype).name.upper()
    if tensor.type != name or tensor.data is None:
        what = tensor.type if tensor.data is not None else "not constant"
        raise NotTaken(f"tensor {tensor.index} is {what}, so make it a constant of type {name}")
    if len(tensor.data) != tensor.elements * np.dtype(dtype).itemsize:
        raise NotTaken(f"tensor {tensor.index} has not the bytes of its shape, so convert it again")
    return np.frombuffer(tensor.data, np.dtype(dtype).newbyteorder("<")).astype(dtype)


def tensors(model: Model, operator: Operator, least: int, most: int) -> list[Tensor | None]:
    """What it reads; None where it is left out."""
    found = [None if index < 0 else model.tensors[index] for index in operator.inputs]
    wrong = not least <= len(found) <= most or None in found[:least]
    if wrong or len(operator.outputs) != 1:
        raise NotTaken(
            f"it reads {len(found)} tensors and makes {len(operator.outputs)}, so convert the "
            "network again"
        )
    return found + [None] * (most - len(found))


def activation_bounds(operator: Operator, output: Tensor) -> tuple[int, int]:
    activation = operator.options["FusedActivationFunction"]
    if activation not in arithmetic.ACTIVATIONS:
        raise NotTaken(f"it has activation {activation}, so use none, ReLU or ReLU6")
    scale, zero = quantised(output)
    try:
        low, high = arithmetic.bounds(activation, scale, zero)
    except OverflowError as error:
        raise NotTaken(
            f"its activation's bound is more than 32 bits of its scale {scale:g}, so convert the "
            "network again"
        ) from error
    if low > high:
        raise NotTaken("its activation leaves no values, so convert the network again")
    return low, high


def pads_of(model: Model, operator: Operator) -> tuple[Pair, Pair]:
    """What a PAD adds: (top, left), (bottom, right)."""
    source, amounts, value = tensors(model, operator, 2, 3)
    assert source is not None and amounts is not None
    kind = np.int64 if amounts.type == "INT64" else np.int32
    table = data_of(amounts, kind).astype(np.int64)
    if len(source.shape) != 4 or table.size != 8:
        raise NotTaken("it pads what is no image, so pad height and width only")
    rows = table.reshape(4, 2).tolist()
    if rows[0] != [0, 0] or rows[3] != [0, 0] or min(map(min, rows)) < 0:
        raise NotTaken("it pads the batch or the channels, so pad height and width only")
    output = model.tensors[operator.outputs[0]]
    if quantised(source) != quantised(output):
        raise NotTaken("it rescales too, so convert the network again")
    if value is not None:
        fill = data_of(value, np.int8)
        if fill.size != 1 or int(fill[0]) != quantised(source)[1]:
            raise NotTaken("it pads with another number than 0, so pad with 0")
    (top, bottom), (left, right) = rows[1], rows[2]
    return (top, left), (bottom, right)


@dataclass(frozen=True)
class _Windows:
    """The input of a layer with windows, behind the PAD that it absorbs."""

    source: Tensor
    in_shape: Shape
    out: Pair
    stride: Pair
    padding: Pair


def _windows(model: Model, operator: Operator, source: Tensor, kernel: Pair) -> _Windows:
    options = operator.options
    before, after = (0, 0), (0, 0)
    producer = model.producer(source.index)
    if producer is not None and producer.kind in PADS and operator.kind not in _POOLS:
        before, after = pads_of(model, producer)
        source = model.tensors[producer.inputs[0]]
    in_shape = shape_of(source)
    stride = (options["StrideH"], options["StrideW"])
    if min(*stride, *kernel) < 1 or options["Padding"] not in (SAME, VALID):
        raise NotTaken("it has no stride, kernel or padding, so convert the network again")
    out, padding = [0, 0], list(before)
    for axis in (0, 1):
        size = in_shape[axis] + before[axis] + after[axis]
        if options["Padding"] == SAME:
            out[axis], more = same_padding(size, kernel[axis], stride[axis])
            padding[axis] += more
        else:
            out[axis] = arithmetic.valid_outputs(size, kernel[axis], stride[axis])
    return _Windows(source, in_shape, (out[0], out[1]), stride, (padding[0], padding[1]))


def _windowed(
    kind: Kind, operator: Operator, seen: _Windows, kernel: Pair, channels: int, output: Tensor
) -> Layer:
    layer = Layer(
        kind, seen.in_shape, (*seen.out, channels), kernel, seen.stride, seen.padding, False
    )
    return _checked(layer, output)


def _checked(layer: Layer, output: Tensor) -> Layer:
    """The layer, if its shapes are within the limits and are those of the file."""
    found = shape_of(output)
    alike = found == layer.out_shape
    if layer.kind == "linear":
        alike = output.elements == layer.rows
    if not alike:
        raise NotTaken(
            f"it makes {list(layer.out_shape)}, but the file says {list(found)}, so convert the "
            "network again"
        )
    complaint = OPERATORS[layer.kind].shape_error(layer)
    if complaint:
        raise NotTaken(f"it {complaint}, so build the network within docs/numerics.md, section 14")
    return layer


def _no_dilation(operator: Operator) -> None:
    factors = (operator.options["DilationHFactor"], operator.options["DilationWFactor"])
    if factors != (1, 1):
        raise NotTaken(f"it has dilation {factors[0]}x{factors[1]}, so use 1x1")


def _weighted(
    operator: Operator,
    layer: Layer,
    source: Tensor,
    weights: tuple[Tensor, Int8, int],
    bias: Tensor | None,
    output: Tensor,
) -> Made:
    """`weights`: their tensor, as [rows, K], and the axis of the file that is a row."""
    held, matrix, axis = weights
    rows = layer.rows
    scale_in, zero_in = quantised(source)
    scale_out, zero_out = quantised(output)
    scales = held.scales
    if any(held.zeros):
        raise NotTaken("its weights have a zero point, so use symmetric weights")
    if not all(isfinite(one) and one > 0 for one in scales):
        raise NotTaken("its weights have scales of 0 or less, so convert the network again")
    if len(scales) not in (1, rows) or (len(scales) > 1 and held.axis != axis):
        along = f" along axis {held.axis}" if len(scales) == rows else ""
        raise NotTaken(
            f"it has {len(scales)} scales{along} for {rows} outputs, so convert the network again"
        )
    numbers: Int32 = np.zeros(rows, np.int32)
    if bias is not None:
        numbers = data_of(bias, np.int32).astype(np.int32)
        if numbers.size != rows:
            raise NotTaken(f"it has {numbers.size} biases for {rows} outputs, so convert it again")
    each = scales if len(scales) > 1 else scales * rows
    pairs = [_factor(scale_in * one / scale_out) for one in each]
    low, high = activation_bounds(operator, output)
    m, s = _arrays(pairs)
    affine = Affine((zero_in,), zero_out, low, high, numbers, m, s)
    return Made(operator, layer, affine, matrix, (source.index,))


def _factor(factor: float) -> tuple[int, int]:
    if not isfinite(factor) or factor >= 1 << 30:
        raise NotTaken("its scales are too far apart, so convert the network again")
    return multiplier(factor)


def _arrays(pairs: list[tuple[int, int]]) -> tuple[Int32, Int32]:
    table = np.array(pairs, np.int32).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def _convolution(model: Model, operator: Operator) -> Made:
    source, held, bias = tensors(model, operator, 2, 3)
    assert source is not None and held is not None
    _no_dilation(operator)
    if len(held.shape) != 4:
        raise NotTaken("its weights have not 4 dimensions, so convert the network again")
    rows, height, width, channels = held.shape
    seen = _windows(model, operator, source, (height, width))
    if channels != seen.in_shape[2]:
        raise NotTaken(
            f"its weights are for {channels} channels of {seen.in_shape[2]}, so use no groups"
        )
    output = model.tensors[operator.outputs[0]]
    layer = _windowed("conv2d", operator, seen, (height, width), rows, output)
    matrix = data_of(held, np.int8).astype(np.int8).reshape(rows, -1)
    return _weighted(operator, layer, seen.source, (held, matrix, 0), bias, output)


def _depthwise(model: Model, operator: Operator) -> Made:
    source, held, bias = tensors(model, operator, 2, 3)
    assert source is not None and held is not None
    _no_dilation(operator)
    if len(held.shape) != 4 or held.shape[0] != 1:
        raise NotTaken("its weights are not [1, height, width, channels], so convert it again")
    _, height, width, rows = held.shape
    seen = _windows(model, operator, source, (height, width))
    output = model.tensors[operator.outputs[0]]
    multiplier = operator.options["DepthMultiplier"]
    if multiplier < 1 or rows != multiplier * seen.in_shape[2]:
        raise NotTaken(f"it makes {rows} channels of {seen.in_shape[2]}, so convert it again")
    # Of one channel, several outputs are what a convolution makes.
    kind: Kind = "depthwise" if multiplier == 1 else "conv2d"
    if multiplier > 1 and seen.in_shape[2] > 1:
        raise NotTaken(f"it has depth multiplier {multiplier}, so use 1")
    layer = _windowed(kind, operator, seen, (height, width), rows, output)
    flat = data_of(held, np.int8).astype(np.int8)
    matrix = np.ascontiguousarray(flat.reshape(-1, rows).T)
    return _weighted(operator, layer, seen.source, (held, matrix, 3), bias, output)


def _linear(model: Model, operator: Operator) -> Made:
    source, held, bias = tensors(model, operator, 2, 3)
    assert source is not None and held is not None
    output = model.tensors[operator.outputs[0]]
    if operator.options["WeightsFormat"] != 0:
        raise NotTaken("its weights are shuffled, so convert the network again")
    if len(held.shape) != 2 or held.shape[1] != source.elements:
        raise NotTaken(
            f"its weights are {list(held.shape)} for {source.elements} inputs, so use a batch of 1"
        )
    rows = held.shape[0]
    layer = Layer("linear", shape_of(source), (1, 1, rows), (1, 1), (1, 1), (0, 0), False)
    matrix = data_of(held, np.int8).astype(np.int8).reshape(rows, -1)
    return _weighted(operator, _checked(layer, output), source, (held, matrix, 0), bias, output)


def _pool(kind: Kind) -> Callable[[Model, Operator], Made]:
    def made(model: Model, operator: Operator) -> Made:
        (source,) = tensors(model, operator, 1, 1)
        assert source is not None
        output = model.tensors[operator.outputs[0]]
        kernel = (operator.options["FilterHeight"], operator.options["FilterWidth"])
        seen = _windows(model, operator, source, kernel)
        (scale_in, zero), (scale_out, zero_out) = quantised(source), quantised(output)
        if zero != zero_out or abs(scale_in - scale_out) > 1e-6:
            raise NotTaken("its input and output have other scales, so convert the network again")
        layer = _windowed(kind, operator, seen, kernel, seen.in_shape[2], output)
        low, high = activation_bounds(operator, output)
        none = np.zeros(0, np.int32)
        affine = Affine((zero,), zero, low, high, none, none, none)
        return Made(operator, layer, affine, None, (source.index,))

    return made


def _mean(model: Model, operator: Operator) -> Made:
    source, axes = tensors(model, operator, 2, 2)
    assert source is not None and axes is not None
    rank = len(source.shape)
    named = [int(axis) for axis in data_of(axes, np.int32)]
    reduced = sorted(axis % rank for axis in named if -rank <= axis < rank)
    if len(reduced) != len(named) or rank != 4 or reduced != [1, 2]:
        raise NotTaken("it is not over height and width, so use a global average there")
    (height, width, channels), output = shape_of(source), model.tensors[operator.outputs[0]]
    layer = _checked(
        Layer(
            kind="avgpool",
            in_shape=(height, width, channels),
            out_shape=(1, 1, channels),
            kernel=(height, width),
            stride=(1, 1),
            padding=(0, 0),
            relu=False,
        ),
        output,
    )
    (scale_in, zero_in), (scale_out, zero_out) = quantised(source), quantised(output)
    _factor(scale_in / scale_out)
    m, s = _arrays([mean_multiplier(scale_in / scale_out, height * width)])
    affine = Affine((zero_in,), zero_out, -128, 127, np.zeros(0, np.int32), m, s)
    return Made(operator, layer, affine, None, (source.index,))


def _add(model: Model, operator: Operator) -> Made:
    one, other = tensors(model, operator, 2, 2)
    assert one is not None and other is not None
    output = model.tensors[operator.outputs[0]]
    if one.data is not None or other.data is not None:
        raise NotTaken("it adds a constant, so make that a bias of the layer before it")
    if one.shape != other.shape:
        raise NotTaken(
            f"it adds {list(one.shape)} and {list(other.shape)}, so add tensors of one shape"
        )
    shape = shape_of(one)
    layer = _checked(Layer("add", shape, shape, (1, 1), (1, 1), (0, 0), False), output)
    (scale_a, zero_a), (scale_b, zero_b) = quantised(one), quantised(other)
    scale_out, zero_out = quantised(output)
    factors = add_factors(scale_a, scale_b, scale_out)
    if max(factors) >= 1:
        raise NotTaken("its scales are too far apart, so convert the network again")
    low, high = activation_bounds(operator, output)
    m, s = _arrays([multiplier(factor) for factor in factors])
    affine = Affine((zero_a, zero_b), zero_out, low, high, np.zeros(0, np.int32), m, s)
    return Made(operator, layer, affine, None, (one.index, other.index))


_POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")

LAYERS: dict[str, Callable[[Model, Operator], Made]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _linear,
    "ADD": _add,
    "MAX_POOL_2D": _pool("maxpool"),
    "AVERAGE_POOL_2D": _pool("avgpool"),
    "MEAN": _mean,
}
