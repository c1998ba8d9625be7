"""Files that were verified before, by path, size and time of change: a list of what is here need
not read a hundred megabytes again. A note that cannot be kept, or is damaged, is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from picotrain.errors import UserError
from picotrain.output import write_json
from picotrain.places import user_cache

_FILE = "verified.json"


def unchanged(files: Mapping[Path, str]) -> bool:
    """Whether all of them were found to have these checksums, and are as they were then."""
    known = _known()
    try:
        return all(known.get(str(path)) == _stamp(path, sha256) for path, sha256 in files.items())
    except OSError:
        return False


def note(files: Mapping[Path, str]) -> None:
    """All of them have these checksums now."""
    with suppress(OSError, RuntimeError, UserError):
        stamps = {str(path): _stamp(path, sha256) for path, sha256 in files.items()}
        write_json(user_cache() / _FILE, _known() | stamps)


def _stamp(path: Path, sha256: str) -> list[Any]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, sha256]


def _known() -> dict[str, Any]:
    try:
        content = json.loads((user_cache() / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError, UserError):
        return {}
    return content if isinstance(content, dict) else {}
