"""Results for machines (JSON files, replaced whole) and for people (aligned text)."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from picotrain.errors import UserError

_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?%?")


def write_text(path: Path, content: str) -> None:
    """Write a file that is complete at any moment: the old one or the new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}-", delete=False
        ) as file:
            file.write(content)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another file") from error


def write_json(path: Path, content: Any) -> None:
    """`write_text` for a result."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Aligned columns: numbers to the right, text to the left."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(_NUMBER.fullmatch(cell) for cell in column[1:] if cell) for column in columns]

    def render(line: Sequence[str]) -> str:
        cells = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        ]
        return "  ".join(cells).rstrip()

    ruler = "  ".join("-" * width for width in widths)
    return "\n".join([render(header), ruler, *map(render, rows)])


def ram_line(parts: Mapping[str, int | None], model_in_flash: int = 0) -> str:
    """One line with the bytes of each part of RAM that is known; then those of a model in flash."""
    known = {name: size for name, size in parts.items() if size is not None}
    line = "RAM bytes  " + "  ".join(f"{name} {size:,}" for name, size in known.items())
    return f"{line}\nin flash   model {model_in_flash:,}" if model_in_flash else line
