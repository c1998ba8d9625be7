"""`--logits-exponent` and `picotrain info`: what people see of the exponent, and choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from picotrain.cli import main
from picotrain.learn import models

SHIPPED = models.backbone_path("tinycnn", "digits")


def test_info_shows_a_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "info.json"
    assert main(["info", str(SHIPPED), "--json", str(file)]) == 0
    text = capsys.readouterr().out
    assert "tinycnn: images of 28x28x1, 10 classes, 52,040 weights" in text
    assert "logits exponent -3: a logit of 127 is 15.9 nats" in text
    assert "calibrated, with histograms" in text
    assert "picotrain pretrain --model tinycnn --dataset digits" in text
    content = json.loads(file.read_text())
    network, made = models.load_backbone(SHIPPED)
    assert content["logits_exponent"] == network.logits_exponent == -3
    assert content["calibrated"] is True and content["made"] == made
    assert [layer["kind"] for layer in content["layers"]] == [
        layer.kind for layer in network.layers
    ]
    assert content["static"]["forward_shift"] == [
        None if held is None else held.forward_shift for held in network.parameters
    ]


def test_info_of_a_network_that_is_not_calibrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = models.initial_network(models.resolve("oddnet"), 0)
    models.save_backbone(tmp_path / "odd.npz", network, {})
    assert main(["info", str(tmp_path / "odd.npz")]) == 0
    text = capsys.readouterr().out
    assert f"logits exponent {network.logits_exponent}:" in text
    assert "not calibrated" in text and "a program that does not say so" in text


def test_info_of_no_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "none.npz")]) == 2
    shown = capsys.readouterr().err
    assert "there is no backbone at" in shown and len(shown.splitlines()) == 1


def adapted(tmp_path: Path, *options: str) -> dict[str, Any]:
    file = tmp_path / "adapt.json"
    arguments = ["adapt", "--target", "host", "--epochs", "1", "--train-samples", "40"]
    assert main([*arguments, "--test-samples", "20", *options, "--json", str(file)]) == 0
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def test_adapt_says_and_takes_it(tmp_path: Path) -> None:
    own = adapted(tmp_path)
    assert own["logits_exponent"] == -3 and own["options"]["calibration"] == "shipped"
    other = adapted(tmp_path, "--logits-exponent", "-8")
    assert other["logits_exponent"] == -8 and other["options"]["calibration"] == "fair"
    assert own["accuracy_before"] == other["accuracy_before"]
    assert own["history"][0]["zero_errors"] > 0 == other["history"][0]["zero_errors"]
    # `fair` made the numbers of the shipped backbone: its own exponent changes nothing.
    same = adapted(tmp_path, "--logits-exponent", "-3")
    assert same["state_sha256"] == own["state_sha256"] != other["state_sha256"]


@pytest.mark.parametrize("verb", ["adapt", "pretrain", "verify"])
def test_out_of_range_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    arguments = [verb, "--target", "host", "--logits-exponent", "-10"]
    if verb == "pretrain":
        arguments += ["--out", str(tmp_path / "x.npz")]
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert shown.splitlines()[-1] == (
        "picotrain: logits exponent -10 is outside -9..8; use e.g. -4 (docs/numerics.md, section 4)"
    )


def test_pretrain_makes_a_backbone_with_it(tmp_path: Path) -> None:
    made = {}
    for name, options in {"own": [], "chosen": ["--logits-exponent", "-8"]}.items():
        path = tmp_path / f"{name}.npz"
        arguments = ["--epochs", "1", "--mu", "3", "--calibration-samples", "60", *options]
        assert main(["pretrain", *arguments, "--out", str(path)]) == 0
        made[name] = models.load_backbone(path)
    (own, own_info), (chosen, info) = made["own"], made["chosen"]
    assert chosen.logits_exponent == -8 != own.logits_exponent
    assert "logits_exponent" not in own_info["options"]
    assert "--logits-exponent" not in own_info["command"]
    assert info["options"]["logits_exponent"] == -8
    assert "--logits-exponent=-8 --out" in info["command"]
    for one, other in zip(own.parameters, chosen.parameters, strict=True):
        if one is not None and other is not None:
            assert (one.weights == other.weights).all()
            assert one.forward_shift == other.forward_shift


@pytest.mark.parametrize("exponent", [-4, -8])
@pytest.mark.parametrize("dataset", ["digits", "random"])
def test_verify_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: str, exponent: int
) -> None:
    file = tmp_path / "verify.json"
    options = ["--dataset", dataset, "--logits-exponent", str(exponent), "--steps", "3"]
    assert main(["verify", *options, "--json", str(file)]) == 0
    content = json.loads(file.read_text())
    assert content["logits_exponent"] == exponent
    assert len(content["runs"]) == 6
    assert all(run["differences"] == 0 for run in content["runs"])
    assert f"logits exponent {exponent}, seed 0" in capsys.readouterr().out
