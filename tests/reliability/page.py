"""docs/reliability.md: the promise, and a section for each file of results that is there.

A section is `NAME.md.j2` beside this file; it is given `found`, the contents of
`experiments/results/reliability-NAME.json`. That of the mutants is made of their own file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picotrain.errors import told
from picotrain.inputs import read_json
from picotrain.output import write_json
from picotrain.text import templates
from rendered import ROOT, write_page

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "experiments" / "results"
SECTIONS = ("memory", "deaths", "fuzzing", "exactness", "selftest", "stress", "mutants")
"""In the page's order."""


def cell(text: str) -> str:
    """As it stands in a table, code."""
    code = f"`` {text} ``" if "`" in text else f"`{text}`"
    return code.replace("|", "\\|")


def file_of(section: str, results: Path = RESULTS) -> Path:
    """The section's results."""
    return results / f"reliability-{section}.json"


def section(name: str, **context: Any) -> str:
    """One section of these results."""
    environment = templates("reliability", html=False)
    environment.filters |= {"cell": cell}
    return environment.get_template(f"{name}.md.j2").render(context)


def render(results: Path, mutants: str) -> str:
    """The page of what is in folder `results`, and of the mutants' section."""
    made = []
    for name in SECTIONS:
        file = file_of(name, results)
        if name == "mutants":
            made.append(mutants)
        elif file.is_file():
            made.append(section(name, found=read_json(file, "make it anew")))
    return section("reliability", sections=made)


def write() -> None:
    """The page of what is there."""
    from mutants import report, results  # Which need a filter of this module.

    write_page(PAGE, render(RESULTS, report.render(results.read())))


def keep(name: str, found: Mapping[str, Any]) -> None:
    """The results of a section, and the page with them."""
    write_json(file_of(name), found)
    write()


if __name__ == "__main__":
    sys.exit(told("reliability", lambda _: write()))
