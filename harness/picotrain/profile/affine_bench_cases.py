"""The affine kernels in `picotrain bench`: layers of MLPerf Tiny's networks on dense random int8.

Nothing is zero, half of all sums are below the ReLU that a layer with weights ends in.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log2, prod, sqrt

import numpy as np

from picotrain.profile.bench import Job, Operand, factors
from picotrain_golden import Affine, Layer
from picotrain_golden.generator import words
from picotrain_golden.numerics import Int8, Int32

_STREAM = 0xFFFFFF07

_SPREAD = 74 * 74
"""Standard deviation of a product of two uniform int8."""


def _same(kind: str, size: int, channels: int, rows: int, kernel: int, stride: int) -> Layer:
    """Square, padded as TensorFlow pads by "same"."""
    out = -(-size // stride)
    padding = max((out - 1) * stride + kernel - size, 0) // 2
    return Layer(
        kind,  # type: ignore[arg-type]
        (size, size, channels),
        (out, out, rows),
        (kernel, kernel),
        (stride, stride),
        (padding, padding),
        False,
    )


def _whole(kind: str, shape: tuple[int, int, int], window: tuple[int, int]) -> Layer:
    """A pool whose windows tile its input."""
    height, width = window
    out = (shape[0] // height, shape[1] // width, shape[2])
    return Layer(kind, shape, out, window, window, (0, 0), False)  # type: ignore[arg-type]


WEIGHTED = (
    _same("conv2d", 48, 3, 8, 3, 2),
    _same("conv2d", 16, 16, 16, 3, 1),
    _same("conv2d", 24, 16, 32, 1, 1),
    _same("conv2d", 24, 32, 32, 1, 1),
    _same("conv2d", 12, 64, 64, 1, 1),
    _same("conv2d", 6, 128, 128, 1, 1),
    _same("depthwise", 48, 8, 8, 3, 1),
    _same("depthwise", 24, 32, 32, 3, 1),
    _same("depthwise", 24, 32, 32, 3, 2),
    _same("depthwise", 6, 128, 128, 3, 1),
    _same("depthwise", 12, 16, 16, 5, 1),
    Layer("linear", (1, 1, 256), (1, 1, 16), (1, 1), (1, 1), (0, 0), False),
)


def affine_jobs() -> Iterator[tuple[str, str, str, int, Job]]:
    """Kernel, layer, unit, units and job of each measurement."""
    for layer in WEIGHTED:
        kernel = f"AFFINE_{layer.kind.upper()}"
        yield kernel, _name(layer), "MAC", layer.macs, _weighted(kernel, layer)
    for kernel, layer in (
        ("AFFINE_MAXPOOL", _whole("maxpool", (16, 16, 32), (2, 2))),
        ("AFFINE_AVGPOOL", _whole("avgpool", (16, 16, 32), (2, 2))),
    ):
        affine = Affine((3,), 3, -128, 127, _none(), _none(), _none())
        yield kernel, _name(layer), "element", prod(layer.in_shape), _job(kernel, layer, affine)
    mean = Layer("avgpool", (25, 5, 64), (1, 1, 64), (25, 5), (1, 1), (0, 0), False)
    affine = Affine((3,), -5, -128, 127, _none(), _int32(1 << 30), _int32(-6))
    job = _job("AFFINE_MEAN", mean, affine)
    yield "AFFINE_MEAN", _name(mean), "element", prod(mean.in_shape), job
    add = Layer("add", (16, 16, 32), (16, 16, 32), (1, 1), (1, 1), (0, 0), False)
    affine = Affine(
        (3, -7), 1, -128, 127, _none(), _int32(1 << 30, 1518500250, 1700000001), _int32(0, -1, -19)
    )
    yield "AFFINE_ADD", _name(add), "element", prod(add.in_shape), _job("AFFINE_ADD", add, affine)


def _name(layer: Layer) -> str:
    size = "x".join(map(str, layer.in_shape))
    if layer.kind in ("linear", "add"):
        return f"{layer.kind} {size} to {layer.out_shape[2]}"
    kernel = "x".join(map(str, layer.kernel))
    stride = "" if layer.stride == (1, 1) else f" stride {layer.stride[0]}"
    name = "conv" if layer.kind == "conv2d" else layer.kind
    return f"{name} {kernel}{stride} {size} to {layer.out_shape[2]}"


def _weighted(kernel: str, layer: Layer) -> Job:
    """A scale of 3/4 * 2^-n under which sums of random products have a deviation of about 60."""
    shift = -round(log2(0.75 * sqrt(layer.row_length) * _SPREAD / 60))
    affine = Affine(
        (-128,),
        -128,
        -128,
        127,
        _bias(layer),
        np.full(layer.rows, 3 << 29, np.int32),
        np.full(layer.rows, shift, np.int32),
    )
    weights = np.maximum(_noise(1, (layer.rows, layer.row_length)), -127).astype(np.int8)
    return _job(kernel, layer, affine, weights)


def _bias(layer: Layer) -> Int32:
    """What takes the zero point's part off the sums, so that half of them are negative."""
    weights = np.maximum(_noise(1, (layer.rows, layer.row_length)), -127).astype(np.int32)
    bias: Int32 = (-128 * weights.sum(axis=1)).astype(np.int32)
    return bias


def _job(kernel: str, layer: Layer, affine: Affine, weights: Int8 | None = None) -> Job:
    given: dict[str, Operand] = {"INPUT": _noise(0, layer.in_shape)}
    if kernel == "AFFINE_ADD":
        given["INPUT_B"] = _noise(2, layer.in_shape)
    if weights is not None:
        given["WEIGHTS"] = weights
    if affine.multiplier.size:
        given["FACTORS"] = factors(affine)
    outputs = {"OUTPUT": (layer.out_shape, np.int8)}
    return Job(kernel, given, outputs, layer, affine=affine)


def _noise(seed: int, shape: tuple[int, ...]) -> Int8:
    drawn = words(seed, _STREAM, prod(shape)) >> 24
    return (drawn.astype(np.int16) - 128).astype(np.int8).reshape(shape)


def _int32(*values: int) -> Int32:
    return np.array(values, np.int32)


def _none() -> Int32:
    return np.zeros(0, np.int32)
