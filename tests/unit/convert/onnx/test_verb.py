"""`picotrain import` of .onnx files: what it prints, writes and refuses."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[convert]'")

from onnx_builder import Builder, residual
from picotrain.cli import main
from picotrain.convert.onnx.importer import ABSORBED, LAYERS
from picotrain.learn.models import load_backbone, load_scales
from picotrain.quantise.ranges import METHODS

ROOT = Path(__file__).resolve().parents[4]
SHAPE = (2, 5, 6)


def model(tmp_path: Path) -> Path:
    b = Builder((1, *SHAPE))
    one = b.op("Relu", b.norm(b.conv("image", 2, 4, 3, 3), 4))
    path = tmp_path / "net.onnx"
    path.write_bytes(b.finish(b.op("Softmax", b.gemm(b.flat(one), 48, 3))))
    return path


def images(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "images.npz"
    np.savez(path, **arrays)
    return path


def pixels(count: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 6, 2), np.uint8)


def test_a_backbone_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, result = model(tmp_path), tmp_path / "net.npz", tmp_path / "result.json"
    x, labels = pixels(), np.arange(40) % 3
    held = images(tmp_path, x=x, y=labels, x_test=pixels(30, 1), y_test=np.arange(30) % 3)
    words = ["import", str(path), "--calibration", str(held), "--out", str(out)]
    assert main([*words, "--json", str(result)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("net: 2 layers, 216 weights, 3 outputs, ")
    assert "absorbed   1 BatchNormalization, 1 Relu, 1 Flatten, 1 Softmax\n" in shown
    assert "input      real = 0.00392156886 * (int8 + 128)\n" in shown
    assert " of 30 images get the class that they get in float, outputs " in shown
    assert "accuracy   0." in shown
    made = load_backbone(out)[1]
    assert made["imported"]["file"] == "net.onnx"
    assert made["input"] == {"scale": float(np.float32(1 / 255)), "zero": -128}
    assert made["calibration"] == {"file": "images.npz", "images": 40, "ranges": "mse"}
    trial = made["trial"]
    assert trial["images"] == 30
    assert trial["same"] >= 0.9 and trial["decibels"] > 25
    assert abs(trial["accuracy_float"] - trial["accuracy_int8"]) <= 1 - trial["same"]
    assert load_scales(out) is not None
    assert json.loads(result.read_text())["trial"] == trial


def test_few_images_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, result = model(tmp_path), tmp_path / "result.json"
    words = ["import", str(path), "--out", str(tmp_path / "net.npz"), "--json", str(result)]
    for count, note in ((15, "only 15 images calibrate; give some hundred"), (16, "")):
        held = images(tmp_path, x=pixels(count))
        assert main([*words, "--calibration", str(held)]) == 0
        assert (f"note       {note}\n" in capsys.readouterr().out) == bool(note)
        assert json.loads(result.read_text())["note"] == note


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_layouts_and_types_mean_the_same(tmp_path: Path, method: str) -> None:
    path, out = model(tmp_path), tmp_path / "net.npz"
    made = []
    for x in (pixels(), pixels().transpose(0, 3, 1, 2)):
        held = images(tmp_path, x=x)
        words = ["import", str(path), "--calibration", str(held), "--out", str(out)]
        assert main([*words, "--ranges", method, "--name", "other"]) == 0
        network = load_backbone(out)[0]
        assert network.name == "other"
        made.append([one.multiplier.tolist() for one in network.affine])
    assert made[0] == made[1]


def test_a_network_with_scales_needs_no_images(tmp_path: Path) -> None:
    builder, end = residual()
    path, out = tmp_path / "qdq.onnx", tmp_path / "qdq.npz"
    path.write_bytes(builder.finish(end, opset=19))
    assert main(["import", str(path), "--out", str(out)]) == 0
    assert load_backbone(out)[1]["input"] == {"scale": float(np.float32(0.03)), "zero": 5}


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (None, "has no scales for all of its tensors: give representative images with"),
        ({"images": pixels()}, "has no array x; put the images that calibrate there"),
        ({"x": pixels()[:0]}, "x is [0, 5, 6, 2], but the network takes [N, 2, 5, 6]; give images"),
        ({"x": pixels()[:, :4]}, "x is [40, 4, 6, 2], but the network takes [N, 2, 5, 6]; give"),
        ({"x": pixels().reshape(40, 6, 5, 2)}, "x is [40, 6, 5, 2], but the network takes"),
        ({"x": pixels().astype(np.int64)}, "x is int64; give uint8 pixels, or float as the"),
        ({"x": pixels() * np.nan}, "x holds numbers that are not finite; mend them"),
        ({"x": (pixels() + 1) * 1e300}, "x holds numbers that are not finite; mend them"),
        ({"x": pixels(), "y": np.zeros(3, int)}, "y is int64 [3]; give 40 whole numbers"),
        ({"x": pixels(), "y": np.full(40, 9)}, "y has labels 9..9, but the network has 3 outputs"),
    ],
)
def test_images_that_do_not_fit(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arrays: dict[str, Any] | None,
    sentence: str,
) -> None:
    path, out = model(tmp_path), tmp_path / "net.npz"
    words = [] if arrays is None else ["--calibration", str(images(tmp_path, **arrays))]
    out.write_bytes(b"before")
    assert main(["import", str(path), "--out", str(out), *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("picotrain: ") and told.count("\n") == 1
    assert sentence in told
    assert out.read_bytes() == b"before"


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "net.npz")]
    for name, sentence in (
        ("net.pt", "has not the ending .tflite or .onnx; give an int8 TFLite file, or one that"),
        ("net.npz", "is a backbone already; give the"),
        ("none.onnx", "cannot read"),
    ):
        path = tmp_path / name
        if name != "none.onnx":
            path.write_bytes(b"x")
        assert main(["import", str(path), "--out", str(tmp_path / "other.npz")]) == 2
        assert sentence in capsys.readouterr().err
    held = tmp_path / "images.npz"
    held.write_bytes(b"PK nothing")
    assert main(["import", str(model(tmp_path)), "--calibration", str(held), *out]) == 2
    assert "cannot be read as a .npz file of plain arrays" in capsys.readouterr().err
    other = tmp_path / "net.tflite"
    assert main(["import", str(other), "--calibration", str(held), *out]) == 2
    assert (
        "--calibration is for .onnx files; a .tflite file has its scales" in capsys.readouterr().err
    )


def test_without_the_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    path = tmp_path / "net.onnx"
    path.write_bytes(b"x")
    assert main(["import", str(path), "--out", str(tmp_path / "net.npz")]) == 2
    assert "reading .onnx files needs the package onnx: `" in capsys.readouterr().err


def test_what_is_imported_goes_on_to_tflite_micro(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ONNX network as a .tflite file: TFLite Micro computes every tensor with the same bits."""
    pytest.importorskip("tflite_micro")
    builder, end = residual(2)
    path, out, other = (tmp_path / name for name in ("q.onnx", "q.npz", "q.tflite"))
    path.write_bytes(builder.finish(end, opset=19))
    assert main(["import", str(path), "--out", str(out)]) == 0
    assert main(["export", str(out), "--out", str(other)]) == 0
    assert main(["check", str(other), "--random", "20"]) == 0
    assert "6 tensors, " in capsys.readouterr().out


