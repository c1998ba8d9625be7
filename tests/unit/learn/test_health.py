"""A collapse says so, at the end of the output, in the JSON and in the report; a healthy run does
not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from picotrain.cli import main
from picotrain.learn.health import of_backbone, of_run, of_training
from picotrain.profile.report.run_file import read_run
from picotrain_golden import Method

MIXED = np.arange(200) % 4
FINE = np.arange(100) % 50
STATIC, DYNAMIC = Method("priot"), Method("niti-dynamic")
SCALES = "; try scales from images like the device's (`picotrain pretrain --calibration-angle`, or "


def found(
    accuracies: tuple[float, ...] = (0.4, 0.9, 0.9),
    predictions: Any = MIXED,
    labels: Any = MIXED,
    losses: Any = FINE,
    clamped: tuple[float, ...] = (0.1,),
    method: Method = STATIC,
    exponent: int = -3,
) -> list[str]:
    return of_run(accuracies, predictions, labels, losses, clamped, method, exponent)


def test_a_healthy_run_says_nothing() -> None:
    assert found() == []
    assert found((0.98, 0.95, 0.96)) == []
    assert found(clamped=(0.9, 0.5)) == []
    # Nearly every image is learnt: the losses are 0, and equal for another reason.
    assert found(losses=np.zeros(100, int)) == []


@pytest.mark.parametrize(
    ("accuracies", "says"),
    [
        ((0.88, 0.9, 0.5), "accuracy fell to 0.5000, from 0.9000 after epoch 1"),
        ((0.88, 0.39, 0.38), "accuracy fell to 0.3800, from 0.8800 before"),
        ((0.88, 0.76, 0.77), ""),  # 11 points, but within three standard errors of 200 images
        ((0.3, 0.21, 0.21), ""),
    ],
)
def test_a_fall(accuracies: tuple[float, ...], says: str) -> None:
    assert [text.partition(";")[0] for text in found(accuracies)] == ([says] if says else [])


def test_one_class_for_everything() -> None:
    one = np.full(200, 3)
    assert found(predictions=one)[0].startswith("the network gives class 3 to 100% of the images;")
    # Where nearly all images are of that class, it is right.
    assert found(predictions=one, labels=np.where(np.arange(200) < 4, 0, 3)) == []
    assert found(predictions=one[:19], labels=MIXED[:19]) == []
    mostly = np.where(np.arange(200) < 10, 0, 3)
    assert found(predictions=mostly) == []


@pytest.mark.parametrize(
    ("losses", "equal"),
    [
        (np.full(100, 128), True),
        (np.where(np.arange(100) < 9, 7, 128), True),
        (np.where(np.arange(100) < 11, 7, 128), False),
        (np.where(np.arange(100) < 11, 0, 128), False),
        (np.zeros(100, int), False),
    ],
)
def test_equal_logits(losses: Any, equal: bool) -> None:
    texts = found(predictions=np.full(200, 3), losses=losses)
    assert (", and its logits are equal; try" in texts[0]) == equal


def test_clamped_logits_and_what_to_try() -> None:
    texts = found((0.9, 0.9, 0.3), clamped=(0.1, 0.51), exponent=-2)
    assert texts[0] == "accuracy fell to 0.3000, from 0.9000 before"
    assert texts[1].startswith(
        "51% of the logits were clamped at -127 or 127 in the last epoch" + SCALES
    )
    (text,) = found(clamped=(0.51,), method=DYNAMIC, exponent=-2)
    assert text.endswith("epoch; try smaller steps (--mu)")


def test_a_larger_exponent_is_named_where_logits_were_clamped() -> None:
    """In any epoch: once all logits are 0 or equal, none is."""
    larger = "; try a larger exponent of the logits (--logits-exponent -2), scales from images"
    for clamped, exponent, named in (
        ((0.4, 0.6, 0.0), -5, True),
        ((0.02, 0.11, 0.05), -3, True),
        ((0.02, 0.1, 0.05), -3, False),
        ((0.4, 0.6, 0.0), -2, False),
    ):
        (text,) = found((0.9, 0.9, 0.3), clamped=clamped, exponent=exponent)
        assert (larger in text) == named and (SCALES in text) != named
    *_, text = found((0.9, 0.9, 0.3), clamped=(0.6,), method=DYNAMIC, exponent=-5)
    assert text.endswith("(--logits-exponent -2) or smaller steps (--mu)")
    assert found(clamped=(0.4,), exponent=-5) == []


def test_a_backbone() -> None:
    assert of_backbone(0.93, MIXED, MIXED, 0.95) == []
    assert of_backbone(0.5, MIXED, MIXED, 0.95) == [
        "static scales take accuracy on validation images to 0.5000; try another "
        "--calibration-angle, or more --epochs and smaller steps (--mu)"
    ]
    assert len(of_backbone(0.25, np.zeros(200, int), MIXED, 0.26)) == 1


# Whole runs


def adapt(out: Path, *arguments: str) -> dict[str, Any]:
    few = ["--target", "host", "--epochs", "2", "--train-samples", "256", "--test-samples", "200"]
    assert main(["adapt", *few, *arguments, "--json", str(out)]) == 0
    content: dict[str, Any] = json.loads(out.read_text())
    return content


@pytest.mark.parametrize("method", ["niti-dynamic", "niti-static", "priot", "priot-s"])
def test_the_shipped_network_learns_without_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    assert adapt(tmp_path / "run.json", "--method", method)["warnings"] == []
    assert "warning" not in capsys.readouterr().out


def test_a_collapse_is_on_the_last_lines_in_json_and_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scales of upright digits leave no error to learn from once digits are turned."""
    out = tmp_path / "run.json"
    run = adapt(out, "--calibration", "naive", "--method", "priot")
    assert run["complete"] and run["accuracy_final"] < 0.2
    last = capsys.readouterr().out.splitlines()[-len(run["warnings"]) :]
    assert last == [f"warning: {text}" for text in run["warnings"]]
    assert "the network gives class" in run["warnings"][-1]
    assert SCALES in run["warnings"][-1]
    read = read_run(out)
    assert read.warnings == tuple(run["warnings"])


