"""The section of docs/reliability.md about mutants, from what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mutants.mutants import mutants
from mutants.results import BROKEN, KILLED, Outcome
from reliability import page

AREAS = {
    "kernels": "inner loops: portable, vectors of hosts, C and assembly tuned for the Cortex-M0+",
    "cores": "two cores: cuts, what each half gets, and who waits for whom",
    "nn": "the training library: models, plans, steps, errors, scores, selections",
    "store": "states, checkpoints, and what is kept in flash",
    "app": "the program's commands, kernels alone, selections",
    "guard": "what watches memory that changes by itself, and what a death leaves",
    "link": "the serial link, both sides",
    "rp2040": "the Pico's board, start-up, faults, USB, and its emulator",
    "golden": "the mathematics in NumPy",
    "harness": "data, adapting, calibration, sweeps, quantising, outputs, costs",
}
"""What the files of mutants are about, in the page's order."""


def killer(outcome: Outcome) -> str:
    """The test without its folder."""
    path, colons, test = outcome.by.partition("::")
    return page.cell(path.rpartition("/")[2] + colons + test) if colons else outcome.by


def render(outcomes: Sequence[Outcome]) -> str:
    """The section of these outcomes."""
    areas = {
        area: [one for one in outcomes if one.mutant.area == area]
        for area in AREAS
        if any(one.mutant.area == area for one in outcomes)
    }
    missed = [one for one in outcomes if one.result != KILLED and not one.mutant.survives]
    return page.section(
        "mutants",
        killer=killer,
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
