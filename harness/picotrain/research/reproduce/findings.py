"""What the results say: tables, margins, stable ranges. Numbers alone; the page has the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from picotrain.learn.calibration import RULES
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

STABLE_WITHIN = 0.02
"""A step size is stable where the mean last accuracy is within this of the method's best."""

CHANCE = 0.2
"""A run that ends below this has collapsed: chance is 0.1, and no backbone starts there."""


# Table 1


@dataclass(frozen=True)
class Row:
    """A method at one angle: its step size, and what it came to."""

    label: str
    angle: float
    mu: str
    epochs: int
    score: Score


def table1(cells: Frame) -> list[Row]:
    """In the order of the grid."""
    rows = []
    for (label, angle, mu, epochs), mine in groups(cells, "label", "angle", "mu", "epochs"):
        rows.append(Row(str(label), float(angle), str(mu), int(epochs), score(mine)))
    return rows


def of(rows: Sequence[Row], label: str, angle: float) -> Row:
    found = [row for row in rows if (row.label, row.angle) == (label, angle)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} rows for {label} at {angle:g} degrees, not one")
    return found[0]


def gap(cells: Frame, label: str, other: str, angle: float) -> Spread:
    """Last accuracy of one method minus another's: mean over seeds, which see the same images in
    both, and its standard error."""
    one, two = (
        where(cells, label=name, angle=angle).set_index("seed")["last"] for name in (label, other)
    )
    difference = one - two
    if difference.empty or bool(difference.isna().any()):
        raise ValueError(f"{label} and {other} at {angle:g} degrees have not the same seeds")
    return _paired(difference)


def _paired(difference: pd.Series) -> Spread:
    """The mean, and its standard error; 0 for one seed."""
    spread = Spread.of(difference)
    return Spread(spread.mean, spread.std / len(difference) ** 0.5)


# Choices


@dataclass(frozen=True)
class Chosen:
    """The step size taken for a method at an angle, and the best that is another one."""

    best: Candidate
    second: Candidate | None
    tried: int


def chosen(cells: Frame) -> list[Chosen]:
    found = []
    for tried in candidates(cells).values():
        best = choice(tried)
        others = [one for one in tried if one is not best]
        found.append(Chosen(best, choice(others) if others else None, len(tried)))
    return found


def tried(cells: Frame, label: str, mu: str) -> Candidate:
    """A method's candidate with this step size."""
    return next(one for one in _of_method(cells, label) if one.mu == mu)


def best_of(cells: Frame, label: str) -> Candidate:
    return choice(_of_method(cells, label))


def _of_method(cells: Frame, label: str) -> list[Candidate]:
    return next(found for (name, _), found in candidates(cells).items() if name == label)


def unlike(table: Frame, *choices: Frame) -> list[str]:
    """Rows of a Table 1 whose step size or threshold is not the one that was chosen.

    A method that no candidates were tried of is not looked at.
    """
    best = {key: choice(tried) for cells in choices for key, tried in candidates(cells).items()}
    wrong = []
    for (label, angle, mu, threshold), _ in groups(table, "label", "angle", "mu", "threshold"):
        one = best.get((str(label), float(angle)))
        if one is not None and (one.mu, one.threshold) != (mu, threshold):
            wrong.append(
                f"{label} at {angle:g} degrees has mu {mu} and threshold {threshold}, chosen was "
                f"mu {one.mu} and threshold {one.threshold}"
            )
    return wrong


# The map


@dataclass(frozen=True)
class Line:
    """A method under one calibration rule ("" for niti-dynamic), over all step sizes.

    `stable`: the step sizes around the best one, without a gap, whose mean last accuracy is
    within STABLE_WITHIN of the best of the method under any rule. `collapsed`: how many runs
    ended below CHANCE, by step size.
    """

    label: str
    rule: str
    last: dict[str, Spread]
    best_mu: str
    stable: tuple[str, ...]
    collapsed: dict[str, int]
    seeds: int

    @property
    def best(self) -> float:
        return self.last[self.best_mu].mean

    @property
    def collapses_from(self) -> str | None:
        """The least step size from which on every seed collapses."""
        found = None
        for mu in reversed(self.collapsed):
            if self.collapsed[mu] < self.seeds:
                break
            found = mu
        return found


def lines(cells: Frame) -> list[Line]:
    """Of the map's cells, whose step sizes are constants, in the order of the grid."""
    raw = []
    for (label, method, rule), mine in groups(cells, "label", "method", "calibration"):
        scores = {str(mu): score(rows) for (mu,), rows in groups(mine, "mu")}
        failed = {str(mu): int((rows["last"] < CHANCE).sum()) for (mu,), rows in groups(mine, "mu")}
        name = "" if method == "niti-dynamic" else str(rule)
        raw.append((str(label), name, {mu: one.last for mu, one in scores.items()}, failed))
    seeds = int(cells["seed"].nunique())
    top: dict[str, float] = {}
    for label, _, last, _ in raw:
        top[label] = max(top.get(label, 0.0), *(one.mean for one in last.values()))
    return [
        Line(label, rule, last, _argmax(last), _stable(last, top[label]), failed, seeds)
        for label, rule, last, failed in raw
    ]


