"""Decoded data sets in the user's cache: what takes seconds to unpack and check is mapped again.

An index names the files that the images were made from, with size and time of change, and every
array with its digest. Where all of it is as it was, the arrays are what verified files gave. A
cache that is damaged, or of other files, is made anew, and one that cannot be written is no
failure.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from picotrain.datasets.dataset import Bytes, Split
from picotrain.errors import UserError
from picotrain.places import user_cache

Splits = dict[str, Split]

_FORMAT = 1


def kept(
    name: str,
    key: Sequence[object],
    code: Sequence[str],
    sources: Iterable[Path],
    make: Callable[[], Splits],
) -> Splits:
    """The splits that `make` makes of the files `sources`; from the cache if they were made before.

    `key` and `code` are all that decides them: the digests of what is in the files, options, and
    the Python files of what `make` does. `make` verifies the files. The arrays can only be read.
    """
    return kept_with_digest(name, key, code, sources, make)[0]


def kept_with_digest(
    name: str,
    key: Sequence[object],
    code: Sequence[str],
    sources: Iterable[Path],
    make: Callable[[], Splits],
) -> tuple[Splits, str]:
    """The same, and the checksum of what is in the splits, for files that nobody has pinned."""
    try:
        folder = user_cache() / "decoded"
        origin = [_stamp(path) for path in sources]
        written = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in code]
    except (OSError, RuntimeError, UserError):
        made = _closed(make())
        return made, _digest(made)
    text = repr((_FORMAT, list(key), written, [path for path, *_ in origin]))
    index = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    try:
        found = _read(index, origin)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # There is none, or what is there is no index, or of files that are gone or damaged.
        found = None
    if found is not None:
        return _closed(found[0]), found[1]
    made = _closed(make())
    digest = _digest(made)
    with suppress(OSError):
        _write(index, origin, made, digest)
    return made, digest


def _digest(splits: Splits) -> str:
    digest = hashlib.sha256()
    for name, split in sorted(splits.items()):
        digest.update(f"{name} {split.images.shape} ".encode())
        digest.update(np.ascontiguousarray(split.images).data)
        digest.update(np.ascontiguousarray(split.labels).data)
    return digest.hexdigest()


def _stamp(path: Path) -> list[Any]:
    """Path, size and time of change."""
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


def _closed(splits: Splits) -> Splits:
    for split in splits.values():
        split.images.flags.writeable = False
        split.labels.flags.writeable = False
    return splits


def _read(index: Path, origin: list[list[Any]]) -> tuple[Splits, str] | None:
    """The splits in the cache, and their checksum; None where they were made of other files."""
    content = json.loads(index.read_text(encoding="utf-8"))
    if content["sources"] != origin:
        return None
    splits = {
        split: Split(
            _array(index.parent, digests["images"]), _array(index.parent, digests["labels"])
        )
        for split, digests in content["splits"].items()
    }
    return splits, str(content["contents"])


def _array(folder: Path, digest: str) -> Bytes:
    """An array of that digest, mapped; ValueError if the file has another one."""
    path = folder / f"{digest}.npy"
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
            raise ValueError(f"{path} is damaged")
    mapped: Bytes = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    return mapped


def _write(index: Path, origin: list[list[Any]], splits: Splits, digest: str) -> None:
    """The arrays first, so that an index that is there names what is there."""
    index.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "sources": origin,
        "contents": digest,
        "splits": {
            name: {
                "images": _write_array(index.parent, split.images),
                "labels": _write_array(index.parent, split.labels),
            }
            for name, split in splits.items()
        },
    }
    with tempfile.TemporaryDirectory(dir=index.parent, prefix=".index-") as folder:
        whole = Path(folder) / index.name
        whole.write_text(json.dumps(content), encoding="utf-8")
        whole.replace(index)


def _write_array(folder: Path, array: Bytes) -> str:
    """Write an array under its digest, which is returned; whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".array-") as hidden:
        whole = Path(hidden) / "array.npy"
        with whole.open("w+b") as stream:
            np.save(stream, array, allow_pickle=False)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.replace(folder / f"{digest}.npy")
    return digest
