"""Pages that are rendered from results files."""

from __future__ import annotations

from pathlib import Path

from picotrain.output import write_text

ROOT = Path(__file__).resolve().parents[1]


def write_page(page: Path, made: str) -> None:
    """Write it, and say whether anything changed."""
    same = page.is_file() and page.read_text(encoding="utf-8") == made
    write_text(page, made)
    print(f"{page.relative_to(ROOT)}: {'as it was' if same else 'written'}")
