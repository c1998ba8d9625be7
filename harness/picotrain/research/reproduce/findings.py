"""What the results say: tables, margins, stable ranges. Numbers alone; the page has the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import pandas as pd

from picotrain.research.reproduce.results import (
    Candidate,
    Frame,
    Score,
    Spread,
    candidates,
    choice,
    groups,
    score,
    where,
)

NITI_DYNAMIC, NITI_STATIC, PRIOT = "NITI dynamic", "NITI static", "PRIOT"
PRIOT_S_10, PRIOT_S_20 = "PRIOT-S 10 % by weight", "PRIOT-S 20 % by weight"

SHARED_EXPONENT = "-4"
"""Of the logits: Table 1 has every method at its own best one, and all at this."""


# Table 1


@dataclass(frozen=True)
class Row:
    """A method at one angle: its exponent and step size, and what it came to."""

    label: str
    angle: float
    exponent: str
    mu: str
    epochs: int
    score: Score


def table1(cells: Frame) -> list[Row]:
    """In the order of the grid."""
    rows = []
    by = ("label", "angle", "logits_exponent", "mu", "epochs")
    for (label, angle, exponent, mu, epochs), mine in groups(cells, *by):
        rows.append(Row(str(label), float(angle), str(exponent), str(mu), int(epochs), score(mine)))
    return rows


def of(rows: Sequence[Row], label: str, angle: float) -> Row:
    found = [row for row in rows if (row.label, row.angle) == (label, angle)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} rows for {label} at {angle:g} degrees, not one")
    return found[0]


def has(cells: Frame, *labels: str) -> bool:
    """Whether all of these methods are there, at every angle."""
    return all(
        not where(cells, label=label, angle=angle).empty
        for label in labels
        for angle in cells["angle"].unique()
    )


def gap(cells: Frame, label: str, other: str, angle: float) -> Spread:
    """Last accuracy of one method minus another's: mean over seeds, which see the same images in
    both, and its standard error."""
    one, two = (
        where(cells, label=name, angle=angle).set_index("seed")["last"] for name in (label, other)
    )
    difference = one - two
    if difference.empty or bool(difference.isna().any()):
        raise ValueError(f"{label} and {other} at {angle:g} degrees have not the same seeds")
    return Spread.of_mean(difference)


# Choices


Picked: TypeAlias = Mapping[tuple[str, float], Candidate]


@dataclass(frozen=True)
class Chosen:
    """What was taken for a method at an angle, the best that is something else, and the best at
    each exponent of the logits."""

    best: Candidate
    second: Candidate | None
    by_exponent: dict[str, Candidate]
    tried: int


def chosen(cells: Frame) -> list[Chosen]:
    found = []
    for tried in candidates(cells).values():
        best = choice(tried)
        others = [one for one in tried if one is not best]
        by_exponent = {
            exponent: choice([one for one in tried if one.exponent == exponent])
            for exponent in dict.fromkeys(one.exponent for one in tried)
        }
        found.append(Chosen(best, choice(others) if others else None, by_exponent, len(tried)))
    return found


def picked(*choices: Frame, exponent: str | None = None) -> dict[tuple[str, float], Candidate]:
    """The best candidate of each label and angle: of all, or of those at one exponent."""
    found = {}
    for cells in choices:
        for key, tried in candidates(cells).items():
            mine = [one for one in tried if exponent in (None, one.exponent)]
            if mine:
                found[key] = choice(mine)
    return found


def picked_for(label: str, angle: float, picked: Picked) -> Candidate | None:
    """What a method takes: random selection the numbers of selection by weight, and PRIOT-S of a
    share that no candidates were tried of those of 10 %."""
    by_weight = label.replace("at random", "by weight")
    names = (by_weight, PRIOT_S_10) if by_weight.startswith("PRIOT-S") else (by_weight,)
    return next((picked[name, angle] for name in names if (name, angle) in picked), None)


def reading(table: Frame, picked: Picked, keep_others: bool) -> Frame:
    """Of each method and angle the cells at what was picked for it; where nothing was, those of
    the first setting in the grid, or none."""
    kept = []
    for (label, angle), mine in groups(table, "label", "angle"):
        one = picked_for(str(label), float(angle), picked)
        if one is not None:
            kept.append(_at(mine, one.exponent, one.mu, one.threshold))
        elif keep_others:
            first = mine.iloc[0]
            kept.append(_at(mine, first["logits_exponent"], first["mu"], first["threshold"]))
    return pd.concat(kept) if kept else table.iloc[:0]


def _at(cells: Frame, exponent: str, mu: str, threshold: int) -> Frame:
    return where(cells, logits_exponent=exponent, mu=mu, threshold=threshold)


def unlike(table: Frame, choices: Sequence[Frame], shared: str | None = None) -> list[str]:
    """Methods of a Table 1 that are not at what was chosen, and, with a shared exponent, at what
    was best there, and at nothing else.

    A method that no candidates were tried of is not looked at.
    """
    readings = [picked(*choices)]
    if shared is not None:
        readings.append(picked(*choices, exponent=shared))
    wrong = []
    for (label, angle), mine in groups(table, "label", "angle"):
        found = [picked_for(str(label), float(angle), one) for one in readings]
        wanted = [one for one in found if one is not None]
        if not wanted:
            continue
        should = {(one.exponent, one.mu, one.threshold) for one in wanted}
        has = {
            (str(exponent), str(mu), int(threshold))
            for (exponent, mu, threshold), _ in groups(mine, "logits_exponent", "mu", "threshold")
        }
        if has != should:
            wrong.append(
                f"{label} at {angle:g} degrees has {_settings(has)}; chosen was {_settings(should)}"
            )
    return wrong


def _settings(found: set[tuple[str, str, int]]) -> str:
    return " and ".join(
        f"{f'exponent {exponent}, ' if exponent else ''}mu {mu}, threshold {threshold}"
        for exponent, mu, threshold in sorted(found)
    )


# The traces


def silent_from(trace: Mapping[str, Any]) -> int | None:
    """The first image of the windows, up to the last one, of whose logits nine in ten are 0; None
    where the last one's are not."""
    found = None
    for before, one in pairwise(({"images": 0}, *trace["windows"])):
        if any(one["logits"][1:-1]):
            found = None
        elif found is None:
            found = before["images"] + 1
    return found


