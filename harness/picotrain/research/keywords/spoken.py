"""Spoken digits as a data set of the keyword spotter's features, for networks that are trained from
the beginning."""

from __future__ import annotations

from picotrain.datasets import fsdd
from picotrain.datasets.dataset import Dataset, Split
from picotrain.learn.architectures.pixels import as_int8
from picotrain.quantise.graph import TensorScale
from picotrain.research.keywords.sounds import Recordings
from picotrain.research.keywords.tasks import DIGITS

NAME = "spoken-digits"
_SCALE = TensorScale(0.584702909, 83)
"""Of the spotter's input: what is silent is its least int8, and so a pixel of 0."""
_WHICH = {"train": range(10, 50), "validation": range(5, 10), "test": range(5)}
"""Recordings of each digit; the last ones are the data set's own test split."""


def spoken() -> Dataset:
    """All six speakers, 49 frames of 10 coefficients as pixels: uint8 [N, 49, 10, 1]."""
    recordings = Recordings(_SCALE)
    splits = {name: recordings.split(fsdd.SPEAKERS, which) for name, which in _WHICH.items()}
    return Dataset(
        NAME,
        {name: Split(as_int8(one.images), one.labels) for name, one in splits.items()},
        DIGITS,
        "Free Spoken Digit Dataset, mel cepstral coefficients",
        {file.name: file.sha256 for file in fsdd.FILES.files},
        frames=True,
    )
