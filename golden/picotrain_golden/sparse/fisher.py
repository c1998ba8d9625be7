"""Fisher information of every row, in integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.network import Affine, Layer, Network
from picotrain_golden.numerics import Int8
from picotrain_golden.operators.scales import ONE, Scale
from picotrain_golden.passes import backward_pass, forward_pass

UInt64 = NDArray[np.uint64]
Information = tuple[UInt64 | None, ...]
"""Of each layer D [rows]; None where it has no weights."""

LARGEST = (1 << 64) - 1


def halvings(layer: Layer) -> int:
    """`h`, by which the sums over many positions are made smaller."""
    return max(0, (layer.positions - 1).bit_length() - 10)


def added(layer: Layer, affine: Affine, output: Int8, error: Int8) -> list[int]:
    """What one image adds to D of each row: `output` and masked `error` int8 [OH, OW, OC]."""
    centred = output.astype(np.int64) - affine.zero_out
    sums = (centred * error).sum(axis=(0, 1))
    h = halvings(layer)
    # Half of 2^h, and nothing for h = 0.
    return [((t + ((1 << h) >> 1)) >> h) ** 2 for t in sums.tolist()]


def accumulate(information: UInt64, more: list[int]) -> None:
    """D of a layer after one more image; it stops at 2^64 - 1."""
    # Python's integers do not wrap.
    sums = [min(one + two, LARGEST) for one, two in zip(information.tolist(), more, strict=True)]
    information[:] = np.array(sums, np.uint64)


def error_scales(network: Network) -> dict[int, Scale]:
    """M and E of the error of each layer that learns, under the calibrated shifts."""
    # No scale depends on what an image or an error holds.
    weights = [None if held is None else held.weights for held in network.parameters]
    done = forward_pass(network, weights, np.zeros((1, *network.input_shape), np.uint8), False)
    error = np.zeros(network.layers[-1].out_shape, np.int8)
    scales = {len(network.layers) - 1: ONE}
    for step in backward_pass(network, weights, done, error, dynamic=False):
        scales |= {number: scale for number, (_, scale) in step.masked.items()}
    return scales
