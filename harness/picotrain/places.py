"""Where things lie: what comes with picotrain, what is built from it, and where results go.

In a checkout the parts that come with picotrain (firmware, emulation, models, experiments) are its
top-level folders and all that is built is below `build`. An installed wheel holds the same
folders as `shipped` inside the package, with the images of the boards in `shipped/build`; what is
built here is in the user's cache (`picotrain.image.making`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
from functools import lru_cache
from pathlib import Path

from picotrain.errors import UserError

_PACKAGE = Path(__file__).resolve().parent

IN_CHECKOUT = not (_PACKAGE / "shipped").is_dir()
SHIPPED = _PACKAGE.parents[1] if IN_CHECKOUT else _PACKAGE / "shipped"
"""The folder that holds `firmware`, `emulation`, `models` and `experiments`."""

RESULTS = Path("picotrain-results")
"""Where results go unless an option says otherwise: below the current folder."""

_INSTEAD = "set PICOTRAIN_CACHE to a folder that you can write to"


def user_cache() -> Path:
    """The user's folder for what can be made again: `PICOTRAIN_CACHE`, or as XDG names it.

    Raises UserError where there is no such folder.
    """
    for name, below in (("PICOTRAIN_CACHE", ""), ("XDG_CACHE_HOME", "picotrain")):
        named = os.environ.get(name)
        if named:
            if not Path(named).is_absolute():
                raise UserError(
                    f"{name} is {named!r}, which is no absolute path; set it to one, or unset it"
                )
            return Path(named, below)
    try:
        return Path.home() / ".cache" / "picotrain"
    except RuntimeError:
        raise UserError(
            f"user {os.getuid()} has no home folder to keep things in; {_INSTEAD}"
        ) from None


def made_folder(folder: Path) -> Path:
    """`folder`, made if need be; it is `BUILD`, the cache, or below. UserError where it cannot be
    written."""
    # `BUILD` leads nowhere where there can be no cache, so that one is asked for first.
    for wanted in [folder] if IN_CHECKOUT else [user_cache(), folder]:
        try:
            wanted.mkdir(parents=True, exist_ok=True)
            if os.access(wanted, os.W_OK | os.X_OK):
                continue
            reason = os.strerror(errno.EACCES)
        except OSError as error:
            reason = str(error.strerror)
        raise UserError(f"cannot write to {wanted}: {reason}; {_INSTEAD}")
    return folder


@lru_cache(maxsize=1)
def origin() -> dict[str, str]:
    """What a wheel says of itself: `sources`, a digest of what it holds, and the `commit` that it
    was built from where that was known. Empty in a checkout."""
    if IN_CHECKOUT:
        return {}
    found: dict[str, str] = json.loads((SHIPPED / "origin.json").read_text(encoding="utf-8"))
    return found


def _machine() -> str:
    """8 hex digits for this kind of machine: a home that several machines share holds programs
    for the processor of each."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            able = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        able = ""
    text = " ".join([platform.system(), platform.machine(), *sorted(able.split())])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


_NOWHERE = Path(os.devnull) / "picotrain"


def _build() -> Path:
    if IN_CHECKOUT:
        return SHIPPED / "build"
    try:
        build = user_cache() / f"built-{origin()['sources']}-{_machine()}"
        # Asking fails in a folder of somebody else, and for too long a name.
        above = next(folder for folder in (build, *build.parents) if folder.is_dir())
        return build if above == build or os.access(above, os.W_OK | os.X_OK) else _NOWHERE
    except (UserError, OSError):
        # An import must not fail. Nothing can be there, and `made_folder` says what is wrong.
        return _NOWHERE


BUILD = _build()
"""Where compiled parts are made: for an installed wheel a folder that no other version shares."""

NO_ROOM = _INSTEAD if BUILD == _NOWHERE else ""
"""What to do before anything can be built here; empty where it can."""

BUILD_AGAIN = "run `make firmware`" if IN_CHECKOUT else "install picotrain again"
"""What to do where a built part is not what it should be."""

FLASH = "`make hw-flash`" if IN_CHECKOUT else "`picotrain flash`"
MAKE_UF2 = "`make uf2`" if IN_CHECKOUT else "`picotrain uf2`"
"""What can be typed: an installed picotrain has no makefile."""


def with_make(port: str) -> str:
    """Behind a sentence that says to give `--port`: how the makefile is given it."""
    return f" (with make: PORT={port})" if IN_CHECKOUT else ""


def comes_built(part: str) -> Path:
    """The place of a built part, by its path below `BUILD`: in the wheel, if that holds it."""
    shipped = SHIPPED / "build" / part
    return shipped if not IN_CHECKOUT and shipped.is_file() else BUILD / part


MADE_BACKBONES = BUILD / "backbones" if IN_CHECKOUT else RESULTS / "backbones"
"""Backbones that are too large or too many to be shipped, and made on this machine."""
