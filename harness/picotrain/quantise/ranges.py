"""What real values a tensor takes on representative images, and the int8 scale for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from picotrain.quantise.graph import FloatGraph, Real, TensorScale

Method = Literal["minmax", "percentile", "mse"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "mse")

_BINS = 2048
_LARGEST = 1e30
_TINY = float(np.finfo(np.float32).tiny)
"""A range below it has no bins that float32 tells apart, and no scale either."""
_PERCENTILE = 99.99
_LEAST_SHARE, _STEPS = 0.25, 60
"""Of the whole range, what the search by `mse` goes down to, and in how many steps."""


@dataclass
class Range:
    """Of one tensor: the least and largest value, 0 among them, and how often each bin between
    them is met."""

    least: float
    largest: float
    counts: NDArray[np.int64]

    @property
    def centres(self) -> NDArray[np.float64]:
        edges = np.linspace(self.least, self.largest, len(self.counts) + 1)
        middle: NDArray[np.float64] = (edges[:-1] + edges[1:]) / 2
        return middle


def observe(
    graph: FloatGraph, images: Real, progress: Callable[[int], Any] | None = None
) -> list[Range]:
    """Of the input and of each layer's output. The images go through twice: for the ends, then
    for what is between them."""
    count = len(graph.layers) + 1
    ends = np.zeros((count, 2))
    for tensors in graph.batches(images):
        for number, tensor in enumerate(tensors):
            ends[number, 0] = min(ends[number, 0], float(tensor.min()))
            ends[number, 1] = max(ends[number, 1], float(tensor.max()))
            if np.abs(ends[number]).max() > _LARGEST or np.isnan(tensor).any():
                what = "the images" if number == 0 else f"the outputs of layer {number - 1}"
                raise ValueError(f"{what} are not all numbers up to {_LARGEST:g}")
        if progress is not None:
            progress(len(tensors[0]))
    ranges = [Range(low, high, np.zeros(_BINS, np.int64)) for low, high in ends.tolist()]
    for tensors in graph.batches(images):
        for tensor, found in zip(tensors, ranges, strict=True):
            if found.largest - found.least >= _TINY:
                span = (found.least, found.largest)
                found.counts += np.histogram(tensor, bins=_BINS, range=span)[0]
        if progress is not None:
            progress(len(tensors[0]))
    return ranges


def scale_between(least: float, largest: float) -> TensorScale:
    """The int8 scale of a range, as float32 like a file's; 0 is one of its values exactly."""
    least, largest = min(least, 0.0), max(largest, 0.0)
    scale = float(np.float32((largest - least) / 255))
    if scale < np.finfo(np.float32).tiny:
        return TensorScale(1.0, 0)
    return TensorScale(scale, int(np.clip(round(-128 - least / scale), -128, 127)))


def choose(found: Range, method: Method) -> TensorScale:
    if method == "minmax" or not found.counts.any():
        return scale_between(found.least, found.largest)
    if method == "percentile":
        share = (100 - _PERCENTILE) / 100
        seen = np.cumsum(found.counts) / found.counts.sum()
        edges = np.linspace(found.least, found.largest, len(found.counts) + 1)
        low = edges[int(np.searchsorted(seen, share))]
        high = edges[min(int(np.searchsorted(seen, 1 - share)) + 1, len(found.counts))]
        return scale_between(float(low), float(high))
    return _least_error(found)


def _least_error(found: Range) -> TensorScale:
    """The scale, narrower than the range, at which int8 comes nearest to the values."""
    taken = found.counts > 0
    values, weights = found.centres[taken], found.counts[taken].astype(np.float64)

    def error(least: float, largest: float) -> float:
        scale = scale_between(least, largest)
        steps = np.clip(np.rint(values / scale.scale) + scale.zero, -128, 127)
        return float((weights * np.square((steps - scale.zero) * scale.scale - values)).sum())

    shares = np.linspace(1.0, _LEAST_SHARE, _STEPS).tolist()
    best = min(shares, key=lambda one: error(found.least * one, found.largest * one))
    low, high = found.least * best, found.largest * best
    # Both ends together first, then each for itself.
    high = min([high, *(found.largest * one for one in shares)], key=lambda one: error(low, one))
    low = min([low, *(found.least * one for one in shares)], key=lambda one: error(one, high))
    return scale_between(low, high)
