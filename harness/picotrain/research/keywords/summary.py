"""What came of `measure`, as the page of results shows it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any

from picotrain.research.reproduce.results import Spread


@dataclass(frozen=True)
class Row:
    """A method on one task, or on all of a kind (`task` empty: the mean over them of each seed)."""

    method: str
    task: str
    schedule: str
    before: float
    best: Spread
    last: Spread


def rows(found: dict[str, Any]) -> list[Row]:
    """Of one kind: every method over all tasks, then on each."""
    runs = found["runs"]
    names = list(dict.fromkeys(run["task"] for run in runs))
    made = []
    for method, schedule in found["chosen"].items():
        for task in ("", *names):
            mine = [run for run in runs if run["method"] == method and task in ("", run["task"])]
            seeds = sorted({run["seed"] for run in mine})
            by_seed = [[run for run in mine if run["seed"] == seed] for seed in seeds]
            made.append(
                Row(
                    method,
                    task,
                    ",".join(map(str, schedule)),
                    fmean(run["before"] for run in mine),
                    Spread.of(fmean(max(run["after"]) for run in one) for one in by_seed),
                    Spread.of(fmean(run["after"][-1] for run in one) for one in by_seed),
                )
            )
    return made
