"""The boards that wait in their boot ROM (BOOTSEL), and the USB drives that they show.

There every RP2040 has the same serial number, so that only its place on USB tells which it is.
"""

from __future__ import annotations

import os
import re
import string
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from picotrain.errors import UserError

LABEL = "RPI-RP2"
_INFO = "INFO_UF2.TXT"
_BOARD = "Board-ID:"
_MOST_INFO = 4096
_BOOTSEL = ("2e8a", "0003")  # vendor and product of an RP2040's boot ROM
_PLACE = re.compile(r"/(\d+-\d+(?:\.\d+)*)(?=[:/])")


def place_of_drive(drive: Path, blocks: Path = Path("/sys/dev/block")) -> str:
    """Where on USB a mounted drive is, as Linux names it (`1-4.2`); empty: not known."""
    try:
        device = drive.stat().st_dev
        path = (blocks / f"{os.major(device)}:{os.minor(device)}").resolve()
    except (OSError, AttributeError):
        return ""
    found = _PLACE.findall(str(path))
    return found[-1] if found else ""


@dataclass(frozen=True)
class Places:
    """Where boards in BOOTSEL appear: folders that may hold their mounted drives, Linux's links by
    label, and its list of USB devices (None: the system has none)."""

    roots: tuple[Path, ...]
    labels: Path
    usb: Path | None = None
    locate: Callable[[Path], str] = lambda _: ""


@dataclass(frozen=True)
class Waiting:
    """A board in BOOTSEL: its place on USB (empty: not known), and its drive, if it is mounted."""

    location: str
    drive: Path | None

    def __str__(self) -> str:
        where = f"USB {self.location}" if self.location else ""
        drive = str(self.drive or "")
        return f"{drive} ({where})" if drive and where else drive or where


def system_places() -> Places:
    """Where this system mounts drives."""
    if sys.platform == "darwin":
        roots: tuple[Path, ...] = (Path("/Volumes"),)
    elif os.name == "nt":
        roots = tuple(Path(f"{letter}:/") for letter in string.ascii_uppercase[2:])
    else:
        roots = (Path("/media"), Path("/run/media"), Path("/mnt"))
    usb = Path("/sys/bus/usb/devices")
    return Places(roots, Path("/dev/disk/by-label"), usb if usb.is_dir() else None, place_of_drive)


def find_drives(places: Places) -> list[Path]:
    """Mounted drives of an RP2040, as folders."""
    return [drive for drive, board in _uf2_drives(places) if board == LABEL]


def find_waiting(places: Places) -> list[Waiting]:
    """All boards that wait, those whose drive is not mounted too where the system tells of them."""
    boards: dict[str, Path | None] = dict.fromkeys(_on_usb(places.usb))
    unplaced = []
    for drive in find_drives(places):
        location = places.locate(drive)
        if location:
            boards[location] = drive
        else:
            unplaced.append(drive)
    bare = [location for location, drive in boards.items() if drive is None]
    if len(bare) == len(unplaced) == 1:  # mounted in some way of its own
        boards[bare[0]] = unplaced.pop()
    found = [Waiting(location, drive) for location, drive in boards.items()]
    return found + [Waiting("", drive) for drive in unplaced]


def only_waiting(waiting: Sequence[Waiting], location: str = "") -> Waiting | None:
    """The one that waits at a place on USB, else the only one whose place is not another.

    Raises UserError where several can be meant.
    """
    here = [one for one in waiting if location and one.location == location]
    possible = here or [one for one in waiting if not (location and one.location)]
    if len(possible) > 1:
        names = ", ".join(map(str, possible))
        raise UserError(
            f"several Picos wait for a program: {names}; leave one plugged in, or name the drive "
            "of one with --port"
        )
    return possible[0] if possible else None


def usb_address(places: Places, location: str) -> tuple[int, int] | None:
    """Bus and address of a device on USB, for picotool; None where the system does not tell."""
    if places.usb is None or not location:
        return None
    numbers = [_line(places.usb / location / name) for name in ("busnum", "devnum")]
    return (int(numbers[0]), int(numbers[1])) if all(map(str.isdecimal, numbers)) else None


def drive_named(name: str, places: Places) -> Waiting | None:
    """The board in BOOTSEL whose drive a user named by its folder; None: the name is no folder.

    Raises UserError for a folder of another kind.
    """
    folder = Path(name)
    try:
        if not folder.is_dir():
            return None
    except (OSError, ValueError):
        return None
    if _board(folder / _INFO) != LABEL:
        raise UserError(
            f"{name} is a folder, and not the drive of a Pico in BOOTSEL ({LABEL}); name a serial "
            "port or that drive"
        )
    same = (one for one in find_waiting(places) if one.drive and one.drive.samefile(folder))
    return next(same, Waiting(places.locate(folder), folder))


def is_gone(board: Waiting, places: Places, had_label: bool) -> bool:
    """Whether a board has left; `had_label`: its drive was seen by `by_label` before.

    A drive that nobody unmounts may stay readable for a while.
    """
    at_places = _on_usb(places.usb)
    if places.usb is not None and board.location:
        return board.location not in at_places
    if had_label and by_label(places) is None:
        return True
    try:
        return board.drive is None or not (board.drive / _INFO).is_file()
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
        if board == LABEL:
            continue
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
    found: dict[Path, tuple[Path, str]] = {}  # one drive may be seen on several ways
    for root in places.roots:
        for pattern in (_INFO, f"*/{_INFO}", f"*/*/{_INFO}"):
            try:
                infos = sorted(root.glob(pattern))
                for info in infos:
                    if board := _board(info):
                        found.setdefault(info.parent.resolve(), (info.parent, board))
            except (OSError, RuntimeError):
                continue
    return list(found.values())


def _on_usb(devices: Path | None) -> list[str]:
    """Places of the boards in BOOTSEL, by Linux's list of USB devices."""
    if devices is None:
        return []
    names = ("idVendor", "idProduct")
    return [
        device.name
        for device in sorted(devices.glob("*-*"))
        if tuple(_line(device / name) for name in names) == _BOOTSEL
    ]


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


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
