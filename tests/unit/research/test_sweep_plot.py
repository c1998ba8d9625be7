"""What a sweep's plot says, where its points stand, and that it is the same picture every time."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from picotrain.errors import UserError
from picotrain.research.sweep import plot
from picotrain.research.sweep.plot import check_plot, write_plot
from picotrain.research.sweep.results import frame_of

OPTIONS: dict[str, Any] = {
    "dataset": "digits",
    "model": "tinycnn",
    "angle": 30.0,
    "method": "priot",
    "calibration": "shipped",
    "threshold": 0,
    "start": "zero",
    "scored": 0.1,
    "select": "weight",
    "easy": 0,
    "layer_mu": "",
    "replay": 0.0,
    "epochs": 1,
    "train_samples": 1024,
    "test_samples": 400,
    "split": "test",
}


def cell(label: str, mu: str, seed: int, last: float, **options: Any) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(
        ("upright_accuracy", "train_accuracy", "zero_errors", "skipped", "loss_norm")
    )
    clamped = {f"saturated_{kind}": None for kind in ("forward", "error", "update")}
    who = {"cell": f"{label}{mu}{seed}{options}", "label": label, "mu": mu, "seed": seed}
    return [
        {
            **OPTIONS,
            **options,
            **who,
            "epoch": epoch,
            "mu_now": None,
            "accuracy": accuracy,
            "state_sha256": "s",
            **nothing,
            **clamped,
        }
        for epoch, accuracy in ((0, 0.25), (1, last))
    ]


def frame(*cells: list[dict[str, Any]]) -> pd.DataFrame:
    return frame_of([row for rows in cells for row in rows])


def texts(folder: Path, made: pd.DataFrame) -> list[str]:
    """All texts of the plot as SVG, in their order."""
    file = folder / "plot.svg"
    write_plot(file, made)
    return re.findall(r"<text [^>]*>([^<]*)</text>", file.read_text(encoding="utf-8"))


def over_mu() -> pd.DataFrame:
    steps = ("5,4,3", "10", "-2", "1", "4,3,2")
    return frame(*(cell("PRIOT", mu, seed, 0.5) for mu in steps for seed in (0, 1)))


def test_it_says_what_was_done_and_how_often(tmp_path: Path) -> None:
    said = texts(tmp_path, over_mu())
    title = (
        "tinycnn on digits rotated by 30 degrees, 1 epoch, 1,024 training images, 400 test images"
    )
    assert title in said
    assert "mean and standard deviation over seeds, n = 2" in said
    assert "accuracy after the last epoch" in said
    assert "mu, a number or a schedule" in said
    assert "PRIOT" in said
    assert any(re.fullmatch(r"[\d.]+ %", text) for text in said)


def test_what_varies_is_beside_its_line_and_not_in_the_title(tmp_path: Path) -> None:
    made = frame(
        *(cell("a", "3", seed, 0.5, angle=angle) for seed in (0, 1) for angle in (30.0, 45.0)),
        cell("a", "3", 2, 0.5, angle=30.0),
    )
    said = texts(tmp_path, made)
    assert "tinycnn on digits, 1 epoch, 1,024 training images, 400 test images" in said
    assert "mean and standard deviation over seeds, n = 2 to 3" in said
    assert "a, 30°" in said
    assert "a, 45°" in said
    assert "epoch" in said


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    assert "mean over seeds, n = 1" in texts(tmp_path, frame(cell("a", "3", 0, 0.5)))


def test_numbers_stand_at_their_value_and_schedules_behind(tmp_path: Path) -> None:
    steps = sorted(("5,4,3", "10", "-2", "1", "4,3,2"), key=plot._in_order)
    assert steps == ["-2", "1", "10", "4,3,2", "5,4,3"]
    assert plot._places(steps) == {"-2": -2.0, "1": 1.0, "10": 10.0, "4,3,2": 11.5, "5,4,3": 12.5}
    assert plot._places(["4,3", "5"][:1]) == {"4,3": 0.0}
    shown = [text for text in texts(tmp_path, over_mu()) if text in (*steps, "\N{MINUS SIGN}2")]
    assert shown == steps


def test_a_mu_that_was_chosen_for_each_line_is_no_axis(tmp_path: Path) -> None:
    made = frame(cell("a", "3", 0, 0.5), cell("b", "5,4", 0, 0.75))
    said = texts(tmp_path, made)
    assert "epoch" in said
    assert {"a, mu 3", "b, mu 5,4"} <= set(said)


def test_many_lines_have_a_panel_for_each_label_and_one_legend(tmp_path: Path) -> None:
    rules = ("naive", "steps", "nonzero", "turned", "most", "fair")
    made = frame(
        *(
            cell(label, mu, 0, 0.5, calibration=rule)
            for label in ("first", "second")
            for rule in rules
            for mu in ("1", "2")
        )
    )
    said = texts(tmp_path, made)
    assert [text for text in said if text in ("first", "second")] == ["first", "second"]
    for rule in rules:
        assert said.count(f"calibration {rule}") == 1


def test_a_png_is_the_same_every_time(tmp_path: Path) -> None:
    files = tmp_path / "a.png", tmp_path / "b.png"
    for file in files:
        write_plot(file, over_mu())
    content = files[0].read_bytes()
    assert content == files[1].read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert (width, height) == (1200, 690)
    assert b"Software" not in content


@pytest.mark.parametrize("name", ["plot.pdf", "plot", "plot.PNG.txt"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UserError, match=r"is no name for a plot; end it with \.svg or \.png"):
        check_plot(Path(name))
