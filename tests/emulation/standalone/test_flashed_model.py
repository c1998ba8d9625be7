"""What `picotrain flash-model` writes, on the emulated chip, asked by the client of users."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from alone import Alone
from picotrain.cli import main
from picotrain.datasets import Split, load, rotate
from picotrain.device.golden_device import GoldenDevice
from picotrain.hardware.standalone.client import Answer, Standalone
from picotrain.image import firmware
from picotrain.learn import models
from picotrain.learn.field.infer import infer
from picotrain.learn.field.state_file import load_state
from support import require

IMAGES = 6
ADAPT = "adapt --target host --dataset digits --angle 30 --epochs 1 --train-samples 200"


def answers(device: Standalone, split: Split) -> list[Answer]:
    return [device.ask(image) for image in split.images]


def test_a_state_of_adapt_goes_on_alone(
    package: Path, tmp_path: Path, reference: GoldenDevice
) -> None:
    require(firmware.STANDALONE)
    file, saved = tmp_path / "model.uf2", tmp_path / "state.npz"
    more = ["--test-samples", "8", "--save", str(saved), "--json", str(tmp_path / "r.json")]
    assert main([*ADAPT.split(), *more]) == 0
    command = ["flash-model", "tinycnn", "--state", str(saved), "--out", str(file)]
    assert main([*command, "--json", str(tmp_path / "m.json")]) == 0

    network, state = models.load_network("tinycnn", "digits"), load_state(saved)
    test = load("digits").test
    split = Split(rotate(test.images[:IMAGES], 30.0), test.labels[:IMAGES])
    known = infer(reference, network, split, state).predictions.tolist()
    fresh = infer(reference, network, split).predictions.tolist()
    assert known != fresh

    with Alone(package, written=file) as alone:
        url = alone.machine.usb_url
        with Standalone(url) as device:
            told, said = device.info(), json.loads((tmp_path / "m.json").read_text())["bytes"]
            assert (told["state"], told["refused"]) == ("1", "none")
            assert told["ram"] == f"{said['sram']}/{said['sram_there']}"
            before = answers(device, split)
            assert [one.label for one in before] == known
            # What it learns now follows the step size that the adaptation ended with.
            state.restore(reference, network)
            reference.set_mu(state.run["step_sizes"][-1])
            for image, label in zip(split.images, split.labels, strict=True):
                batch = reference.train(image[np.newaxis], np.array([label], np.uint8))
                learned = device.learn(image, int(label))
                assert (learned.norm, learned.easy) == (batch.loss_norms[0], learned.norm == 0)
            assert device.save() == 2
            after = answers(device, split)
        alone.power_off()
        alone.boot()
        with Standalone(url) as device:
            assert device.info()["state"] == "2"
            assert answers(device, split) == after
            assert after != before
