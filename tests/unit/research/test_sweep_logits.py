"""The exponent of the logits as an axis; without it everything is as it was before the axis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from made_up_cells import cell, frame
from picotrain.errors import UserError
from picotrain.places import SHIPPED
from picotrain.research.sweep.cell import job_of, key_of, run_job
from picotrain.research.sweep.grid import Cell, load_grid
from picotrain.research.sweep.results import (
    COLUMNS,
    groups,
    read_results,
    summary,
    write_results,
)

Load = Callable[[str], list[Cell]]


@pytest.fixture
def cells(tmp_path: Path) -> Load:
    def load(text: str) -> list[Cell]:
        path = tmp_path / "grid.toml"
        path.write_text(f"[base]\ntrain_samples = 40\ntest_samples = 20\nepochs = 1\n{text}")
        return load_grid(path)

    return load


def test_it_is_an_axis_before_mu(cells: Load) -> None:
    found = cells('[[grid]]\nmu = ["1", "2"]\nlogits_exponent = [-2, -8]\n')
    assert [(one.logits_exponent, one.mu) for one in found] == [
        *(("-2", "1"), ("-2", "2")),
        *(("-8", "1"), ("-8", "2")),
    ]
    assert [one.read_with for one in found] == [-2, -2, -8, -8]
    assert {one.calibration for one in found} == {"fair"}


def test_every_method_takes_it_alike(cells: Load) -> None:
    found = cells(
        '[[grid]]\nmethod = ["niti-dynamic", "niti-static", "priot", "priot-s"]\n'
        "logits_exponent = -4\n"
    )
    assert {(one.logits_exponent, one.calibration) for one in found} == {("-4", "fair")}
    (named,) = cells('[[grid]]\nlogits_exponent = -4\ncalibration = "most"\n')
    assert named.calibration == "most"


def test_without_it_a_cell_is_what_it_was(cells: Load) -> None:
    (plain,) = cells("[[grid]]\n")
    assert plain.read_with is None and plain.calibration == "shipped"
    assert "logits_exponent" not in key_of(plain)
    (chosen,) = cells("[[grid]]\nlogits_exponent = -2\n")
    (fair,) = cells('[[grid]]\ncalibration = "fair"\n')
    assert key_of(chosen) == {**key_of(fair), "logits_exponent": "-2"}
    assert len({job_of(one).digest for one in (plain, chosen, fair)}) == 3


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("-10", "logits_exponent is -10; use a whole number from -9 to 8"),
        ("9", "logits_exponent is 9; use a whole number from -9 to 8"),
        ("true", "logits_exponent is True; use"),
        ('"-4"', "logits_exponent is '-4'; use"),
        ("[-4, -4]", "logits_exponent has -4 twice"),
    ],
)
def test_mistakes(cells: Load, value: str, wanted: str) -> None:
    with pytest.raises(UserError) as caught:
        cells(f"[[grid]]\nlogits_exponent = {value}\n")
    assert wanted in str(caught.value)


def test_a_cell_runs_with_it(cells: Load) -> None:
    outcomes = {}
    for text in ("", "logits_exponent = -3\n", "logits_exponent = -8\n"):
        (one,) = cells(f"[[grid]]\n{text}")
        done = run_job(job_of(one))
        assert not done.error
        outcomes[text] = done
    plain, own, other = outcomes.values()
    # `fair` made the shipped numbers, and -3 is the shipped exponent.
    assert plain.state_sha256 == own.state_sha256 != other.state_sha256
    assert other.rows[1]["zero_errors"] == 0 < plain.rows[1]["zero_errors"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_has_the_column_only_where_it_says_something(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    without, mixed = (
        frame(cell([0.1, 0.2])),
        frame(cell([0.1, 0.2]), cell([0.1, 0.3], logits_exponent="-8")),
    )
    for name, given in (("without", without), ("mixed", mixed)):
        file = tmp_path / f"{name}{suffix}"
        write_results(file, given)
        if suffix == ".csv":
            columns = file.read_text().splitlines()[0].split(",")
            assert ("logits_exponent" in columns) == (name == "mixed")
        back = read_results(file)
        assert tuple(back.columns) == COLUMNS
        pd.testing.assert_frame_equal(back, given)
    assert "logits_exponent" in groups(mixed) and "logits_exponent" not in groups(without)
    assert summary(mixed, groups(mixed))["last_mean"].tolist() == [0.2, 0.3]


@pytest.mark.parametrize("file", sorted((SHIPPED / "experiments" / "results").glob("*.csv")))
def test_committed_results_are_read_and_written_as_they_are(file: Path, tmp_path: Path) -> None:
    again = tmp_path / file.name
    write_results(again, read_results(file))
    assert again.read_bytes() == file.read_bytes()
