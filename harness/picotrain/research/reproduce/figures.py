"""The figures of `docs/results.md`: SVG files with a white ground, the same bytes for the same
numbers and the same matplotlib."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from picotrain.research.reproduce.results import Frame, groups, where

TEXT, MUTED, LINE = "#1d2733", "#5a6672", "#d5dae0"
SERIES = ("#1b6ca8", "#d1495b", "#2e8b57", "#b07c12", "#6d4ca3", "#3aa6a6", "#8a8f98")

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "picotrain",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": TEXT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": TEXT,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}
_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g} %")


def _svg(size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """The SVG text of what `draw` draws on a figure of `size` inches."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams
        settings.update(_STYLE)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    # Neither the program's version nor its address belong to the figure.
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL).rstrip() + "\n"


def histories(rows: Frame, labels: Sequence[str]) -> str:
    """Figure 3: accuracy after every epoch, mean and a band of one standard deviation over seeds.

    `rows` of a results file; a panel per angle, a line per label.
    """
    angles = sorted(rows["angle"].unique())

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(angles), squeeze=False)[0]
        for axes, angle in zip(panels, angles, strict=True):
            for number, label in enumerate(labels):
                mine = where(rows, angle=angle, label=label)
                by_epoch = mine.groupby("epoch")["accuracy"]
                mean, std = by_epoch.mean(), by_epoch.std(ddof=1).fillna(0.0)
                epochs = mean.index.to_numpy()
                colour = SERIES[number % len(SERIES)]
                axes.fill_between(epochs, mean - std, mean + std, color=colour, alpha=0.12, lw=0)
                axes.plot(epochs, mean, color=colour, label=label)
            axes.set_title(f"{angle:g} degrees")
            axes.set_xlabel("epoch")
            axes.yaxis.set_major_formatter(_PERCENT)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)

    return _svg((9.5, 4.2), draw)


def heat_map(
    tables: Mapping[str, Mapping[tuple[str, str], float]], rules: Sequence[str], mus: Sequence[str]
) -> str:
    """The map: last accuracy over step size (across) and calibration rule (down).

    `tables`: for every method (rule, mu) -> accuracy; a method without rules has the one rule "".
    """

    def draw(figure: Figure) -> None:
        heights = [max(1, len({rule for rule, _ in table})) for table in tables.values()]
        panels = figure.subplots(
            len(tables), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
        )[:, 0]
        for axes, (label, table) in zip(panels, tables.items(), strict=True):
            mine = [rule for rule in ("", *rules) if any(rule == one for one, _ in table)]
            grid = np.array([[table[rule, mu] for mu in mus] for rule in mine])
            # A clipped image gets a name from its address in memory, another one in every run.
            image = axes.imshow(grid, vmin=0.1, vmax=1.0, cmap="viridis", aspect="auto")
            image.set_clip_on(False)
            for y, line in enumerate(grid):
                for x, value in enumerate(line):
                    colour = "white" if value < 0.7 else "black"
                    axes.text(
                        x, y, f"{100 * value:.1f}", ha="center", va="center", color=colour, size=9
                    )
            axes.set_title(label)
            axes.set_yticks(range(len(mine)), labels=[rule or "every image's" for rule in mine])
            axes.set_xticks(range(len(mus)), labels=list(mus))
            axes.tick_params(length=0)
            axes.grid(False)
            axes.spines[:].set_visible(False)
        panels[-1].set_xlabel("mu")

    rows = sum(max(1, len({rule for rule, _ in table})) for table in tables.values())
    return _svg((7.5, 0.36 * rows + 0.55 * len(tables) + 0.4), draw)


