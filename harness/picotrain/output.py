"""The one writer of results: checked before the work, then whole or not at all.

A plain file is written beside its place and renamed, so it is complete at any moment: the old one
or the new one, with the mode that it had, or else what the umask gives. What a symbolic link leads
to is replaced, not the link. A character device or a FIFO is written through. `-` is standard
output, and so is any other name of a file or pipe that standard output goes to.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from picotrain.errors import UserError
from picotrain.inputs import reason
from picotrain.streams import Guard

STANDARD = Path("-")
_TRIAL_BYTES = 1 << 16
_REFUSED = {
    stat.S_IFDIR: "is a folder; name a file",
    stat.S_IFBLK: "is a disk; choose another file",
    stat.S_IFSOCK: "is a socket; choose another file",
}
# A file that is a mount of its own, or somebody else's in a sticky folder, cannot be replaced.
_CANNOT_REPLACE = (errno.EBUSY, errno.EPERM, errno.EACCES)

_standard: list[Any] = []


def is_standard(path: Path) -> bool:
    """Whether what is written there goes to standard output."""
    if path == STANDARD:
        return True
    try:
        one, other = path.stat(), os.fstat(1)
    except (OSError, ValueError):
        return False
    return os.path.samestat(one, other) and not stat.S_ISCHR(one.st_mode)


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """No other run that asks writes there meanwhile, to a file or folder and what lies beside it;
    not of standard output. Raises UserError where one does."""
    if is_standard(place):
        yield
        return
    # It stays: who unlinks a lock lets in two, one that has it open and one that makes it anew.
    name = hashlib.sha256(os.fsencode(os.path.realpath(place))).hexdigest()[:32]
    lock = Path(tempfile.gettempdir(), f"picotrain-{os.getuid()}-{name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _refusal(lock, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another run writes to {place}; wait until it ends, or choose another --out"
            ) from None
        yield
    finally:
        os.close(descriptor)


def tell(what: str, path: Path) -> None:
    """Say where something was written; nothing of standard output, which says it itself."""
    if not is_standard(path):
        print(f"{what}: {path}")


def is_plain(path: Path) -> bool:
    """Whether a file there is replaced, and so may be written again and again as a run goes on."""
    try:
        return not is_standard(path) and stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False


@contextmanager
def people_on_stderr() -> Iterator[None]:
    """What is printed goes to standard error; only results are written to standard output."""
    _standard.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _standard.pop()


def check(path: Path, size: int = _TRIAL_BYTES) -> None:
    """Raise UserError unless `size` bytes can be written there now. Leaves nothing behind."""
    if is_standard(path):
        return
    try:
        kind = _kind(path)
        if kind is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if kind in (None, stat.S_IFREG):
            _try(_place(path), size)
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from error


def check_folder(folder: Path) -> None:
    """Raise UserError unless files can be written into the folder, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _try(folder / "report", _TRIAL_BYTES)
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot write into {folder}: {why}; choose another folder") from error


def check_apart(outputs: Sequence[tuple[str, Path]], inputs: Sequence[Path]) -> None:
    """Raise UserError where an output, given with its option, would overwrite an input or another
    output."""
    for index, (option, path) in enumerate(outputs):
        for other_option, other in outputs[:index]:
            if _same(path, other):
                raise UserError(
                    f"{other_option} {other} and {option} {path} are the same file; choose another "
                    "for one of them"
                )
        for other in inputs:
            if _same(path, other):
                raise UserError(
                    f"{option} {path} would overwrite the input {other}; choose another file"
                )


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file. Raises UserError, and leaves a plain file as it was, where that fails."""
    if is_standard(path):
        _write_standard(content)
        return
    try:
        if _kind(path) not in (None, stat.S_IFREG):
            _write_through(path, content)
        else:
            place = _place(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            _replace(place, content)
    except BrokenPipeError:
        raise  # of a FIFO, as of standard output: who read it has gone
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from error


def write_text(path: Path, content: str) -> None:
    """`write_bytes` in UTF-8, whatever the locale."""
    # Names of files that are no text in the file system's encoding may be part of it.
    write_bytes(path, content.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """`write_text` for a result."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def _kind(path: Path) -> int | None:
    """The type of what is there, links followed; None where nothing is. OSError for what is never
    written."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return None
    if kind in _REFUSED:
        raise OSError(errno.EINVAL, _REFUSED[kind])
    return kind


def _place(path: Path) -> Path:
    """Where a plain file really is, or will be. OSError where a way back (`..`) leads through what
    is no folder now, and so would be found only by text."""
    for number, part in enumerate(path.parts):
        if part == "..":
            Path(*path.parts[:number]).stat()
            if not Path(*path.parts[:number]).is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return Path(os.path.realpath(path))


def _same(one: Path, other: Path) -> bool:
    if is_standard(one) or is_standard(other):
        return is_standard(one) and is_standard(other)
    try:
        found, known = one.stat(), other.stat()
    except FileNotFoundError:
        return os.path.realpath(one) == os.path.realpath(other)
    except (OSError, ValueError):
        return False
    return os.path.samestat(found, known) and stat.S_ISREG(found.st_mode)


def _new_beside(folder: Path) -> tuple[int, Path]:
    """A file in the folder that nobody else has; its mode is what the umask gives."""
    path = folder / f".picotrain-{secrets.token_hex(8)}"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), path


def _try(place: Path, size: int) -> None:
    """Write `size` bytes into the folder of a file, or into that where the folder will be made.
    OSError where that fails, or a name is too long there."""
    folder, names = place.parent, [place.name]
    while not folder.exists():
        names.append(folder.name)
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if max(len(os.fsencode(name)) for name in names) > os.pathconf(folder, "PC_NAME_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    descriptor, trial = _new_beside(folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(size))
    finally:
        trial.unlink(missing_ok=True)


def _replace(place: Path, content: bytes) -> None:
    descriptor, whole = _new_beside(place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        with suppress(FileNotFoundError):
            before = place.stat()
            # As the one before, as far as that is ours to give.
            with suppress(PermissionError):
                os.chown(whole, before.st_uid, before.st_gid)
            whole.chmod(stat.S_IMODE(before.st_mode))
        try:
            whole.replace(place)
        except OSError as error:
            if error.errno not in _CANNOT_REPLACE or not place.is_file():
                raise
            _write_through(place, content)
    finally:
        with suppress(OSError):
            whole.unlink(missing_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)


def _write_standard(content: bytes) -> None:
    stream = _standard[-1] if _standard else sys.stdout
    if isinstance(stream, Guard):
        stream.write_bytes(content)
    else:
        stream.flush()
        stream.buffer.write(content)
        stream.buffer.flush()


def _refusal(path: Path, error: OSError | ValueError) -> UserError:
    if isinstance(error, OSError) and error.strerror in _REFUSED.values():
        return UserError(f"cannot write {path}: it {error.strerror}")
    why = reason(error) if isinstance(error, OSError) else str(error)
    return UserError(f"cannot write {path}: {why}; choose another file")
