"""docs/reliability.md, from what came of the mutants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mutants import results
from mutants.mutants import HERE, ROOT, mutants
from mutants.results import BROKEN, KILLED, Outcome
from picotrain.output import write_text

PAGE = ROOT / "docs" / "reliability.md"

AREAS = {
    "kernels": "inner loops: portable, vectors of hosts, C and assembly tuned for the Cortex-M0+",
    "nn": "the training library: models, plans, steps, errors, scores, selections",
    "store": "states, checkpoints, and what is kept in flash",
    "app": "the program's commands, kernels alone, selections",
    "link": "the serial link, both sides",
    "rp2040": "the Pico's board, start-up, faults, USB, and its emulator",
    "golden": "the mathematics in NumPy",
    "harness": "data, adapting, calibration, sweeps, quantising, outputs, costs",
}
"""What the files of mutants are about, in the page's order."""


def cell(text: str) -> str:
    """As it stands in a table, code."""
    code = f"`` {text} ``" if "`" in text else f"`{text}`"
    return code.replace("|", "\\|")


def killer(outcome: Outcome) -> str:
    """The test without its folder."""
    path, colons, test = outcome.by.partition("::")
    return cell(path.rpartition("/")[2] + colons + test) if colons else outcome.by


def render(outcomes: Sequence[Outcome]) -> str:
    """The page of these outcomes."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {"cell": cell, "killer": killer}
    areas = {
        area: [one for one in outcomes if one.mutant.area == area]
        for area in AREAS
        if any(one.mutant.area == area for one in outcomes)
    }
    missed = [one for one in outcomes if one.result != KILLED and not one.mutant.survives]
    return environment.get_template("reliability.md.j2").render(
        areas=areas,
        about=AREAS,
        outcomes=outcomes,
        found=Counter(one.mutant.area for one in outcomes if one.result == KILLED),
        equal=[one for one in outcomes if one.mutant.survives],
        missed=missed,
        broken=[one for one in missed if one.result == BROKEN],
    )


def unlike(outcomes: Sequence[Outcome]) -> list[str]:
    """Mutants that are listed and have no outcome, or the other way round."""
    return sorted(one.name for one in set(mutants()) ^ {one.mutant for one in outcomes})


def write() -> None:
    write_text(PAGE, render(results.read()))
