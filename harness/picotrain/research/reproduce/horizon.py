"""How long a method lasts: accuracy and clamped logits after every epoch of long runs.

A run *collapses* at the first epoch from which on its accuracy stays below what it was before
adapting; what it saw until then are its *images until collapse*.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pandas as pd

from picotrain.errors import UserError
from picotrain.inputs import read_json
from picotrain.output import write_text
from picotrain.research.reproduce.results import Frame, Spread, groups
from picotrain.research.sweep.results import OPTIONS

HORIZONS = (5, 10, 20, 40, 60)
"""Epochs after which margins are taken."""

SAME_MU = "3"
"""The step size that margins at the same step are taken at."""

ANY_MU = "any"
"""In place of a step size: the mean over those tried."""

LARGE = 0.08
"""The least margin of the paper's abstract, 8.08 points; what is above it is called large."""


@dataclass(frozen=True)
class History:
    """One run: accuracy and share of clamped logits (of the training images; None before) by
    epoch. `rule` is "" where the method takes no static scales. `images`: of an epoch."""

    label: str
    angle: float
    rule: str
    exponent: int
    mu: str
    split: str
    images: int
    evaluated: int
    seed: int
    accuracy: tuple[float, ...]
    clamped: tuple[float | None, ...]

    @property
    def epochs(self) -> int:
        return len(self.accuracy) - 1

    @property
    def before(self) -> float:
        return self.accuracy[0]

    @property
    def best(self) -> float:
        return max(self.accuracy[1:])

    @property
    def last(self) -> float:
        return self.accuracy[-1]

    @property
    def fall(self) -> float:
        """The largest fall below the best so far."""
        top, most = self.accuracy[1], 0.0
        for now in self.accuracy[1:]:
            top = max(top, now)
            most = max(most, top - now)
        return most

    @property
    def collapse(self) -> int | None:
        """The first epoch from which on accuracy stays below what it was before."""
        found = None
        for epoch in range(self.epochs, 0, -1):
            if self.accuracy[epoch] >= self.before:
                break
            found = epoch
        return found

    @property
    def until_collapse(self) -> int | None:
        return None if self.collapse is None else self.images * self.collapse


# The file


def write(path: Path, rows: Frame) -> None:
    """The rows of a sweep, every epoch of them, as one JSON object a cell: a twentieth of the CSV.

    `right` counts images, so accuracies are exact; shares of clamped logits have four digits.
    """
    shared = {name: _plain(rows[name].iloc[0]) for name in OPTIONS if _constant(rows, name)}
    lines = []
    for (_, cell), mine in groups(rows, "label", "cell"):
        first = mine.iloc[0]
        count = int(first["test_samples"])
        options = {name: _plain(first[name]) for name in OPTIONS if name not in shared}
        clamped = [None if pd.isna(one) else round(one, 4) for one in mine["saturated_logits"]]
        right = [round(count * one) for one in mine["accuracy"]]
        whole = {"cell": str(cell), **options, "seed": int(first["seed"])}
        lines.append(json.dumps({**whole, "right": right, "saturated_logits": clamped}))
    cells = ",\n".join(lines)
    write_text(path, f'{{"shared": {json.dumps(shared)},\n"cells": [\n{cells}\n]}}\n')


def _constant(rows: Frame, name: str) -> bool:
    return name != "label" and rows[name].nunique(dropna=False) == 1


def _plain(value: Any) -> Any:
    """As JSON has it, not NumPy."""
    return value.item() if hasattr(value, "item") else value


def read(path: Path) -> list[History]:
    """In the order of the grid. UserError where it is something else."""
    content = read_json(path, "remove it and run again")
    try:
        found = [_history({**content["shared"], **one}) for one in content["cells"]]
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{path} holds no histories ({error!r}); remove it and run again") from None
    if not found or any(one.epochs < 1 for one in found):
        raise UserError(f"{path} is not whole; remove it and run again")
    return found


def _history(one: Mapping[str, Any]) -> History:
    count = int(one["test_samples"])
    return History(
        label=one["label"],
        angle=float(one["angle"]),
        rule="" if one["method"] == "niti-dynamic" else one["calibration"],
        exponent=int(one["logits_exponent"]),
        mu=one["mu"],
        split=one["split"],
        images=int(one["train_samples"]),
        evaluated=count,
        seed=int(one["seed"]),
        accuracy=tuple(right / count for right in one["right"]),
        clamped=tuple(one["saturated_logits"]),
    )


# Runs that differ in their seed alone


Runs = Sequence[History]


def having(found: Runs, **wanted: Any) -> list[History]:
    return [
        one for one in found if all(getattr(one, name) == value for name, value in wanted.items())
    ]


def sorted_mus(found: Iterable[History]) -> list[str]:
    return sorted({one.mu for one in found}, key=int)


def exponents(found: Iterable[History]) -> list[int]:
    """From the sharpest softmax to the flattest."""
    return sorted({one.exponent for one in found}, reverse=True)


