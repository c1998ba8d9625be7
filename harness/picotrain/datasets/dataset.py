"""What a dataset is once it is in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

USUAL_ANGLE = 30.0
"""Degrees, of the shipped pictures: the papers' experiment."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels: `images` uint8 [N, H, W, C], `labels` uint8 [N]."""

    images: Bytes
    labels: Bytes

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.integer]) -> Split:
        """The images at `indices` (int [M]), in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named dataset.

    `splits` has "train", "validation" and "test"; of a dataset with a world of the device's own
    also "device-train", "device-validation" and "device-test". `classes` is the number of
    labels, counted from 0. `source` says in words where it came from. `sha256` maps the name of
    each file that was read to the checksum of its unpacked contents; that of a folder to the
    checksum of the splits. `angle` is by how many degrees a device sees the images turned unless it
    is told otherwise; 0: as they are. `photographs` show the same things when they are mirrored;
    digits and spectrograms do not. `quantised` images came as int8, or are those of MLPerf's
    network. Of `frames` each row is a moment, and its columns are quantities that do not trade
    places.
    """

    name: str
    splits: dict[str, Split]
    classes: int
    source: str
    sha256: dict[str, str]
    angle: float = 0.0
    photographs: bool = False
    quantised: bool = False
    frames: bool = False

    @property
    def train(self) -> Split:
        return self.splits["train"]

    @property
    def validation(self) -> Split:
        return self.splits["validation"]

    @property
    def test(self) -> Split:
        return self.splits["test"]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C), the same in all splits."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    def label_advice(self, classes: int) -> str:
        """What to do where a network has only so many classes."""
        found = np.unique(np.concatenate([split.labels for split in self.splits.values()]))
        first, last = int(found[0]), int(found[-1])
        if self.classes > classes >= len(found):
            if first > 0 and last - first < classes:
                return (
                    f"the labels are {first}..{last}, but they count from 0: subtract {first} "
                    "from each"
                )
            return (
                f"only {len(found)} of the labels up to {last} are there: number those from 0 to "
                f"{len(found) - 1}"
            )
        return "use another network or data set"
