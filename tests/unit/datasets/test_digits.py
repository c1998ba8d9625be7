"""The digits that need no download, and what is done with images of any data set."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest

from made_up import some
from picotrain import datasets
from picotrain.datasets import digits
from picotrain.datasets.dataset import Split
from picotrain.errors import UserError

# Digits


@pytest.fixture(scope="module")
def all_digits() -> datasets.Dataset:
    pytest.importorskip("sklearn", reason="dataset digits comes with scikit-learn")
    return datasets.load("digits")


def test_digits_splits_hold_each_image_once(all_digits: datasets.Dataset) -> None:
    counts = {name: len(split) for name, split in all_digits.splits.items()}
    assert counts == {"train": 1197, "validation": 200, "test": 400}
    labels = np.concatenate([split.labels for split in all_digits.splits.values()])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    for split in all_digits.splits.values():
        assert set(split.labels.tolist()) == set(range(10))
        assert split.images.dtype == np.uint8
        assert split.images.shape[1:] == (28, 28, 1)


def test_digits_are_centred_and_fill_their_box(all_digits: datasets.Dataset) -> None:
    images = np.concatenate([split.images[..., 0] for split in all_digits.splits.values()])
    mass = images.sum(axis=(1, 2), dtype=np.int64)
    for axis in (1, 2):
        profile = images.sum(axis=axis, dtype=np.int64)
        centre = (profile * np.arange(28)).sum(axis=1) / mass
        assert np.abs(centre - 13.5).max() <= 0.5
    rows = images.any(axis=2).sum(axis=1)
    columns = images.any(axis=1).sum(axis=1)
    longest = np.maximum(rows, columns)
    assert longest.max() == 20
    assert (longest >= 18).all()
    assert images.max(axis=(1, 2)).min() > 200


def test_digits_are_the_same_everywhere(all_digits: datasets.Dataset) -> None:
    # Integer arithmetic on data with a pinned checksum, so no library version changes this.
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        digest.update(all_digits.splits[name].images.tobytes())
        digest.update(all_digits.splits[name].labels.tobytes())
    assert digest.hexdigest() == "43428ef0d6f7165edd6f6668b7e8ac5f26dd12a3596f8720cb487164042f88ea"


def test_digits_are_the_same_by_scikit_learn(
    all_digits: datasets.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "bundled_file", lambda: None)
    read = datasets.load("digits")
    assert (read.test.images == all_digits.test.images).all()
    assert (read.test.labels == all_digits.test.labels).all()


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "bundled_file", lambda: None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UserError, match="install scikit-learn"):
        datasets.load("digits")
    states = {status.name: status.state for status in datasets.describe()}
    assert states["digits"] == "absent"


def test_a_digit_keeps_its_proportions() -> None:
    bar = np.zeros((8, 8), np.uint8)
    bar[0:8, 3:5] = 16
    image = digits.like_mnist(bar)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (rows[0], rows[-1], len(columns)) == (4, 23, 5)
    assert (image[::-1] == image).all()
    around = image[:, columns[0] : columns[-1] + 1]
    assert (around == around[:, ::-1]).all()


# Rotation and sampling


def test_rotation_by_nothing_is_a_copy() -> None:
    images = some(3, 7, 5, 2)
    turned = datasets.rotate(images, 0)
    assert (turned == images).all()
    assert not np.shares_memory(turned, images)


def test_rotation_by_half_a_turn_is_exact() -> None:
    images = some(3, 7, 5, 2)
    assert (datasets.rotate(images, 180) == images[:, ::-1, ::-1]).all()
    assert (datasets.rotate(images, -180) == images[:, ::-1, ::-1]).all()


def test_rotation_is_counter_clockwise() -> None:
    images = some(2, 6, 6, 1)
    assert (datasets.rotate(images, 90) == np.rot90(images, axes=(1, 2))).all()


def test_rotation_keeps_shape_and_rounds_half_up() -> None:
    images = some(2, 9, 6, 3)
    turned = datasets.rotate(images, 30)
    assert turned.shape == images.shape
    assert turned.dtype == np.uint8
    full = np.full((1, 21, 21, 1), 255, np.uint8)
    turned = datasets.rotate(full, 45)
    assert (turned[0, 10, :, 0] == 255).all()
    assert turned[0, 0, 0, 0] == 0
    # A lone 1 spreads over pixels by less than a half each but its own.
    lone = np.zeros((1, 5, 5, 1), np.uint8)
    lone[0, 2, 2] = 1
    assert (datasets.rotate(lone, 45) == lone).all()


def test_rotation_by_no_number() -> None:
    with pytest.raises(UserError, match="turned by nan degrees"):
        datasets.rotate(some(1, 2, 2, 1), float("nan"))


def test_sample_is_deterministic_and_without_repeats() -> None:
    split = Split(some(50, 2, 2, 1), np.arange(50, dtype=np.uint8))
    first = datasets.sample(split, 20, seed=1, stream=0xFFFFFF01)
    assert len(set(first.labels.tolist())) == 20
    assert (first.images == split.images[first.labels]).all()
    again = datasets.sample(split, 30, seed=1, stream=0xFFFFFF01)
    assert again.labels[:20].tolist() == first.labels.tolist()
    for seed, stream in ((2, 0xFFFFFF01), (1, 0xFFFFFF02)):
        other = datasets.sample(split, 20, seed, stream)
        assert other.labels.tolist() != first.labels.tolist()
    assert sorted(datasets.sample(split, 50, 1, 0).labels) == list(range(50))


@pytest.mark.parametrize("count", [51, 0, -1])
def test_sample_of_more_than_there_are(count: int) -> None:
    split = Split(some(50, 2, 2, 1), np.arange(50, dtype=np.uint8))
    with pytest.raises(UserError, match=f"sample of {count} images .* the split has 50; ask for 1"):
        datasets.sample(split, count, 0, 0)