def collapse(runs: Sequence[Mapping[str, Any]]) -> str:
    """Figure 2, a column per run of `collapse.measure`.

    From above: the distribution of the logits (median, quartiles, 5 to 95 %, all), accuracy and the
    share of the class that is predicted most, shares of logits that are clamped and of images
    without an error, and the largest sum of the last layer in units of the clamp.
    """

    def draw(figure: Figure) -> None:
        panels = figure.subplots(4, len(runs), sharex="col", sharey="row", squeeze=False)
        for column, run in enumerate(runs):
            windows = run["windows"]
            at = [one["images"] for one in windows]
            _logits(panels[0, column], at, windows)
            accuracy = [one["accuracy"] for one in windows]
            most = [one["most_predicted"] for one in windows]
            _lines(panels[1, column], at, {"accuracy": accuracy, "most predicted class": most})
            shares = {
                "logits clamped": [one["saturated"]["forward"][-1] for one in windows],
                "largest logit twice": [one["ties"] for one in windows],
                "images without an error": [one["zero_errors"] for one in windows],
            }
            _lines(panels[2, column], at, shares)
            _sums(panels[3, column], at, run)
            panels[0, column].set_title(run["label"].replace(", ", "\n", 1))
            panels[3, column].set_xlabel("images")
            panels[3, column].set_xscale("log", base=2)
            panels[3, column].set_xlim(at[0], at[-1])
            names = {8: "8", 128: "128", 2048: "2k", 32768: "32k"}
            ticks = [one for one in names if one <= at[-1]]
            panels[3, column].set_xticks(ticks, labels=[names[one] for one in ticks])
            panels[3, column].minorticks_off()
        for row, title in enumerate(("logits", "share of images", "share", "largest sum / clamp")):
            panels[row, 0].set_ylabel(title)
            if row:
                # Every line is somewhere; a legend of one panel may lack some.
                lines = {
                    line.get_label(): line for axes in panels[row] for line in axes.get_lines()
                }
                panels[row, -1].legend(
                    list(lines.values()),
                    list(map(str, lines)),
                    loc="center left",
                    bbox_to_anchor=(1.0, 0.5),
                    fontsize=8.5,
                )
        for row in (1, 2):
            panels[row, 0].set_ylim(-0.03, 1.03)
            panels[row, 0].yaxis.set_major_formatter(_PERCENT)

    return _svg((1.45 * len(runs) + 2.6, 7.6), draw)


def _sums(axes: Axes, at: Sequence[int], run: Mapping[str, Any]) -> None:
    """The largest |sum|, and how far it could go: with the weights of the window, and (PRIOT) with
    the frozen ones under any mask. The unit is the clamp of the calibrated shift; dynamic scales
    have one of their own."""
    windows, clamp = run["windows"], run["clamp"]
    # A logarithm has no place for the 0 of a dead network.
    sums = [one["accumulator"] / clamp or np.nan for one in windows]
    axes.plot(at, sums, color=SERIES[0], label="largest sum")
    reach = [one["reach"] / clamp for one in windows]
    axes.plot(at, reach, color=SERIES[3], lw=1.2, label="the weights' limit")
    if "pruned" in windows[0]:
        bound = run["reach_before"] / clamp
        axes.axhline(bound, color=SERIES[1], ls=":", label="any mask's limit")
    if "shifts" in windows[0]:
        static = run["static_numbers"]["forward_shift"][-1]
        own = [2 ** (one["shifts"][-1] - static) for one in windows]
        axes.plot(at, own, color=MUTED, ls="--", lw=1.2, label="clamp")
    else:
        axes.axhline(2.0 ** run["headroom"], color=MUTED, ls="--", lw=1.2, label="clamp")
    axes.set_yscale("log", base=2)
    axes.set_ylim(0.5, 16)
    axes.set_yticks([1, 2, 4, 8, 16], labels=["1", "2", "4", "8", "16"])
    axes.minorticks_off()


def _logits(axes: Axes, at: Sequence[int], windows: Sequence[Mapping[str, Any]]) -> None:
    lowest, low, quarter, middle, three, high, highest = zip(
        *(one["logits"] for one in windows), strict=True
    )
    axes.fill_between(at, lowest, highest, color=SERIES[0], alpha=0.10, lw=0)
    axes.fill_between(at, low, high, color=SERIES[0], alpha=0.22, lw=0)
    axes.fill_between(at, quarter, three, color=SERIES[0], alpha=0.40, lw=0)
    axes.plot(at, middle, color=SERIES[0])
    axes.set_ylim(-135, 135)
    axes.set_yticks([-127, 0, 127])


def _lines(axes: Axes, at: Sequence[int], lines: Mapping[str, Sequence[float]]) -> None:
    for colour, (label, values) in zip(SERIES, lines.items(), strict=False):
        axes.plot(at, values, color=colour, label=label)


def map_tables(summaries: Frame, rules: Sequence[str]) -> dict[str, dict[tuple[str, str], float]]:
    """For `heat_map`, of `cells` of the map: mean last accuracy by method, rule and mu."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for (label, method, rule, mu), mine in groups(
        summaries, "label", "method", "calibration", "mu"
    ):
        name = "" if method == "niti-dynamic" else str(rule)
        found.setdefault(str(label), {})[name, str(mu)] = float(mine["last"].mean())
    return found
