"""Spoken digits: the Free Spoken Digit Dataset, once for each speaker.

`fsdd-theo` holds what a device needs that is to adapt to theo: a backbone's train, validation and
test recordings come from the five other speakers, and `device-train`, `device-validation` and
`device-test` from theo alone. All are mel spectrograms.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import wave

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import melspectrogram
from picotrain.datasets.dataset import Bytes, Dataset, Split
from picotrain.datasets.files import Archive, DataFile, FileSet, read_all, require
from picotrain.datasets.kept import decoded

Samples = NDArray[np.int16]

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")

NAMES = tuple(f"fsdd-{speaker}" for speaker in SPEAKERS)

DIGITS = 10

# Which of the 50 recordings of each digit go where. 0 to 4 are the data set's own test split.
_OTHERS = {"train": range(10, 50), "validation": range(5, 10), "test": range(5)}
_DEVICE = {
    "device-train": range(25, 50),
    "device-validation": range(15, 25),
    "device-test": range(15),
}


def list_digest(contents: bytes) -> str:
    """The checksum of the list of the recordings in a tar file, whatever else is in it.

    It is that of what this prints:
    find recordings -name '*.wav' | LC_ALL=C sort | xargs sha256sum
    """
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  recordings/{name}\n"
        for name, data in sorted(_recordings(contents).items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
SOURCE = f"Free Spoken Digit Dataset (Jackson and others), commit {_COMMIT[:8]}"

FILES = FileSet(
    name="fsdd",
    folders=("fsdd",),
    files=(
        DataFile(
            "recordings.tar",
            "04e1baae96c6a26e39c623f2b01d0182ddae627ba0ac02a3cdc17ba2af99fd9b",
            list_digest,
        ),
    ),
    archives=(
        # 15.6 MB; GitHub does not promise the same bytes each time.
        Archive(
            "recordings.tar.gz",
            f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{_COMMIT}.tar.gz",
            sha256=None,
            size=32_000_000,
        ),
    ),
)


def load(name: str, fileset: FileSet = FILES, download: bool = True) -> Dataset:
    """The dataset of that name, one of `NAMES`."""
    speaker = name.removeprefix("fsdd-")
    digests = [file.sha256 for file in fileset.files]
    return Dataset(
        name=name,
        splits=decoded.kept(
            name,
            digests,
            [__file__, melspectrogram.__file__],
            require(fileset, download).values(),
            lambda: _splits(fileset, speaker),
        ),
        classes=DIGITS,
        source=SOURCE,
        sha256={file.name: file.sha256 for file in fileset.files},
    )


def _splits(fileset: FileSet, speaker: str) -> dict[str, Split]:
    images = {
        name: melspectrogram.image(samples.astype(np.float64))
        for name, samples in recordings(fileset, download=False).items()
    }
    others = tuple(other for other in SPEAKERS if other != speaker)
    splits = {split: _split(images, others, indices) for split, indices in _OTHERS.items()}
    return splits | {
        split: _split(images, (speaker,), indices) for split, indices in _DEVICE.items()
    }


def recordings(fileset: FileSet = FILES, download: bool = True) -> dict[str, Samples]:
    """What is in the WAV files, by their names: int16 [N], 8 kHz."""
    require(fileset, download)
    contents = read_all(fileset, download=False)
    return {name: _samples(data) for name, data in _recordings(contents["recordings.tar"]).items()}


def _recordings(contents: bytes) -> dict[str, bytes]:
    """The WAV files in a tar file's folder `recordings`, by name. Raises TarError."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(contents), mode="r:") as archive:
        for member in archive:
            match = re.search(r"(?:^|/)recordings/([^/]+\.wav)$", member.name)
            source = archive.extractfile(member) if match and member.isfile() else None
            if match is not None and source is not None:
                found[match[1]] = source.read()
    return found


def chosen(speakers: tuple[str, ...], indices: range) -> list[tuple[int, str]]:
    """Digit and file name of the recordings of these speakers with these numbers, by speaker, digit
    and number."""
    return [
        (digit, f"{digit}_{speaker}_{index}.wav")
        for speaker in speakers
        for digit in range(DIGITS)
        for index in indices
    ]


def _split(images: dict[str, Bytes], speakers: tuple[str, ...], indices: range) -> Split:
    keys = chosen(speakers, indices)
    return Split(
        np.stack([images[name] for _, name in keys]),
        np.array([digit for digit, _ in keys], np.uint8),
    )


def _samples(data: bytes) -> Samples:
    """Of a verified WAV file: 8 kHz, one channel of 16 bits."""
    with wave.open(io.BytesIO(data)) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.int16)
