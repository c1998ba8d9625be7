"""What is in a user's folder, or one sentence about why it cannot be told."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from picotrain import inputs
from picotrain.errors import UserError

DOES = {"train": "trains", "validation": "validates", "test": "tests"}
"""What the pictures or sounds of a split do, for sentences."""


@dataclass(frozen=True)
class File:
    """`name` is that below the folder, with slashes; `stamp` its size and time of change."""

    name: str
    path: Path
    stamp: tuple[int, int]


def check(kind: str, folder: Path) -> None:
    """Raise UserError, with the data set's name, unless there is such a folder."""
    try:
        if folder.is_dir():
            return
        there = "this is no folder" if folder.exists() else "there is no such folder"
    except (OSError, ValueError) as error:
        reason = inputs.reason(error) if isinstance(error, OSError) else str(error)
        there = f"it cannot be looked at ({reason})"
    raise UserError(f"{kind}{folder}: {there}; give the folder that the data set is unpacked in")


def folders(folder: Path) -> list[str]:
    """Names of the folders in it, sorted, without hidden ones."""
    found = []
    for entry in _entries(folder):
        with suppress(OSError):  # A link that leads nowhere, or to itself, is no folder.
            found += [entry.name] if entry.is_dir() else []
    return found


def files(folder: Path, below: str, *suffixes: str) -> list[File]:
    """The files in its folder `below` whose name ends so, in either case, sorted by name. Hidden
    ones are none: some systems put one beside each file. UserError where one of them is no plain
    file, such as a link that leads nowhere: what is left out would be missed by nobody."""
    found = []
    for entry in _entries(folder / below):
        if not entry.name.lower().endswith(suffixes):
            continue
        fix = "put the file there, or move it away"
        try:
            seen = entry.stat()
        except OSError as error:
            raise UserError(f"cannot read {entry.path}: {inputs.reason(error)}; {fix}") from error
        if not stat.S_ISREG(seen.st_mode):
            raise UserError(f"{entry.path} is no plain file; {fix}")
        stamp = (seen.st_size, seen.st_mtime_ns)
        found.append(File(f"{below}/{entry.name}", Path(entry.path), stamp))
    return found


def digest(some: Iterable[File]) -> str:
    """Of names, sizes and times of change: what was made of the files is made again if any is
    another one."""
    digest = hashlib.sha256()
    for file in some:
        digest.update(os.fsencode(file.name) + f" {file.stamp}\n".encode())
    return digest.hexdigest()


def name(folder: Path) -> str:
    """What people call it, `.` too."""
    return folder.resolve().name or str(folder)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(
            f"cannot read the folder {folder}: {inputs.reason(error)}; make it readable"
        ) from error
    return sorted(found, key=lambda entry: entry.name)
