"""Finished parts of the campaign: a JSON file each, which belongs to the choices that made it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from picotrain.errors import UserError
from picotrain.inputs import read_json
from picotrain.output import write_json
from picotrain.shrink.depth.kept import digest

Found = dict[str, Any]


def kept(path: Path, choices: dict[str, Any], make: Callable[[], Found], *beside: Path) -> Found:
    """What is there of these choices, with the files `beside` it, or what is made now."""
    key = digest(choices)
    if path.is_file() and all(one.is_file() for one in beside):
        try:
            found = read_json(path, "remove it")
        except UserError:
            found = None  # A damaged file holds nothing.
        if isinstance(found, dict) and found.get("key") == key:
            return found
    made = make() | {"key": key}
    write_json(path, made)
    return made
