"""Windows over an image, with a padding that is not the same on all sides."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from picotrain_golden.network import Layer
from picotrain_golden.numerics import Int32

Number = TypeVar("Number", bound=np.generic)


def _padded_shape(layer: Layer) -> list[int]:
    """Height and width that hold all windows and the whole input."""
    ends = []
    for axis in (0, 1):
        reach = (layer.out_shape[axis] - 1) * layer.stride[axis] + layer.kernel[axis]
        ends.append(max(reach, layer.padding[axis] + layer.in_shape[axis]))
    return ends


def windows(layer: Layer, inputs: NDArray[Number], fill: float) -> NDArray[Number]:
    """A view [N, OH, OW, KH, KW, C] of `inputs` [N, H, W, C] amid `fill`."""
    ends = _padded_shape(layer)
    top, left = layer.padding
    height, width, channels = layer.in_shape
    padded = np.full((len(inputs), *ends, channels), fill, inputs.dtype)
    padded[:, top : top + height, left : left + width] = inputs
    image, row, pixel, channel = padded.strides
    return as_strided(
        padded,
        (len(inputs), *layer.out_shape[:2], *layer.kernel, channels),
        (image, row * layer.stride[0], pixel * layer.stride[1], row, pixel, channel),
    )


def gathered(layer: Layer, taps: NDArray[Any]) -> Int32:
    """What each position of the input gets from all windows that it lies in: `taps`
    [OH, OW, KH, KW, C] -> int32 [H, W, C]."""
    ends = _padded_shape(layer)
    top, left = layer.padding
    height, width, channels = layer.in_shape
    down, across = layer.stride
    rows, pixels = layer.out_shape[:2]
    padded = np.zeros((*ends, channels), taps.dtype)
    for ky in range(layer.kernel[0]):
        for kx in range(layer.kernel[1]):
            touched = padded[ky::down, kx::across][:rows, :pixels]
            touched += taps[:, :, ky, kx]
    result: Int32 = padded[top : top + height, left : left + width].astype(np.int32)
    return result


def overlap(layer: Layer) -> int:
    """`j` of section 15, by which sums over the windows of a position are made smaller."""
    most = 1
    for kernel, step, out in zip(layer.kernel, layer.stride, layer.out_shape, strict=False):
        most *= min(-(-kernel // step), out)
    return (most - 1).bit_length()


def window_error(layer: Layer, largest_kernel: int, largest_stride: int) -> str:
    """What is wrong with kernel, stride, padding and output size; empty if nothing."""
    if any(not 1 <= size <= largest_kernel for size in layer.kernel):
        return f"has a kernel outside 1..{largest_kernel}"
    if any(not 1 <= step <= largest_stride for step in layer.stride):
        return f"has a stride outside 1..{largest_stride}"
    if any(not 0 <= pad < size for pad, size in zip(layer.padding, layer.kernel, strict=True)):
        return "has a padding that is not less than its kernel"
    last = [
        (layer.out_shape[axis] - 1) * layer.stride[axis] - layer.padding[axis] for axis in (0, 1)
    ]
    if any(start >= size for start, size in zip(last, layer.in_shape, strict=False)):
        return f"has an output of {layer.out_shape[:2]}, whose last windows miss the input"
    return ""
