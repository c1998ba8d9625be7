"""A plot of a sweep: accuracy over mu where mu varies, else over the epochs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from picotrain.errors import UserError
from picotrain.learn.turning import in_words
from picotrain.output import write_bytes
from picotrain.research.sweep.results import OPTIONS, groups, summary

# matplotlib is imported where something is drawn: it takes longer than most of a verb.
if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "picotrain",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_WIDTH, _HEIGHT, _DPI = 8.0, 4.6, 150
_MOST_LINES = 10
"""Of one panel; with more there is a panel for each label."""
_MOST_COLUMNS = 4
_APART = 0.06
"""Of schedules in one place, so that none hides another."""
_MOST_TICKS = 16
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
_SHORT = {"label": "", "calibration": "calibration ", "angle": "", "dataset": "", "method": ""}
"""What is said before a value in a legend where it is not the option's name."""


def check_plot(path: Path) -> None:
    """Raise UserError unless a plot of that name can be written."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} is no name for a plot; end it with {' or '.join(SUFFIXES)}")


def write_plot(path: Path, frame: pd.DataFrame) -> None:
    """Write an SVG or PNG, by the suffix: means over the seeds with one standard deviation, one
    line per group of cells. The same frame gives the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    check_plot(path)
    by = groups(frame)
    named = [name for name in by if name == "label" or frame[name].nunique() > 1]
    lines = [name for name in named if name != "mu"]
    # Where each line has one mu, that was chosen for it, there is nothing to see over mu.
    over_mu = bool((frame.groupby(lines)["mu"].nunique() > 1).any())
    if not over_mu:
        lines = named
    panels = _panels(frame, lines)
    rows = -(-len(panels) // 2)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams
        settings.update(_STYLE)
        size = (_WIDTH * min(len(panels), 2) * (0.75 if len(panels) > 1 else 1), _HEIGHT * rows)
        figure = Figure(figsize=size, layout="constrained", dpi=_DPI)
        grid = figure.subplots(
            rows, min(len(panels), 2), squeeze=False, sharex=over_mu, sharey=True
        )
        styles = _Styles()
        for axes, (title, part, keys) in zip(grid.flat, panels, strict=False):
            if over_mu:
                steps = sorted(frame["mu"].unique(), key=_in_order)
                _over_mu(axes, part, by, keys, steps, styles)
            else:
                _over_epochs(axes, part, keys, styles)
            axes.set_title(title)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
            axes.tick_params(labelleft=True, labelbottom=True)
            axes.set_ylabel("accuracy after the last epoch" if over_mu else "accuracy")
            axes.grid(axis="y", linewidth=0.4)
        low, high = grid.flat[0].get_ylim()
        grid.flat[0].set_ylim(max(low, 0.0), min(high, 1.0))  # A band may reach beyond; all share.
        for axes in list(grid.flat)[len(panels) :]:
            axes.remove()
        handles = {
            str(line.get_label()): line
            for axes in figure.axes
            for line in axes.get_lines()
            if not str(line.get_label()).startswith("_")
        }
        if handles.keys() != {""}:
            columns = min(len(handles), _MOST_COLUMNS if len(panels) > 1 else 3)
            # Outside, where it hides no line.
            figure.legend(handles.values(), handles, loc="outside lower left", ncols=columns)
        figure.suptitle(_title(frame), x=0.01, ha="left", fontsize=11)
        out = io.BytesIO()
        kind = path.suffix.removeprefix(".")
        # Neither the date nor the program's version belong to the picture.
        absent: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(out, format=kind, metadata=absent)
    write_bytes(path, out.getvalue())


def _panels(frame: pd.DataFrame, lines: list[str]) -> list[tuple[str, pd.DataFrame, list[str]]]:
    """Title, rows, and what tells the lines apart, of each panel."""
    if frame.groupby(lines).ngroups <= _MOST_LINES or lines == ["label"]:
        return [("", frame, lines)]
    within = frame.groupby("label")
    others = [name for name in lines if name != "label" and (within[name].nunique() > 1).any()]
    parts = frame.groupby("label", sort=False)
    return [(str(label), part, others or ["label"]) for label, part in parts]


def _title(frame: pd.DataFrame) -> str:
    """What all cells share, as far as it is not said beside a line, and how many seeds."""
    said = []
    if frame["model"].nunique() == 1:
        said.append(str(frame["model"].iloc[0]))
    if frame["dataset"].nunique() == 1:
        said.append(f"on {Path(str(frame['dataset'].iloc[0])).name}")
    if frame["angle"].nunique() == 1:
        said += [] if frame["dataset"].nunique() == 1 else ["on images"]
        said.append(in_words(float(frame["angle"].iloc[0])))
    what = " ".join(said)
    counts = [
        _counted(int(frame[name].iloc[0]), words)
        for name, words in (
            ("epochs", "epoch"),
            ("train_samples", "training image"),
            ("test_samples", f"{frame['split'].iloc[0]} image"),
        )
        if frame[name].nunique() == 1
    ]
    keys = [name for name in OPTIONS if frame[name].nunique() > 1] or ["label"]
    sizes = frame.groupby(keys)["seed"].nunique()
    low, high = int(sizes.min()), int(sizes.max())
    seeds = f"n = {low}" if low == high else f"n = {low} to {high}"
    spread = "mean" if high == 1 else "mean and standard deviation"
    return f"{', '.join([what, *counts]).removeprefix(', ')}\n{spread} over seeds, {seeds}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def _name(names: Sequence[str], keys: Any) -> str:
    values = keys if isinstance(keys, tuple) else (keys,)
    said = []
    for name, value in zip(names, values, strict=True):
        text = f"{value:g}" if isinstance(value, float) else str(value)
        text += "°" if name == "angle" else ""
        said.append(_SHORT.get(name, f"{name} ") + text)
    return ", ".join(said)


class _Styles:
    """Colour and dash by name, the same in every panel: colours, then the same ones dashed."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[str, Any]] = {}
        self._free = ((f"C{number}", dash) for dash in cycle(_DASHES) for number in range(10))

    def of(self, name: str) -> tuple[str, Any]:
        if name not in self._given:
            self._given[name] = next(self._free)
        return self._given[name]


def _in_order(mu: str) -> tuple[bool, list[int]]:
    """Numbers first, by value; then schedules, by their values in turn."""
    return "," in mu, [int(step) for step in mu.split(",")]


def _places(steps: Sequence[str]) -> dict[str, float]:
    """Where each mu stands: a number at itself, schedules behind them, one beside the other."""
    places = {mu: float(mu) for mu in steps if "," not in mu}
    after = max(places.values(), default=-1.5) + 1.5
    schedules = [mu for mu in steps if "," in mu]
    return places | {mu: after + index for index, mu in enumerate(schedules)}


def _over_mu(
    axes: Axes,
    frame: pd.DataFrame,
    by: list[str],
    lines: list[str],
    steps: Sequence[str],
    styles: _Styles,
) -> None:
    places = _places(steps)
    found = list(summary(frame, by).groupby(lines, sort=False))
    for index, (keys, line) in enumerate(found):
        name = _name(lines, keys)
        colour, dash = styles.of(name)
        line = line.assign(at=line["mu"].map(places)).sort_values("at")
        numbers = ~line["mu"].str.contains(",")
        part = line[numbers]
        mean, std = part["last_mean"], part["last_std"].fillna(0)
        axes.plot(
            part["at"], mean, color=colour, ls=dash, marker="o", ms=4, label=name, clip_on=False
        )
        axes.fill_between(part["at"], mean - std, mean + std, color=colour, alpha=0.12, lw=0)
        # Schedules are no points of one scale: no line leads to them.
        part = line[~numbers]
        at = part["at"] + _APART * (index - (len(found) - 1) / 2)
        error = part["last_std"].fillna(0)
        axes.errorbar(at, part["last_mean"], error, fmt="o", ms=4, color=colour, elinewidth=1)
    shown = steps if len(steps) <= _MOST_TICKS else steps[:: -(-len(steps) // _MOST_TICKS)]
    axes.set_xticks([places[mu] for mu in shown], shown)
    if any(len(mu) > 5 for mu in shown):
        axes.tick_params(axis="x", labelrotation=25)
    axes.set_xlabel("mu" if all("," not in mu for mu in steps) else "mu, a number or a schedule")


def _over_epochs(axes: Axes, frame: pd.DataFrame, lines: list[str], styles: _Styles) -> None:
    from matplotlib.ticker import MaxNLocator

    for keys, line in frame.groupby(lines, sort=False):
        name = _name(lines, keys)
        colour, dash = styles.of(name)
        epochs = line.groupby("epoch")["accuracy"]
        mean, std = epochs.mean(), epochs.std(ddof=1).fillna(0)
        at = np.asarray(mean.index)
        axes.plot(at, mean, color=colour, linestyle=dash, label=name)
        axes.fill_between(at, mean - std, mean + std, color=colour, alpha=0.12, lw=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
