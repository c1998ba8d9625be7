"""`kernel_cases` of the affine kernels: all of int8, masks, and factors at the borders.

The expected values come from golden's operators on effective weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel_cases import Case, Random, edges, layout, pick, tensor
from picotrain.profile.bench import Job, factors
from picotrain_golden import Affine, Kind, Layer
from picotrain_golden.numerics import Int8, Int32, Int64
from picotrain_golden.operators import OPERATORS

MOST = 2**31 - 1 - 128
"""Of a sum times 2^shift (docs/numerics.md, section 14)."""


# Tensors


def whole(random: Random, *shape: int) -> Int8:
    """All of int8, -128 too."""
    style = int(random.integers(5))
    if style == 0:
        return random.integers(-128, 128, shape).astype(np.int8)
    if style == 1:
        return np.full(shape, pick(random, -128, -128, 127), np.int8)
    if style == 2:
        return random.choice(np.array([-128, 127], np.int8), shape)
    if style == 3:
        return random.choice(np.array([-128, -128, -128, 0], np.int8), shape)
    return tensor(random, *shape)


# Layers

Axis = tuple[int, int, int, int, int]
"""Size, kernel, stride, padding and output size."""


def _axis(random: Random, most: int) -> Axis:

    kernel = int(random.integers(1, 16 if random.random() < 0.06 else 6))
    size = int(random.integers(1, most + 1))
    stride, padding = int(random.integers(1, 3)), int(random.integers(0, kernel))
    out = int(random.integers(1, (size - 1 + padding) // stride + 2))
    return size, kernel, stride, padding, out


def _same(random: Random, most: int, kernel: int) -> Axis:
    """As TensorFlow pads by "same", or "valid" where the kernel fits."""
    size, stride = int(random.integers(kernel, most + kernel)), int(random.integers(1, 3))
    if random.random() < 0.3:
        return size, kernel, stride, 0, (size - kernel) // stride + 1
    out = -(-size // stride)
    return size, kernel, stride, max((out - 1) * stride + kernel - size, 0) // 2, out


def _layer(
    kind: Kind, axes: list[tuple[int, int, int, int, int]], channels: int, out: int
) -> Layer:
    size, kernel, stride, padding, extent = zip(*axes, strict=True)
    shape = (size[0], size[1], channels)
    made = (extent[0], extent[1], out)
    return Layer(kind, shape, made, kernel, stride, padding, False)


def convolution(random: Random) -> Layer:
    style = int(random.integers(4))
    most = int(pick(random, 4, 9, 9, 14))
    channels, out = (int(random.integers(1, pick(random, 5, 9, 20))) for _ in range(2))
    if style == 0:  # pointwise
        channels, out = (int(pick(random, one, 4, 8, 16, 32, 37)) for one in (channels, out))
        axes = [(size, 1, 1, 0, size) for size in random.integers(1, most + 1, 2).tolist()]
    elif style == 1:
        kernel = int(pick(random, 1, 3, 3, 5))
        axes = [_same(random, most, kernel) for _ in range(2)]
    else:
        axes = [_axis(random, most) for _ in range(2)]
    return _layer("conv2d", axes, channels, out)


def depthwise(random: Random) -> Layer:
    most = int(pick(random, 4, 9, 9, 14))
    channels = int(random.integers(1, pick(random, 5, 9, 20)))
    if random.random() < 0.6:
        axes = [_same(random, most, 3) for _ in range(2)]
    elif random.random() < 0.4:
        axes = [_axis(random, most) for _ in range(2)]
        axes = [
            (size, 3, stride, min(padding, 2), min(out, (size - 1 + min(padding, 2)) // stride + 1))
            for size, _, stride, padding, out in axes
        ]
    else:
        axes = [_axis(random, most) for _ in range(2)]
    return _layer("depthwise", axes, channels, channels)


def dense(random: Random) -> Layer:
    shape = tuple(int(random.integers(1, most)) for most in (4, 4, 20))
    if random.random() < 0.2:
        shape = (1, 1, int(random.integers(100, 300)))
    out = (1, 1, int(random.integers(1, 20)))
    return Layer("linear", (shape[0], shape[1], shape[2]), out, (1, 1), (1, 1), (0, 0), False)


def pool(random: Random, kind: Kind) -> Layer:
    most = int(pick(random, 4, 9, 14))
    channels = int(random.integers(1, 20))
    style = int(random.integers(3))
    if style == 0:
        axes = [(size, 2, 2, 0, size // 2) for size in random.integers(2, most + 2, 2).tolist()]
    elif style == 1:
        axes = [(size, size, 1, 0, 1) for size in random.integers(1, most + 1, 2).tolist()]
    else:
        axes = [_axis(random, most) for _ in range(2)]
    return _layer(kind, axes, channels, channels)


# Numbers


def _bounds(random: Random) -> tuple[int, int]:
    if random.random() < 0.6:
        return -128, 127
    low, high = sorted(random.integers(-128, 128, 2).tolist())
    return low, high


def _zero(random: Random) -> int:
    return int(pick(random, -128, 127, 0, *random.integers(-128, 128, 3)))


def _multipliers(random: Random, count: int) -> Int64:
    values = random.integers(1 << 30, 1 << 31, count)
    border = random.random(count) < 0.1
    return np.where(border, random.choice([0, 1 << 30, (1 << 31) - 1], count), values)


def _numbers(random: Random, weights: Int8) -> Affine:
    """Of a row for each row of weights: sums up to the largest allowed, outputs of all sizes."""
    rows = len(weights)
    products = 255 * np.abs(weights.astype(np.int64)).sum(axis=1)
    style = int(random.integers(4))
    most = np.maximum(MOST - products, 0)
    bias: Int64 = random.integers(-1, 2, rows) * products // 3
    if style == 0:
        bias = np.zeros(rows, np.int64)
    elif style == 1:
        bias = random.choice([-1, 1], rows) * (most >> random.integers(0, 31, rows))
    largest = products + np.abs(bias)
    bits = np.array([int(one).bit_length() for one in largest])
    # Around what makes outputs of eight bits; now and then any that is allowed.
    shift = 7 - bits + random.integers(-2, 3, rows)
    if random.random() < 0.3:
        shift = random.integers(-31, 4, rows)
    elif random.random() < 0.3:
        shift = random.integers(-2, 2, rows)
    room = np.array([(MOST // max(int(one), 1)).bit_length() - 1 for one in largest])
    shift = np.clip(np.minimum(shift, room), -31, 30)
    zero_out = _zero(random)
    low, high = _bounds(random)
    if random.random() < 0.4:  # ReLU
        low, high = zero_out, 127
    multipliers = _multipliers(random, rows)
    if random.random() < 0.2:  # ReLU of all of int8, and biases whose outputs are 126 to 129
        zero_out, low, high = -128, -128, 127
        shift = random.integers(-8, 0, rows)
        exact = 2.0 ** (31 - shift) / np.maximum(multipliers, 1 << 30)
        bias = (exact * random.choice([254, 254.5, 255, 255.5, 256, 257], rows)).astype(np.int64)
        bias = np.minimum(bias + random.integers(-1, 2, rows), most)
    return Affine(
        (_zero(random),),
        zero_out,
        low,
        high,
        bias.astype(np.int32),
        multipliers.astype(np.int32),
        shift.astype(np.int32),
    )


# Kernels


def _expected(layer: Layer, affine: Affine, weights: Int8 | None, inputs: list[Int8]) -> Int8:
    given = [one[np.newaxis] for one in inputs]
    result: Int8 = OPERATORS[layer.kind].forward(layer, affine, weights, given)[0]
    return result


def _weighted(random: Random, layer: Layer) -> Case:
    inputs = whole(random, *layer.in_shape)
    weights = whole(random, layer.rows, layer.row_length)
    found = edges(random, layer.rows, layer.row_length, weights=weights)
    affine = _numbers(random, weights)
    made = _expected(layer, affine, found.effective, [inputs])
    job = Job(
        f"AFFINE_{layer.kind.upper()}",
        {"INPUT": inputs, **found.inputs, "FACTORS": factors(affine)},
        {"OUTPUT": (made.shape, np.int8)},
        layer,
        found.masks,
        threshold=found.threshold,
        affine=affine,
    )
    return Case(job, 0, {"OUTPUT": made}, layout(random))


def _unweighted(
    random: Random, kernel: str, layer: Layer, affine: Affine, inputs: list[Int8]
) -> Case:
    given: dict[str, NDArray[Any]] = dict(zip(("INPUT", "INPUT_B"), inputs, strict=False))
    if affine.multiplier.size:
        given["FACTORS"] = factors(affine)
    made = _expected(layer, affine, None, inputs)
    job = Job(kernel, given, {"OUTPUT": (made.shape, np.int8)}, layer, affine=affine)
    return Case(job, 0, {"OUTPUT": made}, layout(random))


def _affine(random: Random, zero_in: tuple[int, ...], zero_out: int, m: Int32, s: Int32) -> Affine:
    return Affine(zero_in, zero_out, *_bounds(random), np.zeros(0, np.int32), m, s)


_NONE = np.zeros(0, np.int32)


def _pool(random: Random, kernel: str, kind: Kind) -> Case:
    layer, zero = pool(random, kind), _zero(random)
    affine = _affine(random, (zero,), zero, _NONE, _NONE)
    return _unweighted(random, kernel, layer, affine, [whole(random, *layer.in_shape)])


def mean(random: Random) -> Case:
    height, width = (int(random.integers(1, 8)) for _ in range(2))
    channels = int(random.integers(1, 20))
    axes = [(height, height, 1, 0, 1), (width, width, 1, 0, 1)]
    layer = _layer("avgpool", axes, channels, channels)
    largest = (255 * height * width).bit_length()
    shift = int(pick(random, 7 - largest, 8 - largest, 1 - largest, -31, 0, 31 - 1 - largest))
    affine = _affine(
        random,
        (_zero(random),),
        _zero(random),
        np.maximum(_multipliers(random, 1), 1 << 29).astype(np.int32),
        np.array([shift], np.int32),
    )
    return _unweighted(random, "AFFINE_MEAN", layer, affine, [whole(random, *layer.in_shape)])


def add(random: Random) -> Case:
    height, width = (int(random.integers(1, 8)) for _ in range(2))
    shape = (height, width, int(random.integers(1, 20)))
    layer = Layer("add", shape, shape, (1, 1), (1, 1), (0, 0), False, (0, 1))
    shifts = [*random.integers(-4, 1, 2).tolist(), int(random.integers(-22, -16))]
    if random.random() < 0.2:
        shifts = random.integers(-31, 1, 3).tolist()
    multipliers = _multipliers(random, 3)
    if random.random() < 0.2:  # both factors 1/2 or 1/4: one element of two is a half
        multipliers, shifts = np.full(3, 1 << 30), [-1, int(random.integers(-2, 0)), -18]
    affine = _affine(
        random,
        (_zero(random), _zero(random)),
        _zero(random),
        multipliers.astype(np.int32),
        np.array(shifts, np.int32),
    )
    return _unweighted(
        random, "AFFINE_ADD", layer, affine, [whole(random, *shape), whole(random, *shape)]
    )


KERNELS: dict[str, Callable[[Random], Case]] = {
    "AFFINE_CONV2D": lambda r: _weighted(r, convolution(r)),
    "AFFINE_DEPTHWISE": lambda r: _weighted(r, depthwise(r)),
    "AFFINE_LINEAR": lambda r: _weighted(r, dense(r)),
    "AFFINE_MAXPOOL": lambda r: _pool(r, "AFFINE_MAXPOOL", "maxpool"),
    "AFFINE_AVGPOOL": lambda r: _pool(r, "AFFINE_AVGPOOL", "avgpool"),
    "AFFINE_MEAN": mean,
    "AFFINE_ADD": add,
}


def case(kernel: str, number: int) -> Case:
    """The same case for the same kernel and number, everywhere."""
    return KERNELS[kernel](np.random.default_rng([list(KERNELS).index(kernel), number, 14]))
