"""The results of a sweep: their file, and their summary against numbers made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from picotrain.errors import UserError
from picotrain.research.sweep import results
from picotrain.research.sweep.plot import write_plot
from picotrain.research.sweep.results import (
    COLUMNS,
    cells,
    check_file,
    frame_of,
    groups,
    read_results,
    summary,
    write_results,
)

THIRD = 0.1 + 0.2  # 0.30000000000000004: an exact float needs 17 digits


def rows(
    label: str, seed: int, accuracies: Sequence[float], **options: Any
) -> list[dict[str, Any]]:
    """A cell: the accuracy before, then that of each epoch."""
    cell = {
        "cell": sha256(repr((label, seed, options)).encode()).hexdigest()[:16],
        "label": label,
        "dataset": "digits",
        "model": "tinycnn",
        "angle": 30.0,
        "method": "priot",
        "mu": "4,3",
        "calibration": "shipped",
        "logits_exponent": "",
        "threshold": -16,
        "start": "zero",
        "scored": 0.1,
        "select": "weight",
        "easy": 0,
        "layer_mu": "",
        "replay": 0.0,
        "epochs": len(accuracies) - 1,
        "train_samples": 8,
        "test_samples": 4,
        "split": "test",
        "seed": seed,
        "state_sha256": "ab" * 32,
        **options,
    }
    made = []
    for epoch, accuracy in enumerate(accuracies):
        trained = None if epoch == 0 else THIRD
        measured = dict.fromkeys(results.MEASURED, trained)
        measured |= {"epoch": epoch, "accuracy": accuracy, "upright_accuracy": None}
        measured["mu_now"] = None if epoch == 0 else 4
        made.append({**cell, **measured})
    return made


@pytest.fixture
def frame() -> pd.DataFrame:
    return frame_of(
        [
            *rows("b", 0, [0.5, 0.8, 0.7]),
            *rows("b", 1, [0.6, 0.7, 0.9]),
            *rows("b", 2, [0.1, 0.6, 0.5]),
            *rows("a", 0, [0.25, 0.5, 0.25]),
        ]
    )


def test_summary_of_numbers_made_by_hand(frame: pd.DataFrame) -> None:
    table = summary(frame)
    assert table["label"].tolist() == ["b", "a"]
    assert table["n"].tolist() == [3, 1]
    b, a = table.iloc[0], table.iloc[1]
    # before 0.5 0.6 0.1; best 0.8 0.9 0.6; last 0.7 0.9 0.5
    assert b["before_mean"] == pytest.approx(0.4)
    assert b["before_std"] == pytest.approx(math.sqrt((0.1**2 + 0.2**2 + 0.3**2) / 2))
    assert b["best_mean"] == pytest.approx(2.3 / 3)
    assert b["best_std"] == pytest.approx(0.15275252316519466)
    assert b["last_mean"] == pytest.approx(0.7)
    assert b["last_std"] == pytest.approx(0.2)
    assert math.isnan(b["upright_mean"])
    assert (a["before_mean"], a["best_mean"], a["last_mean"]) == (0.25, 0.5, 0.25)
    assert math.isnan(a["best_std"])


def test_best_is_never_before_training() -> None:
    table = cells(frame_of(rows("x", 0, [0.9, 0.2, 0.4])))
    assert table[["before", "best", "last"]].to_numpy().tolist() == [[0.9, 0.4, 0.4]]


def test_upright_is_that_of_the_last_epoch() -> None:
    made = rows("x", 0, [0.1, 0.2, 0.3])
    for row, value in zip(made, (0.9, 0.8, 0.7), strict=True):
        row["upright_accuracy"] = value
    assert summary(frame_of(made))["upright_mean"].tolist() == [0.7]


def test_cells_that_differ_are_no_repetitions() -> None:
    both = frame_of([*rows("x", 0, [0.1, 0.5]), *rows("x", 0, [0.1, 0.9], threshold=-8)])
    by = groups(both)
    assert by == ["label", "angle", "mu", "calibration", "threshold"]
    assert summary(both, by)["best_mean"].tolist() == [0.5, 0.9]
    # What differs between groups only is no further one.
    apart = frame_of([*rows("x", 0, [0.1, 0.5]), *rows("y", 0, [0.1, 0.9], threshold=-8)])
    assert groups(apart) == ["label", "angle", "mu", "calibration"]


def test_csv_reads_back_exactly_what_was_written(frame: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "results.csv"
    write_results(file, frame)
    back = read_results(file)
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert back["loss_norm"].iloc[1] == THIRD
    again = tmp_path / "again.csv"
    write_results(again, back)
    assert again.read_bytes() == file.read_bytes()
    assert [path.name for path in file.parent.iterdir()] == ["results.csv"]
    lines = file.read_text().splitlines()
    assert lines[0] == ",".join(column for column in COLUMNS if column != "logits_exponent")
    options = '"4,3",shipped,-16,zero,0.1,weight,0,,0.0,2,8,4,test,0,1,4,0.8,,'
    assert lines[2].endswith(options + 8 * "0.30000000000000004," + "ab" * 32)


def test_texts_stay_texts(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    write_results(file, frame_of(rows("NA", 0, [0.1, 0.5], mu="3")))
    back = read_results(file)
    assert (back["label"].iloc[0], back["mu"].iloc[0], back["layer_mu"].iloc[0]) == ("NA", "3", "")


def test_parquet_holds_the_same(frame: pd.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    file, again = tmp_path / "results.parquet", tmp_path / "again.parquet"
    write_results(file, frame)
    write_results(again, frame)
    pd.testing.assert_frame_equal(read_results(file), frame, check_exact=True)
    assert file.read_bytes() == again.read_bytes()


def test_without_pyarrow_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"need the package pyarrow: `.* pip install 'pyarrow"):
        check_file(Path("results.parquet"))
    check_file(Path("results.csv"))


def test_what_is_no_results_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"end it with \.csv or \.parquet"):
        check_file(Path("results.json"))
    with pytest.raises(UserError, match="No such file"):
        read_results(tmp_path / "none.csv")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has other columns than the results of a sweep"):
        read_results(other)
    other.write_text("")
    with pytest.raises(UserError, match="holds no results of a sweep"):
        read_results(other)


@pytest.mark.parametrize("over", ["epoch", "mu"])
def test_plots_have_the_same_bytes_and_say_what_they_show(tmp_path: Path, over: str) -> None:
    steps = ("1", "10") if over == "mu" else ("1",)
    made = [
        row
        for label in ("first <one>", "second")
        for mu in steps
        for seed in (0, 1)
        for row in rows(label, seed, [0.1, 0.5 + seed / 10], mu=mu)
    ]
    files = tmp_path / "a.svg", tmp_path / "b.svg"
    for file in files:
        write_plot(file, frame_of(made))
    text = files[0].read_text()
    assert text == files[1].read_text()
    for expected in ("first &lt;one&gt;", "second", "accuracy", over):
        assert f">{expected}" in text


def test_an_empty_frame_has_an_empty_summary() -> None:
    assert len(summary(frame_of([]))) == 0
    assert groups(frame_of([])) == list(results.SUMMARY_BY)
