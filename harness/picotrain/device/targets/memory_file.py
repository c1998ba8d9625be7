"""Files that a device's process and the harness map as memory, with all of their room reserved.

A page of a sparse file for which there is no room kills who touches it (SIGBUS), as if the
program were at fault. Containers often have a /dev/shm of 64 MB or less.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tqdm import tqdm

from picotrain.errors import UserError

RAM = Path("/dev/shm")
"""A folder in RAM, where the system has one."""

_CHUNK = 1 << 20
_NOT_SUPPORTED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
_told: set[tuple[Path, str]] = set()


def temporary_folder() -> Path:
    """The system's folder for temporary files. Raises UserError where there is none."""
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise UserError(
            f"no folder for temporary files can be written ({error.strerror}); free some room in "
            "one, or name another in TMPDIR"
        ) from error


def folders(ram_first: bool = False) -> tuple[Path, ...]:
    """Where such files may be, the best place first."""
    temporary = temporary_folder()
    if not RAM.is_dir():
        return (temporary,)
    return (RAM, temporary) if ram_first else (temporary, RAM)


def memory_file(size: int, what: str, places: Sequence[Path], named: bool = False) -> IO[bytes]:
    """A file of `size` zeros that has its room, in the first of `places` that can hold it.

    It goes when it is closed. Another place than the first is told on standard error; `what` is
    for that. Raises UserError where no place has room.
    """
    refusals = []
    for place in places:
        try:
            file = _new_file(place, size, named)
        except OSError as error:
            refusals.append(f"{place} ({error.strerror})")
            continue
        if refusals:
            _tell_once(places[0], what, f"no room for {size:,} bytes in {refusals[0]}", place)
        return file
    raise UserError(
        f"no room for {what}, {size:,} bytes, in {' or '.join(refusals)}: free some, or name a "
        "folder with more in TMPDIR"
    )


def memory_folder(size: int, what: str, places: Sequence[Path]) -> Path:
    """The first of `places` that has room for files of `size` bytes together, which come later."""
    with memory_file(size, what, places, named=True) as file:
        return Path(file.name).parent


def reserve(file: int, size: int) -> None:
    """Take room for all `size` bytes of a file, which stay as they are. Raises OSError."""
    try:
        os.posix_fallocate(file, 0, size)
        return
    except AttributeError:  # macOS has no such call
        pass
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    for start in range(0, size, _CHUNK):
        length = min(_CHUNK, size - start)
        data = os.pread(file, length, start).ljust(length, b"\0")
        while data:
            data = data[os.pwrite(file, data, start + length - len(data)) :]


def _new_file(folder: Path, size: int, named: bool) -> IO[bytes]:
    make = tempfile.NamedTemporaryFile if named else tempfile.TemporaryFile
    file: IO[bytes] = make(prefix="picotrain-", dir=folder)
    try:
        file.truncate(size)
        reserve(file.fileno(), size)
    except BaseException:
        file.close()
        raise
    return file


def _tell_once(first: Path, what: str, reason: str, place: Path) -> None:
    """A sweep starts many devices: one line a process is enough."""
    if (first, what) not in _told:
        _told.add((first, what))
        tqdm.write(f"picotrain: {reason}: {place} holds {what} now", file=sys.stderr)
