"""QuantizeLinear and DequantizeLinear: the scales that a file gives already are taken as they are.

uint8 is int8 whose zero point, and whose numbers, are greater by 128.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

import numpy as np

from picotrain.convert.onnx.builder import Builder
from picotrain.convert.onnx.views import Constant, NotTaken, Request, Value
from picotrain.quantise.graph import TensorScale

_SHIFTS = {"int8": 0, "uint8": 128}
_OF_TENSORS = "so quantise tensors to int8 or uint8 with one scale each"


def _scale(request: Request) -> TensorScale:
    held, zeros = request.constant(1), request.optional(2)
    if held.array.size != 1 or (zeros is not None and zeros.array.size != 1):
        raise NotTaken(f"it has {held.array.size} scales, {_OF_TENSORS}")
    kind = "uint8" if zeros is None else zeros.array.dtype.name
    if kind not in _SHIFTS or request.whole("output_dtype", 0) not in (0, 2, 3):
        raise NotTaken(f"it makes {kind}, {_OF_TENSORS}")
    zero = 0 if zeros is None else int(zeros.array.reshape(-1)[0])
    scale = float(held.real.reshape(-1)[0])
    if not (isfinite(scale) and scale > 0):
        raise NotTaken(f"its scale is {scale}, so quantise the network again")
    return TensorScale(scale, zero - _SHIFTS[kind])


def quantise(builder: Builder, request: Request) -> Value:
    if isinstance(request.value(0), Constant):
        return _quantised_constant(request)
    view, scale = request.view(), _scale(request)
    if view.ended:
        # What an end makes of the outputs has no meaning for the layer before it.
        return replace(view, held=scale)
    return replace(builder.quantised(view, scale), held=scale)


def dequantise(builder: Builder, request: Request) -> Value:
    if isinstance(request.value(0), Constant):
        return _real_constant(request)
    view, scale = request.integers_or_view(), _scale(request)
    if view.held is None and view.source < 0:
        # The input of the file is integers already.
        view = replace(builder.quantised(view, scale), held=scale)
    if view.held != scale:
        raise NotTaken("it has not the scale of what it reads, so quantise the network again")
    return replace(view, held=None)


def _along(request: Request, values: Constant, shape: tuple[int, ...]) -> Constant:
    """Scales or zero points of a constant, so that they broadcast to its shape."""
    if values.array.size == 1:
        return replace(values, array=values.array.reshape(-1)[0])
    axis = request.whole("axis", 1)
    if not -len(shape) <= axis < len(shape) or values.array.shape != (shape[axis],):
        raise NotTaken(
            f"its scales are {list(values.array.shape)} for weights of {list(shape)}, so quantise "
            "by tensor or by channel"
        )
    axis %= len(shape)
    sizes = [-1 if place == axis else 1 for place in range(len(shape))]
    return Constant(values.array.reshape(sizes), axis=axis)


def _quantised_constant(request: Request) -> Constant:
    given, zeros = request.constant(0), request.optional(2)
    shape = given.array.shape
    scale = _along(request, request.constant(1), shape).real
    kind = "uint8" if zeros is None else zeros.array.dtype.name
    if kind not in (*_SHIFTS, "int32"):
        raise NotTaken(f"it makes {kind}, so quantise weights to int8")
    zero = np.float64(0) if zeros is None else _along(request, zeros, shape).real
    limits = np.iinfo(kind)
    with np.errstate(all="ignore"):
        steps = np.rint(given.real / scale) + zero
    if not np.isfinite(steps).all():
        raise NotTaken("its weights or scales are not finite, so quantise the network again")
    return Constant(np.clip(steps, limits.min, limits.max).astype(kind))


def _real_constant(request: Request) -> Constant:
    held, zeros = request.constant(0), request.optional(2)
    kind, shape = held.array.dtype.name, held.array.shape
    if kind not in (*_SHIFTS, "int32"):
        raise NotTaken(f"it reads weights of {kind}, so quantise weights to int8")
    scale = _along(request, request.constant(1), shape)
    zero = np.float64(0) if zeros is None else _along(request, zeros, shape).real
    if not (np.isfinite(scale.real).all() and (scale.real > 0).all()):
        raise NotTaken("its scales are not all above 0, so quantise the network again")
    centred = held.real - zero
    # Weights with a zero point of their own may lie outside int8: those are quantised anew.
    inside = kind != "int32" and centred.min(initial=0) >= -128 and centred.max(initial=0) <= 127
    scales = scale.real.reshape(-1) if inside else None
    return Constant(centred * scale.real, scales, scale.axis)
