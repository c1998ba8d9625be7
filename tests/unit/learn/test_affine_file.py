"""Affine networks in backbone files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slow_affine as slow
from picotrain import (
    AdaptOptions,
    Method,
    UserError,
    adapt,
    load_dataset,
    load_network,
    open_device,
)
from picotrain.cli import main
from picotrain.learn import models
from picotrain.learn.calibration import calibrated_by
from picotrain_golden import Histograms, Network
from picotrain_golden.passes import forward_pass
from trainable_affine import trainable_network


def same(one: Network, other: Network) -> bool:
    assert (one.name, one.input_shape, one.layers) == (other.name, other.input_shape, other.layers)
    for mine, theirs in zip(one.affine, other.affine, strict=True):
        for name, value in vars(mine).items():
            assert np.array_equal(value, vars(theirs)[name])
            assert type(value) is type(vars(theirs)[name])
    for have, want in zip(one.parameters, other.parameters, strict=True):
        assert (have is None) == (want is None)
        assert have is None or want is None or np.array_equal(have.weights, want.weights)
    return models.network_sha256(one) == models.network_sha256(other)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_saved_is_loaded(tmp_path: Path, seed: int) -> None:
    network, path = slow.random_network(seed), tmp_path / "net.npz"
    models.save_backbone(path, network, {"command": "a test"})
    loaded, made = models.load_backbone(path)
    assert same(network, loaded)
    assert made == {"command": "a test"}
    assert loaded.logits_scale == network.logits_scale
    assert models.load_histograms(path) is None
    again = tmp_path / "again.npz"
    models.save_backbone(again, loaded, made)
    assert again.read_bytes() == path.read_bytes()


def test_the_digest_is_of_everything_that_decides() -> None:
    network = slow.random_network(3)
    digests = {models.network_sha256(network)}
    for name, value in vars(network.affine[0]).items():
        changed = (value[0] + 1,) if isinstance(value, tuple) else value + 1
        numbers = (replace(network.affine[0], **{name: changed}), *network.affine[1:])
        if np.size(value):
            digests.add(models.network_sha256(replace(network, affine=numbers)))
    assert len(digests) == 8
    for scale in ((1 << 15, -1), ((1 << 15) + 1, 0)):
        digests.add(models.network_sha256(replace(network, logits_scale=scale)))
    assert len(digests) == 10


def test_logits_and_calibrated_numbers_are_kept(tmp_path: Path) -> None:
    network, path = slow.random_network(3), tmp_path / "net.npz"
    network.logits_scale = (40000, -3)
    weighted = [index for index, layer in enumerate(network.layers) if layer.has_weights]
    for index in weighted:
        held = network.of(index)
        held.error_shift, held.gradient_bits, held.score_bits = 5 + index, 20, 31
    histograms = Histograms.empty(network)
    histograms.layers[weighted[0]]["error"][12] = 7
    models.save_backbone(path, network, {}, histograms)
    loaded, _ = models.load_backbone(path)
    assert same(network, loaded)
    assert loaded.logits_scale == (40000, -3)
    for index in weighted:
        assert vars(loaded.of(index)) | {"weights": None} == {
            "weights": None,
            "exponent": 0,
            "forward_shift": 0,
            "error_shift": 5 + index,
            "gradient_bits": 20,
            "score_bits": 31,
        }
    kept = models.load_histograms(path)
    assert kept is not None
    assert kept.most(weighted[0], "error") == 12


def test_a_file_that_knows_no_training_is_still_read(tmp_path: Path) -> None:
    network, path = slow.random_network(3), tmp_path / "old.npz"
    models.save_backbone(path, network, {})
    with np.load(path) as held:
        arrays = dict(held)
    del arrays["numbers"]
    document = json.loads(str(arrays["architecture"]))
    del document["logits"]
    arrays["architecture"] = np.array(json.dumps(document))
    np.savez(path, **arrays)
    loaded, _ = models.load_backbone(path)
    assert same(network, loaded)
    assert loaded.logits_scale == (1 << 15, 0)


def altered(tmp_path: Path, **changes: Any) -> Path:
    """A backbone whose document or arrays were changed."""
    path = tmp_path / "bad.npz"
    models.save_backbone(path, slow.random_network(3), {})
    with np.load(path) as held:
        arrays = dict(held)
    document = json.loads(str(arrays["architecture"]))
    for key, value in changes.items():
        if key in arrays:
            arrays[key] = value
        elif key in document:
            document[key] = value
        else:
            document["layer"][0][key] = value
    arrays["architecture"] = np.array(json.dumps(document))
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "a b"}, "its name is 'a b'"),
        ({"layer": []}, "no list of the allowed length"),
        ({"layer": 3}, "no list of the allowed length"),
        ({"layer": [3]}, "layer 0 is of no kind"),
        ({"input": [1, 2]}, r"its input is \[1, 2\]"),
        ({"kind": "maxpool2"}, "layer 0 is of no kind"),
        ({"kind": ["conv2d"]}, "layer 0 is of no kind"),
        ({"kernel": [1, 1.5]}, "kernel of layer 0"),
        ({"kernel": [1, 10**30]}, "kernel of layer 0"),
        ({"zero_out": None}, "zero_out of layer 0"),
        ({"zero_out": 128}, "zero point 128"),
        ({"inputs": [5]}, "layer 0 reads layer 5"),
        ({"logits": [1, 2, 3]}, r"its logits is \[1, 2, 3\]"),
        ({"logits": [1 << 16, 0]}, "the logits have scale M 65536, E 0"),
        ({"logits": [1 << 15, 9]}, "the logits have scale M 32768, E 9"),
        ({"numbers": np.zeros((99, 3), np.int64)}, "its array 'numbers'"),
        ({"bias_0": np.zeros(1, np.int64)}, "its array 'bias_0' is int64"),
        ({"shift_0": np.zeros(99, np.int32)}, "layer 0 needs shift"),
        ({"weights_0": np.zeros((1, 1), np.uint8)}, "its array 'weights_0'"),
    ],
)
def test_damage_is_told(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = altered(tmp_path, **changes)
    with pytest.raises(UserError, match=f"is damaged, or no backbone .*{reason}"):
        models.load_backbone(path)


def test_info_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.npz"
    models.save_backbone(path, slow.random_network(3), {"command": "a test"})
    report = tmp_path / "info.json"
    assert main(["info", str(path), "--json", str(report)]) == 0
    shown = capsys.readouterr().out
    network = slow.random_network(3)
    assert "weights; affine\n" in shown
    assert "\nlogits exponent 0: a step is 1 nats, 255 are 255 (" in shown
    assert "\nnot calibrated: adapt does that first\n" in shown
    assert "made by    a test" in shown
    found = json.loads(report.read_text())
    assert found["form"] == "affine"
    assert (found["logits_exponent"], found["logits_scale"], found["calibrated"]) == (0, 1, False)
    assert main(["info", str(backbone(tmp_path, 3, 5, 2)), "--json", str(report)]) == 0
    reason = "layer 0 has a weight of -128, so it does not train"
    assert f"\nno method trains it: {reason}\n" in capsys.readouterr().out
    assert json.loads(report.read_text())["untrained"] == reason
    assert [one["kind"] for one in found["layers"]] == [one.kind for one in network.layers]
    assert [one["reads"] for one in found["layers"]] == [
        list(network.reads(index)) for index in range(len(network.layers))
    ]
    assert found["layers"][0]["zero_out"] == network.affine[0].zero_out
    assert found["layers"][0]["bounds"] == [network.affine[0].low, network.affine[0].high]


def test_info_shows_how_its_numbers_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.npz"
    made = {"input": {"scale": 0.25, "zero": 83}, "output": {"scale": 0.5, "zero": -7}}
    models.save_backbone(path, slow.random_network(3), made)
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1:3] == [
        "input      int8, scale 0.25, zero point 83",
        "output     int8, scale 0.5, zero point -7",
    ]


def test_info_shows_what_it_needs_to_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, network = tmp_path / "net.npz", trainable_network(1)
    network.logits_scale = (3 << 14, -4)
    network.of(0).error_shift, network.of(0).gradient_bits, network.of(0).score_bits = 5, 17, 21
    models.save_backbone(path, network, {})
    report = tmp_path / "info.json"
    assert main(["info", str(path), "--json", str(report)]) == 0
    shown = capsys.readouterr().out
    assert "logits exponent -4: a step is 0.0938 nats, 255 are 23.9 (" in shown
    assert "\ncalibrated\n" in shown
    assert "no method trains it" not in shown
    row = next(line for line in shown.splitlines() if line.lstrip().startswith("0 "))
    assert row.split()[-3:] == ["5", "17", "21"]
    found = json.loads(report.read_text())
    assert found["static"]["gradient_bits"][:2] == [17, None]
    assert (found["calibrated"], found["untrained"]) == (True, "")


REFUSED = "layer 0 has a weight of -128, so it does not train; use "


def backbone(tmp_path: Path, *shape: int) -> Path:
    """Of a network that cannot train."""
    layer = slow.Layer("linear", shape, (1, 1, 10), (1, 1), (1, 1), (0, 0), False)  # type: ignore[arg-type]
    path = tmp_path / "net.npz"
    weights = np.full((layer.rows, layer.row_length), -128, np.int8)
    models.save_backbone(path, slow.one_layer(layer, weights), {})
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["adapt", "--dataset", "digits", "--target", "golden"],
        ["adapt", "--dataset", "nothing", "--target", "nowhere"],
        ["adapt", "--dataset", "digits", "--calibration", "fair"],
        ["adapt", "--dataset", "digits", "--calibration", "naive", "--method", "niti-dynamic"],
        ["adapt", "--dataset", "digits", "--logits-exponent", "-4"],
        ["verify", "--dataset", "digits", "--method", "infer,priot"],
        ["verify", "--dataset", "nothing", "--target", "nowhere", "--method", "priot"],
        ["verify", "--dataset", "digits", "--logits-exponent", "-4"],
        ["profile", "--dataset", "digits", "--target", "golden"],
        ["bench", "--dataset", "digits"],
        ["profile", "--dataset", "nothing", "--target", "nowhere"],
    ],
)
@pytest.mark.parametrize("shape", [(28, 28, 1), (3, 5, 2)])
def test_what_trains_refuses_one_that_cannot_before_anything_else(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    shape: tuple[int, int, int],
) -> None:
    path = backbone(tmp_path, *shape)
    assert main([*words, "--backbone", str(path), "--json", str(tmp_path / "x.json")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"picotrain: {REFUSED}")
    assert err.count("\n") == 1
    assert [one.name for one in tmp_path.iterdir()] == ["net.npz"]


@pytest.mark.parametrize(
    "keys", ["", 'calibration = "naive"', "logits_exponent = -4", 'dataset = "nothing"']
)
def test_a_sweep_refuses_one_before_its_first_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: str
) -> None:
    path, grid = backbone(tmp_path, 3, 5, 2), tmp_path / "grid.toml"
    grid.write_text(f'[[grid]]\nbackbone = "{path}"\n{keys}\n')
    words = ["sweep", str(grid), "--out", str(tmp_path / "x.csv"), "--cells", str(tmp_path / "c")]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"picotrain: {grid}: [[grid]] 1: backbone '{path}': {REFUSED}")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["grid.toml", "net.npz"]


def test_nothing_calibrates_or_adapts_one_that_cannot_train(tmp_path: Path) -> None:
    network, digits = load_network(backbone(tmp_path, 28, 28, 1)), load_dataset("digits")
    with open_device("golden") as device:
        for attempt in (
            lambda: calibrated_by(network, digits, "fair", cache=None),
            lambda: adapt(device, network, digits, AdaptOptions()),
            lambda: adapt(device, network, digits, AdaptOptions(calibration="fair")),
        ):
            with pytest.raises(UserError, match=f"^{REFUSED}"):
                attempt()


def test_int8_images_are_its_own() -> None:
    random = np.random.default_rng(1)
    layer = slow.Layer("linear", (4, 3, 1), (1, 1, 10), (1, 1), (1, 1), (0, 0), False)
    weights = random.integers(-3, 4, (10, 12)).astype(np.int8)
    network = slow.one_layer(layer, weights, shift=np.full(10, -4, np.int32))
    images = random.integers(-128, 128, (70, 4, 3, 1)).astype(np.int8)
    labels = np.zeros(70, np.uint8)
    outputs = forward_pass(network, [weights], images.view(np.uint8), dynamic=False).logits
    wanted = outputs.argmax(1).tolist()
    assert len(set(wanted)) > 1
    with open_device("golden") as device:
        device.load_model(network)
        device.set_method(Method("infer"))
        for given in (images, images[..., 0], images.view(np.uint8), images[::-1][::-1]):
            assert device.evaluate(given, labels).predictions.tolist() == wanted
        traced = [one.values for one in device.trace(images[5], 0) if one.kind == "activation"]
        assert traced[-1].tolist() == outputs[5].tolist()
        with pytest.raises(UserError) as caught:
            device.evaluate(images.astype(np.float32), labels)
        assert str(caught.value) == (
            "images are float32, affine network one takes int8; quantise with the scale and zero "
            "point of its input, which `picotrain info` shows"
        )
        with pytest.raises(UserError, match=r"^the image is int16, affine network one takes int8;"):
            device.trace(images[0].astype(np.int16), 0)


def test_int8_images_of_another_network_are_refused() -> None:
    with open_device("golden") as device:
        device.load_model(load_network("tinycnn", "digits"))
        device.set_method(Method("infer"))
        with pytest.raises(UserError, match=r"^images are int8, a device takes uint8 0\.\.255; "):
            device.evaluate(np.zeros((1, 28, 28, 1), np.int8), np.zeros(1, np.uint8))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["priot", "niti-dynamic"])
def test_a_device_refuses_to_train_one_that_cannot(tmp_path: Path, method: Any) -> None:
    network = load_network(backbone(tmp_path, 28, 28, 1))
    with open_device("golden") as device:
        device.load_model(network)
        with pytest.raises(UserError) as caught:
            device.set_method(Method(method))
    assert str(caught.value) == f"{REFUSED}method infer, or another network for {method}"
