"""`picotrain verify --backbone` of an affine network: noise, and all methods that it can run."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import slow_affine
from picotrain import cli
from picotrain.device.room import need_of, shortage
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.learn import models
from picotrain_golden import Method, Network, Parameters
from support import require
from trainable_affine import trainable_network

METHODS = ["infer", "niti-dynamic", "niti-static", "priot", "priot-s", "priot-s"]
FIRST = (
    "trainable-4, {} images: host (portable kernels) against golden, plan {}, affine, logits "
    "exponent {}, seed 0"
)


def written(tmp_path: Path, network: Network) -> str:
    require(firmware.HOST)
    path = tmp_path / "graph.npz"
    models.save_backbone(path, network, {})
    return str(path)


@pytest.fixture
def backbone(tmp_path: Path) -> str:
    return written(tmp_path, trainable_network(4))


def test_all_that_it_can(backbone: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--backbone", backbone, "--steps", "3"]) == 0
    first, *runs = capsys.readouterr().out.splitlines()
    exponent = trainable_network(4).logits_scale[1]
    assert first == FIRST.format("on random", "fast", exponent)
    assert [run.split()[0] for run in runs] == METHODS
    assert all(run.endswith(" 0 differences") for run in runs)
    # Traced training steps have more than activations.
    tensors = [int(run.split(": ")[1].split()[0].replace(",", "")) for run in runs]
    assert min(tensors[1:]) > 2 * tensors[0]


def test_the_lean_plan(backbone: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify", "--backbone", backbone, "--steps", "2", "--plan", "lean"]
    assert cli.main(words) == 0
    runs = capsys.readouterr().out.splitlines()[1:]
    assert [run.split()[0] for run in runs] == ["infer", "priot", "priot-s", "priot-s"]


def test_numbers_that_it_has_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    module = importlib.import_module("picotrain.cli.learn.verify")
    ours = module.of_images
    monkeypatch.setattr(module, "of_images", lambda *given: made.append(1) or ours(*given))
    network = trainable_network(4)
    words = ["verify", "--steps", "2", "--method", "priot", "--backbone"]
    assert cli.main([*words, written(tmp_path, network)]) == 0
    assert len(made) == 1
    network.of(0).error_shift = 5
    assert cli.main([*words, written(tmp_path, network)]) == 0
    assert len(made) == 1
    assert capsys.readouterr().out.count(" 0 differences\n") == 2


def test_an_exponent_is_the_scale_of_the_logits(
    backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["verify", "--backbone", backbone, "--steps", "2", "--method", "priot"]
    assert cli.main([*words, "--logits-exponent", "-6"]) == 0
    first, run = capsys.readouterr().out.splitlines()
    assert first == FIRST.format("on random", "fast", -6)
    assert run.endswith(" 0 differences")
    trains = str(models.backbone_path("tinycnn", "digits"))
    words = ["verify", "--backbone", trains, "--dataset", "random", "--logits-exponent", "-4"]
    assert cli.main(words) == 2
    assert "needs a data set" in capsys.readouterr().err


def untrainable() -> Network:
    layer = slow_affine.Layer("linear", (2, 2, 1), (1, 1, 2), (1, 1), (1, 1), (0, 0), False)
    return slow_affine.one_layer(layer, np.full((2, 4), -128, np.int8))


def test_one_that_cannot_train_infers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone = written(tmp_path, untrainable())
    assert cli.main(["verify", "--backbone", backbone, "--steps", "2"]) == 0
    assert [run.split()[0] for run in capsys.readouterr().out.splitlines()[1:]] == ["infer"]
    assert cli.main(["verify", "--backbone", backbone, "--method", "priot"]) == 2
    assert capsys.readouterr().err == (
        "picotrain: layer 0 has a weight of -128, so it does not train; use method infer, or "
        "another network for priot\n"
    )


def test_one_whose_weights_must_stay_is_pruned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With other weights sums could overflow: so all that keep them."""
    network = untrainable()
    small = Parameters(np.ones((2, 4), np.int8), 0)
    shifted = replace(network.affine[0], shift=np.full(2, 20, np.int32))
    network = replace(network, parameters=(small,), affine=(shifted,))
    assert cli.main(["verify", "--backbone", written(tmp_path, network), "--steps", "2"]) == 0
    runs = capsys.readouterr().out.splitlines()[1:]
    assert [run.split()[0] for run in runs] == ["infer", "priot", "priot-s", "priot-s"]


