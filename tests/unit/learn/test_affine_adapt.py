"""Affine networks adapt: images, numbers, logits, and what comes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affine_twin import affine_twin
from picotrain import AdaptOptions, Dataset, Method, adapt, load_dataset, load_network, open_device
from picotrain.cli import main
from picotrain.datasets import Split
from picotrain.device.given import images_for
from picotrain.device.golden_device import GoldenDevice
from picotrain.errors import CommandError
from picotrain.image import firmware
from picotrain.learn import calibration, logits, models
from picotrain.learn.adapt import Task, configured, prepare
from picotrain_golden import Network
from trainable_affine import trainable_network

SMALL = AdaptOptions(epochs=2, train_samples=300, test_samples=200, calibration_samples=64)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def twin() -> Network:
    """Of the shipped network for digits: no calibrated numbers."""
    return affine_twin(load_network("tinycnn", "digits"))


@pytest.mark.parametrize(
    ("method", "least"), [("priot", 0.75), ("priot-s", 0.65), ("niti-static", 0.75)]
)
def test_it_learns(twin: Network, digits: Dataset, method: str, least: float) -> None:
    """As the network of the other form does: from 43 to about 80 % in two epochs of 300 images."""
    with open_device("golden") as device:
        options = replace(SMALL, method=Method(method))  # type: ignore[arg-type]
        result = adapt(device, twin, digits, options)
    assert result.accuracy_before is not None
    assert result.accuracy_before < 0.5
    assert result.accuracy_final is not None
    assert result.accuracy_final > least
    assert result.options["calibration"] == "fair"
    assert result.logits_exponent == twin.logits_scale[1]
    assert result.warnings == []
    # Nothing counts forward; errors and updates that saturate are few.
    assert all(shares["forward"] == 0 for layer in result.saturation for shares in layer)
    assert max(shares["update"] for layer in result.saturation for shares in layer) < 0.05
    learning = [bool(twin.learning_inputs(index)) for index in range(len(twin.layers))]
    assert learning[0] is False
    assert all(learning[1:])


def test_numbers_are_made_where_there_are_none(twin: Network, digits: Dataset) -> None:
    task = prepare(digits, SMALL)
    made = configured(twin, task, SMALL)
    assert not twin.calibrated
    assert made.calibrated
    assert models.network_sha256(configured(made, task, SMALL)) == models.network_sha256(made)
    asked = replace(SMALL, calibration="fair")
    assert models.network_sha256(configured(twin, task, asked)) == models.network_sha256(made)
    # Dynamic NITI needs none, unless a rule is asked for.
    dynamic = replace(SMALL, method=Method("niti-dynamic"))
    assert not configured(twin, task, dynamic).calibrated
    for held in made.parameters:
        assert held is None or (held.exponent, held.forward_shift) == (0, 0)


def test_histograms_are_of_one_network(tmp_path: Path, twin: Network, digits: Dataset) -> None:
    """Logits at another temperature make other errors, so other histograms are kept."""

    def numbers(network: Network) -> list[int]:
        made = calibration.calibrated_by(network, digits, "fair", 32, tmp_path)
        return [held.error_shift for held in made.parameters if held is not None]

    first = numbers(twin)
    assert len(list(tmp_path.iterdir())) == 1
    assert numbers(twin) == first
    assert len(list(tmp_path.iterdir())) == 1
    numbers(logits.moved(twin, -8))
    assert len(list(tmp_path.iterdir())) == 2
    affine = (replace(twin.affine[0], zero_out=1), *twin.affine[1:])
    numbers(replace(twin, affine=affine))
    assert len(list(tmp_path.iterdir())) == 3


def test_an_exponent_is_the_scale_of_the_logits(twin: Network, digits: Dataset) -> None:
    options = replace(SMALL, logits_exponent=-7)
    made = configured(twin, prepare(digits, options), options)
    assert made.logits_scale == (1 << 15, -7)
    assert made.calibrated
    assert twin.logits_scale[1] != -7
    with open_device("golden") as device:
        result = adapt(device, twin, digits, replace(options, train_samples=20, epochs=1))
    assert result.logits_exponent == -7


def test_pixels_become_int8() -> None:
    pixels = np.array([0, 1, 127, 128, 255], np.uint8).reshape(1, 1, 5, 1)
    network = trainable_network(0)
    assert images_for(network, pixels).view(np.int8).ravel().tolist() == [-128, -127, -1, 0, 127]
    other = load_network("tinycnn", "digits")
    assert np.array_equal(images_for(other, pixels), pixels)


def test_images_that_are_int8_already(tmp_path: Path) -> None:
    """A file of int8 gives what the same pixels give, and a device gets the int8 as they stand."""
    network = trainable_network(6)
    path = tmp_path / "net.npz"
    models.save_backbone(path, network, {})
    random = np.random.default_rng(2)
    images = random.integers(-128, 128, (60, *network.input_shape)).astype(np.int8)
    labels = random.integers(0, network.classes, 60)
    labels[:2] = 0, network.classes - 1
    results = []
    for name, x in (("int8", images), ("uint8", (images.astype(np.int16) + 128).astype(np.uint8))):
        data, report = tmp_path / f"{name}.npz", tmp_path / f"{name}.json"
        np.savez(data, x=x, y=labels)
        words = ["adapt", "--backbone", str(path), "--dataset", f"npz:{data}", "--epochs", "2"]
        assert main([*words, "--target", "golden", "--json", str(report)]) == 0
        results.append(json.loads(report.read_text()))
    assert results[0]["state_sha256"] == results[1]["state_sha256"]
    assert results[0]["history"] == results[1]["history"]
    split = load_dataset(tmp_path / "int8.npz").test
    with open_device("golden") as device:
        device.load_model(network)
        device.set_method(Method("infer"))
        ours = images_for(network, split.images).view(np.int8)
        right = device.evaluate(ours, split.labels).correct(split.labels)
    assert results[0]["accuracy_before"] == float(right) / len(split)
    rows = {image.tobytes() for image in images}
    assert all(image.tobytes() in rows for image in ours)


@pytest.mark.parametrize(
    ("scale", "zero", "usual"),
    [
        (1 / 255, -128, True),
        (1 / 127.5, -1, True),
        (1 / 128, 0, True),
        (1.0, -128, True),
        (1 / 200, -128, False),
        (1 / 255, 0, False),
        (0.584702909, 83, False),
    ],
)
def test_pixels_for_an_input_that_means_something_else_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: float, zero: int, usual: bool
) -> None:
    network, path = trainable_network(6), tmp_path / "net.npz"
    models.save_backbone(path, network, {"input": {"scale": scale, "zero": zero}})
    images = np.zeros((40, *network.input_shape), np.uint8)
    for kind in ("uint8", "int8"):
        data = tmp_path / f"{kind}.npz"
        np.savez(data, x=images.astype(kind), y=np.arange(40) % network.classes)
        words = ["adapt", "--backbone", str(path), "--dataset", f"npz:{data}", "--epochs", "1"]
        assert main([*words, "--target", "golden", "--json", str(tmp_path / "x.json")]) == 0
        told = capsys.readouterr().err
        assert ("note: the input of net.npz covers " in told) != (usual or kind == "int8")


def test_memory_is_checked_before_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    network = trainable_network(4)
    monkeypatch.setattr("picotrain.learn.adapt.configured", None)
    device = GoldenDevice(firmware.layout(), 100)
    images = np.zeros((20, *network.input_shape), np.uint8)
    split = Split(images, np.arange(20, dtype=np.uint8) % network.classes)
    with pytest.raises(CommandError, match=r"with priot needs .* bytes and the device has 100, so"):
        adapt(device, network, Task(split, split), AdaptOptions(method=Method("priot")))
