"""Spoken digits as a keyword spotter hears them: the Free Spoken Digit Dataset once more, for
networks like `ds-cnn`.

`spoken-digits` is of all six speakers. `spoken-digits-without-theo` is what a network learns that
has never heard theo, and `spoken-digits-theo` the voice of theo alone, that a device adapts to.
"""

from __future__ import annotations

import numpy as np

from picotrain.datasets import fsdd
from picotrain.datasets.dataset import Dataset, Split
from picotrain.datasets.files import FileSet, require
from picotrain.datasets.kept import decoded
from picotrain.datasets.keywords import mfcc, sounds

EVERYBODY = "spoken-digits"
_ONE, _WITHOUT = f"{EVERYBODY}-", f"{EVERYBODY}-without-"
_SPEAKERS = {
    EVERYBODY: fsdd.SPEAKERS,
    **{
        f"{_WITHOUT}{speaker}": tuple(other for other in fsdd.SPEAKERS if other != speaker)
        for speaker in fsdd.SPEAKERS
    },
    **{f"{_ONE}{speaker}": (speaker,) for speaker in fsdd.SPEAKERS},
}
NAMES = tuple(_SPEAKERS)

_WHICH = {"train": range(10, 50), "validation": range(5, 10), "test": range(5)}
"""Recordings of each digit; the last ones are the data set's own test split."""


def load(name: str, fileset: FileSet, download: bool = True) -> Dataset:
    """The dataset of that name, one of `NAMES`: images uint8 [N, 49, 10, 1]."""
    return Dataset(
        name,
        decoded.kept(
            name,
            [file.sha256 for file in fileset.files],
            [__file__, mfcc.__file__, sounds.__file__, fsdd.__file__],
            require(fileset, download).values(),
            lambda: _splits(fileset, _SPEAKERS[name]),
        ),
        fsdd.DIGITS,
        f"{fsdd.SOURCE}, mel cepstral coefficients",
        {file.name: file.sha256 for file in fileset.files},
        quantised=True,
        frames=True,
    )


def _splits(fileset: FileSet, speakers: tuple[str, ...]) -> dict[str, Split]:
    recordings = fsdd.recordings(fileset, download=False)
    return {split: _split(recordings, speakers, which) for split, which in _WHICH.items()}


def _split(recordings: dict[str, fsdd.Samples], speakers: tuple[str, ...], which: range) -> Split:
    chosen = fsdd.chosen(speakers, which)
    heard = (sounds.one_second(recordings[name].astype(np.float64)) for _, name in chosen)
    return Split(
        np.stack([mfcc.pixels(mfcc.coefficients(sound)) for sound in heard]),
        np.array([digit for digit, _ in chosen], np.uint8),
    )
