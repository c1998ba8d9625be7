"""Renode's portable release, pinned.

`python3 -m picotrain.device.targets.renode_release` puts it into build/renode.

The checksums are those that public projects pin for this release. Where there is no internet, any
Renode 1.16.1 will do: on the PATH, or named by the environment variable RENODE.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from picotrain.errors import UserError
from picotrain.places import BUILD, IN_CHECKOUT, made_folder
from picotrain.versions import to_run

VERSION = "1.16.1"
INSTALLED = BUILD / "renode"
_MODULE = "picotrain.device.targets.renode_release"
GET_RENODE = f"run `{'make setup-renode' if IN_CHECKOUT else to_run(_MODULE)}`"
"""What to do where there is no Renode."""

_SITE = f"https://github.com/renode/renode/releases/download/v{VERSION}"
_TIMEOUT_SECONDS = 60.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Release:
    """One file of the release, and what it must hash to."""

    url: str
    sha256: str


RELEASES = {
    "x86_64": Release(
        f"{_SITE}/renode-{VERSION}.linux-portable-dotnet.tar.gz",
        "00e113cdbd0f5354cf2f64bbe3f5a070d8958409542fca66e45ac97d982938c0",
    ),
    "aarch64": Release(
        f"{_SITE}/renode-{VERSION}.linux-arm64-portable-dotnet.tar.gz",
        "fff3a098c96ed0a4ffbdff3f028c9c5fde432db09587c7bd7c99406180f90007",
    ),
}
"""By machine, of Linux."""


def find_renode(name: str = "renode", installed: Path = INSTALLED) -> Path | None:
    """The Renode to use: by RENODE if that is set, else on the PATH, else as installed here."""
    wanted = os.environ.get("RENODE")
    for candidate in [wanted] if wanted else [name, str(installed / "renode")]:
        if found := shutil.which(candidate):
            return Path(found)
    return None


def require_renode(name: str = "renode") -> Path:
    """The Renode to use. Raises UserError where there is none."""
    executable = find_renode(name)
    if executable is None:
        raise UserError(
            misnamed() or f"{name} is not installed: {GET_RENODE}, or set RENODE to its executable"
        )
    return executable


def misnamed() -> str:
    """What to do where RENODE names no program; empty where it is not set."""
    wanted = os.environ.get("RENODE")
    if not wanted:
        return ""
    return f"RENODE names {wanted}, which is no program here: set it to Renode's executable"


def choose_release(system: str, machine: str) -> Release:
    """The release for a machine, as `platform` names it. Raises UserError where there is none."""
    if system != "Linux" or machine not in RELEASES:
        raise UserError(
            f"no Renode is pinned for {system} on {machine}: install Renode {VERSION} by hand and "
            "set RENODE to its executable"
        )
    return RELEASES[machine]


def install(release: Release, into: Path) -> Path:
    """Download, check, unpack; the executable. What is there already and whole is left alone.

    Raises UserError where the download fails or is not the file that was pinned; `into` is then
    as it was.
    """
    stamp = into / ".sha256"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == release.sha256:
        return into / "renode"
    made_folder(into.parent)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix="unpack-") as folder:
        archive = Path(folder) / "archive"
        _download(release, archive)
        unpacked = _unpack(release, archive, Path(folder) / "files")
        (unpacked / stamp.name).write_text(release.sha256, encoding="utf-8")
        if into.exists():
            shutil.rmtree(into)
        unpacked.rename(into)
    return into / "renode"


def _download(release: Release, archive: Path) -> None:
    digest = hashlib.sha256()
    try:
        with urlopen(release.url, timeout=_TIMEOUT_SECONDS) as answer, archive.open("wb") as file:
            length = int(answer.headers.get("Content-Length", -1))
            size = 0
            while chunk := answer.read(_CHUNK):
                digest.update(chunk)
                size += file.write(chunk)
    except (URLError, HTTPException, OSError) as error:
        raise UserError(
            f"cannot download {release.url}: {error}; get Renode {VERSION} by other means and set "
            "RENODE to its executable"
        ) from error
    if 0 <= length != size:
        raise UserError(
            f"the download of {release.url} broke off after {size} of {length} bytes: try again"
        )
    if digest.hexdigest() != release.sha256:
        raise UserError(
            f"{release.url} is not the file that was pinned: its SHA-256 is {digest.hexdigest()}, "
            f"expected {release.sha256}; it was not unpacked"
        )


def _unpack(release: Release, archive: Path, into: Path) -> Path:
    """The one folder in the archive, unpacked."""
    try:
        with tarfile.open(archive, "r:gz") as files:
            if hasattr(tarfile, "data_filter"):  # not in every Python 3.11
                files.extractall(into, filter="data")
            else:
                files.extractall(into)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"cannot unpack {release.url}: {error}") from error
    folders = [path for path in into.iterdir() if (path / "renode").is_file()]
    if len(folders) != 1:
        raise UserError(f"{release.url} holds no executable `renode`: it is no portable release")
    return folders[0]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=to_run(_MODULE),
        description=f"Download Renode {VERSION}, check it, and unpack it.",
    )
    parser.add_argument("--into", type=Path, default=INSTALLED, help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        release = choose_release(platform.system(), platform.machine())
        print(install(release, options.into))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
