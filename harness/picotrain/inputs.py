"""Files and numbers that a user gives: read, or one sentence about why they cannot be.

`pathlib` asks and reads too, but raises for a name that is too long, a folder of somebody else, or
the home folder of nobody; and reads text in the locale's encoding.
"""

from __future__ import annotations

import argparse
import json
import math
import tomllib
from pathlib import Path
from typing import Any

from picotrain.errors import UserError

_MOST = (1 << 31) - 1
"""What every C int holds: of numbers of images, epochs, processes and the like."""
_MOST_RAM_KIB = 1 << 20
_SHOWN = 80


def reason(error: OSError) -> str:
    """The system's words for what went wrong."""
    return error.strerror or str(error) or type(error).__name__


def named(text: str) -> Path:
    """The path of a text, with `~` and `~USER` for a home folder. UserError where there is none."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        user = Path(text).parts[0]
        raise UserError(
            f"{text}: {user} is the home folder of nobody here; write the folder out, or put ./ "
            "before the name"
        ) from error


def is_file(path: Path) -> bool:
    """Whether there is a file, and no folder. UserError where the system does not let us see."""
    try:
        return path.is_file()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "choose another name or place") from error


def read_bytes(path: Path, fix: str) -> bytes:
    """All of a file; UserError with the sentence's end, `fix`, where it cannot be read."""
    try:
        endless = path.exists() and not path.is_file() and not path.is_dir()
        content = b"" if endless else path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, fix) from error
    if endless:  # nobody may ever write into a pipe, and a device never ends
        raise UserError(f"cannot read {path}: it is a pipe or a device; {fix}")
    return content


def read_text(path: Path, fix: str) -> str:
    """All of a text file, in UTF-8, with or without a byte order mark; UserError as `read_bytes`
    raises it, and for other bytes than text."""
    try:
        return read_bytes(path, fix).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no text in UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}; "
            f"{fix}"
        ) from error


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says; UserError where it cannot be read, or is none."""
    fix = "give the path of a TOML file, saved as UTF-8"
    try:
        return tomllib.loads(read_text(path, fix))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not a TOML file: {error}; mend it there") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deep to be read; mend it there") from error


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """The object in a JSON file; UserError with the sentence's end, `fix`, for anything else."""
    text = read_text(path, fix)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}; {fix}") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deep to be read; {fix}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is JSON, but no object, as it begins with no {{; {fix}")
    return content


def _unreadable(path: Path, error: OSError | ValueError, fix: str) -> UserError:
    # ValueError: a name with a NUL, which only a file of ours or a program can hold.
    why = reason(error) if isinstance(error, OSError) else str(error)
    return UserError(f"cannot read {path}: {why}; {fix}")


# Types of options, for argparse


def whole(text: str) -> int:
    """Of any size. What an option's type is called, argparse would tell the user else."""
    try:
        return int(text)
    except ValueError:
        short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise argparse.ArgumentTypeError(f"{short!r} is not a whole number") from None


def positive(text: str) -> int:
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    if value > _MOST:
        raise argparse.ArgumentTypeError(f"{value} is more than {_MOST}")
    return value


def positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def ram_kib(text: str) -> int:
    value = whole(text)
    if not 1 <= value <= _MOST_RAM_KIB:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and {_MOST_RAM_KIB}, 1 GiB")
    return value


def angle_bound(text: str) -> int:
    value = whole(text)
    if not 0 <= value <= 180:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 180")
    return value


def small(text: str) -> int:
    """A number whose own bounds are checked, and told, where it is used."""
    value = whole(text)
    if abs(value) > _MOST:
        raise argparse.ArgumentTypeError(f"{value} is not between -{_MOST} and {_MOST}")
    return value


def seed(text: str) -> int:
    value = whole(text)
    if not 0 <= value < 1 << 32:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 2^32 - 1")
    return value