def test_logits_that_grow_until_they_are_clamped(tmp_path: Path) -> None:
    """Too flat a softmax, for NITI: the run says so, and does what it says without collapse."""
    arguments = ["--dataset", "digits", "--method", "niti-static", "--mu", "3", "--epochs", "10"]
    flat = adapt(tmp_path / "flat.json", *arguments, "--logits-exponent", "-5")
    assert "--logits-exponent -2" in flat["warnings"][-1]
    sharp = adapt(tmp_path / "sharp.json", *arguments, "--logits-exponent", "-2")
    assert sharp["warnings"] == []


def test_features_of_ones_own_with_every_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Breast cancer: 30 features in a row. Turned, for calibration or adaptation, nothing of it
    would be left; so no default turns it."""
    bunch = load_breast_cancer()
    low, high = bunch.data.min(axis=0), bunch.data.max(axis=0)
    x = np.floor((bunch.data - low) / (high - low) * 255 + 0.5).astype(np.uint8)
    data, model = tmp_path / "cancer.npz", tmp_path / "cancer.toml"
    np.savez(data, x=x.reshape(-1, 1, 30), y=bunch.target)
    model.write_text(
        'name = "cancer"\ninput = [1, 30, 1]\n'
        '[[layer]]\nkind = "linear"\noutputs = 32\nrelu = true\n'
        '[[layer]]\nkind = "linear"\noutputs = 2\n'
    )
    made, info = tmp_path / "cancer-backbone.npz", tmp_path / "info.json"
    common = ["--model", str(model), "--dataset", f"npz:{data}"]
    assert main(["pretrain", *common, "--out", str(made), "--json", str(info)]) == 0
    known = json.loads(info.read_text())
    assert (known["options"]["calibration_angle"], known["warnings"]) == (0, [])
    assert known["history"][-1]["validation_accuracy"] > 0.85
    capsys.readouterr()
    for method in ("niti-static", "priot", "priot-s"):
        out = tmp_path / f"{method}.json"
        arguments = ["adapt", *common, "--backbone", str(made), "--target", "host"]
        assert main([*arguments, "--method", method, "--json", str(out)]) == 0
        run = json.loads(out.read_text())
        assert run["angle"] == 0.0 and run["warnings"] == []
        assert run["accuracy_final"] >= run["accuracy_before"] > 0.86
    assert main(["pretrain", *common, "--out", str(made), "--calibration-angle", "45"]) == 2
    assert "1x30: no picture that could be turned" in capsys.readouterr().err


def test_a_float_network_near_chance() -> None:
    """0.25 is the share of the commonest label: with a fifth of the rest something was learnt."""
    assert of_training(0.4, MIXED) == []
    assert of_training(0.39, MIXED) == [
        "accuracy on validation images is 0.3900, and the commonest class alone gives 0.2500: "
        "hardly anything was learnt; try more --epochs, a --rate of a third or three times, or "
        "more channels"
    ]
    assert of_training(0.0, MIXED[:19]) == []
