"""Static scales from runs with dynamic ones: docs/numerics.md section 8."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from picotrain_golden.network import Network
from picotrain_golden.numerics import Int32, Int64, UInt8, peak
from picotrain_golden.passes import (
    backward_pass,
    forward_pass,
    output_error,
    score_gradient,
)

RangeName = Literal["forward", "error", "gradient", "score", "score_peak"]
RANGE_NAMES: tuple[RangeName, ...] = ("forward", "error", "gradient", "score")
"""Those that a backbone file keeps."""
ALL_RANGE_NAMES: tuple[RangeName, ...] = (*RANGE_NAMES, "score_peak")


@dataclass(frozen=True)
class Reading:
    """How histograms become numbers; the defaults are section 8's.

    `zeros`: of what all-zero tensors count, as range 0: of everything, of errors only, or of
    nothing. `errors`: error shifts cover nine in ten images
    ("most"), or are the plain mode. `scores`: the step of the scores follows 16 times the mean of
    |G' * w| ("score"), or its maximum ("score_peak").
    """

    zeros: Literal["all", "errors", "none"] = "none"
    errors: Literal["mode", "most"] = "most"
    scores: Literal["score", "score_peak"] = "score"


FAIR = Reading()


@dataclass
class Ranges:
    """`range_bits` of a layer's tensors for one image; None where all zero or not there.

    `score` is that of 16 times the mean of |G' * w|, `score_peak` that of its maximum; `error`
    that of the accumulators that the layer makes for the error of its input.
    """

    forward: int | None = None
    error: int | None = None
    gradient: int | None = None
    score: int | None = None
    score_peak: int | None = None


def _bits(highest: int | None) -> int | None:
    return (highest - 1).bit_length() if highest else None


def _tensor_bits(tensor: Int32) -> int | None:
    return _bits(peak(tensor))


def _mean_bits(tensor: Int32) -> int | None:
    """Of sixteen times the mean magnitude, at most 31 (section 8); None where all zero."""
    total = int(np.abs(tensor, dtype=np.int64).sum())
    mean = 16 * total // tensor.size
    return min((max(mean, 1) - 1).bit_length(), 31) if total else None


def observe(network: Network, image: UInt8, label: int) -> list[Ranges]:
    """Forward, loss and backward with dynamic scales and no update, on one image [H, W, C]."""
    weights = [None if held is None else held.weights for held in network.parameters]
    done = forward_pass(network, weights, image[np.newaxis], dynamic=True)
    ranges = [
        Ranges(forward=None if peaks is None else _bits(int(peaks[0]))) for peaks in done.peaks
    ]
    error, _ = output_error(network, done, label)
    # An all-zero error makes every tensor of the backward pass all zero.
    if not error.any():
        return ranges
    for step in backward_pass(network, weights, done, error, dynamic=True):
        seen = ranges[step.layer]
        seen.error = _bits(step.error_peak)
        if step.gradient is not None:
            layer, held = network.layers[step.layer], network.of(step.layer)
            seen.gradient = _tensor_bits(step.gradient)
            products = score_gradient(layer, step.gradient, held.weights, bool(network.affine))
            seen.score, seen.score_peak = _mean_bits(products), _tensor_bits(products)
    return ranges


@dataclass
class Histograms:
    """How often each `range_bits` was seen, in how many images: name -> int64 counts [32].

    Those of a backbone file have the names of RANGE_NAMES only, and do not know their `images`.
    """

    layers: list[dict[RangeName, Int64]]
    images: int | None = None

    @classmethod
    def empty(cls, network: Network) -> Histograms:
        names = ALL_RANGE_NAMES
        return cls([{name: np.zeros(32, np.int64) for name in names} for _ in network.layers], 0)

    def add(self, ranges: list[Ranges]) -> None:
        """Count one image."""
        assert self.images is not None
        self.images += 1
        for counts, seen in zip(self.layers, ranges, strict=True):
            for name in ALL_RANGE_NAMES:
                bits: int | None = getattr(seen, name)
                if bits is not None:
                    counts[name][bits] += 1

    def counts(self, layer: int, name: RangeName, zeros: bool = False) -> Int64:
        """int64 [32]; with `zeros` all-zero tensors count as range 0.

        Raises ValueError where the histograms do not hold what is asked for.
        """
        if name not in self.layers[layer]:
            raise ValueError(f"these histograms have no {name}")
        counts = self.layers[layer][name]
        if not zeros:
            return counts
        if self.images is None:
            raise ValueError("these histograms do not know how many images they saw")
        result = counts.copy()
        result[0] += self.images - counts.sum()
        return result

    def mode(self, layer: int, name: RangeName, zeros: bool = False) -> int:
        """The most frequent value, ties to the larger; 0 where nothing was seen."""
        counts = self.counts(layer, name, zeros)
        return len(counts) - 1 - int(counts[::-1].argmax()) if counts.any() else 0

    def most(self, layer: int, name: RangeName, zeros: bool = False) -> int:
        """The smallest value that nine in ten images do not exceed; 0 where nothing was seen."""
        counts = self.counts(layer, name, zeros)
        return int(np.argmax(10 * counts.cumsum() >= 9 * counts.sum()))


def calibrated(network: Network, histograms: Histograms, how: Reading = FAIR) -> Network:
    """A copy of the network with the static numbers that the histograms give."""
    error = histograms.most if how.errors == "most" else histograms.mode
    every, errors = how.zeros == "all", how.zeros != "none"
    result = network.copy()
    result.parameters = tuple(
        None
        if held is None
        else replace(
            held,
            forward_shift=max(histograms.mode(index, "forward", every) - 7, 0),
            error_shift=max(error(index, "error", errors) - 7, 0),
            gradient_bits=histograms.mode(index, "gradient", every),
            score_bits=histograms.mode(index, how.scores, every),
        )
        for index, held in enumerate(result.parameters)
    )
    return result
