"""The USB drive that an RP2040 shows while it waits in its boot ROM (BOOTSEL)."""

from __future__ import annotations

import os
import string
import sys
from dataclasses import dataclass
from pathlib import Path

from picotrain.errors import UserError

LABEL = "RPI-RP2"
_INFO = "INFO_UF2.TXT"
_BOARD = "Board-ID:"
_MOST_INFO = 4096


@dataclass(frozen=True)
class Places:
    """Where drives appear: folders that may hold mounted ones, and Linux's links by label."""

    roots: tuple[Path, ...]
    labels: Path


def system_places() -> Places:
    """Where this system mounts drives."""
    if sys.platform == "darwin":
        roots: tuple[Path, ...] = (Path("/Volumes"),)
    elif os.name == "nt":
        roots = tuple(Path(f"{letter}:/") for letter in string.ascii_uppercase[2:])
    else:
        roots = (Path("/media"), Path("/run/media"), Path("/mnt"))
    return Places(roots, Path("/dev/disk/by-label"))


def find_drives(places: Places) -> list[Path]:
    """Mounted drives of an RP2040, as folders."""
    return [drive for drive, board in _uf2_drives(places) if board == LABEL]


def only_drive(places: Places) -> Path | None:
    """The mounted drive of an RP2040, or None. Raises UserError where there are several."""
    found = find_drives(places)
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise UserError(f"several Picos wait for a program: {names}; leave one plugged in")
    return found[0] if found else None


def is_gone(drive: Path, places: Places, had_label: bool) -> bool:
    """Whether the device has left; `had_label`: it was seen by `by_label` before.

    A drive that nobody unmounts may stay readable for a while.
    """
    if had_label and by_label(places) is None:
        return True
    try:
        return not (drive / _INFO).is_file()
    except OSError:
        return True


def by_label(places: Places) -> Path | None:
    """Linux's block device of the drive, mounted or not."""
    link = places.labels / LABEL
    return link if link.is_symlink() or link.exists() else None


def why_none(places: Places) -> str:
    """What to do where no drive is mounted."""
    device = by_label(places)
    if device is not None:
        return (
            f"the drive {LABEL} is plugged in but not mounted: `udisksctl mount -b {device}` does "
            "it, then try again"
        )
    for drive, board in _uf2_drives(places):
        return (
            f"{drive} is the drive of a board {board!r}, not of an RP2040 ({LABEL}): this firmware "
            "is for the Raspberry Pi Pico with an RP2040"
        )
    return (
        f"no drive {LABEL} appeared: hold BOOTSEL while you plug the Pico in, with a cable that "
        "carries data"
    )


def _uf2_drives(places: Places) -> list[tuple[Path, str]]:
    """(drive, board) of every mounted drive that takes UF2 files."""
    found = []
    for root in places.roots:
        for pattern in (_INFO, f"*/{_INFO}", f"*/*/{_INFO}"):
            try:
                infos = sorted(root.glob(pattern))
            except OSError:
                continue
            found += [(info.parent, board) for info in infos if (board := _board(info))]
    return found


def _board(info: Path) -> str:
    try:
        with info.open("rb") as file:
            text = file.read(_MOST_INFO).decode(errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        if line.startswith(_BOARD):
            return line.removeprefix(_BOARD).strip()
    return ""
