"""MNIST: 28x28 grey handwritten digits, from the four original IDX files."""

from __future__ import annotations

import numpy as np

from picotrain.datasets.dataset import USUAL_ANGLE, Bytes, Dataset, Split
from picotrain.datasets.files import Archive, DataFile, FileSet, read_all

_BASE = "https://ossci-datasets.s3.amazonaws.com/mnist/"

FILES = FileSet(
    name="mnist",
    folders=("mnist", "MNIST/raw"),
    files=(
        DataFile(
            "train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        DataFile(
            "train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        DataFile(
            "t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        DataFile(
            "t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    archives=(
        Archive(
            "train-images-idx3-ubyte.gz",
            _BASE + "train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            9_912_422,
        ),
        Archive(
            "train-labels-idx1-ubyte.gz",
            _BASE + "train-labels-idx1-ubyte.gz",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            28_881,
        ),
        Archive(
            "t10k-images-idx3-ubyte.gz",
            _BASE + "t10k-images-idx3-ubyte.gz",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            1_648_877,
        ),
        Archive(
            "t10k-labels-idx1-ubyte.gz",
            _BASE + "t10k-labels-idx1-ubyte.gz",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            4_542,
        ),
    ),
)

_VALIDATION = 5_000


def load(fileset: FileSet = FILES, download: bool = True, validation: int = _VALIDATION) -> Dataset:
    """The dataset; the last `validation` images of the original train files validate."""
    contents = read_all(fileset, download)
    images = _idx(contents["train-images-idx3-ubyte"])[..., np.newaxis]
    labels = _idx(contents["train-labels-idx1-ubyte"])
    train = len(labels) - validation
    return Dataset(
        name="mnist",
        splits={
            "train": Split(images[:train], labels[:train]),
            "validation": Split(images[train:], labels[train:]),
            "test": Split(
                _idx(contents["t10k-images-idx3-ubyte"])[..., np.newaxis],
                _idx(contents["t10k-labels-idx1-ubyte"]),
            ),
        },
        classes=10,
        source="MNIST (LeCun, Cortes, Burges), the original IDX files",
        sha256={file.name: file.sha256 for file in fileset.files},
        angle=USUAL_ANGLE,
    )


def _idx(data: bytes) -> Bytes:
    """The uint8 array in a verified IDX file: its rank in byte 3, then big-endian sizes."""
    rank = data[3]
    shape = np.frombuffer(data, ">u4", count=rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(tuple(map(int, shape)))