# The page

PAGE = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Networks from ONNX and PyTorch\n")[1].split("\n## ")[0]


def test_the_operators_of_the_page_are_those_that_are_taken() -> None:
    rows = re.findall(r"^\| (`[A-Z][^|]*) \|", SECTION, re.MULTILINE)
    named = set(re.findall(r"`([A-Z]\w+)`", " ".join(rows)))
    assert named - {"Constant"} == {*LAYERS, *ABSORBED}


def test_the_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[train]'")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, {})
    command = shlex.split(code.splitlines()[-1].partition("picotrain ")[2])
    assert main(command) == 0
    assert load_backbone(tmp_path / "model.npz")[0].input_shape == (28, 28, 1)


def test_the_figures_of_the_page_are_those_of_the_results() -> None:
    results = json.loads((ROOT / "experiments" / "onnx" / "results.json").read_text())
    for trial in results["test"].values():
        shown = f"{trial['accuracy_float']:.2%} | {trial['accuracy_int8']:.2%}".replace("%", " %")
        assert f"{trial['weights']:,} weights" in SECTION and f"| {shown} |" in SECTION
        assert trial["accuracy_int8"] >= trial["accuracy_float"] - 0.01
    for method in METHODS:
        trials = [of_data[method] for of_data in results["validation"].values()]
        shown = " | ".join(
            f"{one['accuracy_int8']:.2%} | {one['decibels']:.1f} dB" for one in trials
        )
        assert f"| {shown.replace('%', ' %')} |" in SECTION
