"""Windows over an image, with a padding that is not the same on all sides."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from picotrain_golden.network import Layer

Number = TypeVar("Number", bound=np.generic)


def windows(layer: Layer, inputs: NDArray[Number], fill: float) -> NDArray[Number]:
    """A view [N, OH, OW, KH, KW, C] of `inputs` [N, H, W, C] amid `fill`."""
    ends = []
    for axis in (0, 1):
        reach = (layer.out_shape[axis] - 1) * layer.stride[axis] + layer.kernel[axis]
        ends.append(max(reach, layer.padding[axis] + layer.in_shape[axis]))
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
