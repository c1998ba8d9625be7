"""Steps of the reproduction, the page that they write, and what is committed of both."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from made_up_cells import METHODS, cell, frame, runs_of
from picotrain import cli, datasets
from picotrain.datasets.files import MissingDataError
from picotrain.device.backends import open_device, problem
from picotrain.device.interface import state_sha256
from picotrain.errors import UserError
from picotrain.inputs import read_json
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, configured, epoch_order, prepare
from picotrain.research.reproduce import backbones, collapse, costs, grids, horizon, page, steps
from picotrain.research.reproduce.results import cells, read, where
from picotrain.research.shrink.tasks import TASKS, Task
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
            for mu in ("3", "2")
        ]
        write_results(made.csv(f"choose-{angle}"), frame(*tried))
    grid = {(exponent, mu): 0.9 for exponent in (-2, -4) for mu in ("1", "3")}
    both = [
        *runs_of("NITI static", {**grid, (-4, "3"): 0.1}, **METHODS["NITI static"]),
        *runs_of("PRIOT", grid),
    ]
    dynamic = runs_of("NITI dynamic", grid, **METHODS["NITI dynamic"])
    horizon.write(made.json("map"), frame(*both, *dynamic))
    horizon.write(made.json("horizon"), frame(*both))
    tested = [row for rows in both for row in rows]
    horizon.write(made.json("lasting"), frame([{**row, "split": "test"} for row in tested]))
    return made


def test_the_page_shows_what_is_there_and_names_what_is_not(place: steps.Workplace) -> None:
    made = page.render(place, {"costs": "target qemu needs qemu-system-arm"})
    assert "| PRIOT | own | 3 | 92.0 ± 0.0 | 92.0 ± 0.0 |" in made.text
    assert "| 30 | -4 | 3, 3 | **+80.1 ± 0.0** |" in made.text
    assert "| 30 | -4 | NITI static | 3 | 10.0 ± 0.0 | 10.0 ± 0.0 | 0.0 | 1,024 (" in made.text
    assert "at the same step size at exponent -4 (30° from 1,024 images)" in made.text
    assert "*No results of `costs` (Table 2: cycles and bytes): target qemu needs" in made.text
    assert "*No results of `table1-cifar10` (Table 1, CIFAR-10): it is not part" in made.text
    assert set(made.figures) == {
        *("figure3-mnist.svg", "collapse.svg", "map.svg", "regions.svg"),
    }
    for name, svg in made.figures.items():
        assert f"](figures/{name})" in made.text
        assert svg.startswith("<?xml")
        assert "</svg>" in svg
    assert "nan" not in made.text.lower().replace("finance", "")
    assert page.render(place, {"costs": "target qemu needs qemu-system-arm"}) == made
    made.write(place)
    assert place.page.read_text() == made.text
    assert (place.figures / "map.svg").read_text() == made.figures["map.svg"]


def test_the_page_of_the_full_run_says_in_short_what_the_runs_show(place: steps.Workplace) -> None:
    text = page.render(replace(place, small=False)).text
    short = text.split("## In short")[1].split("\n## ")[0]
    assert "**With everything tuned there is a margin.**" in short
    assert "by more than 8 points to the end at exponent -4 (30° from 1,024 images);" in short
    assert "with each at its own best step size at no exponent." in short
    assert len(re.findall("^- ", short, re.MULTILINE)) == 4  # that of PRIOT-S needs costs
    assert "33.75: 0.0 ± 0.0 at exponent -2, rule `fair`, `mu` 1, 1,024 images" in text


def test_the_page_does_without_methods_that_are_not_there_yet(place: steps.Workplace) -> None:
    for name in ("choose-30", "choose-45", "table1-mnist"):
        rows = read(place.csv(name))
        rows["logits_exponent"] = "-4"
        write_results(place.csv(name), rows[~rows["label"].str.startswith("PRIOT-S")])
    text = page.render(replace(place, small=False)).text
    assert "| PRIOT's last within 0.5 of NITI dynamic | +2.0 ± 0.0 | +2.0 ± 0.0 | met |" in text
    assert "| PRIOT-S 10 % by weight within 2 of PRIOT | | | | | | |" in text
    assert "| PRIOT's best at least 96.8 and 96.5 | 92.0 | 92.0 | not met | 92.0 |" in text


def test_long_runs_whose_step_sizes_were_not_chosen_are_no_page(place: steps.Workplace) -> None:
    grid = {(-2, "3"): 0.9, (-2, "5"): 0.9}
    horizon.write(place.json("lasting"), frame(*runs_of("PRIOT", grid)))
    with pytest.raises(page.Untrue, match="PRIOT at 30 degrees, exponent -2 has mu 3 and 5"):
        page.render(replace(place, small=False))


def test_a_page_of_the_full_run_whose_step_sizes_were_not_chosen_is_not_written(
    place: steps.Workplace,
) -> None:
    wrong = [
        cell([0.5, 0.7], label=label, angle=angle, split="test", mu="7", **METHODS[label])
        for angle in (30.0, 45.0)
        for label in METHODS
    ]
    write_results(place.csv("table1-mnist"), frame(*wrong))
    assert "| PRIOT | own | 7 |" in page.render(place).text
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
    drawn -= {  # of other pages
        path.name for one in ("fewshot", "smaller") for path in PLACE.figures.glob(f"{one}-*.svg")
    }
    # The README shows one, whatever results are there.
    shown = {"architecture.svg", "figure3-mnist.svg"}
    assert drawn - shown == set(made.figures) - shown
    assert set(re.findall(r"\]\(figures/([^)]*)\)", made.text)) == set(made.figures)


def committed(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"no results of {path.stem} are committed")
    return path


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("table1-mnist", "choose-30.csv"),
        ("table1-cifar10", "choose-cifar10.csv"),
        ("speech", "speech-choose.csv"),
        ("lasting", "horizon.json"),
    ],
)
def test_grids_have_the_numbers_that_did_best_on_validation_images(name: str, of: str) -> None:
    committed(PLACE.results / of)
    if of.endswith(".csv") and set(read(PLACE.results / of)["logits_exponent"]) == {""}:
        pytest.skip(f"{of} is from before exponents were chosen")
    assert (PLACE.grids / f"{name}.toml").read_text() == grids.GRIDS[name](PLACE)


def test_table_1_has_every_method_at_its_own_best_and_at_the_shared_exponent(
    tmp_path: Path,
) -> None:
    place = replace(PLACE, results=tmp_path)
    tried = {("-2", "1"): 0.9, ("-4", "1"): 0.7, ("-4", "2"): 0.8}
    for angle in (30, 45):
        found = [
            cell([0.5, value], label=label, angle=float(angle), mu=mu, logits_exponent=exponent)
            for label in METHODS
            for (exponent, mu), value in tried.items()
        ]
        write_results(place.csv(f"choose-{angle}"), frame(*found))
    made = tomllib.loads(grids.GRIDS["table1-mnist"](place))["grid"]
    assert {one["label"].replace("at random", "by weight") for one in made} == {*METHODS}
    by: dict[tuple[str, int], list[tuple[int, str]]] = {}
    for one in made:
        by.setdefault((one["label"], one["angle"]), []).append((one["logits_exponent"], one["mu"]))
    assert len(by) == 14
    assert all(found == [(-2, "1"), (-4, "2")] for found in by.values())


def test_shares_of_priot_s_that_were_not_tried_take_the_numbers_of_ten_percent(
    tmp_path: Path,
) -> None:
    place = replace(PLACE, results=tmp_path)
    tried = {("-3", "2"): 0.9, ("-4", "3"): 0.8}
    found = [
        cell([0.5, value], label=label, mu=mu, logits_exponent=exponent, epochs=2)
        for label in ("PRIOT", "PRIOT-S 10 % by weight")
        for (exponent, mu), value in tried.items()
    ]
    write_results(place.csv("choose-cifar10"), frame(*found))
    made = tomllib.loads(grids.GRIDS["table1-cifar10"](place))
    assert made["base"]["split"] == "test"
    by: dict[str, list[tuple[int, str, int]]] = {}
    for one in made["grid"]:
        by.setdefault(one["label"], []).append((one["logits_exponent"], one["mu"], one["epochs"]))
    sparse = {f"PRIOT-S {n} % {how}" for how in ("by weight", "at random") for n in (10, 20)}
    assert by.keys() == {"PRIOT", *sparse}
    assert all(found == [(-3, "2", 4), (-4, "3", 4)] for found in by.values())


def test_long_runs_have_the_same_step_size_and_the_best_one(tmp_path: Path) -> None:
    place = replace(PLACE, results=tmp_path)
    grid = {(-3, "3"): 0.8, (-3, "1"): 0.9, (-4, "3"): 0.8, (-4, "1"): 0.7}
    rows = [
        one
        for label in ("NITI static", "PRIOT", "NITI dynamic")
        for one in runs_of(label, grid, **METHODS[label])
    ]
    horizon.write(place.json("horizon"), frame(*rows))
    made = tomllib.loads(grids.GRIDS["lasting"](place))
    assert made["base"]["split"] == "test"
    found = [(one["label"], one["logits_exponent"], one["mu"]) for one in made["grid"]]
    assert found == [
        *(("NITI static", -3, ["3", "1"]), ("NITI static", -4, ["3"])),
        *(("PRIOT", -3, ["3", "1"]), ("PRIOT", -4, ["3"])),
        ("NITI dynamic", -4, ["3"]),
    ]


@pytest.mark.parametrize(
    "name", ["choose-30", "choose-45", "choose-cifar10", "speech-choose", "ablation"]
)
def test_what_chooses_sees_no_test_image(name: str) -> None:
    assert set(read(committed(PLACE.csv(name)))["split"]) == {"validation"}


@pytest.mark.parametrize("name", ["horizon", "map"])
def test_what_looks_for_regions_sees_no_test_image(name: str) -> None:
    assert {one.split for one in horizon.read(committed(PLACE.json(name)))} == {"validation"}


@pytest.mark.parametrize("name", ["choose-30", "choose-45", "table1-mnist", "ablation", "speech"])
def test_the_committed_results_are_those_of_the_grid(name: str) -> None:
    found = cells(read(committed(PLACE.csv(name))))
    grid = committed_grid(name)
    columns = ["label", "angle", "mu", "calibration", "logits_exponent", "seed"]
    wanted = [tuple(getattr(one, column) for column in columns) for one in grid]
    assert [tuple(row) for row in found[columns].itertuples(index=False)] == wanted


@pytest.mark.parametrize("name", ["horizon", "lasting", "map"])
def test_the_committed_runs_are_those_of_the_grid(name: str) -> None:
    found = horizon.read(committed(PLACE.json(name)))
    wanted = [
        (one.label, one.angle, one.mu, int(one.logits_exponent), one.seed)
        for one in committed_grid(name)
    ]
    assert [(one.label, one.angle, one.mu, one.exponent, one.seed) for one in found] == wanted


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
    missing = steps.run([steps.STEPS["ablation"], last], place, said.append)
    assert ran == ["map"]
    assert missing == {"ablation": "there is no ablation.toml in nowhere"}
    assert "ablation did not run: there is no ablation.toml in nowhere" in said


def test_the_small_version_leaves_out_what_needs_downloads(tmp_path: Path) -> None:
    place = steps.small(tmp_path)
    large = [one for one in steps.STEPS.values() if one.large]
    missing = steps.run(large, place, lambda _: None)
    assert [*missing] == [
        *("backbones", "speech-choose", "speech", "keywords"),
        *("smaller-pictures", "smaller-residual", "smaller-deep"),
        *("choose-cifar10", "table1-cifar10"),
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
    # All that begin with a name that is none; but a step's own name is that step alone.
    assert [one.name for one in steps.choose(["smaller", "speech"])] == [
        *("speech", "smaller-speech", "smaller-pictures", "smaller-residual", "smaller-deep"),
    ]
    with pytest.raises(UserError, match=r"unknown step 'maps'; use choose-30.* as smaller for"):
        steps.choose(["maps"])


def test_smaller_networks_are_a_step_for_each_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the small version one of them is a task of its own."""

    def measure(task: Task, seeds: int, processes: int | None) -> dict[str, Any]:
        return {"task": task.name, "seeds": seeds, "processes": processes}

    monkeypatch.setattr(steps.smaller, "measure", measure)
    place = replace(steps.small(tmp_path), small=False, jobs=2)
    assert steps.run(steps.choose(["smaller-deep", "smaller-pictures"]), place, print) == {}
    assert {path.name: read_json(path, "") for path in place.results.iterdir()} == {
        "smaller-pictures.json": {"task": "pictures", "seeds": 3, "processes": 2},
        "smaller-deep.json": {"task": "deep", "seeds": 3, "processes": 2},
    }
    place = steps.small(tmp_path / "small")
    assert [*steps.run(steps.choose(["smaller"]), place, print)] == [
        *("smaller-pictures", "smaller-residual", "smaller-deep"),
    ]
    assert [path.name for path in place.results.iterdir()] == ["smaller-digits.json"]
    assert {f"smaller-{name}" for name in TASKS} == {
        name for name in steps.STEPS if name.startswith("smaller-")
    }


