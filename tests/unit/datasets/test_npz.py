"""A user's own file of images and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from made_up import some
from picotrain import datasets
from picotrain.datasets import npz
from picotrain.errors import UserError


def own(path: Path, **arrays: NDArray[Any]) -> str:
    np.savez(path / "own.npz", **arrays)  # type: ignore[arg-type]
    return f"npz:{path / 'own.npz'}"


def test_npz_is_split_the_same_way_each_time(tmp_path: Path) -> None:
    x = some(100, 6, 5)
    name = own(tmp_path, x=x, y=np.arange(100) % 7)
    data = datasets.load(name)
    assert [len(data.splits[split]) for split in ("train", "validation", "test")] == [70, 10, 20]
    assert (data.classes, data.image_shape) == (7, (6, 5, 1))
    assert data.name == name
    again = datasets.load(name)
    for split in data.splits:
        assert (data.splits[split].images == again.splits[split].images).all()
    seen = {image.tobytes() for split in data.splits.values() for image in split.images}
    assert seen == {image.tobytes() for image in x}
    assert datasets.verify(name).state == "present"


def test_npz_with_its_own_test_images(tmp_path: Path) -> None:
    x, x_test = some(50, 4, 4, 3), some(7, 4, 4, 3)
    y, y_test = np.arange(50) % 3, np.full(7, 4, np.int8)
    data = datasets.load(own(tmp_path, x=x, y=y, x_test=x_test, y_test=y_test))
    assert [len(data.splits[split]) for split in ("train", "validation", "test")] == [45, 5, 7]
    assert data.classes == 5
    assert (data.test.images == x_test).all()


def test_npz_of_int8_is_of_pixels_128_above(tmp_path: Path) -> None:
    """As an affine network takes them; whatever the order of the array in memory."""
    pixels = some(20, 4, 5, 3)
    y = np.arange(20) % 4
    given = np.asfortranarray((pixels.astype(np.int16) - 128).astype(np.int8))
    one = datasets.load(own(tmp_path, x=given, y=y, x_test=given[:3], y_test=y[:3]))
    other = datasets.load(own(tmp_path, x=pixels, y=y, x_test=pixels[:3], y_test=y[:3]))
    for name, split in one.splits.items():
        assert split.images.dtype == np.uint8
        assert (split.images == other.splits[name].images).all()


X = some(10, 4, 4)
Y = np.arange(10)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"images": X, "labels": Y}, "found images, labels; expected x uint8"),
        ({"x": X}, "found x; expected"),
        ({"x": X, "y": Y, "x_test": X}, "found x, x_test, y; expected"),
        ({"x": X / 255, "y": Y}, r"x is float64 \[10, 4, 4\]; expected uint8"),
        ({"x": X.reshape(10, 16), "y": Y}, r"x is uint8 \[10, 16\]; expected"),
        ({"x": X.astype(np.int16), "y": Y}, r"x is int16 \[10, 4, 4\]; .* 0..255, or int8"),
        (
            {"x": X, "y": Y, "x_test": X.view(np.int8), "y_test": Y},
            "x is uint8, but x_test int8; make them the same",
        ),
        ({"x": X[:0], "y": Y[:0]}, r"x is uint8 \[0, 4, 4\]; expected"),
        ({"x": X, "y": Y[:9]}, r"y is int64 \[9\]; expected integer labels \[10\]"),
        ({"x": X, "y": Y.astype(float)}, r"y is float64 \[10\]; expected integer"),
        ({"x": X, "y": Y - 1}, r"labels -1\.\.8, but labels count from 0; add 1 to each"),
        ({"x": X, "y": Y + 247}, r"labels 247\.\.256, but there are at most 256 classes"),
        ({"x": X[:9], "y": Y[:9]}, "9 images, too few to split; give it at least 10"),
        ({"x": X, "y": Y, "x_test": some(2, 4, 5), "y_test": Y[:2]}, "make them the same"),
        ({"x": X, "y": np.array(["a"] * 10)}, "y is <U1"),
        ({"x": X, "y": np.array([{}] * 10)}, "cannot be read as a .npz file of plain arrays"),
    ],
)
def test_npz_that_is_not_as_expected(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        datasets.load(own(tmp_path, **arrays))


@pytest.mark.parametrize("damage", ["missing", "folder", "text", "npy", "cut", "empty", "flipped"])
def test_npz_that_is_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=X, y=Y)
    good = path.read_bytes()
    if damage in ("missing", "folder"):
        path.unlink()
    if damage == "folder":
        path.mkdir()
    if damage == "text":
        path.write_text("hello")
    if damage == "npy":
        np.save(path.open("wb"), X)
    if damage == "cut":
        path.write_bytes(good[: len(good) // 2])
    if damage == "empty":
        path.write_bytes(b"")
    if damage == "flipped":
        path.write_bytes(good[:60] + bytes([good[60] ^ 0xFF]) + good[61:])
    with pytest.raises(UserError, match=r"own\.npz"):
        datasets.load(f"npz:{path}")


def test_npz_error_names_the_whole_expectation() -> None:
    assert "x_test" in npz.EXPECTED
