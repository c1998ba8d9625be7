"""Affine networks pre-trained in floating point: what PyTorch trained is what the integers say."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain import datasets
from picotrain.cli import main
from picotrain.datasets import Dataset, Split
from picotrain.errors import UserError
from picotrain.learn import float_pretrain, models
from picotrain.learn.architectures.pixels import as_int8, real
from picotrain.learn.architectures.untrained import float_graph
from picotrain.learn.float_pretrain import FloatOptions, pretrain_graph, ready, suited
from picotrain.learn.floating.graph import GraphTraining, integers
from picotrain.quantise.graph import TensorScale
from picotrain.shrink import float_file
from picotrain_golden import Method, Trainer
from support import described

TEXT = """form = "affine"
name = "small"
input = [28, 28, 1]
[[layer]]
kind = "conv2d"
name = "stem"
channels = 8
kernel = [3, 4]
stride = 2
padding = "same"
activation = "relu6"
[[layer]]
kind = "depthwise"
kernel = 3
padding = 1
activation = "relu"
[[layer]]
kind = "conv2d"
name = "point"
channels = 8
kernel = 1
bias = false
[[layer]]
kind = "add"
inputs = ["point", "stem"]
[[layer]]
kind = "maxpool"
kernel = [2, 3]
padding = [0, 1]
[[layer]]
kind = "avgpool"
kernel = 3
stride = 2
padding = 1
[[layer]]
kind = "linear"
outputs = 10
"""
AVERAGED = """form = "affine"
name = "averaged"
input = [28, 28, 1]
[[layer]]
kind = "conv2d"
channels = 8
kernel = 3
stride = 2
padding = "same"
activation = "relu"
[[layer]]
kind = "depthwise"
name = "each"
kernel = 3
padding = 1
activation = "relu"
[[layer]]
kind = "conv2d"
name = "point"
channels = 8
kernel = 1
[[layer]]
kind = "add"
inputs = ["point", "each"]
activation = "relu"
[[layer]]
kind = "conv2d"
channels = 16
kernel = 3
stride = 2
padding = "same"
activation = "relu"
[[layer]]
kind = "avgpool"
global = true
[[layer]]
kind = "linear"
outputs = 10
"""
"""1,520 weights, and every image seen through 16 means: with few steps it learns nothing."""
OPTIONS = FloatOptions(epochs=10, batch=32, mirror=False)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return datasets.load("digits")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TEXT)
    return path


def test_the_int8_network_is_as_right_as_the_float_one(digits: Dataset, small: Path) -> None:
    pytest.importorskip("torch")
    told: list[dict[str, Any]] = []
    made, history = pretrain_graph(models.load(small), digits, OPTIONS, told.append)
    assert told == history
    assert [entry["weights"] for entry in history] == ["float"] * 10
    assert history[-1]["validation_accuracy"] > 0.8
    split = digits.validation
    found = Trainer(made.network, Method("infer")).predict(as_int8(split.images))
    right = float((found == split.labels).mean())
    assert right == pytest.approx(history[-1]["validation_accuracy"], abs=0.04)
    assert not made.network.affine[2].bias.any()
    assert made.network.affine[1].bias.any()


def test_the_norms_become_part_of_the_weights(
    digits: Dataset, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layer by layer, paddings and pools too: PyTorch's logits in float32, and the graph's."""
    torch = pytest.importorskip("torch")
    few = replace(digits, splits={**digits.splits, "train": digits.train.take(np.arange(256))})
    training = GraphTraining(models.load(small), few, OPTIONS, torch)
    training.epoch(1)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    images = digits.validation.images[:20]
    with torch.no_grad():
        wanted = training._forward(training._input(images), learn=False).numpy()
    graph = float_graph(models.load(small), training.folded())
    assert np.abs(graph.outputs(real(images)) - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert np.unique(wanted, axis=0).shape == wanted.shape


def test_same_seed_gives_the_same_network(digits: Dataset, small: Path) -> None:
    pytest.importorskip("torch")
    few = replace(digits, splits={**digits.splits, "train": digits.train.take(np.arange(128))})
    first, again, other = (
        models.network_sha256(
            pretrain_graph(
                models.load(small), few, replace(OPTIONS, epochs=1, seed=seed), lambda _: None
            )[0].network
        )
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_small_network_trains_in_one_thread(
    digits: Dataset, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    few = replace(digits, splits={**digits.splits, "train": digits.train.take(np.arange(64))})
    own, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        for limit in (float_pretrain._SMALL, 0):
            monkeypatch.setattr(float_pretrain, "_SMALL", limit)
            pretrain_graph(
                models.load(small),
                few,
                replace(OPTIONS, epochs=1),
                lambda _: seen.append(torch.get_num_threads()),
            )
        assert (seen, torch.get_num_threads()) == ([1, 2], 2)
    finally:
        torch.set_num_threads(own)


def test_the_verb(
    tmp_path: Path, small: Path, digits: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "small.npz"
    words = ["pretrain", "--model", str(small), "--dataset", "digits"]
    words += ["--epochs", "1", "--calibration-samples", "20"]
    assert main([*words, "--out", str(out)]) == 0
    epoch, accuracy, backbone, *warnings = capsys.readouterr().out.splitlines()
    assert epoch.startswith("epoch  1  float  loss ")
    network, info = models.load_backbone(out)
    shown = f"{info['history'][-1]['validation_accuracy']:.4f}"
    assert accuracy == (
        f"accuracy   validation {shown} in float, {info['validation_accuracy']:.4f} in int8; "
        f"test {info['test_accuracy']:.4f} in int8"
    )
    assert backbone == f"backbone: {out}"
    assert [line.startswith("warning: accuracy on validation") for line in warnings] == [True]
    assert info["options"]["batch"] == 32
    models.check_same(models.load(small), network, out)
    assert network.calibrated
    assert info["input"] == {"scale": float(np.float32(1 / 255)), "zero": -128}
    assert info["command"] == (
        f"picotrain pretrain --model {small} --dataset digits --arithmetic float --epochs 1 "
        "--rate 0.1 --no-mirror --seed 0 --calibration-samples 20 --calibration-angle 45 "
        f"--out {out}"
    )
    scales = models.load_scales(out)
    assert scales is not None and len(scales.tensors) == 8
    found = Trainer(network, Method("infer")).predict(as_int8(digits.test.images))
    assert float((found == digits.test.labels).mean()) == info["test_accuracy"]


def test_a_file_that_cannot_be_written_at_last_costs_no_backbone(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")

    def full(path: Path, *_: object) -> None:
        raise UserError(f"cannot write {path}: No space left on device; choose another file")

    monkeypatch.setattr(float_file, "save", full)
    out, floats = tmp_path / "small.npz", tmp_path / "float.npz"
    words = ["pretrain", "--model", str(small), "--epochs", "1", "--calibration-samples", "20"]
    assert main([*words, "--out", str(out), "--keep-float", str(floats)]) == 2
    assert capsys.readouterr().err.endswith(
        f"picotrain: cannot write {floats}: No space left on device; choose another file\n"
    )
    assert models.load_backbone(out)[0].calibrated


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--arithmetic", "integer"], "network small is affine, and is pre-trained in float only"),
        (["--mu", "2"], "--mu is not an option of --arithmetic float; omit it"),
        (["--logits-exponent", "-3"], "--logits-exponent is not an option of an affine network"),
    ],
)
def test_mistakes(
    tmp_path: Path, small: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    given = ["pretrain", "--model", str(small), *words, "--out", str(tmp_path / "x.npz")]
    assert main(given) == 2
    assert told in capsys.readouterr().err


def test_a_smaller_step_size_is_advised_of_what_is_not_finite_alone(
    digits: Dataset, small: Path
) -> None:
    pytest.importorskip("torch")
    architecture = models.load(small)
    training = GraphTraining(architecture, digits, OPTIONS, ready(digits, OPTIONS))
    graph = float_graph(architecture, training.folded())
    first, *others = graph.layers
    assert first.weights is not None
    broken = replace(graph, layers=(replace(first, weights=first.weights * np.inf), *others))
    with pytest.raises(UserError) as caught:
        integers(broken, digits)
    assert str(caught.value) == (
        "network small: the weights of layer 0 are not all finite numbers, as it was trained; "
        "train it with a smaller step size (--rate)"
    )
    large = replace(graph, layers=(replace(first, weights=first.weights * 1e300), *others))
    with pytest.raises(UserError, match=r"not all numbers up to \S+, as it was trained; train it"):
        integers(large, digits)
    # What no step size mends is told as it was.
    pool = next(n for n, one in enumerate(graph.layers) if one.layer.kind == "maxpool")
    layers = [*graph.layers]
    layers[pool] = replace(layers[pool], scale=TensorScale(3.0, 0))
    with pytest.raises(UserError) as caught:
        integers(replace(graph, layers=tuple(layers)), digits)
    assert str(caught.value) == (
        f"layer {pool} of network small is a pool with other scales than its input; give it the "
        "same"
    )


def test_too_little_data(digits: Dataset, small: Path) -> None:
    with pytest.raises(UserError, match="1197 training images, less than a batch of 1200"):
        pretrain_graph(models.load(small), digits, replace(OPTIONS, batch=1200), lambda _: None)


@pytest.mark.parametrize(
    ("images", "batch", "epochs"),
    [(45_000, 256, 10), (8_192, 256, 38), (8_191, 128, 20), (1_197, 32, 33), (20, 16, 100)],
)
def test_few_images_make_smaller_batches_and_more_epochs(
    digits: Dataset, images: int, batch: int, epochs: int
) -> None:
    """The first is CIFAR-10's number, for which nothing changes."""
    many = digits.train.take(np.zeros(images, np.int64))
    options = suited(replace(digits, splits={**digits.splits, "train": many}))
    assert options == FloatOptions(epochs=epochs, batch=batch, mirror=False)


def test_photographs_alone_are_mirrored(digits: Dataset) -> None:
    assert suited(replace(digits, photographs=True)).mirror


def test_frames_are_shifted_in_time_alone(digits: Dataset, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    # Each pixel is the number of its column.
    columns = np.broadcast_to(np.arange(1, 29, dtype=np.uint8)[:, None], (64, 28, 28, 1)).copy()
    frames = replace(
        digits, splits={**digits.splits, "train": Split(columns, digits.train.labels[:64])}
    )
    for dataset, moves in ((replace(frames, frames=True), False), (frames, True)):
        options = suited(dataset)
        assert options.across is moves
        small = GraphTraining(described(tmp_path, TEXT), dataset, options, torch)
        moved = small._augmented(dataset.train).numpy() * 255
        there = np.isclose(moved, np.arange(1, 29)) | (moved == 0)
        assert bool(there.all()) is not moves
        assert (moved == 0).any()


def test_the_defaults_train_a_small_network_on_few_images(digits: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    averaged = described(tmp_path, AVERAGED)
    _, history = pretrain_graph(averaged, digits, suited(digits), lambda _: None)
    assert history[-1]["validation_accuracy"] >= 0.9


def test_a_row_of_numbers_is_not_shifted(digits: Dataset, small: Path) -> None:
    torch = pytest.importorskip("torch")
    training = GraphTraining(models.load(small), digits, OPTIONS, torch)
    rows = digits.train.images[:50].reshape(50, 1, -1, 1)[:, :, 300:306]
    labels = digits.train.labels[:50]
    assert np.array_equal(training._augmented(Split(rows, labels)), training._input(rows))
