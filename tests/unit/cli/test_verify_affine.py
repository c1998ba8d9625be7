"""`picotrain verify --backbone` of an affine network: noise, and the method that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

import slow_affine
from picotrain import cli
from picotrain.image import firmware
from picotrain.learn import models
from support import require


@pytest.fixture
def backbone(tmp_path: Path) -> str:
    require(firmware.HOST)
    path = tmp_path / "graph.npz"
    models.save_backbone(path, slow_affine.random_network(4), {})
    return str(path)


def test_all_that_it_can(backbone: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--backbone", backbone, "--steps", "3"]) == 0
    first, *runs = capsys.readouterr().out.splitlines()
    assert first == (
        "random, on random images: host (portable kernels) against golden, plan fast, affine, "
        "seed 0"
    )
    assert [run.split()[0] for run in runs] == ["infer"]
    assert runs[0].endswith("0 differences")


def test_methods_that_train_are_refused(backbone: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--backbone", backbone, "--method", "priot"]) == 2
    assert "does not train yet" in capsys.readouterr().err


def test_an_exponent_has_nothing_to_calibrate_on(
    backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", "--backbone", backbone, "--logits-exponent", "-4"]) == 2
    assert "is affine: it infers and does not train yet" in capsys.readouterr().err
    trains = str(models.backbone_path("tinycnn", "digits"))
    words = ["verify", "--backbone", trains, "--dataset", "random", "--logits-exponent", "-4"]
    assert cli.main(words) == 2
    assert "needs a data set" in capsys.readouterr().err
