"""The figures of docs/tinytrain.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from picotrain.charts import LINE, MUTED, PERCENT, SERIES, svg

Entry = Mapping[str, Any]
_MARKERS = {"NITI": "o", "PRIOT": "s"}


def trade(entries: Sequence[Entry], counted: Mapping[str, Entry], names: Sequence[str]) -> str:
    """Mean accuracy over the cycles of a backward pass, or its MACs where none were `counted`, and
    over bytes; a line for each scheme and rule, a point for each budget."""
    if counted:
        entries = [{**one, **counted.get(one["scheme"], {})} for one in entries]
    cost = (
        ("backward", "cycles of a step backward")
        if counted
        else ("macs", "MACs of a step backward")
    )

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharey=True)
        none = next(one["accuracy"] for one in entries if one["scheme"] == "none")
        for axes, (key, title) in zip(panels, (cost, ("bytes", "bytes of SRAM")), strict=True):
            for number, name in enumerate(names):
                for rule, marker in _MARKERS.items():
                    label = f"{name} {rule}"
                    mine = [one for one in entries if _belongs(one["scheme"], label)]
                    if not mine:
                        continue
                    axes.errorbar(
                        [one[key] for one in mine],
                        [one["accuracy"] for one in mine],
                        [one["half"] for one in mine],
                        color=SERIES[number % len(SERIES)],
                        marker=marker,
                        ls="-" if rule == "NITI" else "--",
                        ms=5,
                        capsize=2,
                        elinewidth=0.8,
                        label=label,
                    )
            axes.axhline(none, color=MUTED, lw=0.8, ls=":", label="none")
            axes.set_xscale("log")
            axes.set_xlabel(title)
            axes.yaxis.set_major_formatter(PERCENT)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)

    return svg((9.5, 5.2), draw)


def chosen(
    entries: Sequence[Entry],
    channels: Mapping[str, Mapping[str, str]],
    layers: Sequence[str],
) -> str:
    """In how many tasks a layer learns, and before it each of its channels, those that learn most
    often first; a panel for each scheme, `layers` by their index, `channels` as a file of results
    has them."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(entries), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, entry in zip(panels, entries, strict=True):
            shares = [entry["chosen"].get(str(index), 0.0) for index in range(len(layers))]
            own = channels.get(entry["scheme"], {})
            axes.bar(range(len(layers)), shares, color=LINE if own else SERIES[0])
            for index, text in own.items():
                each = sorted((int(one) / 1000 for one in text.split()), reverse=True)
                edges = [
                    int(index) - 0.4 + 0.8 * place / len(each) for place in range(len(each) + 1)
                ]
                axes.stairs(each, edges, fill=True, color=SERIES[0])
            axes.set_title(entry["scheme"])
            axes.yaxis.set_major_formatter(PERCENT)
        panels[-1].set_xticks(range(len(layers)), labels=layers, rotation=90)

    return svg((9.5, 1.3 * len(entries) + 1.2), draw)


def _belongs(scheme: str, label: str) -> bool:
    """`label`, or `label` with a budget behind it."""
    return scheme == label or scheme.startswith(f"{label} ")
