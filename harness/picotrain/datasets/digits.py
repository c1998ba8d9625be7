"""The handwritten digits that scikit-learn bundles, made to look like MNIST; needs no download.

1,797 images of 8x8 pixels, 0..16, become 28x28, 0..255: the box around the ink is scaled to fit
20x20 and set down with its centre of mass in the middle, as the authors of MNIST did. All of it
is integer arithmetic, so every machine and every library version gets the same bytes.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import shuffle
from picotrain.datasets.dataset import USUAL_ANGLE, Bytes, Dataset, Split
from picotrain.datasets.files import DamagedDataError, MissingDataError
from picotrain.datasets.kept import decoded
from picotrain.datasets.shuffle import SPLIT_STREAM, permutation

SIDE = 28
BOX = 20
TRAIN, VALIDATION, TEST = 1_197, 200, 400

_SOURCE_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
_MAX = 16


def load() -> Dataset:
    """The dataset: 1,197 images to train, 200 to validate, 400 to test."""
    path = bundled_file()
    return Dataset(
        name="digits",
        splits=decoded.kept(
            "digits", [_SOURCE_SHA256], [__file__, shuffle.__file__], [path], _splits
        )
        if path
        else _splits(),
        classes=10,
        source="scikit-learn's handwritten digits (UCI optdigits, test part), scaled to 28x28",
        sha256={"digits": _SOURCE_SHA256},
        angle=USUAL_ANGLE,
    )


def bundled_file() -> Path | None:
    """Where scikit-learn keeps them, which is not imported for it; None without scikit-learn."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return path if path.is_file() else None


def _splits() -> dict[str, Split]:
    small, labels = bundled()
    images = np.stack([like_mnist(image) for image in small])[..., np.newaxis]
    order = permutation(len(labels), seed=0, stream=SPLIT_STREAM)
    everything = Split(images, labels)
    return {
        "train": everything.take(order[:TRAIN]),
        "validation": everything.take(order[TRAIN : TRAIN + VALIDATION]),
        "test": everything.take(order[TRAIN + VALIDATION :]),
    }


def bundled() -> tuple[Bytes, Bytes]:
    """Images uint8 [1797, 8, 8], 0..16, and labels uint8 [1797], verified."""
    images, labels = _read()
    found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if found != _SOURCE_SHA256:
        raise DamagedDataError(
            f"dataset digits: the data in this scikit-learn is not what was expected: expected "
            f"sha256 {_SOURCE_SHA256}, found {found}; install scikit-learn again"
        )
    return images, labels


def _read() -> tuple[Bytes, Bytes]:
    """From scikit-learn's file, because to import scikit-learn takes a second; where the file is
    not in its place any more, from scikit-learn."""
    file = bundled_file()
    if file is not None:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float64).astype(np.uint8)
        return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDataError(
            f"dataset digits comes with scikit-learn, which cannot be imported ({error}); "
            "install scikit-learn"
        ) from error
    bunch = load_digits()
    return np.asarray(bunch.images).astype(np.uint8), np.asarray(bunch.target).astype(np.uint8)


def like_mnist(image: Bytes) -> Bytes:
    """An image uint8 [H, W], 0..16 and not blank, as MNIST would show it: uint8 [28, 28]."""
    rows = np.flatnonzero(image.any(axis=1))
    columns = np.flatnonzero(image.any(axis=0))
    ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.int64)
    height, width = (_scaled(n, max(ink.shape)) for n in ink.shape)
    vertical, horizontal = _cubic(len(ink), height), _cubic(ink.shape[1], width)
    scaled = vertical @ ink @ horizontal.T
    # Row sums of a cubic's weights are its denominator, so this is the value of full ink.
    full = _MAX * (2 * (2 * height) ** 3) * (2 * (2 * width) ** 3)
    scaled = np.clip((scaled * 255 + full // 2) // full, 0, 255)

    top = _placed(scaled.sum(axis=1))
    left = _placed(scaled.sum(axis=0))
    page = np.zeros((SIDE, SIDE), np.uint8)
    page[top : top + height, left : left + width] = scaled
    return page


def _scaled(length: int, longest: int) -> int:
    """`length` times BOX / longest, rounded half up, at least 1."""
    return max((2 * length * BOX + longest) // (2 * longest), 1)


def _placed(ink: NDArray[np.int64]) -> int:
    """Where a profile (int64 [n]) starts so that its centre of mass comes nearest to 13.5.

    The box always stays on the page, whatever its centre of mass.
    """
    total = int(ink.sum())
    moment = int((ink * np.arange(len(ink))).sum())
    start = (SIDE * total - 2 * moment) // (2 * total)
    return min(max(start, 0), SIDE - len(ink))


def _cubic(source: int, target: int) -> NDArray[np.int64]:
    """Catmull-Rom interpolation of `source` pixels to `target`: int64 [target, source].

    Pixel centres correspond, there is no ink outside. The weights are integers over the common
    denominator 2 * q^3, where q = 2 * target is the denominator of the positions.
    """
    q = 2 * target
    weights = np.zeros((target, source), np.int64)
    for row in range(target):
        # The centre of the target pixel, (row + 1/2) * source / target - 1/2, over q.
        base, t = divmod((2 * row + 1) * source - target, q)
        taps = (
            -t * q * q + 2 * t * t * q - t**3,
            2 * q**3 - 5 * t * t * q + 3 * t**3,
            t * q * q + 4 * t * t * q - 3 * t**3,
            -t * t * q + t**3,
        )
        for column, weight in enumerate(taps, start=base - 1):
            if 0 <= column < source:
                weights[row, column] = weight
    return weights
