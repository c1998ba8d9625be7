"""The results file: one row per cell and epoch, epoch 0 before; and its summary (docs/sweep.md)."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from picotrain.errors import UserError
from picotrain.inputs import named
from picotrain.output import write_bytes, write_text
from picotrain.versions import to_install

OPTIONS = {
    "label": "str",
    "dataset": "str",
    "model": "str",
    "angle": "float64",
    "method": "str",
    "mu": "str",
    "calibration": "str",
    "logits_exponent": "str",
    "threshold": "int64",
    "start": "str",
    "scored": "float64",
    "select": "str",
    "easy": "int64",
    "layer_mu": "str",
    "replay": "float64",
    "epochs": "int64",
    "train_samples": "int64",
    "test_samples": "int64",
    "split": "str",
}
"""Columns that say what a cell is, but for its seed; with their types."""

MEASURED = {
    "epoch": "int64",
    "mu_now": "Int64",
    "accuracy": "float64",
    "upright_accuracy": "float64",
    "train_accuracy": "float64",
    "zero_errors": "float64",
    "skipped": "float64",
    "loss_norm": "float64",
    "saturated_forward": "float64",
    "saturated_error": "float64",
    "saturated_update": "float64",
    "saturated_logits": "float64",
}
"""Columns of one epoch. What was not measured, as training before the first epoch, is empty."""

TYPES = {"cell": "str", **OPTIONS, "seed": "int64", **MEASURED, "state_sha256": "str"}
COLUMNS = tuple(TYPES)
OPTIONAL = {"logits_exponent": "", "saturated_logits": math.nan}
"""Columns that a file has only where some cell has a value: not those from before there was one;
with what stands for none."""
_NUMBERS = {"int64": int, "Int64": int, "float64": float}
SUMMARY_BY = ("label", "angle", "mu", "calibration")
SUFFIXES = (".csv", ".parquet")


def check_file(path: Path) -> None:
    """Raise UserError unless a results file of that name can be written and read here."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} is no name for results; end it with {' or '.join(SUFFIXES)}")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            f"{path}: Parquet files need the package pyarrow: `{to_install('parquet')}`, or use a "
            "name that ends with .csv"
        )


def frame_of(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows, each with all of COLUMNS, as a frame with the types of TYPES."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(TYPES)


def write_results(path: str | Path, frame: pd.DataFrame) -> None:
    """Write a CSV or Parquet file, by the suffix, whole or not at all; the same frame gives the
    same bytes. Floats are written so that they read back the same."""
    path = named(str(path))
    check_file(path)
    unused = [name for name, none in OPTIONAL.items() if frame[name].isin([none]).all()]
    frame = frame.drop(columns=unused)
    if path.suffix == ".csv":
        write_text(path, frame.to_csv(None, index=False, lineterminator="\n"))
    else:
        whole = io.BytesIO()
        frame.to_parquet(whole, engine="pyarrow", index=False)
        write_bytes(path, whole.getvalue())


def read_results(path: str | Path) -> pd.DataFrame:
    """What `write_results` wrote. Raises UserError where it is not there, or something else."""
    path = named(str(path))
    check_file(path)
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path, engine="pyarrow")
        else:
            # Numbers by Python, whose floats read back exactly; pandas' own way is not promised to.
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            for name in set(frame) & set(TYPES):
                if (read := _NUMBERS.get(TYPES[name])) is not None:
                    frame[name] = [read(text) if text else None for text in frame[name]]
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot read {path}: {reason}; run the sweep that makes it") from error
    except ValueError as error:
        raise UserError(f"{path} holds no results of a sweep ({error}); make it again") from error
    for name, none in OPTIONAL.items():
        if name not in frame:
            frame.insert(min(COLUMNS.index(name), frame.shape[1]), name, none)
    if tuple(frame.columns) != COLUMNS:
        raise UserError(f"{path} has other columns than the results of a sweep; make it again")
    return frame.astype(TYPES)


def groups(frame: pd.DataFrame, by: Sequence[str] = SUMMARY_BY) -> list[str]:
    """`by`, and the options that still vary within such a group: they tell cells apart that are
    not repetitions of each other."""
    names = list(by)
    for name in OPTIONS:
        if name not in names and (frame.groupby(names)[name].nunique() > 1).any():
            names.append(name)
    return names


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, in the order of the file: its options, its seed, and the accuracies
    `before`, `best` (of any epoch after the first update) and `last`, and `upright`, that of the
    untransformed images after the last epoch (NaN where it was not measured)."""
    rows = []
    for _, cell in frame.groupby(["label", "cell"], sort=False):
        after = cell[cell["epoch"] > 0]
        last = after[after["epoch"] == after["epoch"].max()]
        rows.append(
            {
                **{name: cell[name].iloc[0] for name in ("cell", *OPTIONS, "seed")},
                "before": cell.loc[cell["epoch"] == 0, "accuracy"].iloc[0],
                "best": after["accuracy"].max(),
                "last": last["accuracy"].iloc[0],
                "upright": last["upright_accuracy"].iloc[0],
            }
        )
    columns = ["cell", *OPTIONS, "seed", "before", "best", "last", "upright"]
    return pd.DataFrame(rows, columns=columns)


def summary(frame: pd.DataFrame, by: Sequence[str] = SUMMARY_BY) -> pd.DataFrame:
    """Over the cells of each group `by`, in the order of the file: `n`, and mean and standard
    deviation (ddof 1; NaN where n is 1) of `before`, `best`, `last` and `upright`, shares."""
    grouped = cells(frame).groupby(list(by), sort=False)
    parts = {"n": grouped.size()}
    for name in ("before", "best", "last", "upright"):
        parts[f"{name}_mean"] = grouped[name].mean()
        parts[f"{name}_std"] = grouped[name].std(ddof=1)
    return pd.DataFrame(parts).reset_index()