def angles(found: Iterable[History]) -> list[float]:
    return sorted({one.angle for one in found})


def at(found: Runs, epoch: int) -> Spread:
    """Accuracy after that epoch over seeds."""
    return Spread.of(one.accuracy[epoch] for one in found)


def paired(ours: Runs, theirs: Runs, epoch: int) -> Spread:
    """Accuracy of one minus the other's after that epoch: mean over seeds, which see the same
    images in both, and its standard error."""
    other = {one.seed: one.accuracy[epoch] for one in theirs}
    if not ours or len(other) != len(theirs) or {one.seed for one in ours} != {*other}:
        raise ValueError("the two have not the same seeds, each once")
    return Spread.of_mean(one.accuracy[epoch] - other[one.seed] for one in ours)


def best_mu(found: Runs, label: str, angle: float, exponent: int, epoch: int = -1) -> str | None:
    """The step size with the best mean accuracy after that epoch, of equals the first in the grid;
    None where there is none."""
    mine = having(found, label=label, angle=angle, exponent=exponent)
    mus = list(dict.fromkeys(one.mu for one in mine))
    return max(mus, key=lambda mu: at(having(mine, mu=mu), epoch).mean) if mus else None


@dataclass(frozen=True)
class Margin:
    """One method's accuracy minus another's at an angle and exponent, after each of HORIZONS that
    the runs reach, with the step sizes of both there."""

    angle: float
    exponent: int
    at: dict[int, Spread]
    mus: dict[int, tuple[str, str]]

    @property
    def end(self) -> Spread:
        return self.at[max(self.at)]


def horizons(found: Runs) -> list[int]:
    """In epochs; the last one of all runs is among them."""
    last = min(one.epochs for one in found)
    return [epoch for epoch in HORIZONS if epoch < last] + [last]


def same_step(found: Runs, label: str, other: str) -> list[Margin]:
    return _margins(found, label, other, lambda *_: SAME_MU)


def own_step(found: Runs, label: str, other: str, chosen_on: Runs) -> list[Margin]:
    """Each at the step size that had the best mean accuracy at the end of other runs."""
    return _margins(
        found,
        label,
        other,
        lambda name, angle, exponent, _: best_mu(chosen_on, name, angle, exponent),
    )


def own_step_each(found: Runs, label: str, other: str) -> list[Margin]:
    """Each at the best step size for every horizon, on the images that it was chosen on."""
    return _margins(
        found,
        label,
        other,
        lambda name, angle, exponent, epoch: best_mu(found, name, angle, exponent, epoch),
    )


def any_step(found: Runs, label: str, other: str) -> list[Margin]:
    """Averaged over the step sizes that both ran at: what one has that was not chosen."""
    averaged = []
    for angle in angles(found):
        for exponent in exponents(found):
            here = having(found, angle=angle, exponent=exponent)
            mus = [{one.mu for one in having(here, label=name)} for name in (label, other)]
            for name in (label, other):
                for seed in dict.fromkeys(one.seed for one in here):
                    mine = [
                        one
                        for one in having(here, label=name, seed=seed)
                        if one.mu in mus[0] & mus[1]
                    ]
                    if mine:
                        epochs = zip(*(one.accuracy for one in mine), strict=True)
                        mean = tuple(fmean(values) for values in epochs)
                        averaged.append(replace(mine[0], mu=ANY_MU, accuracy=mean))
    return _margins(averaged, label, other, lambda *_: ANY_MU)


def _margins(found: Runs, label: str, other: str, mu_of: Any) -> list[Margin]:
    """Without angles and exponents where one of the two has no such runs."""
    margins = []
    for angle in angles(found):
        for exponent in exponents(found):
            taken: dict[int, Spread] = {}
            mus: dict[int, tuple[str, str]] = {}
            for epoch in horizons(found):
                both = [mu_of(name, angle, exponent, epoch) for name in (label, other)]
                ours, theirs = (
                    having(found, label=name, angle=angle, exponent=exponent, mu=mu)
                    for name, mu in zip((label, other), both, strict=True)
                )
                if ours and theirs:
                    taken[epoch] = paired(ours, theirs, epoch)
                    mus[epoch] = (both[0], both[1])
            if taken:
                margins.append(Margin(angle, exponent, taken, mus))
    return margins


def margin(found: Sequence[Margin], angle: float, exponent: int) -> Margin | None:
    mine = [one for one in found if (one.angle, one.exponent) == (angle, exponent)]
    return mine[0] if mine else None


def large(found: Sequence[Margin], by: float = LARGE) -> dict[tuple[int, float], int]:
    """The first horizon from which on the margin is above that, by exponent and angle; those
    without one are left out."""
    above: dict[tuple[int, float], int] = {}
    for one in found:
        since = None
        for epoch in sorted(one.at, reverse=True):
            if one.at[epoch].mean <= by:
                break
            since = epoch
        if since is not None:
            above[one.exponent, one.angle] = since
    return above


