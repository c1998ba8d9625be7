"""CIFAR-10: 32x32 colour photographs, from the six original pickled batches."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from picotrain.datasets.dataset import USUAL_ANGLE, Dataset, Split
from picotrain.datasets.files import Archive, DataFile, FileSet, read_all, require
from picotrain.datasets.kept import decoded

FILES = FileSet(
    name="cifar10",
    folders=("cifar10", "cifar-10-batches-py", "cifar10/cifar-10-batches-py"),
    files=(
        DataFile(
            "data_batch_1", "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd"
        ),
        DataFile(
            "data_batch_2", "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8"
        ),
        DataFile(
            "data_batch_3", "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9"
        ),
        DataFile(
            "data_batch_4", "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b"
        ),
        DataFile(
            "data_batch_5", "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154"
        ),
        DataFile("test_batch", "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831"),
    ),
    archives=(
        Archive(
            "cifar-10-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            170_498_071,
            unpack=True,
        ),
    ),
)

_VALIDATION = 5_000


def load(fileset: FileSet = FILES, download: bool = True, validation: int = _VALIDATION) -> Dataset:
    """The dataset; the last `validation` images of the last training batch validate."""
    digests = [file.sha256 for file in fileset.files]
    return Dataset(
        name="cifar10",
        splits=decoded.kept(
            "cifar10",
            [*digests, validation],
            [__file__],
            require(fileset, download).values(),
            lambda: _splits(fileset, validation),
        ),
        classes=10,
        source="CIFAR-10 (Krizhevsky, Nair, Hinton), the original Python batches",
        sha256={file.name: file.sha256 for file in fileset.files},
        angle=USUAL_ANGLE,
        photographs=True,
    )


def _splits(fileset: FileSet, validation: int) -> dict[str, Split]:
    contents = read_all(fileset, download=False)
    with ThreadPoolExecutor(max_workers=4) as pool:
        *batches, test = pool.map(_batch, (contents[file.name] for file in fileset.files))
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    train = len(labels) - validation
    return {
        "train": Split(images[:train], labels[:train]),
        "validation": Split(images[train:], labels[train:]),
        "test": test,
    }


def _batch(data: bytes) -> Split:
    """One batch: three colour planes per image become NHWC.

    Unpickling runs what the bytes say; these have passed their checksum.
    """
    batch = pickle.loads(data, encoding="bytes")
    planes = batch[b"data"].reshape(-1, 3, 32, 32)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return Split(images, np.array(batch[b"labels"], dtype=np.uint8))
