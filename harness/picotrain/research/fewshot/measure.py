"""What `picotrain reproduce` runs: both backbones on all domains, the choices, and the chip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from picotrain.datasets.fewshot import EMBEDDED, PUBLISHED, UNSEEN, Rule, load_domain
from picotrain.learn import models
from picotrain.research.fewshot import campaign, choose, cost, summary
from picotrain.research.fewshot.defaults import BACKBONES, KEPT, SETTINGS, SHARE, SHARES
from picotrain.research.fewshot.schemes import NAMES, Name, Scheme, all_schemes

EPISODES = 200
_WITH_SCORES: tuple[Name, ...] = ("last-layer", "full", "tinytrain")
"""Schemes that are compared by both rules; what else differs, NITI tells."""
_SMALL = Rule(ways=5, shots=2)
_SMALL_STEPS = 10


def measure(small: bool, processes: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each file of results by its name, `fewshot-NAME.json`, when it is there. The small version is
    one task of digits for each backbone, and chooses nothing."""
    settings = replace(SETTINGS, steps=_SMALL_STEPS) if small else SETTINGS
    domains = [EMBEDDED] if small else list(UNSEEN)
    schemes = _schemes(small)
    first = models.load_backbone(BACKBONES["meta"])[0]
    yield "cost", cost.measure(first, load_domain(EMBEDDED), settings, SHARE, "greedy")
    for name, file in BACKBONES.items():
        planned = campaign.Campaign(
            models.load_backbone(file)[0], schemes, settings, _SMALL if small else PUBLISHED
        )
        tasks = campaign.run(planned, domains, 1 if small else EPISODES, KEPT, processes)
        yield name, summary.condensed(planned, tasks)
    if not small:
        yield "choose", choose.measure(first, KEPT, processes)


def _schemes(small: bool) -> tuple[Scheme, ...]:
    shares = (SHARE,) if small else SHARES
    names = [name for name in NAMES if not small or name != "sparse-update"]
    moving = all_schemes(names, ["niti-static"], shares)
    return (*moving, *all_schemes(_WITH_SCORES, ["priot"], shares))
