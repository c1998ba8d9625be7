"""A user's own images, from a NumPy .npz file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.dataset import Dataset, Split
from picotrain.datasets.shuffle import SPLIT_STREAM, permutation
from picotrain.errors import UserError

EXPECTED = (
    "x uint8 [N, H, W] or [N, H, W, C] and y integer [N] with labels 0..255, "
    "and, if you like, x_test and y_test alike"
)


def load(path: Path) -> Dataset:
    """The dataset in `path`.

    With x_test and y_test: a tenth of x validates, the rest of it trains. Without: 70 % train,
    10 % validate, 20 % test. Which images go where depends on their number only.
    """
    arrays = _read(path)
    everything = _split(path, arrays, "x", "y")
    count = len(everything)
    held_out = _split(path, arrays, "x_test", "y_test") if "x_test" in arrays else None
    smallest = 2 if held_out else 10
    if count < smallest:
        raise UserError(
            f"{path}: x has {count} images, too few to split; give it at least {smallest}"
        )
    order = permutation(count, seed=0, stream=SPLIT_STREAM)
    tests = 0 if held_out else count // 5
    validates = max(count // 10, 1)
    trains = count - validates - tests
    if held_out is None:
        held_out = everything.take(order[trains + validates :])
    elif held_out.images.shape[1:] != everything.images.shape[1:]:
        raise UserError(
            f"{path}: x has images {list(everything.images.shape[1:])}, but x_test "
            f"{list(held_out.images.shape[1:])}; make them the same"
        )
    return Dataset(
        name=f"npz:{path}",
        splits={
            "train": everything.take(order[:trains]),
            "validation": everything.take(order[trains : trains + validates]),
            "test": held_out,
        },
        classes=1 + max(int(everything.labels.max()), int(held_out.labels.max())),
        source=f"the file {path}",
        sha256={path.name: hashlib.sha256(path.read_bytes()).hexdigest()},
    )


def read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of a .npz file; ValueError if it is not one, is damaged or holds pickles.

    Pickles are refused because they run whatever the author of the file likes.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array")
            return {key: archive[key] for key in archive.files}
    except MemoryError as error:
        raise ValueError("its arrays do not fit in memory") from error
    except Exception as error:
        # zipfile, zlib and numpy raise a dozen classes of exceptions for damaged bytes.
        raise ValueError(str(error) or type(error).__name__) from error


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays in the user's file, if they have the right names."""
    if not path.is_file():
        raise UserError(f"npz:{path}: there is no such file; give the path of a .npz file")
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise UserError(
            f"{path} cannot be read as a .npz file of plain arrays ({error}); "
            f"expected {EXPECTED}, as numpy.savez_compressed writes it"
        ) from error
    keys = set(arrays)
    if keys not in ({"x", "y"}, {"x", "y", "x_test", "y_test"}):
        found = ", ".join(sorted(keys)) or "nothing"
        raise UserError(f"{path}: found {found}; expected {EXPECTED}")
    return arrays


def _split(path: Path, arrays: dict[str, NDArray[np.generic]], x: str, y: str) -> Split:
    images, labels = arrays[x], arrays[y]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise UserError(
            f"{path}: {x} is {images.dtype} {list(images.shape)}; "
            "expected uint8 [N, H, W] or [N, H, W, C] with pixels 0..255"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise UserError(
            f"{path}: {y} is {labels.dtype} {list(labels.shape)}; "
            f"expected integer labels [{len(images)}], one for each image of {x}"
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > 255:
        raise UserError(
            f"{path}: {y} has labels {lowest}..{highest}; expected 0..255, counted from 0"
        )
    pixels = images.astype(np.uint8, copy=False)
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    return Split(pixels, labels.astype(np.uint8))
