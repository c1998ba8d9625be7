"""Nodes of which everything is constant: shapes that a network computes, and weights in other
orders. Few kinds, and none that could grow beyond what a network here may hold."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.convert.onnx.views import Constant, NotTaken, Request
from picotrain_golden.network import MAX_WEIGHTS

Array = NDArray[Any]

_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_}
_TYPES |= {11: np.float64}
"""As the format numbers them."""


def _guarded(array: Array) -> Array:
    if array.size > MAX_WEIGHTS:
        raise NotTaken(f"it makes a constant of {array.size:,} elements, so export a smaller one")
    return array


def _arrays(request: Request) -> list[Array]:
    return [request.constant(number).array for number in range(len(request.values))]


def _cast(request: Request) -> Array:
    to = _TYPES.get(request.whole("to", 1))
    if to is None:
        raise NotTaken("it makes numbers of a type that is not known here, so leave it out")
    return request.constant(0).array.astype(to)


def _axis(request: Request, rank: int, default: int = 0) -> int:
    axis = request.whole("axis", default)
    if not -max(rank, 1) <= axis < max(rank, 1):
        raise NotTaken(f"its axis is {axis} of {rank}, so export the network again")
    return axis


def _gather(request: Request) -> Array:
    array, places = _arrays(request)[:2]
    return np.take(array, places.astype(np.int64), axis=_axis(request, array.ndim))


def _concat(request: Request) -> Array:
    arrays = _arrays(request)
    return np.concatenate(arrays, axis=_axis(request, arrays[0].ndim))


def _unsqueeze(request: Request) -> Array:
    array = request.constant(0).array
    shape = list(array.shape)
    for axis in request.axes(1, array.ndim + _count(request)) or []:
        shape.insert(axis, 1)
    return array.reshape(shape)


def _count(request: Request) -> int:
    held = request.optional(1)
    found = held.integers() if held is not None else request.numbers("axes")
    if found is None or len(found) > 8:
        raise NotTaken("it has no axes, so export the network again")
    return len(found)


def _squeeze(request: Request) -> Array:
    array = request.constant(0).array
    axes = request.axes(1, array.ndim)
    return np.squeeze(array, None if axes is None else tuple(axes))


def _reshape(request: Request) -> Array:
    array = request.constant(0).array
    sizes = request.constant(1).integers()
    shape = [array.shape[place] if size == 0 else size for place, size in enumerate(sizes)]
    return array.reshape(shape)


def slices(request: Request, rank: int) -> tuple[slice, ...]:
    """Of a Slice: for each axis what is kept of it."""
    found = [slice(None)] * rank
    if request.opset < 10:
        starts, ends, axes = (
            request.numbers("starts"),
            request.numbers("ends"),
            request.numbers("axes"),
        )
        steps = None
    else:
        held = [request.optional(number) for number in range(1, 5)]
        starts, ends, axes, steps = (None if one is None else one.integers() for one in held)
    if starts is None or ends is None or len(starts) != len(ends):
        raise NotTaken("it has no starts and ends, so export the network again")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if len(axes) != len(starts) or len(steps) != len(starts) or 0 in steps:
        raise NotTaken("its axes or steps are wrong, so export the network again")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -rank <= axis < rank:
            raise NotTaken(f"its axis is {axis} of {rank}, so export the network again")
        # Backwards, an end far below 0 means: to the first one.
        last = None if step < 0 and end < -(1 << 30) else end
        found[axis % rank] = slice(start, last, step)
    return tuple(found)


def _slice(request: Request) -> Array:
    array = request.constant(0).array
    return array[slices(request, array.ndim)]


def _transpose(request: Request) -> Array:
    array = request.constant(0).array
    order = request.numbers("perm")
    return array.transpose(order)


def _filled(request: Request) -> Array:
    sizes = request.constant(0).integers()
    if any(size < 0 for size in sizes) or prod(sizes) > MAX_WEIGHTS:
        raise NotTaken(f"it makes a constant of shape {sizes}, so export a smaller one")
    value = request.node.attributes.get("value")
    if value is None:
        return np.zeros(sizes, np.float32)
    return np.full(sizes, np.asarray(value).reshape(-1)[0])


def _expand(request: Request) -> Array:
    array, sizes = request.constant(0).array, request.constant(1).integers()
    if any(size < 1 for size in sizes) or prod(sizes) > MAX_WEIGHTS:
        raise NotTaken(f"it makes a constant of shape {sizes}, so export a smaller one")
    made: Array = array * np.ones(sizes, array.dtype)
    return made


def _range(request: Request) -> Array:
    start, end, step = (float(one.reshape(-1)[0]) for one in _arrays(request)[:3])
    if step == 0 or abs((end - start) / step) > MAX_WEIGHTS:
        raise NotTaken("it counts too far, so export the network again")
    made: Array = np.arange(start, end, step).astype(request.constant(0).array.dtype)
    return made


def _divide(one: Array, other: Array) -> Array:
    made: Array = one / other
    if one.dtype.kind == "f":
        return made
    # Of whole numbers towards zero, as C does it.
    made = np.sign(one) * np.sign(other) * (np.abs(one) // np.abs(other))
    return made.astype(one.dtype)


def _binary(function: Callable[[Array, Array], Array]) -> Callable[[Request], Array]:
    def made(request: Request) -> Array:
        one, other = _arrays(request)[:2]
        if prod(np.broadcast_shapes(one.shape, other.shape)) > MAX_WEIGHTS:
            raise NotTaken("it makes too large a constant, so export a smaller one")
        return function(one, other)

    return made


def _unary(function: Callable[[Array], Array]) -> Callable[[Request], Array]:
    return lambda request: function(request.constant(0).array)


def _product(request: Request) -> Array:
    array = request.constant(0).array
    axes = request.axes(1, array.ndim)
    keep = bool(request.whole("keepdims", 1))
    return np.asarray(np.prod(array, None if axes is None else tuple(axes), keepdims=keep))


def _where(request: Request) -> Array:
    return np.where(*_arrays(request)[:3])


_KINDS: dict[str, Callable[[Request], Array]] = {
    "Identity": _unary(lambda one: one),
    "Cast": _cast,
    "Shape": _unary(lambda one: np.array(one.shape, np.int64)),
    "Size": _unary(lambda one: np.array(one.size, np.int64)),
    "Gather": _gather,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Slice": _slice,
    "Transpose": _transpose,
    "ConstantOfShape": _filled,
    "Expand": _expand,
    "Range": _range,
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Pow": _binary(np.power),
    "Equal": _binary(np.equal),
    "Where": _where,
    "ReduceProd": _product,
    "Sqrt": _unary(np.sqrt),
    "Reciprocal": _unary(np.reciprocal),
    "Neg": _unary(np.negative),
    "Floor": _unary(np.floor),
}
KINDS = frozenset(_KINDS)


def folded(request: Request) -> Constant:
    """What a node makes of constants; NotTaken for what the file says wrongly."""
    first = request.constant(0)
    try:
        with np.errstate(all="ignore"):
            made = _guarded(np.asarray(_KINDS[request.node.kind](request)))
    except (ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError) as error:
        raise NotTaken("its constants do not fit together, so export the network again") from error
    if first.scales is None:
        return Constant(made)
    # The scales of int8 weights stay with them through what only moves them.
    if request.node.kind == "Identity":
        return first
    if request.node.kind == "Transpose":
        order = request.numbers("perm") or list(range(made.ndim))[::-1]
        return Constant(made, first.scales, order.index(first.axis))
    if request.node.kind == "Reshape" and first.scales.size == 1:
        return Constant(made, first.scales)
    return Constant(made)
