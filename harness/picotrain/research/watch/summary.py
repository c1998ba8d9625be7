"""What came of `measure`, as the page of results shows it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from picotrain.research.reproduce.results import Spread


@dataclass(frozen=True)
class Row:
    """A method with so many seconds of each recording. Spreads over people are those of each one's
    mean over the seeds, `seeds` is that of the seeds' means over the people."""

    seconds: int
    method: str
    before: Spread
    after: Spread
    gain: Spread
    seeds: Spread
    macs: float
    ram: float
    worse: int
    """People who ended below where they began."""
    by_person: dict[int, float]


def rows(found: dict[str, Any]) -> list[Row]:
    """In the order of the runs."""
    runs = pd.DataFrame(found["runs"])
    made = []
    for (seconds, method), mine in runs.groupby(["seconds", "method"], sort=False):
        people = mine.groupby("person")[["before", "after", "macs", "ram"]].mean()
        gain = people["after"] - people["before"]
        made.append(
            Row(
                int(seconds),
                str(method),
                Spread.of(people["before"]),
                Spread.of(people["after"]),
                Spread.of(gain),
                Spread.of(mine.groupby("seed")["after"].mean()),
                fmean(people["macs"]),
                fmean(people["ram"]),
                int((gain < 0).sum()),
                {int(person): float(after) for person, after in people["after"].items()},
            )
        )
    return made


def before(found: dict[str, Any]) -> dict[int, float]:
    """Of each person."""
    return {int(run["person"]): float(run["before"]) for run in found["runs"]}


def difference(one: Row, other: Row) -> Spread:
    """Of accuracies after adapting, over people."""
    return Spread.of(one.by_person[p] - other.by_person[p] for p in one.by_person)


def chance(one: Row, other: Row) -> bool:
    """Whether their difference is within two standard errors of 0."""
    found = difference(one, other)
    return abs(found.mean) <= 2 * found.std / math.sqrt(len(one.by_person))


def share(row: Row, every: list[Row]) -> str:
    """Its MACs as a part of those of the rows that take most."""
    most = max(one.macs for one in every)
    return "1" if row.macs == most else f"1/{most / row.macs:.1f}"


def settings(found: dict[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """Of each method the settings in words, with the number of people that they were chosen for,
    the commonest first."""
    words: dict[str, Counter[str]] = {}
    for chosen in found["chosen"].values():
        for label, one in chosen.items():
            text = f"mu {','.join(map(str, one['mu']))}, {one['epochs']} epochs"
            if one["permille"] is not None:
                text += f", {one['permille'] / 10:g} % of a layer"
            words.setdefault(label, Counter())[text] += 1
    return {label: counts.most_common() for label, counts in words.items()}
