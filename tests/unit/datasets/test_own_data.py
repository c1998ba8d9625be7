"""A user's own .npz: what is in a file that is none, the device's own splits, and labels."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from picotrain import datasets
from picotrain.datasets import Dataset
from picotrain.errors import UserError

RANDOM = np.random.default_rng(5)
X = RANDOM.integers(0, 256, (20, 4, 5), dtype=np.uint8)
Y = np.arange(20) % 3


def load(path: Path, **arrays: NDArray[Any]) -> Dataset:
    np.savez_compressed(path, **arrays)
    return datasets.load(f"npz:{path}")


def single_array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, X)


def raw_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", X.tobytes())
        archive.writestr("y", Y.tobytes())


def objects(path: Path) -> None:
    np.savez(path, x=X, y=np.array([{}] * 20))


def cut_off(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    path.write_bytes(path.read_bytes()[:300])


def encrypted(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    data = bytearray(path.read_bytes())
    # The flag of an encrypted member, in its own header and in the directory's.
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(sign)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(sign, start + 1)
    path.write_bytes(bytes(data))


def text(path: Path) -> None:
    path.write_text("x,y\n1,2\n")


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


KINDS: dict[Callable[[Path], None], str] = {
    single_array: r"own\.npz cannot be read .*: it is a single array, as numpy\.save writes it; ex",
    raw_members: r"own\.npz cannot be read .*: its member 'x' is no array: numpy\.save did not wri",
    objects: r"own\.npz cannot be read .*: its array 'y' holds Python objects, not numbers; expect",
    cut_off: r"own\.npz cannot be read .*: it is a zip file without its end, so it was cut off; ex",
    encrypted: r"own\.npz cannot be read .*: .* is encrypted, password required .*; expected x uin",
    text: r"own\.npz cannot be read .*: it is no zip file: it begins with b'x,y\\n1,'; expected x",
    Path.touch: r"own\.npz cannot be read .*: it is no zip file: it is empty; expected x uint8",
    folder: r"own\.npz: this is no plain file; give the path of a \.npz file",
    pipe: r"own\.npz: this is no plain file; give the path of a \.npz file",
}


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_a_file_that_is_none_says_what_it_is(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "own.npz"
    make(path)
    with pytest.raises(UserError, match=KINDS[make]) as caught:
        datasets.load(f"npz:{path}")
    assert "\n" not in str(caught.value)


def test_names_that_cannot_be() -> None:
    with pytest.raises(UserError, match=r"cannot read .*: File name too long; choose another"):
        datasets.load("npz:" + "x" * 300)
    with pytest.raises(UserError, match="~nobody-at-all is the home folder of nobody here"):
        datasets.load("npz:~nobody-at-all/x.npz")


def test_somebody_elses_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a folder of others answers; root, whom nothing is closed to, could not see it."""

    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", closed)
    for name in (f"npz:{tmp_path}/x.npz", "mnist"):
        with pytest.raises(UserError, match="Permission denied; choose another name or place"):
            datasets.load(name)


def test_device_splits(tmp_path: Path) -> None:
    mine = RANDOM.integers(0, 256, (30, 4, 5), dtype=np.uint8)
    labels = np.full(30, 4)
    data = load(tmp_path / "own.npz", x=X, y=Y, x_device=mine, y_device=labels)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {
        "train": 14,
        "validation": 2,
        "test": 4,
        "device-train": 21,
        "device-validation": 3,
        "device-test": 6,
    }
    assert (data.classes, data.angle) == (5, 0.0)
    for prefix, images in (("", X), ("device-", mine)):
        held = {
            image.tobytes()
            for name in ("train", "validation", "test")
            for image in data.splits[prefix + name].images
        }
        assert held == {image.tobytes() for image in images}


def test_device_splits_with_test_images_of_their_own(tmp_path: Path) -> None:
    data = load(
        tmp_path / "own.npz",
        x=X,
        y=Y,
        x_test=X[:3],
        y_test=Y[:3],
        x_device=X,
        y_device=Y,
        x_device_test=X[5:],
        y_device_test=Y[5:],
    )
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {
        "train": 18,
        "validation": 2,
        "test": 3,
        "device-train": 18,
        "device-validation": 2,
        "device-test": 15,
    }
    assert (data.splits["device-test"].images[..., 0] == X[5:]).all()


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"x_device": X}, "found x, x_device, y; expected"),
        ({"x_device_test": X, "y_device_test": Y}, "found x, x_device_test, y, y_device_test; exp"),
        ({"x_device": X[:9], "y_device": Y[:9]}, "x_device has 9 images, too few to split; .* 10"),
        ({"x_device": X[:, :3], "y_device": Y}, r"images \[4, 5, 1\], but x_device \[3, 5, 1\]"),
        ({"x_device": X, "y_device": Y[:3]}, r"y_device is int64 \[3\]; .* each image of x_device"),
        ({"x_device": X, "y_device": Y - 1}, r"y_device has labels -1\.\.1, but labels count from"),
        ({"x_train": X, "y_train": Y}, "found x, x_train, y, y_train; expected"),
    ],
)
def test_device_splits_that_are_not_as_expected(
    tmp_path: Path, more: dict[str, NDArray[Any]], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        load(tmp_path / "own.npz", x=X, y=Y, **more)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (Y - 2, r"y has labels -2\.\.0, but labels count from 0; add 2 to each"),
        (Y + 1000, r"y has labels 1000\.\.1002, .* numbered from 0; number the 3 that there are"),
        (Y.astype(float), r"y is float64 \[20\]; .*; save labels\.astype\(int\)$"),
        (Y + 0.5, r"y is float64 \[20\]; expected integer labels \[20\], one for each image of x$"),
        (Y == 1, r"y is bool \[20\]; .*; save labels\.astype\(int\)$"),
        (Y.astype(str), r"y is <U.* \[20\]; .*; save numpy\.unique\(labels, return_inverse=True\)"),
        (np.eye(3, dtype=int)[Y], r"y is int64 \[20, 3\]; .*, save labels\.argmax\(axis=1\)$"),
        (Y.reshape(20, 1), r"y is int64 \[20, 1\]; expected integer labels \[20\], .* image of x$"),
    ],
)
def test_labels_of_another_kind(tmp_path: Path, labels: NDArray[Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        load(tmp_path / "own.npz", x=X, y=labels)


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (Y + 1, "the labels are 1..3, but they count from 0: subtract 1 from each"),
        (Y + 7, "the labels are 7..9, but they count from 0: subtract 7 from each"),
        (Y * 50, "only 3 of the labels up to 100 are there: number those from 0 to 2"),
        (np.arange(20) % 4, "use another network or data set"),
    ],
)
def test_labels_that_a_network_has_no_room_for(
    tmp_path: Path, labels: NDArray[Any], advice: str
) -> None:
    assert load(tmp_path / "own.npz", x=X, y=labels).label_advice(3) == advice


def test_the_advice_is_given(tmp_path: Path) -> None:
    from picotrain.learn.models import Architecture, check_fit
    from picotrain_golden import linear

    data = load(tmp_path / "own.npz", x=X, y=Y + 1)
    with pytest.raises(UserError, match=r"has 3 classes, data set .* has 4; the labels are 1\.\.3"):
        check_fit(Architecture("small", (4, 5, 1), (linear((4, 5, 1), 3, False),)), data)
    check_fit(Architecture("small", (4, 5, 1), (linear((4, 5, 1), 4, False),)), data)