def worst(trace: Mapping[str, Any], what: str) -> float:
    """The largest share over layers and windows: clamped (`forward`, `error`, `update`), or of
    weights or scores that are `at_limit`, or of edges that are `pruned`."""
    windows = trace["windows"]
    share: float = max(max(one[what] if what in one else one["saturated"][what]) for one in windows)
    return share


# Ablation


@dataclass(frozen=True)
class Variant:
    """PRIOT with something changed: its scores by angle, and what it does to upright digits.

    `gain`: last accuracy minus the default's, and the standard error of that mean over seeds,
    which see the same images in both.
    """

    label: str
    scores: dict[float, Score]
    gain: dict[float, Spread]
    upright_before: dict[float, float]
    upright_after: dict[float, float]


def ablation(cells: Frame, default: str = "default") -> list[Variant]:
    base = where(cells, label=default).set_index(["angle", "seed"])["last"]
    found = []
    for (label,), mine in groups(cells, "label"):
        scores, gain, before, after = {}, {}, {}, {}
        for (angle,), rows in groups(mine, "angle"):
            scores[float(angle)] = score(rows)
            difference = rows.set_index(["angle", "seed"])["last"] - base
            difference = difference.dropna()
            if len(difference) != len(rows):
                raise ValueError(f"{label} has seeds that {default} has not")
            gain[float(angle)] = Spread.of_mean(difference)
            if rows["upright_accuracy"].notna().all():
                before[float(angle)] = float(rows["upright_before"].mean())
                after[float(angle)] = float(rows["upright_accuracy"].mean())
        found.append(Variant(str(label), scores, gain, before, after))
    return found


def by_label(variants: Sequence[Variant]) -> dict[str, Variant]:
    return {one.label: one for one in variants}


def largest_gain(variants: Sequence[Variant], kinds: tuple[str, ...]) -> float:
    """The largest mean gain, at any angle, of variants whose label starts with one of `kinds`."""
    return max(
        gain.mean for one in variants if one.label.startswith(kinds) for gain in one.gain.values()
    )


def largest_loss(variants: Sequence[Variant], kinds: tuple[str, ...]) -> float:
    """The least gain, as above."""
    return min(
        gain.mean for one in variants if one.label.startswith(kinds) for gain in one.gain.values()
    )


# Spoken digits


@dataclass(frozen=True)
class Speaker:
    """A method on an unseen speaker, or (`speaker` "") on all of them: mean over speakers of each
    seed's mean, so that the spread is over seeds."""

    label: str
    exponent: str
    mu: str
    speaker: str
    seeds: int
    before: Spread
    best: Spread
    last: Spread


def speakers(cells: Frame) -> list[Speaker]:
    found = []
    for (label, exponent, mu), mine in groups(cells, "label", "logits_exponent", "mu"):
        what = str(label), str(exponent), str(mu)
        found.append(_speaker(what, "", mine))
        for (dataset,), rows in groups(mine, "dataset"):
            found.append(_speaker(what, str(dataset).removeprefix("fsdd-"), rows))
    return found


def _speaker(what: tuple[str, str, str], name: str, cells: Frame) -> Speaker:
    by_seed = cells.groupby("seed")[["before", "best", "last"]].mean()
    before, best, last = (Spread.of(by_seed[column]) for column in ("before", "best", "last"))
    return Speaker(*what, name, len(by_seed), before, best, last)
