"""The figures of docs/smaller.md, but those of cuts."""

from __future__ import annotations

from statistics import median

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from picotrain.charts import MUTED, PERCENT, SERIES, svg
from picotrain.research.shrink import summary

_TITLES = {"ms": "milliseconds of an inference", "flash": "bytes of flash", "ram": "bytes of RAM"}
_FAR = 10
"""So many times more than most smaller networks take, the whole one is too far off for a scale that
begins at 0."""


def trade(results: summary.Results) -> str:
    """Accuracy on test images over what a network takes, a line for each method of pruning; bars
    are standard deviations over seeds."""
    rows = summary.rows(results)
    accuracy, before = summary.whole(results)

    def draw(figure: Figure) -> None:
        names = [name for name in _TITLES if name in before]
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            for number, method in enumerate(summary.methods(results)):
                mine = [row for row in rows if row.method == method]
                for limited in dict.fromkeys(tuple(row.limits) for row in mine):
                    alike = [row for row in mine if tuple(row.limits) == limited]
                    alone = len(limited) == 1 < max(len(row.limits) for row in mine)
                    axes.errorbar(
                        [row.taken[name] for row in alike],
                        [row.test.mean for row in alike],
                        [row.test.std for row in alike],
                        color=SERIES[number],
                        marker="o",
                        mfc="white" if alone else None,
                        ls="--" if alone else "-",
                        ms=5,
                        capsize=2,
                        elinewidth=0.8,
                        label=f"{method}, {limited[0]} alone" if alone else method,
                    )
            axes.plot(before[name], accuracy.mean, "*", color=MUTED, ms=11, label="whole")
            axes.set_xlabel(_TITLES[name])
            if before[name] > _FAR * median(row.taken[name] for row in rows):
                axes.set_xscale("log")
            else:
                axes.set_xlim(left=0)
                axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.yaxis.set_major_formatter(PERCENT)
        panels[0].set_ylabel("test accuracy")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)

    return svg((9.5, 4.2), draw)
