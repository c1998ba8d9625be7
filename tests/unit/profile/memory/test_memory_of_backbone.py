"""`picotrain memory --backbone`: the plan of what is in a file."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("words", [["--model", "resnet8"], ["--model", "vgg11", "--plan", "lean"]])
def test_one_that_does_not_fit_has_its_table(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
) -> None:
    require(firmware.MICROBIT)
    module = importlib.import_module("picotrain.cli.profile.memory")
    monkeypatch.setattr(module, "problem", lambda _: "")  # so the device is left out for memory
    monkeypatch.delattr(module, "open_device")
    report = tmp_path / "memory.json"
    assert cli.main(["memory", *words, "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    uses = {(one["method"], one["plan"]): one for one in found["arena_by_method"]}
    assert len(uses) == len(METHODS) + 3
    least = uses["priot", found["plan"]]
    assert least["left"] < 0
    room = firmware.arena_bytes(firmware.MICROBIT)
    assert (least["least"] + least["left"], least["least"]) == (room, found_total(found))
    assert found["stack"]["painted"] is None
    told = f"it needs {least['least']:,} bytes, the arena has {room:,}"
    assert told in found["painted_note"] and told in capsys.readouterr().out


def found_total(found: dict[str, Any]) -> int:
    parts = ("blob", "scores", "transient", "io_minimum")
    return sum(int(found["arena"][name]) for name in parts)
