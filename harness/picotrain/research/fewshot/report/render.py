"""One page with nothing to load; the same campaign gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from picotrain.profile.report.drawing import (
    DASHES,
    MUTED,
    SERIES,
    TEXT,
    VARIABLES,
    Key,
    Plot,
    svg,
)
from picotrain.research.fewshot import summary
from picotrain.research.fewshot.campaign import Campaign, Tasks
from picotrain.research.fewshot.report import network
from picotrain.research.fewshot.schemes import BUDGETED, NAMES, SHORT, Scheme
from picotrain.research.fewshot.summary import Row
from picotrain.text import templates

_SPACE = "\N{NO-BREAK SPACE}"
_COLOURS: dict[str, str] = dict(zip(NAMES[1:], (SERIES[5], TEXT, *SERIES[:5]), strict=True))
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def render(
    campaign: Campaign, tasks: Tasks, backbone: str, command: str, versions: Mapping[str, str]
) -> str:
    environment = templates(
        "picotrain.research.fewshot.report", "picotrain.profile.report", html=True
    )
    rows = summary.rows(tasks)
    chosen = _chosen(campaign, tasks, rows)
    return environment.get_template("fewshot.html.j2").render(
        campaign=campaign,
        backbone=backbone,
        rows=rows,
        headlines=_headlines(campaign, rows),
        domains=list(tasks),
        counts={domain: len(found) for domain, found in tasks.items()},
        together=[row for row in rows if not row.domain],
        by={(row.scheme, row.domain): row for row in rows},
        trade=_trade(campaign, rows),
        keys=_keys(campaign),
        drawing=network.drawing(campaign.backbone),
        place=network,
        chosen=chosen,
        first=_first(campaign, chosen),
        command=command,
        sha256=campaign.describe()["network_sha256"],
        versions=versions,
    )


def _headlines(campaign: Campaign, rows: list[Row]) -> list[tuple[str, Row]]:
    """The head alone, the best that has no budget, and the best that has one."""
    kinds = {scheme.label: scheme for scheme in campaign.schemes}
    found = []
    for title, fits in (
        ("Head from class means alone", lambda scheme: scheme.name == "none"),
        ("Best without a budget", lambda scheme: scheme.name in ("last-layer", "full")),
        ("Best within a budget", lambda scheme: scheme.name in BUDGETED),
    ):
        mine = [row for row in rows if not row.domain and fits(kinds[row.scheme])]
        if mine:
            found.append((title, max(mine, key=lambda row: row.accuracy.mean)))
    return found


def _series(campaign: Campaign) -> dict[tuple[str, str], list[Scheme]]:
    """Schemes that one line joins, by name and rule."""
    found: dict[tuple[str, str], list[Scheme]] = {}
    for scheme in campaign.schemes:
        if scheme.name != "none":
            found.setdefault((scheme.name, scheme.rule), []).append(scheme)
    return {key: sorted(mine, key=lambda scheme: scheme.share) for key, mine in found.items()}


def _dashes(rule: str) -> int:
    return list(SHORT).index(rule)


def _keys(campaign: Campaign) -> list[Key]:
    return [
        Key(f"{name} {SHORT[rule]}", VARIABLES[_COLOURS[name]], _dashes(rule))
        for name, rule in _series(campaign)
    ]


def _trade(campaign: Campaign, rows: list[Row]) -> Plot | None:
    """Accuracy over MACs and over bytes; None where nothing learns."""
    series = _series(campaign)
    by_label = {row.scheme: row for row in rows if not row.domain}
    none = by_label.get("none")
    if not series:
        return None

    def draw(high: int, wide: int) -> Callable[[Figure], None]:
        def panels(figure: Figure) -> None:
            for place, (key, title) in enumerate(
                (("macs", "MACs of a step backward"), ("bytes", "bytes of SRAM")), 1
            ):
                axes = figure.add_subplot(high, wide, place)
                for (name, rule), schemes in series.items():
                    mine = [by_label[scheme.label] for scheme in schemes]
                    axes.errorbar(
                        [getattr(row, key) for row in mine],
                        [row.accuracy.mean for row in mine],
                        [row.accuracy.half for row in mine],
                        color=_COLOURS[name],
                        linestyle=DASHES[_dashes(rule)],
                        marker="os"[_dashes(rule)],
                        capsize=2,
                        elinewidth=0.8,
                    )
                if none is not None:
                    axes.axhline(none.accuracy.mean, color=MUTED, linewidth=1.25, linestyle=":")
                axes.set_xscale("log")
                axes.set_xlabel(title)
                axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))

        return panels

    label = "Mean accuracy of each scheme over the MACs of a step's backward pass, and over bytes"
    wide = svg("trade", "wide", label, draw(1, 2), (1000, 360))
    return Plot(wide, svg("trade", "narrow", label, draw(2, 1), (340, 620)))


def _chosen(campaign: Campaign, tasks: Tasks, rows: list[Row]) -> dict[str, dict[str, Any]]:
    """What the script draws, by scheme and domain, "" for all: a sentence, in what part of the
    tasks a layer learned and, packed, each of its channels."""
    found: dict[str, dict[str, Any]] = {}
    head = len(campaign.backbone.layers) - 1
    for row in rows:
        if not row.chosen:
            continue
        outcomes = summary.outcomes_of(tasks, row.scheme, row.domain)
        packed = {
            layer: "".join(map(_packed, shares))
            for layer, shares in summary.channels(campaign.backbone, outcomes).items()
        }
        if head in row.chosen:
            packed[head] = _packed(round(1000 * row.chosen[head]))
        half = f" ± {100 * row.accuracy.half:.1f}" if row.accuracy.half else ""
        accuracy = f"{100 * row.accuracy.mean:.1f}{half}{_SPACE}%"
        many = "1 task" if len(outcomes) == 1 else f"{len(outcomes)} tasks"
        found.setdefault(row.scheme, {})[row.domain] = {
            "words": f"{many}: accuracy {accuracy}, {row.bytes:,.0f} bytes, "
            f"{row.macs:,.0f} MACs backward",
            "tasks": {layer: round(1000 * share) for layer, share in row.chosen.items()},
            "channels": packed,
        }
    return found


def _packed(thousandths: int) -> str:
    """Two digits to the base 36."""
    high, low = divmod(int(thousandths), 36)
    return _DIGITS[high] + _DIGITS[low]


def _first(campaign: Campaign, chosen: Mapping[str, Any]) -> str:
    """What is shown until another one is picked: one that selects."""
    selecting = [scheme.label for scheme in campaign.schemes if scheme.share]
    return next((label for label in (*selecting, *chosen) if label in chosen), "")
