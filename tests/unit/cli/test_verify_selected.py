"""`picotrain verify --selected`: what sparse updates are planned from and do, on both sides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from picotrain import cli
from picotrain.image import firmware
from picotrain.learn import models
from picotrain.learn.verify import searches
from picotrain_golden import Method
from support import require
from trainable_affine import trainable_network


@pytest.fixture
def backbone(tmp_path: Path) -> str:
    require(firmware.HOST)
    path = tmp_path / "graph.npz"
    models.save_backbone(path, trainable_network(4), {})
    return str(path)


@pytest.mark.parametrize("plan", ["fast", "lean"])
def test_every_method_that_selects(
    backbone: str, tmp_path: Path, plan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "verify.json"
    words = ["verify", "--backbone", backbone, "--steps", "3", "--selected", "0.25"]
    assert cli.main([*words, "--plan", plan, "--json", str(report)]) == 0
    first, *runs = capsys.readouterr().out.splitlines()
    assert first.endswith("seed 0, 25 % of the rows of selected layers")
    names = ["niti-dynamic", "niti-static", "priot"]
    assert [run.split()[0] for run in runs[:3]] == names
    assert all(" 6 steps, " in run and "0 differences" in run for run in runs[:3])
    found = json.loads(report.read_text())
    assert found["selected"] == 0.25
    assert [one["method"] for one in found["runs"]] == names
    assert {one["plan"] for one in found["runs"]} == {plan}


def test_budgets_are_within_the_room() -> None:
    network = trainable_network(4)
    asked = searches(network, Method("priot"), 250, False, 400)
    assert max(one.budget_bytes for one in asked) == 400
    assert {one.solver for one in asked} == {"greedy", "true-cost"}
    wide = searches(network, Method("priot"), 250, False, 1 << 31)
    assert max(one.budget_bytes for one in wide) > 400
    assert len({(one.budget_bytes, one.budget_macs) for one in wide}) == 7


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--selected", "2"], "--selected 2.0 is no share; use 0.001 to 1, e.g. 0.25 for"),
        (["--selected", "0"], "--selected 0.0 is no share"),
        (["--selected", "0.5", "--method", "priot-s"], "method priot-s takes no selection; use"),
        (["--selected", "0.5", "--method", "infer"], "method infer takes no selection; use"),
        (["--selected", "0.5", "--model", "tinycnn"], "leave --selected out, or use another net"),
    ],
)
def test_bad_input(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    require(firmware.HOST)
    model = [] if "--model" in words else ["--model", "resnet8"]
    assert cli.main(["verify", *model, *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
