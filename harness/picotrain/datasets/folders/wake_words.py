"""Visual Wake Words (Chowdhery and others, arXiv 1906.05721) as MLPerf Tiny lays it out: JPEG files
of 96x96 pixels in a folder `person` and a folder `non_person`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from picotrain import inputs
from picotrain.datasets.dataset import Bytes, Dataset, Split
from picotrain.datasets.folders import folder
from picotrain.datasets.folders.folder import File
from picotrain.datasets.kept import decoded
from picotrain.errors import UserError
from picotrain.progress import progress_bar

PREFIX = "wake-words:"
LABELS = ("non_person", "person")
SIDE = 96
FOLDERS = {"train": "train", "validation": "val", "test": "test"}
"""Where somebody has split the pictures already."""
_WORKERS, _AT_ONCE = 4, 256

Labelled = list[tuple[int, File]]


def load(path: Path) -> Dataset:
    """The data set in that folder: images uint8 [N, 96, 96, 3]."""
    folder.check(PREFIX, path)
    parts = _parts(path)
    splits, digest = decoded.kept_with_digest(
        "wake-words",
        [
            {split: folder.digest(file for _, file in part) for split, part in parts.items()},
            _decoder(),
        ],
        [__file__],
        [],
        lambda: _seen(parts),
    )
    return Dataset(
        f"{PREFIX}{path}",
        splits,
        len(LABELS),
        f"Visual Wake Words, in {path}",
        {folder.name(path): digest},
        photographs=True,
    )


def _decoder() -> str:
    """Whose pixels they are: another version may round otherwise."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pillow")
    except PackageNotFoundError as error:
        raise UserError(
            f"{PREFIX} needs Pillow to read JPEG files; install it with `pip install pillow`"
        ) from error


def _parts(path: Path) -> dict[str, Labelled]:
    """Which files are in which split, by class and name."""
    there = folder.folders(path)
    split = [name for name in FOLDERS.values() if name in there]
    if split:
        if len(split) < len(FOLDERS):
            lacks = next(name for name in FOLDERS.values() if name not in there)
            raise UserError(
                f"{PREFIX}{path}: it has a folder {split[0]}, but none named {lacks}; give it all "
                f"of {', '.join(FOLDERS.values())}, or only {LABELS[1]} and {LABELS[0]}"
            )
        parts = {name: _labelled(path, f"{below}/") for name, below in FOLDERS.items()}
    else:
        parts = {name: [] for name in FOLDERS}
        for label, file in _labelled(path, ""):
            parts[split_of(file.path.name)].append((label, file))
    for name, part in parts.items():
        if not part:
            raise UserError(
                f"{PREFIX}{path}: no picture of it {folder.DOES[name]}; give it more of them"
            )
    return parts


def _labelled(path: Path, below: str) -> Labelled:
    there = folder.folders(path / below)
    for label in LABELS:
        if label not in there:
            found = ", ".join(there[:5]) or "no folder"
            raise UserError(
                f"{PREFIX}{path}: {path / below} has no folder {label}, only {found}; name the "
                f"folder with {LABELS[1]} and {LABELS[0]} in it, such as vw_coco2014_96"
            )
    found_files: Labelled = []
    for number, label in enumerate(LABELS):
        files = folder.files(path, f"{below}{label}", ".jpg", ".jpeg")
        if not files:
            raise UserError(
                f"{PREFIX}{path}: {path / below / label} has no .jpg file; unpack the data set "
                "again"
            )
        found_files += [(number, file) for file in files]
    return found_files


def split_of(name: str) -> str:
    """Of a file with that name, whatever its folder: 8 in 10 train, 1 validates, 1 tests."""
    tenth = int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % 10
    return "validation" if tenth == 8 else "test" if tenth == 9 else "train"


def _seen(parts: dict[str, Labelled]) -> dict[str, Split]:
    total = sum(len(part) for part in parts.values())
    with (
        progress_bar("pictures", total, "picture") as advance,
        ThreadPoolExecutor(max_workers=_WORKERS) as pool,
    ):
        return {name: _split(part, pool, advance) for name, part in parts.items()}


def _split(part: Labelled, pool: ThreadPoolExecutor, advance: Callable[[int], object]) -> Split:
    """Decoded into one array; few at once, so that an interrupt waits for few."""
    images = np.empty((len(part), SIDE, SIDE, 3), np.uint8)
    for first in range(0, len(part), _AT_ONCE):
        some = part[first : first + _AT_ONCE]
        for index, pixels in enumerate(pool.map(lambda one: picture(one[1].path), some), first):
            images[index] = pixels
            advance(1)
    return Split(images, np.array([label for label, _ in part], np.uint8))


def picture(path: Path) -> Bytes:
    """A JPEG file in colour, uint8 [96, 96, 3]; of another size it is resized (Pillow's bilinear,
    which takes means where it makes smaller). UserError, with its name, for what is none."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise UserError(
            f"{PREFIX} needs Pillow, which cannot be imported ({error}); install it again"
        ) from error
    try:
        with Image.open(path, formats=["JPEG"]) as opened:
            colour = opened.convert("RGB")
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is no JPEG file; unpack the data set again") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = inputs.reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{path} cannot be read: {why}; unpack the data set again") from error
    if colour.size != (SIDE, SIDE):
        colour = colour.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels: Bytes = np.asarray(colour, np.uint8)
    return pixels
