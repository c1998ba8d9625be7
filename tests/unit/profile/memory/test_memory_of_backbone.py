"""`picotrain memory --backbone`: the plan of what is in a file."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from picotrain import cli
from picotrain.image import firmware
from picotrain.learn import models
from picotrain_golden import Method, MethodName, plan
from support import require
from trainable_affine import trainable_network

METHODS: tuple[MethodName, ...] = ("infer", "niti-dynamic", "niti-static", "priot", "priot-s")


@pytest.mark.parametrize("method", METHODS)
def test_of_an_affine_network(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: MethodName,
) -> None:
    require(firmware.MICROBIT)
    # As golden plans it: a test of the device compares the two.
    module = importlib.import_module("picotrain.cli.profile.memory")
    monkeypatch.setattr(module, "problem", lambda _: "it is left out here")
    network, path, report = trainable_network(9), tmp_path / "net.npz", tmp_path / "memory.json"
    models.save_backbone(path, network, {})
    words = ["memory", "--backbone", str(path), "--method", method, "--json", str(report)]
    assert cli.main(words) == 0
    assert f"arena of trainable-9, {method}" in capsys.readouterr().out
    found = json.loads(report.read_text())
    planned = plan(network, Method(method), 0)
    assert found["model"] == "trainable-9"
    assert found["arena"]["transient"] == planned.transient
    assert found["arena"]["scores"] == planned.scores
    assert [one["name"] for one in found["arena"]["buffers"]] == [b.name for b in planned.buffers]
    assert method in {one["method"] for one in found["arena_by_method"]}
    errors = [one.layer for one in planned.buffers if one.kind == "error"]
    assert bool(errors) == (method != "infer")


def test_another_network_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.npz"
    models.save_backbone(path, trainable_network(9), {})
    assert cli.main(["memory", "--backbone", str(path), "--model", "tinycnn"]) == 2
    assert "is not of network tinycnn" in capsys.readouterr().err
