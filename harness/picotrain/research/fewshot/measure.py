"""What `picotrain reproduce` runs: both backbones on all domains, the choices, and the chip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from picotrain.datasets.fewshot import EMBEDDED, PUBLISHED, UNSEEN, Rule, load_domain
from picotrain.learn import models
from picotrain.research.fewshot import campaign, choose, cost, summary
from picotrain.research.fewshot.defaults import BACKBONES, KEPT, LARGER, SETTINGS, SHARE, SHARES
from picotrain.research.fewshot.schemes import NAMES, RULES, Name, Scheme, all_schemes

EPISODES = 200
_WITH_SCORES: tuple[Name, ...] = ("last-layer", "full", "tinytrain")
"""Schemes that are compared by both rules; what else differs, NITI tells."""
LARGER_SCHEMES = (
    Scheme("none"),
    Scheme("full", "priot"),
    Scheme("tinytrain", "priot", SHARE),
    Scheme("true-cost", "priot", SHARE),
)
_SMALL = Rule(ways=5, shots=2)
_SMALL_STEPS = 10


def measure(small: bool, processes: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each file of results by its name, `fewshot-NAME.json`, when it is there. The small version is
    one task of digits for each backbone, and chooses nothing."""
    settings = replace(SETTINGS, steps=dict.fromkeys(RULES, _SMALL_STEPS)) if small else SETTINGS
    domains = [EMBEDDED] if small else list(UNSEEN)
    schemes = _schemes(small)
    first = models.load_backbone(BACKBONES["meta"])[0]
    rule = _SMALL if small else PUBLISHED
    plans = {
        name: campaign.Campaign(models.load_backbone(file)[0], schemes, settings, rule)
        for name, file in BACKBONES.items()
    }
    yield "cost", cost.measure(first, load_domain(EMBEDDED), settings, SHARE, "greedy")
    counted = [load_domain(name) for name in domains]
    seen = ["meta"] if small else list(plans)
    yield "cycles", {name: cost.by_scheme(plans[name], counted) for name in seen}
    for name, planned in plans.items():
        tasks = campaign.run(planned, domains, 1 if small else EPISODES, KEPT, processes)
        yield name, summary.condensed(planned, tasks)
    if not small:
        larger = replace(plans["meta"], schemes=LARGER_SCHEMES, settings=LARGER)
        tasks = campaign.run(larger, domains, EPISODES, KEPT, processes)
        yield "larger", summary.condensed(larger, tasks)
        yield "choose", choose.measure(first, KEPT, processes)


def _schemes(small: bool) -> tuple[Scheme, ...]:
    shares = (SHARE,) if small else SHARES
    names = [name for name in NAMES if not small or name != "sparse-update"]
    moving = all_schemes(names, ["niti-static"], shares)
    return (*moving, *all_schemes(_WITH_SCORES, ["priot"], shares))
