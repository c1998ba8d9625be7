"""A linear head made of class means."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.network import Affine, Network, Parameters
from picotrain_golden.numerics import LIMIT, Int8, Int32, Int64

MAX_INPUTS = 4096
MOST_IMAGES = 65535
"""Of one class; further ones are not counted."""

_MAGNITUDE_BITS = 12
_TARGET = 100
"""The logit of the class whose mean is farthest along its own row."""
_LEAST_T = 128

UInt32 = NDArray[np.uint32]


class ClassError(ValueError):
    """A class without an image, `label`."""

    def __init__(self, label: int) -> None:
        super().__init__(f"class {label} has no image, and each needs one for its prototype")
        self.label = label


class Prototypes:
    """Sums `totals` int32 [classes, F] of what the last layer of a network reads, and how many
    images of each class, `counts` uint32 [classes]."""

    def __init__(self, network: Network) -> None:
        check(network)
        head = network.layers[-1]
        self._zero = network.affine[-1].zero_in[0]
        self.totals: Int32 = np.zeros((head.rows, head.row_length), np.int32)
        self.counts: UInt32 = np.zeros(head.rows, np.uint32)

    def add(self, inputs: Int8, label: int) -> None:
        """One image: what the last layer read, int8 of any shape."""
        if self.counts[label] == MOST_IMAGES:
            return
        self.totals[label] += inputs.reshape(-1).astype(np.int32) - np.int32(self._zero)
        self.counts[label] += 1


def check(network: Network) -> None:
    """Raise ValueError, in one sentence, where prototypes make no head for the network."""
    if not network.affine:
        raise ValueError(
            f"prototypes are for affine networks, and {network.name} is of the power-of-two form"
        )
    head = network.layers[-1]
    if head.kind != "linear":
        raise ValueError(
            f"the last layer of {network.name} is {head.kind}, and prototypes make a linear one"
        )
    if head.row_length > MAX_INPUTS:
        raise ValueError(
            f"the last layer of {network.name} has {head.row_length} inputs, and prototypes "
            f"{MAX_INPUTS} at most"
        )


def head(totals: Int32, counts: UInt32) -> tuple[Int8, int, int]:
    """Weights int8 [classes, F], and the multiplier and shift of all rows.

    Raises ClassError, in one sentence, for a class without an image.
    """
    for label, count in enumerate(counts.tolist()):
        if not count:
            raise ClassError(label)
    # Sums of products need more than 32 bits.
    vectors = [_twelve_bits(row) for row in totals.astype(np.int64)]
    norms = [max(1, isqrt(int((v * v).sum()))) for v in vectors]
    peaks = [int(np.abs(v).max()) for v in vectors]
    lengths = [LIMIT * r // peak for r, peak in zip(norms, peaks, strict=True) if peak]
    q = min(lengths, default=0)
    weights = np.zeros(totals.shape, np.int8)
    t = _LEAST_T
    for label, (v, r) in enumerate(zip(vectors, norms, strict=True)):
        row = np.sign(v) * ((np.abs(v) * q + r // 2) // r)
        weights[label] = row.astype(np.int8)
        along = int((row * totals[label].astype(np.int64)).sum())
        t = max(t, along // int(counts[label]))
    return (weights, *_factor(t))


def _twelve_bits(total: Int64) -> Int64:
    k = int(np.abs(total).max()).bit_length() - _MAGNITUDE_BITS
    if k < 0:
        return total << -k
    result: Int64 = (total + ((1 << k) >> 1)) >> k
    return result


def _factor(t: int) -> tuple[int, int]:
    """`m` and `s` of 100 / t."""
    j = 0
    while (_TARGET << j) // t < 1 << 30:
        j += 1
    return (_TARGET << j) // t, 31 - j


def with_head(network: Network, prototypes: Prototypes) -> Network:
    """A copy of the network whose last layer are the prototypes."""
    weights, m, s = head(prototypes.totals, prototypes.counts)
    rows = len(weights)
    held: Parameters = replace(network.of(len(network.layers) - 1), weights=weights)
    numbers: Affine = replace(
        network.affine[-1],
        bias=np.zeros(rows, np.int32),
        multiplier=np.full(rows, m, np.int32),
        shift=np.full(rows, s, np.int32),
    )
    return replace(
        network.copy(),
        parameters=(*network.copy().parameters[:-1], held),
        affine=(*network.affine[:-1], numbers),
    )
