"""Results for people: aligned text, names, templates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from jinja2 import Environment

_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?%?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def is_name(value: object) -> TypeGuard[str]:
    """Whether a network may be called so: 1 to 32 letters, digits, '-' and '_'."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def printable(text: str) -> str:
    """`text` of a file or a device, without what would break a line or move a terminal's cursor."""
    return "".join(one if one.isprintable() else "?" for one in text)


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
    """One line with the bytes of all RAM, where that is known, and of what the network takes.

    Then those of a model in flash.
    """
    known = [f"{name} {size:,}" for name, size in parts.items() if size is not None]
    at = next(number for number, text in enumerate(known) if text.startswith("network "))
    line = f"RAM bytes  {'  '.join(known[: at + 1])} ({'  '.join(known[at + 1 :])})"
    if parts["total"] is None:
        line += "; a board adds its code, static data and stack"
    return f"{line}\nin flash   model {model_in_flash:,}" if model_in_flash else line


def templates(*packages: str, html: bool) -> Environment:
    """Templates beside the code of `packages`, of which a name that is not given is an error.

    Of `html`, what is put in is escaped. Their filters `count` and `pct` write thousands apart,
    and a share as a number of hundredths.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in packages]),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
    )
    made.filters |= {
        "count": lambda value: f"{value:,.0f}",
        "pct": lambda share: f"{100 * share:.1f}",
    }
    return made
