"""Random and extreme operands for each kernel, with what it must make of them.

The expected values come from golden's layers and numerics and from NumPy, never from the C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.profile.bench import Job, Layout
from picotrain_golden import Layer, conv2d, layers, linear, maxpool2
from picotrain_golden.numerics import Int8, Int32, clamp, psto, requantise, rhu

Random = np.random.Generator

MOST_SUM = 2**31 - 1 - 2**23
"""Of what is requantised (firmware/kernels/pt_requantize.h)."""


@dataclass(frozen=True)
class Case:
    """A job, what it must return, and every operand that it must leave changed."""

    job: Job
    answer: int
    changed: dict[str, NDArray[Any]]
    layout: Layout


# Tensors


def pick(random: Random, *choices: Any) -> Any:
    return choices[int(random.integers(len(choices)))]


def _any(random: Random, shape: tuple[int, ...]) -> Int8:
    return random.integers(-127, 128, shape).astype(np.int8)


def _some(random: Random, shape: tuple[int, ...]) -> Int8:
    keep = random.random(shape) < pick(random, 0.02, 0.2, 0.5)
    return _any(random, shape) * keep.astype(np.int8)


def _single(random: Random, shape: tuple[int, ...]) -> Int8:
    values = np.zeros(shape, np.int8)
    values.flat[random.integers(values.size)] = pick(random, 1, -1, 127, -127)
    return values


def _signs(random: Random, shape: tuple[int, ...]) -> Int8:
    return (127 - 254 * random.integers(0, 2, shape)).astype(np.int8)


def _runs(random: Random, shape: tuple[int, ...]) -> Int8:
    """Constant along the first axis: rows of +127 and rows of -127, or so along the last."""
    axis = pick(random, 0, -1)
    lined = [1] * len(shape)
    lined[axis] = shape[axis]
    return np.broadcast_to(_signs(random, tuple(lined)), shape).copy()


def _of_one_sign(random: Random, shape: tuple[int, ...]) -> Int8:
    """Rows along the first axis without a negative value, and rows without a positive one."""
    lined = (shape[0], *[1] * (len(shape) - 1))
    return np.abs(_any(random, shape)) * random.choice(np.array([-1, 1], np.int8), lined)


STYLES: tuple[Callable[[Random, tuple[int, ...]], Int8], ...] = (
    _any,
    lambda random, shape: np.full(shape, 127, np.int8),
    lambda random, shape: np.full(shape, -127, np.int8),
    _signs,
    _runs,
    _some,
    lambda random, shape: np.zeros(shape, np.int8),
    _single,
    lambda random, shape: random.integers(-2, 3, shape).astype(np.int8),
    lambda random, shape: random.integers(0, 128, shape).astype(np.int8),
    lambda random, shape: np.abs(_some(random, shape)),
    _of_one_sign,
)
"""Dense, extreme, sparse, tiny and unsigned int8 tensors."""


def tensor(random: Random, *shape: int, unsigned: bool = False) -> Int8:
    values = STYLES[int(random.integers(len(STYLES)))](random, shape)
    return np.abs(values) if unsigned else values


def sums(random: Random, count: int, most: int = MOST_SUM) -> Int32:
    """int32 [count] up to `most`, of one of several magnitudes, at borders of rounding too."""
    kind = int(random.integers(6))
    if kind == 0:
        values = random.integers(-most, most + 1, count)
    elif kind == 1:
        values = np.full(count, pick(random, most, -most, 0))
    elif kind == 2:
        values = random.integers(-300, 301, count)
    elif kind == 3:
        values = 2 ** random.integers(0, most.bit_length(), count) + random.integers(-1, 2, count)
        values *= random.choice([-1, 1], count)
    elif kind == 4:
        values = random.integers(-most, most + 1, count) >> random.integers(0, 31, count)
    else:
        values = random.integers(-most, most + 1, count) * (random.random(count) < 0.1)
    return np.clip(values, -most, most).astype(np.int32)


def shift(random: Random, most: int) -> int:
    return int(pick(random, 0, 1, most, *random.integers(0, most + 1, 5), *range(5, 13)))


EDGE = np.arange(126, 130)
"""Magnitudes on either side of the largest of int8."""


def landing(random: Random, x: Int32, most: int, rounded: Callable[[Int32, int], Int32]) -> int:
    """A shift up to `most`; half of the time one that brings elements to where int8 ends."""
    if random.random() < 0.5:
        return shift(random, most)
    bits = np.unique(np.frexp(np.abs(x).astype(np.float64))[1])
    for by in random.permutation(np.unique([bits - 7, bits - 8])):
        if 0 <= by <= most and np.isin(np.abs(rounded(x, int(by))), EDGE[1:]).any():
            return int(by)
    return shift(random, most)


# Edges


@dataclass(frozen=True)
class Edges:
    """The operands of some edges, which of them are scored, and what is left of the weights."""

    masks: str
    inputs: dict[str, NDArray[Any]]
    scored: NDArray[np.bool_]
    scores: Int8
    threshold: int
    effective: Int8


def edges(
    random: Random, rows: int, length: int, masks: str | None = None, weights: Int8 | None = None
) -> Edges:
    masks = masks or pick(random, "ALL_EDGES", "SCORED", "SPARSE")
    weights = tensor(random, rows, length) if weights is None else weights
    threshold = int(pick(random, -127, -64, -16, 0, 1, 127, random.integers(-127, 128)))
    near = np.clip(threshold + random.integers(-1, 2, (rows, length)), -127, 127)
    scores = pick(random, tensor(random, rows, length), near.astype(np.int8))
    inputs: dict[str, NDArray[Any]] = {"WEIGHTS": weights}
    scored = np.full((rows, length), masks == "SCORED")
    if masks == "SPARSE":
        scored = random.random((rows, length)) < pick(random, 0.0, 0.05, 0.1, 0.5, 1.0)
        inputs["BITMAP"] = np.packbits(scored, axis=1, bitorder="little")
    listed = scores[scored]
    if listed.size:
        inputs["SCORES"] = listed
    effective = np.where(scored & (scores < threshold), 0, weights).astype(np.int8)
    return Edges(masks, inputs, scored, listed, threshold, effective)


# Layers


def _extents(random: Random, most: int) -> tuple[int, int, int, int]:
    """Size, kernel, padding of one axis, and a stride."""
    kernel = int(random.integers(1, 16 if random.random() < 0.03 else 6))
    padding = int(random.integers(0, kernel))
    least = max(1, kernel - 2 * padding)
    size = int(random.integers(least, max(least, most) + 1))
    return size, kernel, padding, int(random.integers(1, 3))


def convolution(random: Random) -> Layer:
    most = int(pick(random, 9, 9, 9, 9, 14))
    height, kernel_h, padding_h, stride = _extents(random, most)
    width, kernel_w, padding_w, _ = _extents(random, most)
    if random.random() < 0.5:  # what networks have
        kernel_h = kernel_w = 3
        padding_h = padding_w = stride = 1
    in_c, out_c = (int(random.integers(1, pick(random, 5, 9, 20))) for _ in range(2))
    if random.random() < 0.3:
        out_c = int(pick(random, 8, 16))  # whole groups of lanes
    shape = (height, width, in_c)
    return conv2d(shape, out_c, (kernel_h, kernel_w), stride, (padding_h, padding_w), False)


def dense(random: Random) -> Layer:
    if random.random() < 0.1:
        return linear((1, 1, int(random.integers(100, 300))), int(random.integers(1, 5)), False)
    height, width, channels = (int(random.integers(1, most)) for most in (4, 4, 20))
    return linear((height, width, channels), int(random.integers(1, 20)), False)


def pool(random: Random) -> Layer:
    height, width = (int(random.integers(2, 10)) for _ in range(2))
    return maxpool2((height, width, int(random.integers(1, 20))))


def layout(random: Random) -> Layout:
    skew = pick(random, (0,), (1, 2, 3), tuple(random.integers(0, 4, 5).tolist()))
    return Layout(int(random.integers(1, 20)), skew, tuple(random.permutation(8).tolist()))


# Kernels


def _case(
    random: Random, job: Job, answer: int = 0, changed: dict[str, NDArray[Any]] | None = None
) -> Case:
    return Case(job, answer, changed or {}, layout(random))


def _aimed(random: Random, layer: Layer) -> tuple[Int8, Int8, int]:
    """Inputs, weights and a shift: where a window is whole, outputs are where int8 ends, or 0."""
    by = int(random.integers(0, 7))
    weights = random.integers(-3, 4, (layer.rows, layer.row_length))
    weights[:, -1] += random.choice([0, 0, *EDGE, -128], layer.rows) - weights.sum(axis=1)
    inputs = np.full(layer.in_shape, 1 << by, np.int8)
    return inputs, np.clip(weights, -127, 127).astype(np.int8), by


def _forward(random: Random, kernel: str, layer: Layer) -> Case:
    inputs = tensor(random, *layer.in_shape, unsigned=random.random() < 0.3)
    found = edges(random, layer.rows, layer.row_length)
    by, relu = -1, bool(random.integers(2))
    if random.random() < 0.3:
        inputs, weights, by = _aimed(random, layer)
        found = edges(random, layer.rows, layer.row_length, "ALL_EDGES", weights)
    total = layers.forward(layer, found.effective, inputs[np.newaxis])[0]
    given = {"INPUT": inputs, **found.inputs}
    common = {"layer": layer, "masks": found.masks, "threshold": found.threshold}
    if kernel.endswith("S32"):
        job = Job(kernel, given, {"OUTPUT": (total.shape, np.int32)}, **common)
        return _case(random, job, 0, {"OUTPUT": total})
    by = landing(random, total, 24, rhu) if by < 0 else by
    outputs, saturated = requantise(total, by, relu)
    job = Job(kernel, given, {"OUTPUT": (total.shape, np.int8)}, shift=by, relu=relu, **common)
    return _case(random, job, saturated, {"OUTPUT": outputs})


def _error(random: Random, kernel: str, layer: Layer) -> Case:
    error = tensor(random, *layer.out_shape)
    found = edges(random, layer.rows, layer.row_length)
    total = layers.backward(layer, found.effective, error)
    given = {"ERROR": error, **found.inputs}
    if kernel == "LINEAR_ERROR" and random.random() < 0.6:
        # What is needed: words of zeros need no error.
        needed = tensor(random, *layer.in_shape, unsigned=True)
        needed[random.random(needed.shape) < 0.7] = 0
        words = needed.reshape(-1)[: needed.size // 4 * 4].reshape(-1, 4)
        idle = np.repeat(~words.any(axis=1), 4)
        total.reshape(-1)[: idle.size][idle] = 0
        given["INPUT"] = needed
    job = Job(
        kernel,
        given,
        {"OUTPUT": (total.shape, np.int32)},
        layer,
        found.masks,
        threshold=found.threshold,
    )
    return _case(random, job, 0, {"OUTPUT": total})


def conv2d_gradient(random: Random) -> Case:
    layer = convolution(random)
    inputs, error = tensor(random, *layer.in_shape), tensor(random, *layer.out_shape)
    total = layers.gradient(layer, error, layers.columns(layer, inputs[np.newaxis])[0])
    outputs = {"OUTPUT": (total.shape, np.int32)}
    job = Job("CONV2D_GRADIENT", {"INPUT": inputs, "ERROR": error}, outputs, layer)
    return _case(random, job, 0, {"OUTPUT": total})


def pooling_convolution(random: Random) -> Layer:
    """A convolution with ReLU that a pool can follow."""
    while True:
        layer = convolution(random)
        if min(layer.out_shape[:2]) >= 2:
            return replace(layer, relu=True)


def _pooled_shape(layer: Layer) -> tuple[int, int, int]:
    height, width, channels = layer.out_shape
    return height // 2, width // 2, channels


def conv2d_pool_forward(random: Random) -> Case:
    """The three operations one after the other are what it must make."""
    layer = pooling_convolution(random)
    inputs = tensor(random, *layer.in_shape, unsigned=random.random() < 0.6)
    found = edges(random, layer.rows, layer.row_length)
    by = -1
    if random.random() < 0.3:
        inputs, weights, by = _aimed(random, layer)
        found = edges(random, layer.rows, layer.row_length, "ALL_EDGES", weights)
    total = layers.forward(layer, found.effective, inputs[np.newaxis])
    by = landing(random, total[0], 24, rhu) if by < 0 else by
    convolved, saturated = requantise(total, by, relu=True)
    outputs = layers.maxpool2_forward(convolved)[0]
    ones = np.ones(outputs.shape, np.int8)
    taken = layers.maxpool2_backward(convolved[0], outputs, ones)
    height, width = (size // 2 * 2 for size in taken.shape[:2])
    places = sum(
        place * taken[y:height:2, x:width:2]
        for place, (y, x) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)))
    )
    held = layers.packed(np.asarray(places, np.int8))
    produced = {"OUTPUT": (outputs.shape, np.int8), "PLACES": (held.shape, np.uint8)}
    given = {"INPUT": inputs, **found.inputs}
    job = Job(
        "CONV2D_POOL_FORWARD",
        given,
        produced,
        layer,
        found.masks,
        shift=by,
        threshold=found.threshold,
    )
    return _case(random, job, saturated, {"OUTPUT": outputs, "PLACES": held})


def _pooled_error(random: Random, layer: Layer) -> tuple[dict[str, NDArray[Any]], Int8]:
    """The operands of pooled errors, and the same error as the convolution would have it."""
    shape = _pooled_shape(layer)
    error = tensor(random, *shape)
    places = pick(
        random,
        random.integers(0, 4, shape).astype(np.int8),
        np.full(shape, random.integers(0, 4), np.int8),
    )
    given = {"ERROR": error, "PLACES": layers.packed(places)}
    return given, layers.unpool(layer, error, places)


def conv2d_pool_error(random: Random) -> Case:
    layer = pooling_convolution(random)
    given, error = _pooled_error(random, layer)
    found = edges(random, layer.rows, layer.row_length)
    total = layers.backward(layer, found.effective, error)
    by = landing(random, total, 24, rhu)
    outputs, saturated = requantise(total, by, False)
    if random.random() < 0.7:
        given["INPUT"] = tensor(random, *layer.in_shape, unsigned=True)
        outputs = np.where(given["INPUT"] == 0, 0, outputs).astype(np.int8)
    job = Job(
        "CONV2D_POOL_ERROR",
        {**given, **found.inputs},
        {"OUTPUT": (outputs.shape, np.int8)},
        layer,
        found.masks,
        shift=by,
        threshold=found.threshold,
    )
    return _case(random, job, saturated, {"OUTPUT": outputs})


def conv2d_pool_gradient(random: Random) -> Case:
    layer = pooling_convolution(random)
    given, error = _pooled_error(random, layer)
    inputs = tensor(random, *layer.in_shape)
    total = layers.gradient(layer, error, layers.columns(layer, inputs[np.newaxis])[0])
    produced = {"OUTPUT": (total.shape, np.int32)}
    job = Job("CONV2D_POOL_GRADIENT", {"INPUT": inputs, **given}, produced, layer)
    return _case(random, job, 0, {"OUTPUT": total})


def _near_the_ends(random: Random, state: Int8, steps: Int8) -> Int8:
    """States that a step brings to where int8 ends, as far as there are such."""
    wanted = random.choice(EDGE, state.shape) * random.choice([-1, 1], state.shape)
    before = wanted + steps
    return np.where(np.abs(before) <= 127, before, state).astype(np.int8)


def _descend(state: Int8, x: Int32, by: int) -> tuple[Int8, Int8, int]:
    """New state, steps, and how many saturated: docs/numerics.md, sections 6 and 9."""
    rounded = psto(x, by)
    steps = clamp(rounded)
    wanted = state.astype(np.int32) - steps
    changed = clamp(wanted)
    return changed, steps, int(np.count_nonzero((steps != rounded) | (changed != wanted)))


def _updated(random: Random, job: Job, found: Edges, gradient: Int32, halvings: int) -> Case:
    weights = found.inputs["WEIGHTS"]
    name = "WEIGHTS" if found.masks == "ALL_EDGES" else "SCORES"
    state, x = weights, gradient
    if name == "SCORES":
        state = found.scores
        x = rhu(gradient[found.scored], halvings) * weights[found.scored].astype(np.int32)
    by = landing(random, x, 31, psto) if x.size else shift(random, 31)
    if random.random() < 0.3:
        state = _near_the_ends(random, state, clamp(psto(x, by)))
    inputs = {**job.inputs, **({name: state} if state.size else {})}
    job = Job(**{**vars(job), "inputs": inputs, "shift": by})
    changed, steps, saturated = _descend(state, x, by)
    expected = {name: changed} if state.size else {}
    if state.size and random.random() < 0.7:
        job = Job(**{**vars(job), "outputs": {"STEPS": (steps.shape, np.int8)}})
        expected["STEPS"] = steps
    return _case(random, job, saturated, expected)


def linear_update(random: Random) -> Case:
    layer = dense(random)
    inputs, error = tensor(random, *layer.in_shape), tensor(random, *layer.out_shape)
    found = edges(random, layer.rows, layer.row_length)
    gradient = np.outer(error.astype(np.int32), inputs.reshape(-1).astype(np.int32))
    given = {"INPUT": inputs, "ERROR": error, **found.inputs}
    job = Job("LINEAR_UPDATE", given, {}, layer, found.masks, threshold=found.threshold)
    return _updated(random, job, found, gradient, 0)


def update(random: Random) -> Case:
    count = int(pick(random, *range(1, 20), 27, 72, 171))
    found = edges(random, 1, count)
    halvings = int(pick(random, 0, 0, 1, 2, 5))
    # So that the halved gradient times a weight fits int32.
    most = MOST_SUM if found.masks == "ALL_EDGES" else (127**2 * 1048 - 1) << halvings
    gradient = sums(random, count, min(most, MOST_SUM))
    given = {"ACCUMULATOR": gradient, **found.inputs}
    job = Job("UPDATE", given, {}, None, found.masks, count, gradient_shift=halvings)
    return _updated(random, job, found, gradient[np.newaxis], halvings)


def maxpool2_forward(random: Random) -> Case:
    layer = pool(random)
    inputs = tensor(random, *layer.in_shape)
    outputs = layers.maxpool2_forward(inputs[np.newaxis])[0]
    job = Job("MAXPOOL2_FORWARD", {"INPUT": inputs}, {"OUTPUT": (outputs.shape, np.int8)}, layer)
    return _case(random, job, 0, {"OUTPUT": outputs})


def maxpool2_error(random: Random) -> Case:
    layer = pool(random)
    relu = bool(random.integers(2))
    inputs = tensor(random, *layer.in_shape, unsigned=relu)
    error = tensor(random, *layer.out_shape)
    outputs = layers.maxpool2_forward(inputs[np.newaxis])[0]
    routed = layers.maxpool2_backward(inputs, outputs, error)
    if relu:
        routed = routed * (inputs > 0)
    given = {"INPUT": inputs, "ERROR": error}
    job = Job("MAXPOOL2_ERROR", given, {"OUTPUT": (routed.shape, np.int8)}, layer, relu=relu)
    return _case(random, job, 0, {"OUTPUT": routed.astype(np.int8)})


def requantize(random: Random) -> Case:
    count, relu = int(random.integers(1, 70)), bool(random.integers(2))
    total = sums(random, count)
    by = landing(random, total, 24, rhu)
    outputs, saturated = requantise(total, by, relu)
    job = Job(
        "REQUANTIZE",
        {"ACCUMULATOR": total},
        {"OUTPUT": ((count,), np.int8)},
        count=count,
        shift=by,
        relu=relu,
    )
    return _case(random, job, saturated, {"OUTPUT": outputs})


def requantize_error(random: Random) -> Case:
    count = int(random.integers(1, 70))
    total = sums(random, count)
    by = landing(random, total, 24, rhu)
    outputs, saturated = requantise(total, by, False)
    given: dict[str, NDArray[Any]] = {"ACCUMULATOR": total}
    if random.random() < 0.7:
        given["INPUT"] = tensor(random, count, unsigned=True)
        outputs = np.where(given["INPUT"] == 0, 0, outputs).astype(np.int8)
    produced = {"OUTPUT": ((count,), np.int8)}
    job = Job("REQUANTIZE_ERROR", given, produced, count=count, shift=by)
    return _case(random, job, saturated, {"OUTPUT": outputs})


def max_abs_s8(random: Random) -> Case:
    values = tensor(random, int(random.integers(1, 70)))
    job = Job("MAX_ABS_S8", {"INPUT": values}, count=values.size)
    return _case(random, job, int(np.abs(values).max()))


def max_abs_s32(random: Random) -> Case:
    values = sums(random, int(random.integers(1, 70)))
    job = Job("MAX_ABS_S32", {"ACCUMULATOR": values}, count=values.size)
    return _case(random, job, int(np.abs(values).max()))


def mask(random: Random) -> Case:
    count = int(random.integers(1, 90))
    found = edges(random, 1, count, pick(random, "SCORED", "SPARSE"))
    job = Job(
        "MASK",
        found.inputs,
        {"OUTPUT": ((count,), np.int8)},
        masks=found.masks,
        count=count,
        threshold=found.threshold,
    )
    used = found.scores.size if found.masks == "SPARSE" else 0
    return _case(random, job, used, {"OUTPUT": found.effective[0]})


def bitmap_count(random: Random) -> Case:
    count = int(random.integers(1, 200))
    found = edges(random, 1, count, "SPARSE")
    job = Job("BITMAP_COUNT", {"BITMAP": found.inputs["BITMAP"]}, count=count)
    return _case(random, job, found.scores.size)


KERNELS: dict[str, Callable[[Random], Case]] = {
    "CONV2D_FORWARD_S32": lambda r: _forward(r, "CONV2D_FORWARD_S32", convolution(r)),
    "CONV2D_FORWARD_S8": lambda r: _forward(r, "CONV2D_FORWARD_S8", convolution(r)),
    "CONV2D_ERROR": lambda r: _error(r, "CONV2D_ERROR", convolution(r)),
    "CONV2D_GRADIENT": conv2d_gradient,
    "LINEAR_FORWARD_S32": lambda r: _forward(r, "LINEAR_FORWARD_S32", dense(r)),
    "LINEAR_FORWARD_S8": lambda r: _forward(r, "LINEAR_FORWARD_S8", dense(r)),
    "LINEAR_ERROR": lambda r: _error(r, "LINEAR_ERROR", dense(r)),
    "LINEAR_UPDATE": linear_update,
    "UPDATE": update,
    "MAXPOOL2_FORWARD": maxpool2_forward,
    "MAXPOOL2_ERROR": maxpool2_error,
    "REQUANTIZE": requantize,
    "REQUANTIZE_ERROR": requantize_error,
    "MAX_ABS_S8": max_abs_s8,
    "MAX_ABS_S32": max_abs_s32,
    "MASK": mask,
    "BITMAP_COUNT": bitmap_count,
    "CONV2D_POOL_FORWARD": conv2d_pool_forward,
    "CONV2D_POOL_ERROR": conv2d_pool_error,
    "CONV2D_POOL_GRADIENT": conv2d_pool_gradient,
}


def case(kernel: str, number: int) -> Case:
    """The same case for the same kernel and number, everywhere."""
    return KERNELS[kernel](np.random.default_rng([list(KERNELS).index(kernel), number]))
