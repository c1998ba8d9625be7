"""What sweeps found, by cell and over seeds: pandas frames of `picotrain sweep`'s columns.

A *cell* is one adaptation. Its *best* is the best accuracy after any epoch on the evaluated
images, as the papers report it; its *last* that after the last epoch, which needs no choice.
Accuracies are shares of 1 here and percent on the page.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from picotrain.errors import UserError
from picotrain.research.sweep.results import OPTIONS, read_results

Frame: TypeAlias = pd.DataFrame

_AT_THE_END = (
    *("upright_accuracy", "train_accuracy", "zero_errors", "skipped", "loss_norm"),
    *("saturated_forward", "saturated_error", "saturated_update"),
)


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) over seeds; `std` is 0 for one seed."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        each = pd.Series(list(values))
        return cls(float(each.mean()), float(each.std(ddof=1)) if len(each) > 1 else 0.0)

    @classmethod
    def of_mean(cls, values: Iterable[float]) -> Spread:
        """The mean, and its standard error; 0 for one seed."""
        each = list(values)
        spread = cls.of(each)
        return cls(spread.mean, spread.std / len(each) ** 0.5)


@dataclass(frozen=True)
class Score:
    """What cells that differ in nothing but their seed came to."""

    seeds: int
    before: Spread
    best: Spread
    last: Spread


def read(path: Path) -> Frame:
    """The rows of a results file. UserError where it is missing, empty or not whole."""
    if not path.is_file():
        raise UserError(f"there are no results at {path}; run `picotrain reproduce`")
    rows = read_results(path)
    if rows.empty:
        raise UserError(f"{path} has no rows; remove it and run `picotrain reproduce`")
    for (label, cell), epochs in rows.groupby(["label", "cell"])["epoch"]:
        if epochs.min() != 0 or len(epochs) < 2:
            raise UserError(f"{path}: cell {cell} ({label}) is not whole; remove it and run again")
    return rows


def condensed(rows: Frame) -> Frame:
    """The rows before, at the (first) best epoch and at the last one: enough for `cells`."""
    keep = []
    for _, cell in rows.groupby(["label", "cell"], sort=False):
        trained = cell[cell["epoch"] > 0]
        best = trained.loc[trained["accuracy"].idxmax()]["epoch"]
        wanted = {0, int(best), int(cell["epoch"].max())}
        keep.append(cell[cell["epoch"].isin(wanted)])
    return pd.concat(keep).reset_index(drop=True)


def cells(rows: Frame) -> Frame:
    """One row per cell, in the order of the rows: options, seed, `before`, `best`, `last`.

    With what the last row says (zero errors, saturation and so on), and `upright_before`.
    """
    found = []
    for (_, name), cell in rows.groupby(["label", "cell"], sort=False):
        first, last = cell.loc[cell["epoch"].idxmin()], cell.loc[cell["epoch"].idxmax()]
        trained = cell[cell["epoch"] > 0]["accuracy"]
        found.append(
            {
                "cell": name,
                **{column: last[column] for column in (*OPTIONS, "seed", *_AT_THE_END)},
                "before": float(first["accuracy"]),
                "best": float(trained.max()),
                "last": float(last["accuracy"]),
                "upright_before": first["upright_accuracy"],
            }
        )
    return pd.DataFrame(found)


def score(chosen: Frame) -> Score:
    """Over the seeds of cells; ValueError where they differ in more, or a seed comes twice."""
    if chosen.empty:
        raise ValueError("no cells to average")
    for column in OPTIONS:
        if chosen[column].nunique(dropna=False) > 1:
            values = ", ".join(map(str, chosen[column].unique()))
            raise ValueError(f"cells of several kinds in one average: {column} is {values}")
    if chosen["seed"].duplicated().any():
        raise ValueError("a seed comes twice in one average")
    return Score(
        len(chosen),
        Spread.of(chosen["before"]),
        Spread.of(chosen["best"]),
        Spread.of(chosen["last"]),
    )


def where(frame: Frame, **wanted: Any) -> Frame:
    """The rows whose columns have these values."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def groups(frame: Frame, *columns: str) -> Iterator[tuple[tuple[Any, ...], Frame]]:
    """The rows with the same values in `columns`, in the order of their first appearance."""
    for key, rows in frame.groupby(list(columns), sort=False, dropna=False):
        names: tuple[Hashable, ...] = key if isinstance(key, tuple) else (key,)
        yield names, rows


def over_datasets(frame: Frame) -> Frame:
    """Cells that differ in their data set alone, as one: the means of before, best and last."""
    if frame["dataset"].nunique() == 1:
        return frame
    same = [*(one for one in OPTIONS if one != "dataset"), "seed"]
    means = frame.groupby(same, sort=False, dropna=False)[["before", "best", "last"]].mean()
    return means.reset_index().assign(dataset="several")


@dataclass(frozen=True)
class Candidate:
    """A choice of the logits' exponent ("" for the backbone's), step size and threshold for a
    method, and how it did on validation images."""

    label: str
    angle: float
    exponent: str
    mu: str
    threshold: int
    score: Score


def candidates(frame: Frame) -> dict[tuple[str, float], list[Candidate]]:
    """All of each (label, angle), in the order of the grid, of cells on the validation split.

    Over several data sets a candidate's score is that of their mean.
    """
    if set(frame["split"]) != {"validation"}:
        raise ValueError("a choice is made on the validation split alone")
    found: dict[tuple[str, float], list[Candidate]] = {}
    for (label, angle, exponent, mu, threshold), rows in groups(
        over_datasets(frame), "label", "angle", "logits_exponent", "mu", "threshold"
    ):
        one = Candidate(
            str(label), float(angle), str(exponent), str(mu), int(threshold), score(rows)
        )
        found.setdefault((one.label, one.angle), []).append(one)
    return found


def choice(found: list[Candidate]) -> Candidate:
    """The one with the best mean accuracy after the last epoch; of equals the first in the grid."""
    return max(found, key=lambda one: one.score.last.mean)