def test_on_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pixels, and what was quantised already: int8 is pixel - 128."""
    network = trainable_network(4)
    backbone = written(tmp_path, network)
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (30, *network.input_shape), dtype=np.uint8)
    labels = random.integers(0, network.classes, 30)
    labels[:2] = 0, network.classes - 1
    results = []
    for name, images in (("pixels", pixels), ("int8", (pixels ^ 0x80).view(np.int8))):
        data, report = tmp_path / f"{name}.npz", tmp_path / "verify.json"
        np.savez(data, x=images, y=labels)
        words = ["verify", "--backbone", backbone, "--dataset", f"npz:{data}", "--steps", "3"]
        assert cli.main([*words, "--json", str(report)]) == 0
        results.append(json.loads(report.read_text())["runs"])
    assert results[0] == results[1]
    assert [one["differences"] for one in results[0]] == [0] * 6
    assert "as they are: host" in capsys.readouterr().out


def needs(method: Method, network: Network, lean: bool) -> int:
    return need_of(network, method, firmware.layout(), lean)


@pytest.fixture(scope="module")
def resnet8() -> Network:
    return models.initial_network(models.resolve("resnet8"), 0)


def test_what_does_not_fit_is_skipped_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, resnet8: Network
) -> None:
    require(firmware.HOST)
    report = tmp_path / "verify.json"
    words = ["verify", "--model", "resnet8", "--steps", "1"]
    assert cli.main([*words, "--json", str(report)]) == 0
    runs = capsys.readouterr().out.splitlines()[1:7]
    room = firmware.pico_arena_bytes()
    assert [run.split()[0] for run in runs] == ["infer", *["skipped"] * 3, "priot-s", "priot-s"]
    for run, name in zip(runs[1:4], METHODS[1:4], strict=True):
        needed = needs(Method(name), resnet8, lean=False)  # type: ignore[arg-type]
        kib = -(-needed // 1024)
        assert run == f"skipped {name}: needs {needed:,} bytes of {room:,}; give it --ram-kib {kib}"
    assert [run.endswith("0 differences, plan lean") for run in runs] == [False] * 4 + [True] * 2
    found = json.loads(report.read_text())
    assert [one["plan"] for one in found["runs"]] == ["fast", "lean", "lean"]
    assert [one["method"] for one in found["skipped"]] == METHODS[1:4]
    assert {one["room"] for one in found["skipped"]} == {room}


def test_nothing_that_fits_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    require(firmware.HOST)
    assert cli.main(["verify", "--model", "resnet8", "--steps", "1", "--ram-kib", "8"]) == 1
    out, err = capsys.readouterr()
    assert out.count("\nskipped ") == len(METHODS)
    assert err == "picotrain: no method fits, so nothing was compared\n"


def test_a_named_method_that_does_not_fit(
    capsys: pytest.CaptureFixture[str], resnet8: Network
) -> None:
    require(firmware.HOST)
    words = ["verify", "--model", "resnet8", "--method"]
    assert cli.main([*words, "priot"]) == 1
    needed, lean = (needs(Method(name), resnet8, name != "priot") for name in ("priot", "priot-s"))
    room = firmware.pico_arena_bytes()
    told = capsys.readouterr().err
    assert told.startswith(
        f"picotrain: resnet8 with priot needs {needed:,} bytes and the device has {room:,}, so "
        f"{needed - room:,} are missing; the largest buffer is "
    )
    assert f"; use priot-s with --plan lean ({lean:,} bytes), or give it --ram-kib " in told
    assert cli.main([*words, "priot-s"]) == 1
    assert f"use --plan lean ({lean:,} bytes), or give it --ram-kib " in capsys.readouterr().err
    # What was given is not advised.
    assert cli.main([*words, "priot", "--plan", "lean"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("picotrain: resnet8 with priot and plan lean needs ")
    assert f"; use priot-s with --plan lean ({lean:,} bytes), or give it --ram-kib " in told


def test_two_cores_are_left_where_one_has_room() -> None:
    one, two = require(firmware.RP2040), require(firmware.RP2040_CORES)
    network = models.initial_network(models.resolve("mobilenet-v2-pico"), 0)
    room = firmware.arena_bytes(two)
    short = shortage(network, Method("priot"), True, room, open_elf(two), "rp2040js")
    assert short is not None and room < short.need < firmware.arena_bytes(one)
    wide = f"{firmware.arena_bytes(one):,}"
    assert short.advice.startswith(f"leave out --kernels cores: one core has {wide} bytes, or ")
    short = shortage(network, Method("priot"), False, room, open_elf(two), "rp2040js")
    assert short is not None and "cores" not in short.advice


def test_the_way_out_of_a_target_whose_memory_is_fixed(resnet8: Network) -> None:
    room, elf = firmware.pico_arena_bytes(), firmware.layout()
    short = shortage(resnet8, Method("priot"), False, room, elf, "qemu")
    assert short is not None
    assert short.advice.endswith(f", or use --target host --ram-kib {-(-short.need // 1024)}")
    least = needs(Method("infer"), resnet8, lean=True)
    short = shortage(resnet8, Method("priot"), False, least, elf, "renode")
    assert short is not None
    only = f"no method trains it there and only infer with --plan lean ({least:,} bytes) fits, or "
    assert short.advice.startswith(only)
    short = shortage(resnet8, Method("priot"), False, least - 1, elf, "host")
    assert short is not None
    assert short.advice == f"use a smaller network, or give it --ram-kib {-(-short.need // 1024)}"
