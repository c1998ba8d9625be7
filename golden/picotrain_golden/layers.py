"""Layers, forward and backward: docs/numerics.md sections 3, 5 and 17.

A conv2d is a matrix product with the patches of its input, a linear layer one with its flattened
input; both are the rows of `columns`. The products run in floating point, through BLAS. They are
exact: every term is an integer of magnitude <= 127 * 127, so every partial sum, in any order and
with or without fused multiply-add, is an integer of magnitude <= terms * 127 * 127, and
`product_dtype` picks a type that holds all of those (2^24 for float32; float64's 2^53 is always
enough, because section 12 allows at most 2^17 terms).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from picotrain_golden.network import Layer
from picotrain_golden.numerics import Int8, Int32, Int64, UInt8, clamp, requantise_each, rhu

Float = NDArray[np.floating[Any]]

# A pool's window in row-major order: bit 1 of a place is the row, bit 0 the column.
_WINDOW = ((0, 0), (0, 1), (1, 0), (1, 1))


def product_dtype(layer: Layer) -> DTypeLike:
    """The float type in which all three products of the layer are exact."""
    return np.float32 if layer.most_terms * 127 * 127 <= 1 << 24 else np.float64


def columns(layer: Layer, inputs: Int8) -> Float:
    """What a layer with weights multiplies them with: int8 [N, H, W, C] -> float [N, OH*OW, K].

    K runs over (ky, kx, channel) for conv2d, as the weights do.
    """
    n = len(inputs)
    dtype = product_dtype(layer)
    if layer.kind == "linear":
        return inputs.reshape(n, 1, -1).astype(dtype)
    height, width, channels = layer.in_shape
    pad_y, pad_x = layer.padding
    padded = np.zeros((n, height + 2 * pad_y, width + 2 * pad_x, channels), dtype)
    padded[:, pad_y : pad_y + height, pad_x : pad_x + width] = inputs
    image, row, pixel, channel = padded.strides
    down, across = layer.stride
    windows = as_strided(
        padded,
        (n, *layer.out_shape[:2], *layer.kernel, channels),
        (image, row * down, pixel * across, row, pixel, channel),
    )
    return windows.reshape(n, layer.positions, layer.row_length)


def accumulate(layer: Layer, weights: Int8 | Float, inputs: Float) -> Int32:
    """The forward sums of conv2d and linear: `columns` [N, OH*OW, K] -> int32 [N, OH, OW, rows]."""
    matrix = weights.astype(product_dtype(layer), copy=False)
    sums: Int32 = (inputs.reshape(-1, layer.row_length) @ matrix.T).astype(np.int32)
    return sums.reshape(len(inputs), *layer.out_shape)


def forward(layer: Layer, weights: Int8 | Float, inputs: Int8) -> Int32:
    """conv2d and linear: int8 [N, H, W, C] -> int32 accumulators [N, OH, OW, rows]."""
    return accumulate(layer, weights, columns(layer, inputs))


def backward(layer: Layer, weights: Int8 | Float, error: Int8) -> Int32:
    """conv2d and linear: `W^T d`, int8 [OH, OW, rows] -> int32 accumulators [H, W, C]."""
    matrix = weights.astype(product_dtype(layer), copy=False)
    spread: Float = error.reshape(layer.positions, layer.rows).astype(matrix.dtype) @ matrix
    if layer.kind == "linear":
        return spread.astype(np.int32).reshape(layer.in_shape)
    height, width, channels = layer.in_shape
    pad_y, pad_x = layer.padding
    out_y, out_x, _ = layer.out_shape
    down, across = layer.stride
    taps = spread.reshape(out_y, out_x, *layer.kernel, channels)
    padded = np.zeros((height + 2 * pad_y, width + 2 * pad_x, channels), spread.dtype)
    for ky in range(layer.kernel[0]):
        for kx in range(layer.kernel[1]):
            touched = padded[ky::down, kx::across][:out_y, :out_x]
            touched += taps[:, :, ky, kx]
    return padded[pad_y : pad_y + height, pad_x : pad_x + width].astype(np.int32)


def gradient(layer: Layer, error: Int8, inputs: Float) -> Int32:
    """G of one image: error int8 [OH, OW, rows], `columns` [OH*OW, K] -> int32 [rows, K]."""
    rows = error.reshape(layer.positions, layer.rows).astype(inputs.dtype)
    return (rows.T @ inputs).astype(np.int32)


def maxpool2_forward(inputs: Int8) -> Int8:
    """int8 [N, H, W, C] -> int8 [N, H//2, W//2, C]; an odd last row or column is dropped."""
    height, width = inputs.shape[1] // 2 * 2, inputs.shape[2] // 2 * 2
    rows = np.maximum(inputs[:, 0:height:2, :width], inputs[:, 1:height:2, :width])
    return np.maximum(rows[:, :, 0::2], rows[:, :, 1::2])


def maxpool2_backward(inputs: Int8, outputs: Int8, error: Int8) -> Int8:
    """Each error to the first maximum of its window, row-major.

    `inputs` int8 [H, W, C], `outputs` and `error` int8 [H//2, W//2, C] -> int8 [H, W, C].
    """
    height, width = inputs.shape[0] // 2 * 2, inputs.shape[1] // 2 * 2
    routed = np.zeros_like(inputs)
    left = error.copy()
    for y in (0, 1):
        for x in (0, 1):
            hit = inputs[y:height:2, x:width:2] == outputs
            part = left * hit
            routed[y:height:2, x:width:2] = part
            # What the first maximum took is no longer there for a second one.
            left -= part
    return routed


def pool_sums(acc: Int32, k: int) -> tuple[Int8, Int8, Int64]:
    """Sums [N, OH, OW, C] pooled, requantised once with ReLU; the place of each maximum, 0..3, and
    how many of the sums of each image saturate, int64 [N]. Both int8 [N, OH//2, OW//2, C].
    """
    windows = _windows(acc)
    outputs, _ = requantise_each(windows.max(axis=0), k, relu=True)
    # argmax gives the first True.
    places = (clamp(rhu(windows, k), relu=True) == outputs).argmax(axis=0).astype(np.int8)
    _, saturated = requantise_each(acc, k, relu=True)
    return outputs, places, saturated


def unpool(layer: Layer, error: Int8, places: Int8) -> Int8:
    """The error of a convolution's own outputs, int8 [OH, OW, C], from that of the pooled ones."""
    routed = np.zeros(layer.out_shape, np.int8)
    height, width = layer.out_shape[0] // 2 * 2, layer.out_shape[1] // 2 * 2
    for place, (y, x) in enumerate(_WINDOW):
        routed[y:height:2, x:width:2] = error * (places == place)
    return routed


def packed(places: Int8) -> UInt8:
    """As a device holds them: element i in bits 2 * (i % 4) of byte i // 4."""
    flat = places.reshape(-1).astype(np.uint8)
    four = np.pad(flat, (0, -flat.size % 4)).reshape(-1, 4)
    joined: UInt8 = (four << np.array([0, 2, 4, 6], np.uint8)).sum(axis=1, dtype=np.uint8)
    return joined


def unpacked(data: UInt8, count: int) -> Int8:
    """The first `count` places of what `packed` made; int8, flat."""
    each = data[:, np.newaxis] >> np.array([0, 2, 4, 6], np.uint8) & 3
    return each.reshape(-1)[:count].astype(np.int8)


def _windows(acc: Int32) -> Int32:
    """[4, N, OH//2, OW//2, C]; an odd last row or column is dropped."""
    height, width = acc.shape[1] // 2 * 2, acc.shape[2] // 2 * 2
    return np.stack([acc[:, y:height:2, x:width:2] for y, x in _WINDOW])
