"""From results files to the page: averages, choices, stable ranges, and what the page claims."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from picotrain import cli, datasets
from picotrain.datasets.files import MissingDataError
from picotrain.device.backends import open_device, problem
from picotrain.device.interface import state_sha256
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, epoch_order, prepare
from picotrain.learn.calibration import RULES, calibrated_by
from picotrain.research.reproduce import backbones, collapse, costs, figures, findings, page, steps
from picotrain.research.reproduce.results import (
    Spread,
    candidates,
    cells,
    choice,
    condensed,
    read,
    score,
    where,
)
from picotrain.research.sweep.grid import Cell, load_grid
from picotrain.research.sweep.results import COLUMNS, frame_of, write_results
from picotrain_golden import Method

PLACE = steps.full()

DEFAULT: dict[str, Any] = {
    "label": "PRIOT",
    "dataset": "mnist",
    "model": "tinycnn",
    "angle": 30.0,
    "method": "priot",
    "mu": "3",
    "calibration": "shipped",
    "threshold": -16,
    "start": "zero",
    "scored": 0.1,
    "select": "weight",
    "easy": 0,
    "layer_mu": "",
    "replay": 0.0,
    "epochs": 3,
    "train_samples": 1024,
    "test_samples": 1024,
    "split": "validation",
    "seed": 0,
}
METHODS = {
    findings.NITI_DYNAMIC: {"method": "niti-dynamic"},
    findings.NITI_STATIC: {"method": "niti-static"},
    findings.PRIOT: {"method": "priot"},
    findings.PRIOT_S_10: {"method": "priot-s"},
    findings.PRIOT_S_20: {"method": "priot-s", "scored": 0.2},
}
_numbers = iter(range(1 << 20))


def cell(accuracies: list[float], **options: Any) -> list[dict[str, Any]]:
    """The rows of a cell whose accuracies, from epoch 0, are these."""
    name = f"{next(_numbers):016x}"
    chosen = {**DEFAULT, "epochs": len(accuracies) - 1, **options}
    upright = chosen.pop("upright", [None] * len(accuracies))
    rows = []
    for epoch, accuracy in enumerate(accuracies):
        measured = {
            "epoch": epoch,
            "mu_now": int(str(chosen["mu"]).split(",")[0]) if epoch else None,
            "accuracy": accuracy,
            "upright_accuracy": upright[epoch],
            "train_accuracy": accuracy if epoch else None,
            "zero_errors": 0.5 if epoch else None,
            "skipped": 0.5 if epoch else None,
            "loss_norm": 20.0 if epoch else None,
            **{
                f"saturated_{kind}": 0.25 if epoch else None
                for kind in ("forward", "error", "update")
            },
        }
        rows.append({"cell": name, **chosen, **measured, "state_sha256": "ab" * 32})
    assert set(rows[0]) == set(COLUMNS)
    return rows


def frame(*found: list[dict[str, Any]]) -> pd.DataFrame:
    return frame_of([row for rows in found for row in rows])


# Averages


def test_a_cell_has_its_best_and_its_last_accuracy() -> None:
    rows = frame(cell([0.9, 0.5, 0.8, 0.7]), cell([0.1, 0.2, 0.3, 0.6], seed=1))
    found = cells(rows)
    # What it was before any training is not its best.
    assert list(found["before"]) == [0.9, 0.1]
    assert list(found["best"]) == [0.8, 0.6]
    assert list(found["last"]) == [0.7, 0.6]
    assert score(found).seeds == 2
    assert score(found).last == Spread(pytest.approx(0.65), pytest.approx(0.0707106781))


def test_the_same_cell_under_two_labels_is_two_cells() -> None:
    rows = cell([0.1, 0.2])
    other = [{**row, "label": "again"} for row in rows]
    assert list(cells(frame(rows, other))["label"]) == ["PRIOT", "again"]


def test_condensed_rows_say_the_same_about_cells() -> None:
    rows = frame(cell([0.9, 0.5, 0.8, 0.8, 0.7]), cell([0.1, 0.2, 0.3, 0.5, 0.6], seed=1))
    short = condensed(rows)
    assert list(short["epoch"]) == [0, 2, 4, 0, 4]
    pd.testing.assert_frame_equal(cells(short), cells(rows))


def test_what_differs_in_more_than_the_seed_is_not_averaged() -> None:
    with pytest.raises(ValueError, match="mu is 3, 4"):
        score(cells(frame(cell([0.1, 0.2]), cell([0.1, 0.2], seed=1, mu="4"))))
    with pytest.raises(ValueError, match="seed comes twice"):
        score(cells(frame(cell([0.1, 0.2]), cell([0.1, 0.3]))))
    with pytest.raises(ValueError, match="no cells"):
        score(cells(frame(cell([0.1, 0.2]))).iloc[:0])


def test_a_file_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with pytest.raises(UserError, match="no results at"):
        read(path)
    write_results(path, frame(cell([0.1, 0.2])[1:]))
    with pytest.raises(UserError, match="is not whole"):
        read(path)
    write_results(path, frame())
    with pytest.raises(UserError, match="has no rows"):
        read(path)


# Choices


def test_the_best_last_accuracy_is_chosen_and_of_equals_the_first() -> None:
    rows = frame(
        cell([0.1, 0.9, 0.5], mu="1"),
        cell([0.1, 0.6, 0.6], mu="2"),
        cell([0.1, 0.7, 0.6], mu="3,2"),
        cell([0.1, 0.2, 0.1], label="NITI", method="niti-static", mu="1"),
    )
    found = candidates(cells(rows))
    assert [one.mu for one in found["PRIOT", 30.0]] == ["1", "2", "3,2"]
    assert choice(found["PRIOT", 30.0]).mu == "2"
    assert [one.tried for one in findings.chosen(cells(rows))] == [3, 1]
    assert findings.chosen(cells(rows))[0].second.mu == "3,2"


def test_a_candidate_over_several_data_sets_is_their_mean() -> None:
    rows = frame(
        *(
            cell([0.1, last], dataset=name, seed=seed, mu=mu)
            for name, seed, mu, last in (
                *(("ann", 0, "1", 0.2), ("bob", 0, "1", 0.4)),
                *(("ann", 1, "1", 0.6), ("bob", 1, "1", 0.8)),
                *(("ann", 0, "2", 0.3), ("bob", 0, "2", 0.3)),
                *(("ann", 1, "2", 0.5), ("bob", 1, "2", 0.5)),
            )
        )
    )
    one, two = candidates(cells(rows))["PRIOT", 30.0]
    assert (one.mu, one.score.seeds, one.score.last.mean) == ("1", 2, pytest.approx(0.5))
    assert one.score.last.std == pytest.approx(0.2828427125)
    assert two.score.last.mean == pytest.approx(0.4)


def test_nothing_is_chosen_on_test_images() -> None:
    with pytest.raises(ValueError, match="validation split alone"):
        candidates(cells(frame(cell([0.1, 0.2], split="test"))))


def test_a_table_with_another_step_size_than_the_chosen_is_noticed() -> None:
    chosen = cells(frame(cell([0.1, 0.5], mu="1"), cell([0.1, 0.6], mu="2")))
    right = cells(frame(cell([0.1, 0.4], mu="2", split="test")))
    wrong = cells(frame(cell([0.1, 0.4], mu="1", split="test")))
    assert findings.unlike(right, chosen) == []
    assert findings.unlike(wrong, chosen) == [
        "PRIOT at 30 degrees has mu 1 and threshold -16, chosen was mu 2 and threshold -16"
    ]
    other = cells(frame(cell([0.1, 0.4], mu="2", threshold=-8, split="test")))
    assert len(findings.unlike(other, chosen)) == 1


# The map


def grid_of(label: str, last: dict[tuple[str, str], float], **options: Any) -> list[Any]:
    return [
        cell([0.8, accuracy], label=label, calibration=rule, mu=mu, **options)
        for (rule, mu), accuracy in last.items()
    ]


def test_stable_step_sizes_have_no_gap_and_are_near_the_best_of_all_rules() -> None:
    rows = frame(
        *grid_of(
            "PRIOT",
            {
                **dict(
                    zip(
                        [("fair", str(mu)) for mu in range(6)],
                        [0.94, 0.95, 0.90, 0.96, 0.95, 0.10],
                        strict=True,
                    )
                ),
                ("naive", "0"): 0.9,
                ("naive", "1"): 0.1,
                ("naive", "2"): 0.15,
            },
        )
    )
    fair, naive = findings.lines(cells(rows))
    assert (fair.label, fair.rule, fair.best_mu) == ("PRIOT", "fair", "3")
    assert fair.stable == ("3", "4")  # 0 and 1 are good too, but 2 is not
    assert fair.collapses_from == "5"
    assert naive.best_mu == "0"
    assert naive.stable == ()  # 6 points below the best of any rule
    assert naive.collapses_from == "1"
    assert list(fair.collapsed.values()) == [0, 0, 0, 0, 0, 1]


def test_dynamic_scales_have_no_rule() -> None:
    rows = frame(*grid_of("NITI dynamic", {("shipped", "1"): 0.9}, method="niti-dynamic"))
    assert findings.lines(cells(rows))[0].rule == ""
    assert figures.map_tables(cells(rows), list(RULES)) == {"NITI dynamic": {("", "1"): 0.9}}


def test_margins_are_taken_at_each_ones_best_step_and_at_the_same() -> None:
    def last(at_0: float, at_1: float) -> dict[tuple[str, str], float]:
        return {(rule, str(mu)): value for rule in RULES for mu, value in enumerate((at_0, at_1))}

    rows = frame(
        *grid_of("PRIOT", last(0.80, 0.90)),
        *grid_of("NITI static", last(0.85, 0.20), method="niti-static"),
    )
    found = findings.margins(findings.lines(cells(rows)))
    assert [one.rule for one in found] == list(RULES)
    assert (found[0].priot_mu, found[0].niti_mu) == ("1", "0")
    assert found[0].at_best == pytest.approx(0.05)
    assert found[0].at == {"0": pytest.approx(-0.05), "1": pytest.approx(0.7)}


def test_symptoms_are_means_over_runs() -> None:
    assert findings.symptoms(cells(frame(cell([0.1, 0.2]))).iloc[:0]) is None
    found = findings.symptoms(cells(frame(cell([0.1, 0.2]), cell([0.1, 0.2], seed=1))))
    assert found == findings.Symptoms(2, 0.5, 0.25, 0.25, 0.25, 20.0)


def test_pairs_are_of_the_own_step_sizes_and_of_shared_ones() -> None:
    def rows(label: str, mus: list[str], last: list[float]) -> list[Any]:
        return [
            cell([0.1, 0.9, value], label=label, mu=mu, calibration="naive", **METHODS[label])
            for mu, value in zip(mus, last, strict=True)
        ]

    niti = rows("NITI static", ["5,4", "5", "7"], [0.6, 0.5, 0.1])
    own, five, seven = findings.pairs(
        cells(frame(*niti, *rows("PRIOT", ["4", "5", "7"], [0.8, 0.7, 0.4])))
    )
    assert [one.mu for one in (own, five, seven)] == ["", "5", "7"]
    assert (own.niti.mu, own.priot.mu) == ("5,4", "4")
    assert [one.last for one in (own, five, seven)] == pytest.approx([0.2, 0.2, 0.3])
    assert own.best == 0.0
    with pytest.raises(ValueError, match="PRIOT has mu 6 where static NITI has 5"):
        findings.pairs(cells(frame(*niti, *rows("PRIOT", ["4", "6", "7"], [0.8, 0.7, 0.4]))))


def test_a_network_is_silent_from_where_its_logits_stay_0() -> None:
    def window(images: int, spread: float) -> dict[str, Any]:
        return {"images": images, "logits": [-1.0, -spread, 0.0, 0.0, 0.0, spread, 1.0]}

    assert findings.silent_from({"windows": [window(8, 9.0), window(12, 0.0)]}) == 9
    assert findings.silent_from({"windows": [window(8, 0.0), window(12, 0.0)]}) == 1
    assert findings.silent_from({"windows": [window(8, 0.0), window(12, 2.0)]}) is None
    back = [window(8, 0.0), window(12, 2.0), window(16, 0.0), window(24, 0.0)]
    assert findings.silent_from({"windows": back}) == 13


def test_a_gap_is_over_the_same_seeds() -> None:
    ours = [cell([0.1, last], seed=seed) for seed, last in enumerate((0.5, 0.7))]
    label = findings.NITI_STATIC
    theirs = [
        cell([0.1, last], label=label, seed=seed, **METHODS[label])
        for seed, last in enumerate((0.4, 0.4))
    ]
    found = findings.gap(cells(frame(*ours, *theirs)), "PRIOT", label, 30)
    assert found == Spread(pytest.approx(0.2), pytest.approx(0.1))
    with pytest.raises(ValueError, match="have not the same seeds"):
        findings.gap(cells(frame(*ours, theirs[0])), "PRIOT", label, 30)


def test_the_worst_of_a_trace_is_over_layers_and_windows() -> None:
    windows = [
        {"saturated": {"error": [0.1, 0.4]}, "pruned": [0.9, 0.2]},
        {"saturated": {"error": [0.3, 0.2]}, "pruned": [0.1, 0.2]},
    ]
    assert findings.worst({"windows": windows}, "error") == 0.4
    assert findings.worst({"windows": windows}, "pruned") == 0.9


# Ablation and speech


def test_a_gain_is_over_the_same_images() -> None:
    rows = frame(
        cell([0.1, 0.5], label="default", upright=[0.9, 0.8]),
        cell([0.1, 0.7], label="default", seed=1, upright=[0.9, 0.6]),
        cell([0.1, 0.6], label="easy", easy=8),
        cell([0.1, 0.9], label="easy", easy=8, seed=1),
    )
    default, easy = findings.ablation(cells(rows))
    assert easy.gain[30.0] == Spread(pytest.approx(0.15), pytest.approx(0.05))
    assert default.upright_after == {30.0: pytest.approx(0.7)}
    assert default.upright_before == {30.0: pytest.approx(0.9)}
    assert easy.upright_after == {}
    odd = frame(cell([0.1, 0.5], label="default"), cell([0.1, 0.6], label="easy", seed=7))
    with pytest.raises(ValueError, match="seeds that default has not"):
        findings.ablation(cells(odd))


def test_speakers_are_averaged_within_a_seed() -> None:
    rows = frame(
        *(
            cell([0.1, last], dataset=f"fsdd-{name}", seed=seed)
            for name, seed, last in (
                *(("ann", 0, 0.2), ("bob", 0, 0.4)),
                *(("ann", 1, 0.6), ("bob", 1, 0.8)),
            )
        )
    )
    everyone, ann, bob = findings.speakers(cells(rows))
    assert (everyone.speaker, ann.speaker, bob.speaker) == ("", "ann", "bob")
    assert everyone.last == Spread(pytest.approx(0.5), pytest.approx(0.2828427125))
    assert ann.last.mean == pytest.approx(0.4)


# The page


@pytest.fixture
def place(tmp_path: Path) -> steps.Workplace:
    """A small workplace with results of every sweep, made up."""
    made = replace(steps.small(tmp_path), grids=PLACE.grids)
    values = {label: 0.90 + 0.01 * number for number, label in enumerate(METHODS)}
    table = [
        cell([0.5, 0.7, value], label=label, angle=angle, split="test", seed=seed, **METHODS[label])
        for angle in (30.0, 45.0)
        for label, value in values.items()
        for seed in (0, 1)
    ]
    write_results(made.csv("table1-mnist"), frame(*table))
    for angle in (30, 45):
        tried = [
            cell([0.5, value], label=label, angle=float(angle), mu=mu, **METHODS[label])
            for label, value in values.items()
            for mu in ("2", "3")
        ]
        write_results(made.csv(f"choose-{angle}"), frame(*tried))
    grid = {(rule, mu): 0.9 for rule in RULES for mu in ("1", "5")}
    found = [
        *grid_of(
            "NITI dynamic", {("shipped", "1"): 0.9, ("shipped", "5"): 0.1}, method="niti-dynamic"
        ),
        *grid_of("NITI static", {**grid, ("naive", "5"): 0.1}, method="niti-static"),
        *grid_of("PRIOT", grid),
    ]
    write_results(made.csv("map"), frame(*found))
    return made


def test_the_page_shows_what_is_there_and_names_what_is_not(place: steps.Workplace) -> None:
    made = page.render(place, {"costs": "target qemu needs qemu-system-arm"})
    assert "| PRIOT | 3 | 92.0 ± 0.0 | 92.0 ± 0.0 |" in made.text
    assert "*No results of `costs` (Table 2: cycles and bytes): target qemu needs" in made.text
    assert "*No results of `table1-cifar10` (Table 1, CIFAR-10): it is not part" in made.text
    assert set(made.figures) == {"figure3-mnist.svg", "map.svg"}
    for name, svg in made.figures.items():
        assert f"](figures/{name})" in made.text
        assert svg.startswith("<?xml")
        assert "</svg>" in svg
    assert "nan" not in made.text.lower().replace("finance", "")
    assert page.render(place, {"costs": "target qemu needs qemu-system-arm"}) == made
    made.write(place)
    assert place.page.read_text() == made.text
    assert (place.figures / "map.svg").read_text() == made.figures["map.svg"]


def test_a_page_of_the_full_run_whose_step_sizes_were_not_chosen_is_not_written(
    place: steps.Workplace,
) -> None:
    wrong = [
        cell([0.5, 0.7], label=label, angle=angle, split="test", mu="7", **METHODS[label])
        for angle in (30.0, 45.0)
        for label in METHODS
    ]
    write_results(place.csv("table1-mnist"), frame(*wrong))
    assert "| PRIOT | 7 |" in page.render(place).text
    with pytest.raises(page.Untrue, match="PRIOT at 30 degrees has mu 7"):
        page.render(replace(place, small=False))


# What is committed


def committed_grid(name: str) -> list[Cell]:
    """The cells of a grid, which are read with their data; skips where those are not here."""
    speech = name == "speech"
    try:
        datasets.load("fsdd-theo" if speech else "mnist", download=False)
    except MissingDataError as error:
        pytest.skip(str(error))
    if speech and not models.backbone_path("tinycnn", "fsdd-theo").is_file():
        pytest.skip("the backbones for spoken digits are not made here: make backbones-speech")
    return load_grid(PLACE.grids / f"{name}.toml")


def test_the_page_is_exactly_what_the_committed_results_give() -> None:
    made = page.render(PLACE)
    assert PLACE.page.read_text() == made.text
    # Their bytes depend on matplotlib's version too; their names do not.
    drawn = {path.name for path in PLACE.figures.glob("*.svg")}
    assert drawn == set(made.figures)
    assert set(re.findall(r"\]\(figures/([^)]*)\)", made.text)) == drawn


@pytest.mark.parametrize("angle", [30, 45])
def test_table_1_has_the_step_sizes_that_did_best_on_validation_images(angle: int) -> None:
    tried = candidates(cells(read(PLACE.csv(f"choose-{angle}"))))
    grid = [one for one in committed_grid("table1-mnist") if one.angle == angle]
    assert {label for label, _ in tried} == {*METHODS}
    assert {one.label.replace("at random", "by weight") for one in grid} == {*METHODS}
    for one in grid:
        # Random selection takes the step size of selection by weight.
        found = tried[one.label.replace("at random", "by weight"), one.angle]
        best = max(found, key=lambda other: other.score.last.mean)
        assert (one.label, one.mu, one.threshold) == (one.label, best.mu, best.threshold)
        assert one.split == "test"


@pytest.mark.parametrize(
    "name", ["choose-30", "choose-45", "choose-cifar10", "speech-choose", "map", "ablation"]
)
def test_what_chooses_sees_no_test_image(name: str) -> None:
    assert set(read(PLACE.csv(name))["split"]) == {"validation"}


@pytest.mark.parametrize(
    "name", [*("choose-30", "choose-45", "table1-mnist", "margins", "map", "ablation", "speech")]
)
def test_the_committed_results_are_those_of_the_grid(name: str) -> None:
    grid = committed_grid(name)
    found = cells(read(PLACE.csv(name)))
    wanted = [(one.label, one.angle, one.mu, one.calibration, one.seed) for one in grid]
    columns = ["label", "angle", "mu", "calibration", "seed"]
    assert [tuple(row) for row in found[columns].itertuples(index=False)] == wanted


def test_the_small_grids_need_no_download() -> None:
    grids = sorted(steps.small().grids.glob("*.toml"))
    assert {path.stem for path in grids} <= {*steps.STEPS}
    assert len(grids) >= 6
    for path in grids:
        found = load_grid(path)
        assert {one.dataset for one in found} == {"digits"}
        assert max(one.epochs for one in found) <= 2


# Steps


def test_a_step_that_cannot_run_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    place = replace(steps.small(tmp_path), grids=tmp_path)
    said: list[str] = []
    ran: list[str] = []
    last = replace(steps.STEPS["map"], run=lambda _, step: ran.append(step.name))
    place = replace(place, grids=steps.EXPERIMENTS / "nowhere")
    missing = steps.run([steps.STEPS["margins"], last], place, said.append)
    assert ran == ["map"]
    assert missing == {"margins": "there is no margins.toml in nowhere"}
    assert "margins did not run: there is no margins.toml in nowhere" in said


def test_the_small_version_leaves_out_what_needs_downloads(tmp_path: Path) -> None:
    place = steps.small(tmp_path)
    large = [one for one in steps.STEPS.values() if one.large]
    missing = steps.run(large, place, lambda _: None)
    assert [*missing] == [
        *("backbones", "speech-choose", "speech", "choose-cifar10", "table1-cifar10"),
    ]
    assert missing["speech"] == (
        "the small version leaves it out: it needs the data set fsdd and its six backbones, "
        "which `make backbones-speech` makes"
    )
    assert {one.name for one in steps.STEPS.values()} - {*missing} >= {
        path.stem for path in place.grids.glob("*.toml")
    }


def test_steps_are_chosen_by_name_in_their_own_order() -> None:
    assert [one.name for one in steps.choose(["map", "choose-30"])] == ["choose-30", "map"]
    assert steps.choose(None) == list(steps.STEPS.values())
    with pytest.raises(UserError, match="unknown step 'maps'; use choose-30"):
        steps.choose(["maps"])


def test_a_sweep_step_writes_its_results(tmp_path: Path) -> None:
    if problem("host"):
        pytest.skip(problem("host"))
    grid = tmp_path / "grids" / "margins.toml"
    grid.parent.mkdir()
    grid.write_text(
        'base = { dataset = "digits", train_samples = 8, test_samples = 8, epochs = 3 }\n'
        '[[grid]]\nlabel = "x"\nmethod = "priot"\nmu = ["3", "4"]\n'
    )
    place = replace(steps.small(tmp_path), grids=grid.parent, cells=tmp_path / "cells", jobs=1)
    assert steps.run([steps.STEPS["margins"]], place, lambda _: None) == {}
    found = cells(read(place.csv("margins")))
    assert list(found["mu"]) == ["3", "4"]
    assert set(found["epochs"]) == {3}


def test_mistakes_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reproduce", "--render", "--only", "map"]) == 2
    assert "--render runs no step" in capsys.readouterr().err
    assert cli.main(["reproduce", "--only", "maps"]) == 2
    assert "unknown step 'maps'" in capsys.readouterr().err


# Traces and costs


def test_a_traced_epoch_is_the_epoch_that_adapt_trains() -> None:
    if problem("host"):
        pytest.skip(problem("host"))
    run = collapse.Run("x", "x", "niti-static", 1, "shipped")
    found = collapse.measure(run, "digits", 40)
    data = datasets.load("digits")
    method = Method("niti-static", mu=1)
    options = AdaptOptions("host", "digits", 30.0, method, 1, (1,), 0, 40, 40, "validation")
    task, order = prepare(data, options), epoch_order(40, 0, 1)
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "digits"))
    device = open_device("host")
    try:
        device.load_model(calibrated_by(network, data, "shipped"))
        device.set_method(method)
        done = device.train(task.train.images[order], task.train.labels[order])
        assert found["state_sha256"] == state_sha256(device, network)
    finally:
        device.close()
    windows = found["windows"]
    assert [one["images"] for one in windows] == [8, 12, 16, 24, 32, 40]
    right = done.predictions == task.train.labels[order]
    assert windows[0]["accuracy"] == pytest.approx(right[:8].mean())
    assert windows[-1]["accuracy"] == pytest.approx(right[32:].mean())
    assert windows[0]["zero_errors"] == pytest.approx((done.loss_norms[:8] == 0).mean())
    assert windows[-1]["loss_norm"] == pytest.approx(done.loss_norms[32:].mean())
    assert all(-127 <= value <= 127 for one in windows for value in one["logits"])
    assert windows[0]["pruned"] == [0.0, 0.0, 0.0, 0.0]
    assert json.loads(json.dumps(found)) == found


def test_the_costs_are_of_every_method() -> None:
    table = dict(costs.rows())
    assert [method.name for method in table.values()] == [
        *("infer", "niti-dynamic", "niti-static", "priot", "priot-s", "priot-s"),
    ]
    assert table["PRIOT-S 20 %"].permille == 200
    assert (table["PRIOT"].mu, table["PRIOT"].theta) == (4, -16)


def test_the_committed_costs_fit_together() -> None:
    found = json.loads(PLACE.json("costs").read_text())
    assert list(found["methods"]) == [label for label, _ in costs.rows()]
    for one in found["methods"].values():
        parts = dict(one["ram_bytes"])
        assert parts.pop("total") == sum(parts.values())
        if one["step"] is not None:
            assert one["infer"] < one["step"] < one["dense_step"]
    ours = {label: one["ram_bytes"]["scores"] for label, one in found["methods"].items()}
    assert ours["NITI static"] == 0
    assert ours["PRIOT"] == 52040


def test_backbones_are_described_by_their_own_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no backbone in"):
        backbones.collect(tmp_path)
    shutil.copy(models.backbone_path("tinycnn", "digits"), tmp_path / "some.npz")
    found = backbones.collect(tmp_path)["some"]
    assert (found["model"], found["dataset"], found["weights"]) == ("tinycnn", "digits", 52040)
    assert found["command"].startswith("picotrain pretrain --model tinycnn --dataset digits")
    assert 0.9 < found["validation"] <= 1.0
    network, _ = models.load_backbone(tmp_path / "some.npz")
    weights = b"".join(one.weights.tobytes() for one in network.parameters if one is not None)
    assert found["weights_sha256"] == hashlib.sha256(weights).hexdigest()


def test_where_selects_by_value() -> None:
    rows = cells(frame(cell([0.1, 0.2]), cell([0.1, 0.3], mu="4")))
    assert list(where(rows, mu="4", angle=30.0)["last"]) == [0.3]