def test_a_sweep_step_writes_its_results(tmp_path: Path) -> None:
    if problem("host"):
        pytest.skip(problem("host"))
    grid = tmp_path / "grids" / "ablation.toml"
    grid.parent.mkdir()
    grid.write_text(
        'base = { dataset = "digits", train_samples = 8, test_samples = 8, epochs = 3 }\n'
        '[[grid]]\nlabel = "x"\nmethod = "priot"\nmu = ["3", "4"]\n'
    )
    place = replace(steps.small(tmp_path), grids=grid.parent, cells=tmp_path / "cells", jobs=1)
    assert steps.run([steps.STEPS["ablation"]], place, lambda _: None) == {}
    found = cells(read(place.csv("ablation")))
    assert list(found["mu"]) == ["3", "4"]
    assert set(found["epochs"]) == {3}


def test_a_step_of_long_runs_keeps_every_epoch(tmp_path: Path) -> None:
    if problem("host"):
        pytest.skip(problem("host"))
    grid = tmp_path / "grids" / "lasting.toml"
    grid.parent.mkdir()
    grid.write_text(
        'base = { dataset = "digits", train_samples = 8, test_samples = 8, epochs = 3 }\n'
        '[[grid]]\nlabel = "x"\nmethod = "priot"\nlogits_exponent = -4\nmu = ["3", "4"]\n'
    )
    place = replace(steps.small(tmp_path), grids=grid.parent, cells=tmp_path / "cells", jobs=1)
    assert steps.run([steps.STEPS["lasting"]], place, lambda _: None) == {}
    found = horizon.read(place.json("lasting"))
    assert [(one.mu, one.exponent, one.epochs, one.images) for one in found] == [
        *(("3", -4, 3, 8), ("4", -4, 3, 8)),
    ]
    assert all(0 <= share <= 1 for share in found[0].clamped[1:] if share is not None)


def test_a_grid_is_printed_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="name one of the grids that are chosen: table1-mnist"):
        grids.main(["x"])
    assert capsys.readouterr().out == ""


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
