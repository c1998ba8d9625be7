"""The map's regions: at which settings static NITI lasts, where only PRIOT does, where none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from picotrain.learn.calibration import RULES
from picotrain.research.reproduce.findings import NITI_STATIC, PRIOT, PRIOT_S_10
from picotrain.research.reproduce.horizon import Runs, angles, at, exponents, having, paired
from picotrain.research.reproduce.results import Spread

BOTH, NITI, OURS, FEW, NONE = "both", "niti", "priot", "few", "none"
KINDS = {
    BOTH: "static NITI and PRIOT last",
    NITI: "static NITI lasts, PRIOT collapses",
    OURS: "static NITI collapses, PRIOT lasts",
    FEW: "both collapse, PRIOT-S 10 % lasts",
    NONE: "all collapse",
}
"""What a setting is, by who lasts there: a method whose runs of all seeds end at least as right as
they were before. Where PRIOT-S was not run it counts as collapsed."""

ABSTRACT = (0.0808, 0.3375)
"""The margins of the paper's abstract."""


@dataclass(frozen=True)
class Setting:
    """A calibration rule, an exponent and a step size at an angle, after that many epochs."""

    angle: float
    rule: str
    exponent: int
    mu: str
    epoch: int


def regions(found: Runs) -> dict[Setting, str]:
    """What each setting is that both static NITI and PRIOT ran at, after the last epoch."""
    table = {}
    for one in dict.fromkeys(
        Setting(run.angle, run.rule, run.exponent, run.mu, run.epochs)
        for run in having(found, label=NITI_STATIC)
    ):
        niti, ours, few = (
            lasts(_at(found, label, one)) for label in (NITI_STATIC, PRIOT, PRIOT_S_10)
        )
        if niti is not None and ours is not None:
            table[one] = _kind(niti, ours, bool(few))
    return table


def _at(found: Runs, label: str, one: Setting) -> Runs:
    return having(
        found, label=label, angle=one.angle, rule=one.rule, exponent=one.exponent, mu=one.mu
    )


def lasts(runs: Runs) -> bool | None:
    """Whether no seed collapses; None without runs."""
    return all(one.collapse is None for one in runs) if runs else None


def _kind(niti: bool, ours: bool, few: bool) -> str:
    if niti:
        return BOTH if ours else NITI
    return OURS if ours else FEW if few else NONE


def counted(table: Mapping[Setting, str]) -> dict[str, int]:
    """Settings of each kind, in the order of KINDS."""
    counts = Counter(table.values())
    return {kind: counts[kind] for kind in KINDS}


def by_exponent(table: Mapping[Setting, str]) -> dict[int, dict[str, int]]:
    return {
        exponent: counted({one: kind for one, kind in table.items() if one.exponent == exponent})
        for exponent in sorted({one.exponent for one in table}, reverse=True)
    }


Counts: TypeAlias = Mapping[int, Mapping[str, int]]


def where_all(counts: Counts) -> list[int]:
    """The exponents at which static NITI lasts in every setting."""
    return [key for key, one in counts.items() if one[BOTH] + one[NITI] == sum(one.values())]


def where_none(counts: Counts) -> list[int]:
    """The exponents at which it lasts in none."""
    return [key for key, one in counts.items() if one[BOTH] + one[NITI] == 0]


def where_ours(counts: Counts) -> list[int]:
    """The exponents at which PRIOT lasts in some setting without static NITI."""
    return [key for key, one in counts.items() if one[OURS]]


def lasting_at(found: Runs, mu: str, rule: str = "fair") -> list[int]:
    """The exponents at which static NITI lasts with this step size under a rule."""
    return [
        one.exponent
        for one, kind in regions(found).items()
        if (one.mu, one.rule) == (mu, rule) and kind in (BOTH, NITI)
    ]


def by_rule(table: Mapping[Setting, str]) -> dict[str, dict[str, int]]:
    """In the order of the rules."""
    return {
        rule: counted({one: kind for one, kind in table.items() if one.rule == rule})
        for rule in RULES
        if any(one.rule == rule for one in table)
    }


def best_under(found: Runs, label: str, rule: str) -> Spread | None:
    """The best mean last accuracy of a method under a rule, at any exponent and step size."""
    mine = having(found, label=label, rule=rule)
    scores = [
        at(having(mine, angle=angle, exponent=exponent, mu=mu), -1)
        for angle in angles(mine)
        for exponent in exponents(mine)
        for mu in dict.fromkeys(one.mu for one in mine)
        if having(mine, angle=angle, exponent=exponent, mu=mu)
    ]
    return max(scores, key=lambda one: one.mean) if scores else None


def same_step(found: Runs) -> dict[Setting, Spread]:
    """PRIOT's accuracy minus static NITI's at the same settings, after every epoch."""
    table = {}
    for one in regions(found):
        ours, theirs = _at(found, PRIOT, one), _at(found, NITI_STATIC, one)
        for epoch in range(1, one.epoch + 1):
            here = Setting(one.angle, one.rule, one.exponent, one.mu, epoch)
            table[here] = paired(ours, theirs, epoch)
    return table


def nearest(table: Mapping[Setting, Spread], margin: float) -> tuple[Setting, Spread]:
    """The setting whose margin comes nearest to that one; of equals the one with more epochs."""
    return min(table.items(), key=lambda one: (abs(one[1].mean - margin), -one[0].epoch))


def heat(found: Runs) -> dict[str, dict[int, dict[tuple[str, str], float]]]:
    """Mean last accuracy by method, exponent, and (rule, mu)."""
    table: dict[str, dict[int, dict[tuple[str, str], float]]] = {}
    for label in dict.fromkeys(one.label for one in found):
        mine = having(found, label=label)
        for exponent in exponents(mine):
            runs = having(mine, exponent=exponent)
            keys = dict.fromkeys((one.rule, one.mu) for one in runs)
            table.setdefault(label, {})[exponent] = {
                (rule, mu): at(having(runs, rule=rule, mu=mu), -1).mean for rule, mu in keys
            }
    return table


def panels(map_: Runs | None, horizon: Runs | None, rule: str = "fair") -> list[Panel]:
    """Regions over exponent and step size under one rule: of the map and of the long runs."""
    found = []
    for runs in (map_, horizon):
        if runs is None:
            continue
        table = {one: kind for one, kind in regions(runs).items() if one.rule == rule}
        for angle in sorted({one.angle for one in table}):
            mine = {one: kind for one, kind in table.items() if one.angle == angle}
            images = runs[0].images * next(iter(mine)).epoch
            found.append(
                Panel(
                    f"{angle:g} degrees, {images:,} images",
                    {(one.mu, one.exponent): kind for one, kind in mine.items()},
                )
            )
    return found


@dataclass(frozen=True)
class Panel:
    """Kinds by (mu, exponent)."""

    title: str
    kinds: Mapping[tuple[str, int], str]

    @property
    def mus(self) -> Sequence[str]:
        return sorted({mu for mu, _ in self.kinds}, key=int)

    @property
    def exponents(self) -> Sequence[int]:
        return sorted({exponent for _, exponent in self.kinds}, reverse=True)
