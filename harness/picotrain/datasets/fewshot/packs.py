"""Packs: .npz files of 32x32 grey images that were made once (docs/data.md), as no download from
the original distributor gives these images."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.dataset import Split
from picotrain.datasets.fewshot.domain import Domain, Indices
from picotrain.datasets.files import DataFile, FileSet, read_all, require
from picotrain.datasets.kept import decoded

FOLDER = "fewshot"

Arrays = dict[str, NDArray[np.uint8]]


def fileset(name: str, sha256: str, file: str = "") -> FileSet:
    """The file of a pack, `sha256` that of the .npz itself."""
    held = DataFile(f"{file or name}.npz", sha256)
    return FileSet(name, (FOLDER,), (held,), archives=())


GTSRB = fileset("gtsrb", "1d0aca61498e9ed1702c6fe932945d3c004d8241af798bed082895c4f756fc59")
OMNIGLOT = fileset(
    "omniglot", "e86c00251ed7b48de52adbba286c78cb3557ff964aa9870c000b1f026b133240", "omniglot242"
)
FLOWERS = fileset(
    "flowers", "cd4ee085da2e738fbf8e2c88dacc9758daf7e87a2701ccc62911eb1a965b822b", "flowers5"
)
USPS = fileset("usps", "a2d2269d87a1f93c6d4cb0716904258d390cd5ef183b8c86503897a17d3d5659")
FILES = (GTSRB, OMNIGLOT, FLOWERS, USPS)


def arrays(pack: FileSet) -> Arrays:
    """The arrays of bytes in a pack, which is there."""
    (contents,) = read_all(pack, download=False).values()
    with np.load(io.BytesIO(contents), allow_pickle=False) as archive:
        return {
            name: archive[name]
            for name in archive.files
            if archive[name].dtype == np.dtype(np.uint8)
        }


def gtsrb(download: bool = True, pack: FileSet = GTSRB) -> Domain:
    """Traffic signs, 43 classes: the training images, whose tracks are known."""

    def make() -> dict[str, Split]:
        found = arrays(pack)
        kept = found["split"] == 0
        labels = found["y"][kept]
        return {
            "images": Split(found["x"][kept][..., np.newaxis], labels),
            "tracks": Split(found["track"][kept], labels),
        }

    splits = _kept(pack, download, make)
    labels = splits["images"].labels
    # A track's number counts within its class.
    tracks = labels.astype(np.intp) * 256 + splits["tracks"].images
    return _domain(
        pack,
        splits["images"],
        "German Traffic Sign Recognition Benchmark (Stallkamp and others), a subset",
        tracks=tracks,
    )


def omniglot(download: bool = True, pack: FileSet = OMNIGLOT) -> Domain:
    """Handwritten characters of 8 alphabets; those of a task are of one alphabet."""

    def make() -> dict[str, Split]:
        found = arrays(pack)
        return {
            "images": Split(found["x"][..., np.newaxis], found["y"]),
            "alphabets": Split(found["alphabet"], found["y"]),
        }

    splits = _kept(pack, download, make)
    families = np.zeros(int(splits["images"].labels.max()) + 1, np.intp)
    families[splits["images"].labels] = splits["alphabets"].images
    return _domain(
        pack,
        splits["images"],
        "Omniglot (Lake and others), small background sets",
        families=families,
    )


def flowers(download: bool = True, pack: FileSet = FLOWERS) -> Domain:
    """Photographs of five flowers."""
    splits = _kept(pack, download, lambda: _all(arrays(pack)))
    return _domain(pack, splits["images"], "flowers-recognition (Mamaev)", mirror=True)


def usps(download: bool = True, pack: FileSet = USPS) -> Domain:
    """Digits of postal codes: the official test images."""
    splits = _kept(pack, download, lambda: _all(arrays(pack), part=1))
    return _domain(pack, splits["images"], "USPS digits (AT&T Bell Labs)")


def _all(found: Arrays, part: int | None = None) -> dict[str, Split]:
    kept = np.ones(len(found["y"]), bool) if part is None else found["split"] == part
    return {"images": Split(found["x"][kept][..., np.newaxis], found["y"][kept])}


def _kept(pack: FileSet, download: bool, make: Callable[[], dict[str, Split]]) -> dict[str, Split]:
    """From the cache; what else a pack says of each image is held as an image of one byte."""
    digests = [file.sha256 for file in pack.files]
    places = require(pack, download).values()
    return decoded.kept(f"{pack.name}-domain", digests, [__file__], places, make)


def _domain(
    pack: FileSet,
    split: Split,
    source: str,
    mirror: bool = False,
    tracks: Indices | None = None,
    families: Indices | None = None,
) -> Domain:
    digests = {file.name: file.sha256 for file in pack.files}
    return Domain(pack.name, split.images, split.labels, source, digests, mirror, tracks, families)