def first_large(found: Sequence[Margin]) -> Margin | None:
    """Of the margins that are large at the end the one at the sharpest softmax, at the least angle;
    None where none is."""
    ends = [one for one in found if one.end.mean > LARGE]
    return max(ends, key=lambda one: (one.exponent, -one.angle)) if ends else None


def level(found: Sequence[Margin], within: float = 0.02) -> list[int]:
    """The exponents at which the margin is below that at every angle and horizon."""
    return [
        exponent
        for exponent in sorted({one.exponent for one in found}, reverse=True)
        if all(
            gap.mean < within
            for one in found
            if one.exponent == exponent
            for gap in one.at.values()
        )
    ]


def extremes(found: Sequence[Margin], exponents: Sequence[int]) -> tuple[float, float]:
    """The least and the largest margin at these exponents, at any angle and horizon."""
    means = [gap.mean for one in found if one.exponent in exponents for gap in one.at.values()]
    return min(means), max(means)


def widest(found: Sequence[Margin]) -> tuple[Margin, int]:
    """Where the margin is largest, and after how many epochs."""
    return max(
        ((one, epoch) for one in found for epoch in one.at),
        key=lambda where: where[0].at[where[1]].mean,
    )


def clamped(runs: Runs) -> float:
    """The largest mean share of clamped logits in an epoch."""
    epochs = range(1, min(one.epochs for one in runs) + 1)
    return max(fmean(one.clamped[epoch] or 0.0 for one in runs) for epoch in epochs)


def unlike(lasting: Runs, horizon: Runs) -> list[str]:
    """Methods that lack runs at SAME_MU or at the step size that was best in the other runs."""
    wrong = []
    for label in dict.fromkeys(one.label for one in lasting):
        for angle in angles(lasting):
            for exponent in exponents(having(lasting, label=label, angle=angle)):
                mine = having(lasting, label=label, angle=angle, exponent=exponent)
                wanted = {SAME_MU, best_mu(horizon, label, angle, exponent) or SAME_MU}
                if {one.mu for one in mine} != wanted:
                    has, should = (
                        " and ".join(sorted(mus, key=int))
                        for mus in ({one.mu for one in mine}, wanted)
                    )
                    wrong.append(
                        f"{label} at {angle:g} degrees, exponent {exponent} has mu {has}; "
                        f"chosen was {should}"
                    )
    return wrong


@dataclass(frozen=True)
class Lasting:
    """What runs that differ in their seed came to. `collapses`: images until collapse of those
    that did."""

    label: str
    angle: float
    exponent: int
    mu: str
    runs: int
    best: Spread
    last: Spread
    fall: float
    clamped: float | None
    collapses: tuple[int, ...]

    @property
    def median(self) -> float | None:
        """Of the images until collapse; None where most runs did not."""
        endless = [float("inf")] * (self.runs - len(self.collapses))
        middle = median([*self.collapses, *endless])
        return None if middle == float("inf") else middle


def lasting(found: Runs) -> list[Lasting]:
    """By angle, exponent, method and step size."""
    table = []
    for angle in angles(found):
        for exponent in exponents(found):
            mine = having(found, angle=angle, exponent=exponent)
            for label in dict.fromkeys(one.label for one in mine):
                for mu in sorted_mus(having(mine, label=label)):
                    table.append(summed(having(mine, label=label, mu=mu)))
    return table


def summed(runs: Runs) -> Lasting:
    first = runs[0]
    shares = [one.clamped[-1] for one in runs]
    known = [one for one in shares if one is not None]
    return Lasting(
        first.label,
        first.angle,
        first.exponent,
        first.mu,
        len(runs),
        Spread.of(one.best for one in runs),
        Spread.of(one.last for one in runs),
        max(one.fall for one in runs),
        fmean(known) if known else None,
        tuple(sorted(one.until_collapse for one in runs if one.until_collapse is not None)),
    )


def smallest_lasts_longest(found: Runs, label: str) -> bool:
    """Whether, at every angle and exponent, no step size has more images until collapse (median)
    than the smallest."""
    mine = lasting(having(found, label=label))
    for angle in angles(found):
        for exponent in exponents(found):
            lines = [one for one in mine if (one.angle, one.exponent) == (angle, exponent)]
            lives = {one.mu: one.median or float("inf") for one in lines}
            if lives and lives[min(lives, key=int)] < max(lives.values()):
                return False
    return True


def largest_outlasts(found: Runs, label: str) -> list[tuple[int, float]]:
    """Exponents and angles at which no run with the largest step size collapses, and some with a
    smaller one do."""
    cases = []
    for exponent in exponents(found):
        for angle in angles(found):
            mine = having(found, label=label, angle=angle, exponent=exponent)
            mus = sorted_mus(mine)
            if not mus:
                continue
            largest = having(mine, mu=mus[-1])
            if any(one.collapse for one in mine) and not any(one.collapse for one in largest):
                cases.append((exponent, angle))
    return cases
