"""Data sets of another shape, brought to 32x32 grey: 28x28 with a border of 2 zeros, colour as
luma. Where a data set has test images of its own, these are the domain."""

from __future__ import annotations

import numpy as np

from picotrain.datasets import cifar10 as cifar10_files
from picotrain.datasets import digits as digits_file
from picotrain.datasets import fsdd as fsdd_files
from picotrain.datasets import mnist as mnist_files
from picotrain.datasets.dataset import Bytes, Dataset
from picotrain.datasets.fewshot.cifar100 import grey
from picotrain.datasets.fewshot.domain import SIDE, Domain
from picotrain.datasets.files import Archive, DataFile, FileSet

_FASHION_BASE = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_FASHION = {
    "train-images-idx3-ubyte": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        27_000_000,
    ),
    "train-labels-idx1-ubyte": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        40_000,
    ),
    "t10k-images-idx3-ubyte": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        5_000_000,
    ),
    "t10k-labels-idx1-ubyte": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        10_000,
    ),
}

FASHION = FileSet(
    name="fashion-mnist",
    # The last one is where Debian's package dataset-fashion-mnist puts them.
    folders=("fashion-mnist", "FashionMNIST/raw", "/usr/share/datasets/fashion-mnist"),
    files=tuple(DataFile(name, sha256) for name, (sha256, _) in _FASHION.items()),
    archives=tuple(
        # Debian packs them otherwise than their author, so the contents alone are pinned.
        Archive(f"{name}.gz", f"{_FASHION_BASE}{name}.gz", sha256=None, size=most)
        for name, (_, most) in _FASHION.items()
    ),
)


def mnist(download: bool = True) -> Domain:
    return _tests(mnist_files.load(mnist_files.FILES, download), "mnist")


def fashion_mnist(download: bool = True) -> Domain:
    found = mnist_files.load(FASHION, download)
    return _tests(found, "fashion-mnist", "Fashion-MNIST (Xiao, Rasul, Vollgraf)")


def cifar10(download: bool = True) -> Domain:
    found = cifar10_files.load(cifar10_files.FILES, download)
    images = grey(found.test.images)
    return Domain("cifar10", images, found.test.labels, found.source, found.sha256, mirror=True)


def digits(download: bool = True) -> Domain:
    """All of scikit-learn's, which need no download."""
    return _every(digits_file.load(), "digits")


def fsdd(download: bool = True) -> Domain:
    """Spoken digits, all recordings of all speakers: their mel spectrograms."""
    speaker = fsdd_files.NAMES[0]
    return _every(fsdd_files.load(speaker, fsdd_files.FILES, download), "fsdd")


def _every(found: Dataset, name: str) -> Domain:
    images = np.concatenate([split.images for split in found.splits.values()])
    labels = np.concatenate([split.labels for split in found.splits.values()])
    return Domain(name, bordered(images), labels, found.source, found.sha256)


def _tests(found: Dataset, name: str, source: str = "") -> Domain:
    test = found.test
    return Domain(name, bordered(test.images), test.labels, source or found.source, found.sha256)


def bordered(images: Bytes) -> Bytes:
    """uint8 [N, H, W, 1] in the middle of 32x32."""
    pads = [(0, 0)]
    for side in images.shape[1:3]:
        before = (SIDE - side) // 2
        pads.append((before, SIDE - side - before))
    return np.pad(images, [*pads, (0, 0)])
