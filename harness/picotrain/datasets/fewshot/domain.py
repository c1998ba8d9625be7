"""What few-shot tasks are drawn from: many images of some classes, of one shape and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.dataset import Bytes
from picotrain.errors import UserError

SIDE = 32

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Domain:
    """`images` uint8 [N, 32, 32, 1]; `labels` uint8 [N], counted from 0.

    `tracks` [N] numbers what images show one and the same thing: these stay together, on one side
    of a task. `families` [classes] numbers classes that belong together: those of a task are of one
    family. `mirror`: a picture shows the same thing when it is mirrored. `sha256` is as in
    `Dataset`.
    """

    name: str
    images: Bytes
    labels: Bytes
    source: str
    sha256: dict[str, str]
    mirror: bool = False
    tracks: Indices | None = None
    families: Indices | None = None

    def __post_init__(self) -> None:
        count = len(self.labels)
        if not count or self.images.shape != (count, SIDE, SIDE, 1):
            raise UserError(
                f"domain {self.name} has {count} labels and images {list(self.images.shape)}; give "
                f"images [N, {SIDE}, {SIDE}, 1] and a label for each"
            )

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    def members(self, label: int) -> Indices:
        """The numbers of the images of a class, ascending."""
        return np.flatnonzero(self.labels == label)
