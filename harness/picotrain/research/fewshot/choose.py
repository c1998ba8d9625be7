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
from picotrain.research.fewshot.schemes import Name, Rule, Scheme
from picotrain.research.fewshot.task import Settings
from picotrain_golden import Network

TASKS = 6
DOMAINS = (TUNED_ON, EMBEDDED)
FIRST_SEED = 1000
"""Tasks of its own: those of `fewshot` have the seed 0."""

_MU: dict[Rule, tuple[tuple[int, ...], ...]] = {
    "niti-static": ((3, 2, 1, 0), (2, 1, 0, -1), (0, -1, -2, -3)),
    "priot": ((5, 4, 3, 2), (4, 3, 2), (3, 2, 1)),
}
_KINDS: tuple[tuple[Name, float], ...] = (("last-layer", 0.0), ("full", 0.0), ("tinytrain", SHARE))
_OTHERS = {
    "permille": {one: replace(SETTINGS, permille=one) for one in (250, 500, 1000)},
    "theta": {one: replace(SETTINGS, theta=one) for one in (-16, -32, -64)},
    "steps": {one: replace(SETTINGS, steps=one) for one in (100, 300, 1000, 2000)},
}


def _candidates() -> Iterator[tuple[str, str, Settings, tuple[Scheme, ...]]]:
    for rule, schedules in _MU.items():
        for name, share in _KINDS:
            scheme = Scheme(name, rule, share)
            for schedule in schedules:
                mu = {**SETTINGS.mu, scheme.kind: schedule}
                yield f"mu of {scheme.kind}", _words(schedule), replace(SETTINGS, mu=mu), (scheme,)
    both = tuple(Scheme("tinytrain", rule, SHARE) for rule in _MU)
    for what, values in _OTHERS.items():
        schemes = both[1:] if what == "theta" else both
        for value, settings in values.items():
            yield what, str(value), settings, schemes


def _words(schedule: tuple[int, ...]) -> str:
    return ", ".join(map(str, schedule))


def measure(backbone: Network, kept: Path, processes: int | None = None) -> dict[str, Any]:
    """Mean accuracy of each candidate, by what is chosen, its value and the scheme that tells."""
    found: dict[str, Any] = {}
    for what, value, settings, schemes in _candidates():
        planned = campaign.Campaign(backbone, schemes, settings, seed=FIRST_SEED)
        tasks = campaign.run(planned, DOMAINS, TASKS, kept, processes)
        rows = [row for row in summary.rows(tasks) if not row.domain]
        found.setdefault(what, {})[value] = {row.scheme: row.accuracy.mean for row in rows}
    return found
