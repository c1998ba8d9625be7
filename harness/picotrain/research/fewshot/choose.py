"""The choices of the campaign: each number in its turn, the others as they are in `defaults`.

On tasks of the classes that are tuned on, which are like those that the network learned from, and
of scikit-learn's digits, which are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from picotrain.datasets.fewshot import EMBEDDED, TUNED_ON
from picotrain.research.fewshot import campaign, summary
from picotrain.research.fewshot.defaults import SETTINGS, SHARE
from picotrain.research.fewshot.schemes import SHORT, Name, Rule, Scheme
from picotrain.research.fewshot.task import Settings
from picotrain_golden import Network

TASKS = 15
DOMAINS = (TUNED_ON, EMBEDDED)
FIRST_SEED = 1000
"""Tasks of its own: those of `fewshot` have the seed 0."""

_MU: dict[Rule, tuple[tuple[int, ...], ...]] = {
    "niti-static": ((5, 4, 3, 2), (4, 3, 2, 1), (3, 2, 1, 0), (2, 1, 0, -1)),
    "priot": ((5, 4, 3, 2), (4, 3, 2), (3, 2, 1), (2, 1, 0)),
}
_STEPS = (100, 300, 1000, 2000)
_KINDS: tuple[tuple[Name, float], ...] = (
    ("last-layer", 0.0),
    ("full", 0.0),
    ("tinytrain", SHARE),
    ("true-cost", SHARE),
)
_OTHERS = {
    "permille": {one: replace(SETTINGS, permille=one) for one in (250, 500, 1000)},
    "theta": {one: replace(SETTINGS, theta=one) for one in (-16, -32, -64)},
}


def _candidates() -> Iterator[tuple[str, str, Settings, tuple[Scheme, ...]]]:
    yield "nothing learns", "", SETTINGS, (Scheme("none"),)
    for rule, schedules in _MU.items():
        schemes = [Scheme(name, rule, share) for name, share in _KINDS]
        for kind in dict.fromkeys(scheme.kind for scheme in schemes):
            own = tuple(scheme for scheme in schemes if scheme.kind == kind)
            for schedule in schedules:
                mu = {**SETTINGS.mu, kind: schedule}
                yield f"mu of {kind}", _words(schedule), replace(SETTINGS, mu=mu), own
        for steps in _STEPS:
            changed = replace(SETTINGS, steps={**SETTINGS.steps, rule: steps})
            yield f"steps of {SHORT[rule]}", str(steps), changed, tuple(schemes[1:])
    both = tuple(Scheme(name, rule, share) for rule in _MU for name, share in _KINDS if share)
    for what, values in _OTHERS.items():
        own = tuple(one for one in both if what != "theta" or one.rule == "priot")
        for value, settings in values.items():
            yield what, str(value), settings, own


def _words(schedule: tuple[int, ...]) -> str:
    return ", ".join(map(str, schedule))


def measure(backbone: Network, kept: Path, processes: int | None = None) -> dict[str, Any]:
    """Accuracy of each candidate, by what is chosen, its value, the scheme that tells, and the
    domain: "" is the mean."""
    found: dict[str, Any] = {}
    for what, value, settings, schemes in _candidates():
        planned = campaign.Campaign(backbone, schemes, settings, seed=FIRST_SEED)
        tasks = campaign.run(planned, DOMAINS, TASKS, kept, processes)
        by_scheme: dict[str, dict[str, float]] = {}
        for row in summary.rows(tasks):
            by_scheme.setdefault(row.scheme, {})[row.domain] = row.accuracy.mean
        found.setdefault(what, {})[value] = by_scheme
    return found


def in_use() -> set[tuple[str, str]]:
    """The candidates, by what is chosen and value, that are what `defaults` has."""
    return {(what, value) for what, value, settings, _ in _candidates() if settings == SETTINGS}
