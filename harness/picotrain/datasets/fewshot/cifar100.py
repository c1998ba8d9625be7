"""CIFAR-100 in grey: 64 classes to learn from, 16 to tune on, 20 to test, as CIFAR-FS has them
(Bertinetto and others, arXiv 1805.08136).

From the pack, or from the original pickles, which give the same images in the same order.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np

from picotrain.datasets.dataset import Bytes, Dataset, Split
from picotrain.datasets.fewshot import packs
from picotrain.datasets.fewshot.domain import SIDE, Domain
from picotrain.datasets.files import (
    Archive,
    DataFile,
    FileSet,
    locate,
    read_all,
    require,
    sha256_of,
)
from picotrain.datasets.kept import decoded
from picotrain.errors import UserError


def _words(text: str) -> list[str]:
    return text.split()


_VALIDATION = _words("""
beaver beetle butterfly camel cattle crab crocodile flatfish lamp maple_tree motorcycle otter sea
shark television tractor
""")
_TEST = _words("""
baby bed bicycle chimpanzee fox leopard man pickup_truck plain poppy rocket rose snail sweet_pepper
table telephone wardrobe whale woman worm
""")
_TRAIN = _words("""
apple aquarium_fish bear bee bottle bowl boy bridge bus can castle caterpillar chair clock cloud
cockroach couch cup dinosaur dolphin elephant forest girl hamster house kangaroo keyboard lawn_mower
lion lizard lobster mountain mouse mushroom oak_tree orange orchid palm_tree pear pine_tree plate
porcupine possum rabbit raccoon ray road seal shrew skunk skyscraper snake spider squirrel streetcar
sunflower tank tiger train trout tulip turtle willow_tree wolf
""")

PARTS = {"train": _TRAIN, "validation": _VALIDATION, "test": _TEST}
NAMES = sorted(_TRAIN + _VALIDATION + _TEST)
"""Of all classes, in the order of their labels."""

NAME = "cifar100"

PACK = packs.fileset(NAME, "7f16c55af88487f25bfc24897bbe3299b85221abd4aabe0c9ac5cb1a0869b700")

ORIGINAL = FileSet(
    name=NAME,
    folders=("cifar100", "cifar-100-python", "cifar100/cifar-100-python"),
    files=(
        DataFile("train", "735e79b04f092ca3d2e6d07f368c0a7d70d48c48d28865950cc24454cf45129b"),
        DataFile("test", "4b67687d9933c4db8f0831104447f15b93774f4f464bd0516f0f0f2ac83b7864"),
    ),
    archives=(
        Archive(
            "cifar-100-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            169_001_437,
            unpack=True,
        ),
    ),
)

IMAGES = "b2eb59e7445003031d0ae0affa5c0f8f10b6e429cc974b1c51cd0630bbc88ef0"
"""sha256 of all images, the training ones first."""

_SOURCE = "CIFAR-100 (Krizhevsky, Nair, Hinton), grey; classes of CIFAR-FS"


def loader(part: str) -> Callable[[bool], Domain]:
    """The loader of one of `PARTS`."""

    def load(download: bool = True) -> Domain:
        splits, digests = _splits(PACK, ORIGINAL, download)
        numbers = [NAMES.index(name) for name in PARTS[part]]
        both = [_of(splits[name], numbers) for name in ("train", "test")]
        return Domain(
            f"cifar100-{part}",
            np.concatenate([split.images for split in both]),
            np.concatenate([split.labels for split in both]),
            _SOURCE,
            digests,
            mirror=True,
        )

    return load


def to_learn_from(download: bool = True) -> Dataset:
    """The 64 classes to learn from: the official training images train, of the official test images
    of each class the first half validates and the other half tests."""
    splits, digests = _splits(PACK, ORIGINAL, download)
    numbers = [NAMES.index(name) for name in _TRAIN]
    train, held_out = (_of(splits[name], numbers) for name in ("train", "test"))
    first = np.zeros(len(held_out), bool)
    for label in range(len(numbers)):
        own = np.flatnonzero(held_out.labels == label)
        first[own[: len(own) // 2]] = True
    return Dataset(
        name=NAME,
        splits={
            "train": train,
            "validation": held_out.take(np.flatnonzero(first)),
            "test": held_out.take(np.flatnonzero(~first)),
        },
        classes=len(numbers),
        source=_SOURCE,
        sha256=digests,
        photographs=True,
    )


def _of(split: Split, numbers: list[int]) -> Split:
    """The images of these classes, which are counted from 0 in that order."""
    table = np.full(256, 255, np.uint8)
    table[numbers] = np.arange(len(numbers), dtype=np.uint8)
    labels = table[split.labels]
    chosen = np.flatnonzero(labels < 255)
    return Split(split.images[chosen], labels[chosen])


def here(pack: FileSet = PACK, original: FileSet = ORIGINAL) -> FileSet:
    """The pack where it is on this machine, or else the original files."""
    return original if None in locate(pack).values() else pack


def _splits(
    pack: FileSet, original: FileSet, download: bool
) -> tuple[dict[str, Split], dict[str, str]]:
    """All 100 classes, official "train" and "test", and the digests of the files."""
    fileset = here(pack, original)
    packed = fileset is pack
    digests = {file.name: file.sha256 for file in fileset.files}
    splits = decoded.kept(
        "cifar100",
        list(digests.values()),
        [__file__, packs.__file__],
        require(fileset, download).values(),
        lambda: _unpacked(pack) if packed else _converted(original),
    )
    return splits, digests


def _unpacked(pack: FileSet) -> dict[str, Split]:
    arrays = packs.arrays(pack)
    return {
        name: Split(
            arrays["x"][arrays["split"] == number][..., np.newaxis],
            arrays["y"][arrays["split"] == number],
        )
        for number, name in enumerate(("train", "test"))
    }


def _converted(original: FileSet) -> dict[str, Split]:
    contents = read_all(original, download=False)
    splits = {name: _batch(contents[name]) for name in ("train", "test")}
    found = sha256_of(b"".join(split.images.tobytes() for split in splits.values()))
    if original is ORIGINAL and found != IMAGES:
        raise UserError(
            f"the original files of CIFAR-100 give grey images with sha256 {found}, not {IMAGES}; "
            "use the pack instead (docs/data.md)"
        )
    return splits


def _batch(data: bytes) -> Split:
    """A pickle in the pack's order: by class, then by file name. Unpickling runs what the bytes
    say; these have passed their checksum."""
    batch = pickle.loads(data, encoding="bytes")
    labels = np.array(batch[b"fine_labels"], np.uint8)
    names = batch[b"filenames"]
    order = sorted(range(len(labels)), key=lambda index: (labels[index], names[index]))
    planes = batch[b"data"].reshape(-1, 3, SIDE, SIDE)
    return Split(grey(planes.transpose(0, 2, 3, 1))[order], labels[order])


def grey(images: Bytes) -> Bytes:
    """uint8 [N, H, W, 3] to [N, H, W, 1]: luma of ITU-R 601 in steps of 2^-16, rounded half up."""
    red, green, blue = (images[..., index].astype(np.uint32) for index in range(3))
    luma = (19_595 * red + 38_470 * green + 7_471 * blue + 32_768) >> 16
    return luma.astype(np.uint8)[..., np.newaxis]
