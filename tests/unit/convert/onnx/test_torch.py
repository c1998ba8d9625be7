"""Networks as PyTorch exports them, by both of its exporters; wants the extra `train`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[convert]'")
pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[train]'")

import torch
from torch import nn

from picotrain.cli import main
from picotrain.convert.onnx.file import read
from picotrain.convert.onnx.importer import import_floats
from picotrain.datasets import load
from picotrain.learn.models import load_backbone


class Residual(nn.Module):
    """Norms, biases, a fork, a depthwise layer, and the head that most classifiers have."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.inner = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 1, bias=False),
            nn.BatchNorm2d(8),
        )
        self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, stride=2, padding=1))
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(16, classes))

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        x = self.down(torch.relu(self.inner(x) + x)).mean((2, 3))
        return self.head(x)


class Small(nn.Module):
    """Learns digits in a few seconds."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.head = nn.Linear(8 * 7 * 7, classes)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        return self.head(torch.flatten(torch.relu(self.inner(x) + x), 1))


class Flat(nn.Module):
    """A view with computed sizes, and an average that counts its padding."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3)
        self.pool = nn.AvgPool2d(3, 2, padding=1)
        self.head = nn.Linear(6 * 3 * 3, classes)

    def forward(self, x: Any) -> Any:
        x = self.pool(torch.relu(self.conv(x)))
        return torch.log_softmax(self.head(x.view(x.size(0), -1)), 1)


class Sequence(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2)
        )
        self.head = nn.Linear(8, classes)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x).mean(2))


def exported(model: Any, sizes: tuple[int, ...], path: Path, dynamo: bool, **more: Any) -> None:
    if dynamo:
        pytest.importorskip("onnxscript")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.zeros(1, *sizes),)
        torch.onnx.export(model.eval(), example, str(path), dynamo=dynamo, verbose=False, **more)


def trained_moments(model: Any, sizes: tuple[int, ...]) -> None:
    """So that norms are not the identity."""
    with torch.no_grad():
        for _ in range(3):
            model.train()(torch.randn(32, *sizes) * 2 + 0.5)


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize(
    ("kind", "sizes"), [(Residual, (3, 9, 8)), (Flat, (2, 8, 8)), (Sequence, (3, 12))]
)
def test_both_exporters(tmp_path: Path, kind: Any, sizes: tuple[int, ...], dynamo: bool) -> None:
    torch.manual_seed(0)
    model = kind(sizes[0], 4)
    trained_moments(model, sizes)
    path = tmp_path / "model.onnx"
    exported(model, sizes, path, dynamo)
    floats = import_floats(read(path))
    images = np.random.default_rng(0).normal(0, 1, (5, *sizes)).astype(np.float32)
    laid = images.reshape(5, -1)[:, floats.order].reshape(5, *floats.graph.input_shape)
    with torch.no_grad():
        wanted = model(torch.from_numpy(images)).numpy()
    found = floats.graph.outputs(laid)
    if kind is Flat:  # The end is left out.
        found = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("opset", [11, 13, 17, 20])
def test_opsets_of_the_older_exporter(tmp_path: Path, opset: int) -> None:
    path = tmp_path / "model.onnx"
    exported(
        Residual(3, 4),
        (3, 9, 8),
        path,
        dynamo=False,
        opset_version=opset,
        input_names=["x"],
        dynamic_axes={"x": {0: "n"}},
    )
    kinds = [held.layer.kind for held in import_floats(read(path)).graph.layers]
    assert kinds == [
        *("conv2d", "depthwise", "conv2d", "add", "maxpool", "conv2d", "avgpool", "linear")
    ]


def test_int8_is_within_a_point_of_float(tmp_path: Path) -> None:
    """Digits of scikit-learn, which need no download; trained in a few seconds."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = load("digits")
    images = torch.from_numpy(data.train.images.copy()).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(data.train.labels.astype(np.int64))
    model = Small(10)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(5):
        model.train()
        for chosen in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    path, out, held = (tmp_path / name for name in ("net.onnx", "net.npz", "images.npz"))
    exported(model, tuple(images.shape[1:]), path, dynamo=False)
    arrays = {"x": data.train.images[:256], "x_test": data.test.images, "y_test": data.test.labels}
    np.savez(held, **arrays)
    assert main(["import", str(path), "--calibration", str(held), "--out", str(out)]) == 0
    trial = load_backbone(out)[1]["trial"]
    assert trial["accuracy_float"] > 0.9
    assert trial["accuracy_int8"] >= trial["accuracy_float"] - 0.01
