"""Dataset files: where they are looked for, how they are verified, how they are downloaded.

Every file has one pinned checksum, that of its *unpacked* contents. So the same check serves a
file as its author published it, one that somebody compressed again, and one taken out of a tar
file. Nothing is parsed before this check has passed, but for a tar file that is pinned by the
list of what is in it: that list is read first.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import lzma
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from picotrain import inputs
from picotrain.errors import UserError
from picotrain.places import IN_CHECKOUT, SHIPPED, user_cache

_CHUNK = 1 << 18
_TIMEOUT_S = 30.0


class MissingDataError(UserError):
    """Dataset files that are nowhere on this machine."""


class DamagedDataError(UserError):
    """A dataset file whose contents are not the published ones."""


def sha256_of(contents: bytes) -> str:
    """The usual checksum of a file: of all its bytes, in hexadecimal."""
    return hashlib.sha256(contents).hexdigest()


@dataclass(frozen=True)
class DataFile:
    """One file; `sha256` is what `digest` makes of its unpacked contents.

    `digest` may raise TarError or ValueError for contents that it cannot read.
    """

    name: str
    sha256: str
    digest: Callable[[bytes], str] = sha256_of


@dataclass(frozen=True)
class Archive:
    """One download; `sha256` and `size` are those of the bytes on the wire.

    `unpack` tells a tar file, whose wanted members are stored one by one, from a file that is
    stored as it came. Without `sha256` (where the server packs anew for each download, so that
    only the contents can be pinned) `size` is the most that is accepted, and `name` is that of
    the file of the set that it holds, with .gz.
    """

    name: str
    url: str
    sha256: str | None
    size: int
    unpack: bool = False


@dataclass(frozen=True)
class FileSet:
    """The files of one dataset.

    `folders` are tried in this order under every root; downloads go to the first one. Without
    `archives` there is no download that gives the files.
    """

    name: str
    folders: tuple[str, ...]
    files: tuple[DataFile, ...]
    archives: tuple[Archive, ...]


def roots() -> list[Path]:
    """Folders that may hold datasets, in order of preference."""
    found = []
    own = os.environ.get("PICOTRAIN_DATA")
    if own:
        path = inputs.named(own)
        if why := _no_folder(path):
            raise UserError(
                f"PICOTRAIN_DATA is {own!r}, which {why}; "
                "set it to the folder that holds mnist/, cifar10/ or fsdd/, or unset it"
            )
        found.append(path)
    if IN_CHECKOUT:
        found.append(SHIPPED.parent / "shared" / "data")
    with suppress(UserError):  # who downloads hears of it
        found.append(user_cache())
    return found


def _no_folder(path: Path) -> str:
    """Why data cannot be looked for there; empty where it can."""
    try:
        if not path.is_dir():
            return "is not a folder"
        return "" if os.access(path, os.R_OK | os.X_OK) else "is a folder that you cannot open"
    except (OSError, ValueError) as error:
        reason = inputs.reason(error) if isinstance(error, OSError) else str(error)
        return f"cannot be looked at ({reason})"


def locate(fileset: FileSet) -> dict[str, Path | None]:
    """Where each file of the set is: its name to a path, or to None if it is nowhere."""
    where = roots()
    return {file.name: _locate(fileset, file, where) for file in fileset.files}


def _locate(fileset: FileSet, file: DataFile, where: list[Path]) -> Path | None:
    for root in where:
        for folder in fileset.folders:
            for suffix in ("", ".gz", ".xz"):
                path = root / folder / (file.name + suffix)
                if inputs.is_file(path):
                    return path
    return None


def read_all(fileset: FileSet, download: bool) -> dict[str, bytes]:
    """Verified contents of every file of the set, by name; downloads what is missing if it may."""
    places = require(fileset, download)
    # lzma, zlib and hashlib release the interpreter lock, so threads do run side by side.
    with ThreadPoolExecutor(max_workers=4) as pool:
        contents = pool.map(lambda file: read(places[file.name], file), fileset.files)
        return {file.name: data for file, data in zip(fileset.files, contents, strict=True)}


def require(fileset: FileSet, download: bool) -> dict[str, Path]:
    """Where each file of the set is, after downloading what is missing if `download`."""
    places = locate(fileset)
    if download and fileset.archives and None in places.values():
        fetch(fileset)
        places = locate(fileset)
    missing = [name for name, path in places.items() if path is None]
    if missing:
        searched = ", ".join(str(root / fileset.folders[0]) for root in roots())
        how = f"run `picotrain data fetch {fileset.name}`"
        if not fileset.archives:
            how = "it was made once and comes from no download (docs/data.md): copy it there"
        raise MissingDataError(
            f"dataset {fileset.name}: {missing[0]} is missing "
            f"({len(missing)} of {len(places)} files); searched {searched}; "
            f"{how}, or set PICOTRAIN_DATA to the folder above {fileset.folders[0]}/"
        )
    return {name: path for name, path in places.items() if path is not None}


def read(path: Path, file: DataFile) -> bytes:
    """Unpacked contents of the file at `path`, verified to be those of `file`."""
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}; make it readable, or remove it"
        ) from error
    try:
        contents = _UNPACKERS.get(path.suffix, _as_it_is)(stored)
        found = file.digest(contents)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        raise DamagedDataError(
            f"{path} is damaged: expected contents with sha256 {file.sha256}, but its "
            f"{len(stored):,} bytes (sha256 {sha256_of(stored)}) do not unpack; "
            "delete it and fetch the dataset again (`picotrain data fetch NAME`)"
        ) from error
    if found != file.sha256:
        raise DamagedDataError(
            f"{path} is damaged: expected contents with sha256 {file.sha256}, found {found}; "
            "delete it and fetch the dataset again (`picotrain data fetch NAME`)"
        )
    return contents


def _as_it_is(stored: bytes) -> bytes:
    return stored


_UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
}


def fetch(fileset: FileSet) -> None:
    """Download every archive of the set into the cache.

    A file appears under its name only when it is complete and verified; what was there before
    stays until then.
    """
    folder = user_cache() / fileset.folders[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create {folder}: {error.strerror}; "
            "set PICOTRAIN_CACHE to a folder that you can write to"
        ) from error
    for archive in fileset.archives:
        if archive.unpack:
            with _temporary(folder) as (stream, path):
                _download(fileset, archive, stream)
                _unpack(path, fileset.files, folder)
        elif archive.sha256 is None:
            with _temporary(folder, suffix=".gz") as (stream, path):
                _download(fileset, archive, stream)
                _verify_download(path, fileset, archive)
                path.replace(folder / archive.name)
        elif not _good(folder / archive.name, archive.sha256):
            with _temporary(folder) as (stream, path):
                _download(fileset, archive, stream)
                path.replace(folder / archive.name)


def _good(path: Path, sha256: str) -> bool:
    """Whether the file is there, as it came from the wire."""
    return path.is_file() and sha256_of(path.read_bytes()) == sha256


def _verify_download(path: Path, fileset: FileSet, archive: Archive) -> None:
    """Raise unless the download at `path` holds the contents of the file that it is named after."""
    file = next(file for file in fileset.files if f"{file.name}.gz" == archive.name)
    try:
        read(path, file)
    except DamagedDataError as error:
        raise DamagedDataError(
            f"the download of {_address(fileset, archive)} is damaged: its contents are not those "
            f"with sha256 {file.sha256}; try again, or set PICOTRAIN_MIRROR to another server"
        ) from error


@contextmanager
def _temporary(folder: Path, suffix: str = "") -> Iterator[tuple[IO[bytes], Path]]:
    """A temporary file beside its future place, so that renaming it is atomic."""
    try:
        with tempfile.NamedTemporaryFile(
            dir=folder, prefix=".fetch-", suffix=suffix, delete=False
        ) as stream:
            path = Path(stream.name)
            try:
                yield stream.file, path
            finally:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; "
            "free some space there, or set PICOTRAIN_CACHE to another folder"
        ) from error


def _address(fileset: FileSet, archive: Archive) -> str:
    mirror = os.environ.get("PICOTRAIN_MIRROR")
    if not mirror:
        return archive.url
    return f"{mirror.rstrip('/')}/{fileset.folders[0]}/{archive.name}"


def _download(fileset: FileSet, archive: Archive, stream: IO[bytes]) -> None:
    """Write the archive to `stream`; raises unless it is as pinned."""
    url = _address(fileset, archive)
    digest = hashlib.sha256()
    received = 0
    total = archive.size if archive.sha256 is not None else None
    bar = tqdm(desc=archive.name, total=total, unit="B", unit_scale=True, leave=False, disable=None)
    with bar:
        for chunk in _body(url):
            received += len(chunk)
            digest.update(chunk)
            stream.write(chunk)
            bar.update(len(chunk))
            if received > archive.size:
                break
    stream.flush()
    if received > archive.size or (archive.sha256 is not None and received != archive.size):
        most = "at most " if archive.sha256 is None else ""
        more = "more than that" if received > archive.size else f"{received:,}"
        raise DamagedDataError(
            f"the download of {url} is damaged: expected {most}{archive.size:,} bytes, "
            f"got {more}; try again, or set PICOTRAIN_MIRROR to another server"
        )
    if archive.sha256 is not None and digest.hexdigest() != archive.sha256:
        raise DamagedDataError(
            f"the download of {url} is damaged: expected sha256 {archive.sha256}, "
            f"found {digest.hexdigest()}; try again, or set PICOTRAIN_MIRROR to another server"
        )


def _body(url: str) -> Iterator[bytes]:
    """The bytes behind `url`, in chunks. A body that is cut off just ends early."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            while chunk := response.read(_CHUNK):
                yield chunk
    except http.client.IncompleteRead as error:
        yield error.partial
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            reason = f"HTTP {error.code} {error.reason}"
        else:
            reason = str(getattr(error, "reason", error))
        raise UserError(
            f"cannot download {url}: {reason}; check the connection, set PICOTRAIN_MIRROR to "
            "another server, or set PICOTRAIN_DATA to a folder that holds the dataset"
        ) from error


def _unpack(path: Path, files: tuple[DataFile, ...], folder: Path) -> None:
    """Store the wanted members of the tar file, each verified, flat in `folder`.

    Members are found by the last part of their name, and the paths in the archive are not used.
    """
    wanted = {file.name: file for file in files}
    with tarfile.open(path) as archive:
        for member in archive:
            file = wanted.get(Path(member.name).name)
            source = archive.extractfile(member) if file and member.isfile() else None
            if file is None or source is None:
                continue
            with _temporary(folder) as (stream, temporary):
                shutil.copyfileobj(source, stream)
                stream.flush()
                read(temporary, file)
                temporary.replace(folder / file.name)
