"""docs/smaller.md and its figures, from the results files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from picotrain.inputs import read_json
from picotrain.output import write_text
from picotrain.profile.profile import Profile
from picotrain.research.reproduce.results import Spread
from picotrain.research.shrink import figures, summary
from picotrain.research.shrink.tasks import SMALL, TASKS
from picotrain.shrink.depth.pareto import pareto
from picotrain.shrink.depth.table import LOSS
from picotrain.text import templates


def file_of(task: str) -> str:
    """The name of a task's file of results."""
    return f"smaller-{task}.json"


def write(results: Path, page: Path, own_figures: Path) -> list[str]:
    """Write the page and its figures; returns the names of these."""
    text, drawn = render(results, own_figures)
    write_text(page, text)
    for name, svg in drawn.items():
        write_text(own_figures / name, svg)
    return sorted(drawn)


def render(results: Path, own_figures: Path) -> tuple[str, dict[str, str]]:
    """The text, and the figures by file name; what has no file yet is a sentence."""
    found = {name: _json(results / file_of(name)) for name in TASKS}
    small = results / file_of(SMALL.name)
    if small.is_file():  # Which is all that a small version has.
        found = {SMALL.name: _json(small)}
    drawn: dict[str, str] = {}
    for name, one in found.items():
        if one is None:
            continue
        drawn[f"smaller-{name}.svg"] = figures.trade(one)
        if "cut" in one:
            whole, cells, _ = summary.cut(one)
            drawn[f"smaller-{name}-cuts.svg"] = pareto(cells, whole)
    environment = templates("picotrain.research.shrink", html=False)
    environment.filters |= {
        "ms": lambda cycles: f"{Profile.milliseconds(cycles):,.0f}",
        "points": lambda one, seeds: _spread(one, seeds, "+.1f"),
        "shares": lambda one, seeds: _spread(one, seeds, ".1f"),
        "times": lambda ratio: "" if ratio is None else f"{ratio:.2f}",
    }
    text = environment.get_template("smaller.md.j2").render(
        found=found,
        figures=own_figures.name,
        summary=summary,
        loss=LOSS,
    )
    return text, drawn


def _spread(spread: Spread, seeds: int, form: str) -> str:
    """In percent; of a single seed without a deviation, which it has none of."""
    mean = f"{100 * spread.mean:{form}}"
    return mean if seeds == 1 else f"{mean} ± {100 * spread.std:.1f}"


def _json(path: Path) -> dict[str, Any] | None:
    return read_json(path, "remove it and run again") if path.is_file() else None
