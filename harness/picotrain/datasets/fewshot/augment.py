"""Other views of the images that a task is learnt from: our choice, in whole numbers."""

from __future__ import annotations

import numpy as np

from picotrain.datasets.dataset import Bytes

SHIFT = 3
"""Pixels either way, at most; what comes from outside is 0."""
_MOVES = 2 * SHIFT + 1


def augmented(images: Bytes, mirror: bool, random: np.random.Generator) -> Bytes:
    """Each image uint8 [N, H, W, C] shifted, and mirrored every second time if `mirror`."""
    count, (height, width) = len(images), images.shape[1:3]
    padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    downs, acrosses, turns = (random.integers(0, most, count) for most in (_MOVES, _MOVES, 2))
    made = np.empty_like(images)
    for index, (down, across, turn) in enumerate(zip(downs, acrosses, turns, strict=True)):
        window = padded[index, down : down + height, across : across + width]
        made[index] = window[:, ::-1] if mirror and turn else window
    return made
