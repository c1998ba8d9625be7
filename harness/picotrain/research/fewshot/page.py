"""docs/tinytrain.md and its figures, from the results files alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picotrain.inputs import read_json
from picotrain.learn import models
from picotrain.learn.fewshot.prototypes import Interval
from picotrain.output import write_text
from picotrain.profile.profile import Profile
from picotrain.research.fewshot import choose, figures, summary
from picotrain.research.fewshot.defaults import BACKBONES, LARGER, SETTINGS, SHARE
from picotrain.research.fewshot.schemes import BUDGETED
from picotrain.text import templates

DRAWN = ("last-layer", "full", *BUDGETED)
RESULTS = {
    name: f"fewshot-{name}.json" for name in (*BACKBONES, "larger", "choose", "cost", "cycles")
}
"""Files of results: a campaign for each backbone, one with larger steps of PRIOT, the choices, and
what the chip takes: a whole adaptation, and a step of each scheme."""


def write(results: Path, page: Path, own_figures: Path) -> list[str]:
    """Write the page and its figures; returns the names of these."""
    text, drawn = render(results, own_figures)
    write_text(page, text)
    for name, svg in drawn.items():
        write_text(own_figures / name, svg)
    return sorted(drawn)


def render(results: Path, own_figures: Path) -> tuple[str, dict[str, str]]:
    """The text, and the figures by file name; what has no file yet is a sentence."""
    found = {name: _json(results / file) for name, file in RESULTS.items()}
    drawn: dict[str, str] = {}
    for name in BACKBONES:
        campaign = found[name]
        if campaign is not None:
            entries = _together(campaign)
            counted = (found["cycles"] or {}).get(name, {})
            drawn[f"fewshot-{name}.svg"] = figures.trade(entries, counted, DRAWN)
    first = found[next(iter(BACKBONES))]
    if first is not None:
        network = models.load_backbone(next(iter(BACKBONES.values())))[0]
        layers = [f"{i} {layer.kind}" for i, layer in enumerate(network.layers)]
        shown = [
            one
            for one in _together(first)
            if one["scheme"].split()[0] in ("tinytrain", "true-cost") and "NITI" in one["scheme"]
        ]
        drawn["fewshot-chosen.svg"] = figures.chosen(shown, first.get("channels", {}), layers)
    environment = templates("picotrain.research.fewshot", html=False)
    environment.filters |= {
        "time": _time,
    }
    text = environment.get_template("tinytrain.md.j2").render(
        found=found,
        backbones=BACKBONES,
        drawn=drawn,
        figures=own_figures.name,
        together=_together,
        by_domain=_by_domain,
        entry=_entry,
        pairs=_pairs,
        difference=summary.difference,
        larger=LARGER,
        settings=SETTINGS,
        share=f"{SHARE:g}",
        choose=choose,
        used=choose.in_use(),
    )
    return text, drawn


def _time(cycles: float) -> str:
    took = Profile.milliseconds(cycles)
    return f"{took / 1000:.1f} s" if took >= 1000 else f"{took:.0f} ms"


def _json(path: Path) -> dict[str, Any] | None:
    return read_json(path, "remove it and run again") if path.is_file() else None


def _together(campaign: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Over all domains, each scheme's row."""
    return [row for row in campaign["rows"] if not row["domain"]]


def _by_domain(campaign: Mapping[str, Any], scheme: str) -> dict[str, dict[str, Any]]:
    rows = (row for row in campaign["rows"] if row["scheme"] == scheme and row["domain"])
    return {row["domain"]: row for row in rows}


def _pairs(campaign: Mapping[str, Any]) -> list[tuple[str, str, Interval]]:
    """Schemes that are compared task by task: what is asked, the two, and their difference."""
    middle = f"{SHARE:g}"
    wanted = [
        ("does updating help", "full NITI", "none"),
        ("within a seventh, published order", f"tinytrain NITI {middle}", "none"),
        ("within a seventh, true costs", f"true-cost NITI {middle}", "none"),
        (
            "true costs or the published order",
            f"true-cost NITI {middle}",
            f"tinytrain NITI {middle}",
        ),
        ("Fisher information or chance", f"tinytrain NITI {middle}", f"random NITI {middle}"),
        ("Fisher information or size", f"tinytrain NITI {middle}", f"l2 NITI {middle}"),
        ("for each task or once", f"true-cost NITI {middle}", f"sparse-update NITI {middle}"),
        ("a seventh or everything", f"true-cost NITI {middle}", "full NITI"),
        ("scores or weights, everything", "full PRIOT", "full NITI"),
        ("scores or weights, a seventh", f"tinytrain PRIOT {middle}", f"tinytrain NITI {middle}"),
    ]
    known = set(campaign["schemes"])
    return [
        (what, f"{one} less {other}", summary.difference(campaign, one, other))
        for what, one, other in wanted
        if {one, other} <= known
    ]


def _entry(campaign: Mapping[str, Any], scheme: str) -> dict[str, Any] | None:
    return next((row for row in _together(campaign) if row["scheme"] == scheme), None)
