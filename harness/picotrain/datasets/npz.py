"""A user's own images, from a NumPy .npz file (docs/data.md)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picotrain import inputs
from picotrain.datasets.dataset import Dataset, Split
from picotrain.datasets.shuffle import SPLIT_STREAM, permutation
from picotrain.errors import UserError

EXPECTED = (
    "x uint8 or int8 [N, H, W] or [N, H, W, C] and y integer [N] with labels from 0, and, if you "
    "like, alike: x_test and y_test, x_device and y_device, x_device_test and y_device_test"
)

_OPTIONAL = ("_test", "_device", "_device_test")
_ZIP, _NPY = b"PK", b"\x93NUMPY"

Arrays = dict[str, NDArray[np.generic]]


def load(path: Path) -> Dataset:
    """The dataset in `path`.

    With x_test: a tenth of x validates, the rest of it trains. Without: 70 % train, 10 % validate,
    20 % test. x_device, and x_device_test, likewise, are the device's own splits. Which images go
    where depends on their number only.
    """
    contents = _contents(path)
    arrays = _read(path)
    splits = _splits(path, arrays, "")
    if "x_device" in arrays:
        own = _splits(path, arrays, "_device")
        splits |= {f"device-{name}": split for name, split in own.items()}
    shape = splits["train"].images.shape[1:]
    for name in sorted(arrays):
        other = _pixels(path, arrays, name).shape[1:] if name.startswith("x") else shape
        if name.startswith("x") and arrays[name].dtype != arrays["x"].dtype:
            raise UserError(
                f"{path}: x is {arrays['x'].dtype}, but {name} {arrays[name].dtype}; make them the "
                "same"
            )
        if other != shape:
            raise UserError(
                f"{path}: x has images {list(shape)}, but {name} {list(other)}; make them the same"
            )
    return Dataset(
        name=f"npz:{path}",
        splits=splits,
        classes=1 + max(int(split.labels.max()) for split in splits.values()),
        source=f"the file {path}",
        sha256={path.name: hashlib.sha256(contents).hexdigest()},
        quantised=arrays["x"].dtype == np.int8,
    )


def read_arrays(path: Path) -> Arrays:
    """All arrays of a .npz file; ValueError if it is not one, is damaged or holds pickles.

    Pickles are refused because they run whatever the author of the file likes.
    """
    try:
        with path.open("rb") as stream:
            first = stream.read(len(_NPY))
    except OSError as error:
        raise ValueError(inputs.reason(error)) from error
    if first == _NPY:
        raise ValueError("it is a single array, as numpy.save writes it")
    if not first.startswith(_ZIP):
        begins = f"begins with {first!r}" if first else "is empty"
        raise ValueError(f"it is no zip file: it {begins}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: _member(archive, key) for key in archive.files}
    except MemoryError as error:
        raise ValueError("its arrays do not fit in memory") from error
    except Exception as error:
        # zipfile, zlib and numpy raise a dozen classes of exceptions for damaged bytes.
        reason = str(error) or type(error).__name__
        if reason == "File is not a zip file":
            reason = "it is a zip file without its end, so it was cut off"
        raise ValueError(reason) from error


def _member(archive: np.lib.npyio.NpzFile, key: str) -> NDArray[np.generic]:
    try:
        array = archive[key]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError(f"its array {key!r} holds Python objects, not numbers") from error
        raise
    if not isinstance(array, np.ndarray):
        raise ValueError(f"its member {key!r} is no array: numpy.save did not write it")
    return array


def _contents(path: Path) -> bytes:
    if not inputs.is_file(path):
        there = "this is no plain file" if path.exists() else "there is no such file"
        raise UserError(f"npz:{path}: {there}; give the path of a .npz file")
    return inputs.read_bytes(path, "make it readable, or give another file")


def _read(path: Path) -> Arrays:
    """All arrays in the user's file, if they have the right names."""
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise UserError(
            f"{path} cannot be read as a .npz file of plain arrays: {error}; "
            f"expected {EXPECTED}, as numpy.savez_compressed writes it"
        ) from error
    keys = set(arrays)
    wanted = {"x", "y"}
    for suffix in _OPTIONAL:
        pair = {f"x{suffix}", f"y{suffix}"}
        wanted |= pair if pair & keys else set()
    if "x_device_test" in keys:
        wanted |= {"x_device", "y_device"}
    if keys != wanted:
        found = ", ".join(sorted(keys)) or "nothing"
        raise UserError(f"{path}: found {found}; expected {EXPECTED}")
    return arrays


def _splits(path: Path, arrays: Arrays, suffix: str) -> dict[str, Split]:
    """train, validation and test of x and y with that suffix."""
    x, test = f"x{suffix}", f"{suffix}_test"
    everything = _split(path, arrays, suffix)
    held_out = _split(path, arrays, test) if f"x{test}" in arrays else None
    count = len(everything)
    smallest = 2 if held_out else 10
    if count < smallest:
        raise UserError(
            f"{path}: {x} has {count} images, too few to split; give it at least {smallest}"
        )
    order = permutation(count, seed=0, stream=SPLIT_STREAM)
    tests = 0 if held_out else count // 5
    validates = max(count // 10, 1)
    trains = count - validates - tests
    return {
        "train": everything.take(order[:trains]),
        "validation": everything.take(order[trains : trains + validates]),
        "test": held_out or everything.take(order[trains + validates :]),
    }


def _split(path: Path, arrays: Arrays, suffix: str) -> Split:
    pixels = _pixels(path, arrays, f"x{suffix}")
    return Split(pixels, _labels(path, arrays, f"y{suffix}", f"x{suffix}", len(pixels)))


def _pixels(path: Path, arrays: Arrays, name: str) -> NDArray[np.uint8]:
    """Pixels 0..255. What was quantised already, int8, is pixel - 128."""
    images = arrays[name]
    if images.dtype not in (np.uint8, np.int8) or images.ndim not in (3, 4) or 0 in images.shape:
        raise UserError(
            f"{path}: {name} is {images.dtype} {list(images.shape)}; "
            "expected uint8 [N, H, W] or [N, H, W, C] with pixels 0..255, or int8"
        )
    pixels = images.view(np.uint8)
    if images.dtype == np.int8:
        pixels = pixels ^ np.uint8(0x80)
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels


def _labels(path: Path, arrays: Arrays, name: str, images: str, count: int) -> NDArray[np.uint8]:
    labels = arrays[name]
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise UserError(
            f"{path}: {name} is {labels.dtype} {list(labels.shape)}; expected integer labels "
            f"[{count}], one for each image of {images}{_remedy(labels, count)}"
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0:
        raise UserError(
            f"{path}: {name} has labels {lowest}..{highest}, but labels count from 0; "
            f"add {-lowest} to each"
        )
    if highest > 255:
        raise UserError(
            f"{path}: {name} has labels {lowest}..{highest}, but there are at most 256 classes, "
            f"numbered from 0; number the {len(np.unique(labels))} that there are"
        )
    return labels.astype(np.uint8)


def _remedy(labels: NDArray[np.generic], count: int) -> str:
    """What to do about labels of another kind, if it can be told."""
    if labels.ndim == 2 and len(labels) == count and labels.shape[1] > 1:
        return "; of one row per image, save labels.argmax(axis=1)"
    if labels.shape != (count,):
        return ""
    if labels.dtype.kind in "fb" and bool((labels.astype(np.float64) % 1 == 0).all()):
        return "; save labels.astype(int)"
    if labels.dtype.kind in "US":
        return "; save numpy.unique(labels, return_inverse=True)[1]"
    return ""
