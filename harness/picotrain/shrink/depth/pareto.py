"""Accuracy of the cells of a depth-pruning sweep over what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from picotrain.charts import MUTED, PERCENT, SERIES, svg
from picotrain.shrink.depth.cell import TAILS
from picotrain.shrink.depth.heads import HEADS
from picotrain.shrink.depth.kept import Outcome
from picotrain.shrink.depth.table import cost, front

_MARKERS = dict(zip(HEADS, ("o", "s"), strict=True))
_TITLES = {"ms": "milliseconds of an inference", "flash": "bytes of flash"}


def pareto(outcomes: Sequence[Outcome], whole: Outcome) -> str:
    """SVG: accuracy on test images, of int8, over time and bytes. A line joins the cells that are
    on the front of validation images, which is why it need not rise everywhere."""

    def draw(figure: Figure) -> None:
        everything = [whole, *outcomes]
        # A target that counts no cycles has no time.
        names = [name for name in _TITLES if any(cost(one, name) is not None for one in everything)]
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            best = front(everything, name)
            axes.plot(
                [cost(one, name) for one in best], [one["test"] for one in best], color=MUTED, lw=1
            )
            for number, tail in enumerate(TAILS):
                for head, marker in _MARKERS.items():
                    mine = [
                        one
                        for one in outcomes
                        if (one["head"], one["tail"]) == (head, tail) and one["taken"]
                    ]
                    if not mine:
                        continue
                    axes.plot(
                        [cost(one, name) for one in mine],
                        [one["test"] for one in mine],
                        color=SERIES[number],
                        marker=marker,
                        ls="",
                        ms=6,
                        label=f"{head}, {tail}",
                    )
            if whole["taken"]:
                axes.plot(cost(whole, name), whole["test"], "*", color=MUTED, ms=11, label="whole")
            for one in best:
                axes.annotate(
                    one["cut"] or "whole",
                    (cost(one, name), one["test"]),
                    (4, 5),
                    textcoords="offset points",
                    color=MUTED,
                    fontsize=8,
                )
            axes.set_xlabel(_TITLES[name])
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.yaxis.set_major_formatter(PERCENT)
        panels[0].set_ylabel("test accuracy")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)

    return svg((9.5, 4.6), draw)
