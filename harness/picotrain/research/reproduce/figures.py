"""The figures of `docs/results.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from picotrain.charts import LINE, MUTED, PERCENT, SERIES, svg
from picotrain.research.reproduce import horizon, regions
from picotrain.research.reproduce.results import Frame, where


def histories(rows: Frame, labels: Sequence[str], cells: Frame) -> str:
    """Accuracy after every epoch, mean and a band of one standard deviation over seeds.

    `rows` of a results file, those of `cells` are drawn; a panel per angle, a line per label.
    """
    rows = rows[rows["cell"].isin(cells["cell"])]
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
            axes.yaxis.set_major_formatter(PERCENT)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)

    return svg((9.5, 4.2), draw)


def heat_map(
    tables: Mapping[str, Mapping[int, Mapping[tuple[str, str], float]]], rules: Sequence[str]
) -> str:
    """The map: a row of panels per method, a column per exponent; last accuracy over step size
    (across) and calibration rule (down).

    `tables`: by method and exponent (rule, mu) -> accuracy; a method without rules has the one
    rule "".
    """
    exponents = sorted({one for table in tables.values() for one in table}, reverse=True)
    every = [key for table in tables.values() for cells in table.values() for key in cells]
    mus = sorted({mu for _, mu in every}, key=int)
    mine = {
        label: [rule for rule in ("", *rules) if any((rule, mu) in one for mu in mus)]
        for label, table in tables.items()
        for one in [{key for cells in table.values() for key in cells}]
    }

    def draw(figure: Figure) -> None:
        panels = figure.subplots(
            len(tables),
            len(exponents),
            squeeze=False,
            gridspec_kw={"height_ratios": [len(one) + 0.4 for one in mine.values()]},
        )
        for number, (label, table) in enumerate(tables.items()):
            row, last = panels[number], number == len(tables) - 1
            for axes, exponent in zip(row, exponents, strict=True):
                cells = table.get(exponent, {})
                grid = [[cells.get((rule, mu), np.nan) for mu in mus] for rule in mine[label]]
                _heat(axes, np.array(grid))
                axes.set_title(f"{label}, {exponent}" if axes is row[0] else f"{exponent}")
                left = [rule or "(own)" for rule in mine[label]] if axes is row[0] else []
                axes.set_yticks(range(len(left)), labels=left)
                axes.set_xticks(range(len(mus)) if last else [], labels=mus if last else [])
        for axes in panels[-1]:
            axes.set_xlabel("mu")

    height = 0.3 * sum(map(len, mine.values())) + 0.42 * len(tables) + 0.4
    return svg((0.4 * len(mus) * len(exponents) + 1.4, height), draw)


def _heat(axes: Axes, grid: NDArray[np.float64]) -> None:
    # A clipped image gets a name from its address in memory, another one in every run.
    image = axes.imshow(grid, vmin=0.1, vmax=1.0, cmap="viridis", aspect="auto")
    image.set_clip_on(False)
    for (y, x), value in np.ndenumerate(grid):
        if not np.isnan(value):
            colour = "white" if value < 0.7 else "black"
            axes.text(x, y, f"{100 * value:.0f}", ha="center", va="center", color=colour, size=8)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)


_KIND_COLOURS = {
    regions.BOTH: "#bcd7ea",
    regions.NITI: SERIES[0],
    regions.OURS: SERIES[2],
    regions.FEW: "#e0b04a",
    regions.NONE: "#4a4f57",
}


def region_panels(panels: Sequence[regions.Panel]) -> str:
    """Who lasts, over exponent (across) and step size (down), a panel per angle and horizon."""

    def draw(figure: Figure) -> None:
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(row, panels, strict=True):
            for y, mu in enumerate(panel.mus):
                for x, exponent in enumerate(panel.exponents):
                    kind = panel.kinds.get((mu, exponent))
                    if kind is not None:
                        colour = _KIND_COLOURS[kind]
                        axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, color=colour))
            axes.set_xlim(-0.5, len(panel.exponents) - 0.5)
            axes.set_ylim(-0.5, len(panel.mus) - 0.5)
            axes.set_xticks(
                range(len(panel.exponents)), labels=[str(one) for one in panel.exponents]
            )
            axes.set_yticks(range(len(panel.mus)), labels=panel.mus)
            axes.set_xlabel("exponent of the logits")
            axes.set_title(panel.title)
            _bare(axes)
        row[0].set_ylabel("mu")
        patches = [
            Rectangle((0, 0), 1, 1, color=_KIND_COLOURS[kind], label=words)
            for kind, words in regions.KINDS.items()
            if any(kind in panel.kinds.values() for panel in panels)
        ]
        figure.legend(handles=patches, loc="outside lower center", ncols=3)

    return svg((3.2 * len(panels) + 0.6, 3.4), draw)


def until_collapse(found: horizon.Runs, labels: Sequence[str]) -> str:
    """Images until collapse (median over seeds; a dot for every run) over the exponent, a line
    per step size, a panel per method and angle. Hollow: most seeds do not collapse."""
    angles, exponents = horizon.angles(found), horizon.exponents(found)
    mus = horizon.sorted_mus(horizon.having(found, label=labels[0]))
    end = max(one.images * one.epochs for one in found)
    first = min(one.images for one in found)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(angles), len(labels), sharex=True, sharey=True, squeeze=False)
        for row, angle in zip(panels, angles, strict=True):
            for axes, label in zip(row, labels, strict=True):
                for number, mu in enumerate(mus):
                    mine = horizon.having(found, label=label, angle=angle, mu=mu)
                    shift = 0.1 * (number - (len(mus) - 1) / 2)
                    never = 1.25 * end * 1.12**number
                    if mine:
                        _collapse_line(axes, mine, exponents, shift, SERIES[number], never)
                    axes.plot([], [], "o-", color=SERIES[number], label=f"mu {mu}")
                axes.set_yscale("log")
                axes.set_ylim(first / 1.5, 2.6 * end)
                axes.axhline(1.1 * end, color=LINE, lw=0.8, ls=":")
                axes.set_xticks(range(len(exponents)), labels=[str(one) for one in exponents])
                axes.set_title(f"{label}, {angle:g} degrees")
            row[0].set_ylabel("images until collapse")
        for axes in panels[-1]:
            axes.set_xlabel("exponent of the logits")
        lines, names = panels[0][0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=len(mus))

    return svg((4.2 * len(labels) + 0.8, 2.9 * len(angles) + 0.5), draw)


def _collapse_line(
    axes: Axes,
    runs: horizon.Runs,
    exponents: Sequence[int],
    shift: float,
    colour: str,
    never: float,
) -> None:
    x, y, faces = [], [], []
    for place, exponent in enumerate(exponents):
        mine = horizon.having(runs, exponent=exponent)
        if mine:
            one = horizon.summed(mine)
            x.append(place + shift)
            y.append(never if one.median is None else one.median)
            faces.append("white" if one.median is None else colour)
            runs_at = [x[-1]] * len(one.collapses)
            axes.plot(runs_at, one.collapses, ".-", color=colour, lw=1.0, ms=4)
    axes.plot(x, y, color=colour, lw=1.2, alpha=0.7)
    for at_x, at_y, face in zip(x, y, faces, strict=True):
        axes.plot(at_x, at_y, "o", color=colour, markerfacecolor=face, ms=5)


def long_runs(found: horizon.Runs, labels: Sequence[str], exponents: Sequence[int], mu: str) -> str:
    """Figure 3: accuracy over images, and beneath it the clamped share of the logits; mean and a
    band of one standard deviation over seeds. A column per exponent, two rows per angle."""
    angles = horizon.angles(found)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(
            2 * len(angles),
            len(exponents),
            sharex=True,
            sharey=True,
            squeeze=False,
            gridspec_kw={"height_ratios": [1.5, 1.0] * len(angles)},
        )
        for number, angle in enumerate(angles):
            above, beneath = panels[2 * number], panels[2 * number + 1]
            for column, exponent in enumerate(exponents):
                for label, colour in zip(labels, SERIES, strict=False):
                    mine = horizon.having(found, label=label, angle=angle, exponent=exponent, mu=mu)
                    if mine:
                        at = [mine[0].images * epoch for epoch in range(mine[0].epochs + 1)]
                        _band(above[column], at, [one.accuracy for one in mine], colour, label)
                        clamped = [[share or 0.0 for share in one.clamped[1:]] for one in mine]
                        _band(beneath[column], at[1:], clamped, colour, label)
                above[column].set_title(f"{angle:g} degrees, exponent {exponent}")
            above[0].set_ylabel("accuracy")
            beneath[0].set_ylabel("logits clamped")
        for axes in panels.flat:
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(PERCENT)
        for axes in panels[-1]:
            axes.set_xlabel("images")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        handles: dict[Any, Any] = {}
        for axes in panels.flat:
            lines, names = axes.get_legend_handles_labels()
            handles |= dict(zip(names, lines, strict=True))
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles)
        )

    return svg((3.1 * len(exponents) + 0.5, 3.6 * len(angles) + 0.5), draw)


def _band(
    axes: Axes, at: Sequence[int], runs: Sequence[Sequence[float]], colour: str, label: str
) -> None:
    values = np.array(runs)
    mean = values.mean(axis=0)
    std = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(mean)
    axes.fill_between(at, mean - std, mean + std, color=colour, alpha=0.15, lw=0)
    axes.plot(at, mean, color=colour, label=label)


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
            panels[row, 0].yaxis.set_major_formatter(PERCENT)

    return svg((1.45 * len(runs) + 2.6, 7.6), draw)


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
