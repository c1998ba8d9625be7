"""Affine networks in backbone files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slow_affine as slow
from picotrain.cli import main
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain_golden import Network


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
    assert "affine, it infers" in shown
    assert "made by    a test" in shown
    found = json.loads(report.read_text())
    assert found["form"] == "affine"
    assert [one["kind"] for one in found["layers"]] == [one.kind for one in network.layers]
    assert [one["reads"] for one in found["layers"]] == [
        list(network.reads(index)) for index in range(len(network.layers))
    ]
    assert found["layers"][0]["zero_out"] == network.affine[0].zero_out
    assert found["layers"][0]["bounds"] == [network.affine[0].low, network.affine[0].high]


@pytest.mark.parametrize("method", ["priot", "niti-dynamic"])
def test_adapting_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    layers = slow.Layer("linear", (28, 28, 1), (1, 1, 10), (1, 1), (1, 1), (0, 0), False)
    path = tmp_path / "net.npz"
    models.save_backbone(path, slow.one_layer(layers), {})
    words = ["adapt", "--target", "golden", "--dataset", "digits", "--backbone", str(path)]
    assert main([*words, "--method", method, "--train-samples", "8"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1] == (
        "picotrain: network one is affine: it infers and does not train yet; use method infer, "
        f"or another network for {method}"
    )
