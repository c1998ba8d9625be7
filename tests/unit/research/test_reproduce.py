"""Steps of the reproduction, the page that they write, and what is committed of both."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from made_up_cells import METHODS, cell, frame, grid_of
from picotrain import cli, datasets
from picotrain.datasets.files import MissingDataError
from picotrain.device.backends import open_device, problem
from picotrain.device.interface import state_sha256
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, configured, epoch_order, prepare
from picotrain.learn.calibration import RULES
from picotrain.research.reproduce import backbones, collapse, costs, page, steps
from picotrain.research.reproduce.results import (
    candidates,
    cells,
    read,
    where,
)
from picotrain.research.sweep.grid import Cell, load_grid
from picotrain.research.sweep.results import write_results
from picotrain_golden import Method

PLACE = steps.full()


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
    drawn = {path.name for path in PLACE.figures.glob("*.svg")} - {"architecture.svg"}
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
    run = collapse.Run("x", "x", "niti-static", 1, -4, 64)
    found = collapse.measure(run, "digits", 40)
    data = datasets.load("digits")
    method = Method("niti-static", mu=1)
    options = AdaptOptions(
        30.0, method, 1, 0, 40, 40, "validation", calibration="fair", logits_exponent=-4
    )
    task, order = prepare(data, options), epoch_order(40, 0, 1)
    shipped, _ = models.load_backbone(models.backbone_path("tinycnn", "digits"))
    network = configured(shipped, task, options)
    device = open_device("host")
    try:
        device.load_model(network)
        device.set_method(method)
        done = device.train(task.train.images[order], task.train.labels[order])
        assert found["state_sha256"] == state_sha256(device, network)
    finally:
        device.close()
    windows = found["windows"]
    assert [one["images"] for one in windows] == [8, 16, 32, 40]
    right = done.predictions == task.train.labels[order]
    assert windows[0]["train_accuracy"] == pytest.approx(right[:8].mean())
    assert windows[-1]["train_accuracy"] == pytest.approx(right[32:].mean())
    assert windows[0]["zero_errors"] == pytest.approx((done.loss_norms[:8] == 0).mean())
    assert windows[-1]["loss_norm"] == pytest.approx(done.loss_norms[32:].mean(), abs=0.05)
    assert all(-127 <= value <= 127 for one in windows for value in one["logits"])
    assert "pruned" not in windows[0]
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
        total = parts.pop("total")
        network = parts.pop("network", None)
        assert total == sum(parts.values())
        on_chip = parts["code"] + parts["statics"] + parts["stack"]
        assert network in (None, total - on_chip)
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
