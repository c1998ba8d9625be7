"""docs/reliability.md, from the results of the last whole run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mutants.mutants import HERE, ROOT, Mutant, mutants
from mutants.running import RESULTS
from picotrain.inputs import read_json
from picotrain.output import write_text

PAGE = ROOT / "docs" / "reliability.md"


def render(results: Sequence[dict[str, Any]]) -> str:
    """The page of these outcomes."""
    rows = [
        {**one, "mutant": Mutant(**one["mutant"]), "by": one["by"].rpartition("/")[2]}
        for one in results
    ]
    areas = {
        area: [row for row in rows if row["mutant"].area == area]
        for area in dict.fromkeys(row["mutant"].area for row in rows)
    }
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("reliability.md.j2").render(areas=areas, rows=rows)


def unlike(results: Sequence[dict[str, Any]]) -> list[str]:
    """Mutants that are listed and have no outcome, or the other way round."""
    listed = {one.name for one in mutants()}
    return sorted(listed ^ {Mutant(**one["mutant"]).name for one in results})


def write(results: Path = RESULTS, page: Path = PAGE) -> None:
    write_text(page, render(read_json(results, "run make mutants")))


if __name__ == "__main__":
    write()
