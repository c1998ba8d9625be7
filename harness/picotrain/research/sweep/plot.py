"""A plot of a sweep: accuracy over mu where mu varies, else over the epochs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from picotrain.errors import UserError
from picotrain.output import write_text
from picotrain.research.sweep.results import groups, summary

_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "picotrain", "font.size": 10}


def check_plot(path: Path) -> None:
    if path.suffix != ".svg":
        raise UserError(f"{path} is no name for a plot; end it with .svg")


def write_plot(path: Path, frame: pd.DataFrame) -> None:
    """Write an SVG: means over the seeds with a band of one standard deviation, one line per
    group of cells. The same frame gives the same bytes."""
    check_plot(path)
    by = groups(frame)
    named = [name for name in by if name == "label" or frame[name].nunique() > 1]
    over_mu = "mu" in named
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams
        settings.update(_STYLE)
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        if over_mu:
            _over_mu(axes, frame, by, [name for name in named if name != "mu"])
        else:
            _over_epochs(axes, frame, named)
        axes.set_ylabel("accuracy after the last epoch" if over_mu else "accuracy")
        axes.grid(axis="y", linewidth=0.4)
        axes.legend(fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    write_text(path, out.getvalue())


def _name(keys: Any) -> str:
    return ", ".join(f"{key:g}" if isinstance(key, float) else str(key) for key in keys)


def _over_mu(axes: Axes, frame: pd.DataFrame, by: list[str], lines: list[str]) -> None:
    table = summary(frame, by)
    # As numbers where all are; schedules follow in the order of the file.
    steps = sorted(table["mu"].unique(), key=lambda mu: int(mu) if _is_number(mu) else 99)
    for keys, line in table.groupby(lines, sort=False):
        at = [steps.index(mu) for mu in line["mu"]]
        order = np.argsort(at)
        x, mean = np.asarray(at)[order], line["last_mean"].to_numpy()[order]
        std = line["last_std"].fillna(0).to_numpy()[order]
        (drawn,) = axes.plot(x, mean, marker="o", markersize=3, label=_name(keys))
        axes.fill_between(x, mean - std, mean + std, color=drawn.get_color(), alpha=0.15)
    axes.set_xticks(range(len(steps)), steps)
    axes.set_xlabel("mu")


def _is_number(mu: str) -> bool:
    return "," not in mu


def _over_epochs(axes: Axes, frame: pd.DataFrame, lines: list[str]) -> None:
    for keys, line in frame.groupby(lines, sort=False):
        epochs = line.groupby("epoch")["accuracy"]
        mean, std = epochs.mean(), epochs.std(ddof=1).fillna(0)
        (drawn,) = axes.plot(mean.index, mean, label=_name(keys))
        axes.fill_between(mean.index, mean - std, mean + std, color=drawn.get_color(), alpha=0.15)
    axes.set_xlabel("epoch")
