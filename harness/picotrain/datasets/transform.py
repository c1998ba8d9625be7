"""What is done to images and splits before they reach a device."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

import numpy as np

from picotrain.datasets.dataset import Bytes, Split
from picotrain.datasets.shuffle import permutation
from picotrain.errors import UserError

SAMPLE_STREAM = 0xFFFFFF05
"""What is profiled, benched and verified is drawn from it."""


def rotate(images: Bytes, degrees: float) -> Bytes:
    """Images uint8 [N, H, W, C], each turned counter-clockwise about its centre, same shape.

    Linear interpolation, nothing (0) outside, rounded half up. 0 degrees gives an exact copy.
    """
    if not isfinite(degrees):
        raise UserError(f"images cannot be turned by {degrees} degrees; use a finite number")
    if degrees == 0:
        return images.copy()
    # Only here: it takes longer to import than all else that lists data sets.
    from scipy import ndimage

    # In float64, since ndimage cuts off the fraction where its output is integer.
    turned = ndimage.rotate(
        images.astype(np.float64),
        degrees,
        axes=(2, 1),
        reshape=False,
        order=1,
        mode="constant",
        cval=0.0,
    )
    rounded: Bytes = np.clip(np.floor(turned + 0.5), 0, 255).astype(np.uint8)
    return rounded


def sample(split: Split, count: int, seed: int, stream: int) -> Split:
    """`count` different images of the split, the same ones for the same `seed` and `stream`.

    A smaller sample is the beginning of a larger one.
    """
    if not 0 < count <= len(split):
        raise UserError(
            f"a sample of {count} images cannot be taken: the split has {len(split)}; "
            f"ask for 1 to {len(split)}"
        )
    return split.take(permutation(len(split), seed, stream)[:count])


def rotated_sample(split: Split, count: int, seed: int, angle: float) -> Split:
    """`count` images of a split, chosen by `seed` and rotated by `angle` degrees."""
    drawn = sample(split, count, seed, SAMPLE_STREAM)
    return replace(drawn, images=rotate(drawn.images, angle))