def _argmax(last: dict[str, Spread]) -> str:
    return max(last, key=lambda mu: last[mu].mean)


def _stable(last: dict[str, Spread], top: float) -> tuple[str, ...]:
    order = sorted(last, key=int)
    good = [last[mu].mean >= top - STABLE_WITHIN for mu in order]
    at = order.index(_argmax(last))
    if not good[at]:
        return ()
    first = last_ = at
    while first > 0 and good[first - 1]:
        first -= 1
    while last_ + 1 < len(order) and good[last_ + 1]:
        last_ += 1
    return tuple(order[first : last_ + 1])


def line(found: Sequence[Line], label: str, rule: str) -> Line:
    return next(one for one in found if (one.label, one.rule) == (label, rule))


@dataclass(frozen=True)
class Margin:
    """PRIOT's last accuracy minus static NITI's under a rule: each at its best step size, and both
    at the same."""

    rule: str
    priot_mu: str
    niti_mu: str
    at_best: float
    at: dict[str, float]


def first_collapse(one: Line) -> str | None:
    """The least step size at which any seed collapses."""
    return next((mu for mu in sorted(one.collapsed, key=int) if one.collapsed[mu]), None)


def margins(found: Sequence[Line]) -> list[Margin]:
    table = []
    for rule in (one for one in RULES if any(one == other.rule for other in found)):
        ours, theirs = line(found, PRIOT, rule), line(found, NITI_STATIC, rule)
        at = {mu: ours.last[mu].mean - theirs.last[mu].mean for mu in ours.last}
        table.append(Margin(rule, ours.best_mu, theirs.best_mu, ours.best - theirs.best, at))
    return table


def ahead(found: Sequence[Margin], by: float = STABLE_WITHIN) -> list[tuple[str, str, float]]:
    """Where PRIOT is ahead of static NITI at the same step size by more than `by`: rule, mu and
    margin."""
    return [(one.rule, mu, margin) for one in found for mu, margin in one.at.items() if margin > by]


def harmed(found: Sequence[Line], cases: Sequence[tuple[str, str, float]]) -> bool:
    """Whether static NITI's last accuracy is, in each case (rule, mu, any), at least 5 points
    below its best under any rule."""
    best = max(one.best for one in found if one.label == NITI_STATIC)
    return all(line(found, NITI_STATIC, rule).last[mu].mean <= best - 0.05 for rule, mu, _ in cases)


@dataclass(frozen=True)
class Symptoms:
    """Means over runs, at their last epoch: shares of images without a loss error, and of the
    elements that were clamped in the worst layer."""

    runs: int
    zero_errors: float
    forward: float
    error: float
    update: float
    loss_norm: float


def symptoms(cells: Frame) -> Symptoms | None:
    if cells.empty:
        return None
    return Symptoms(
        len(cells),
        *(
            float(cells[name].mean())
            for name in (
                *("zero_errors", "saturated_forward", "saturated_error", "saturated_update"),
                "loss_norm",
            )
        ),
    )


# Margins on test images


@dataclass(frozen=True)
class Pair:
    """PRIOT and static NITI under a rule, on test images. `mu`: the one that both have, or ""
    where each has its own schedule, that of Table 1."""

    angle: float
    rule: str
    mu: str
    priot: Row
    niti: Row

    @property
    def last(self) -> float:
        """PRIOT's accuracy minus static NITI's after the last epoch."""
        return self.priot.score.last.mean - self.niti.score.last.mean

    @property
    def best(self) -> float:
        return self.priot.score.best.mean - self.niti.score.best.mean


def pairs(cells: Frame) -> list[Pair]:
    """By angle and rule. Of each method the first step size in the grid is its own, the others
    are shared."""
    found = []
    for (angle, rule), mine in groups(cells, "angle", "calibration"):
        rows = table1(mine)
        ours, theirs = ([row for row in rows if row.label == one] for one in (PRIOT, NITI_STATIC))
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            if number and one.mu != other.mu:
                raise ValueError(f"PRIOT has mu {one.mu} where static NITI has {other.mu}")
            shared = one.mu if number else ""
            found.append(Pair(float(angle), str(rule), shared, one, other))
    return found


def collapsed(found: Sequence[Pair]) -> bool:
    """Whether both methods end below CHANCE in every pair."""
    return all(one.score.last.mean < CHANCE for pair in found for one in (pair.priot, pair.niti))


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
            gain[float(angle)] = _paired(difference)
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
    speaker: str
    seeds: int
    before: Spread
    best: Spread
    last: Spread


def speakers(cells: Frame) -> list[Speaker]:
    found = []
    for (label,), mine in groups(cells, "label"):
        by_seed = mine.groupby("seed")[["before", "best", "last"]].mean()
        found.append(_speaker(str(label), "", by_seed))
        for (dataset,), rows in groups(mine, "dataset"):
            name = str(dataset).removeprefix("fsdd-")
            by_seed = rows.groupby("seed")[["before", "best", "last"]].mean()
            found.append(_speaker(str(label), name, by_seed))
    return found


def _speaker(label: str, name: str, by_seed: Frame) -> Speaker:
    before, best, last = (Spread.of(by_seed[column]) for column in ("before", "best", "last"))
    return Speaker(label, name, len(by_seed), before, best, last)
