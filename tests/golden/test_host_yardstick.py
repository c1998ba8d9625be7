"""naive.c, beside which `make host-speed` measures the firmware, has golden's bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from host_speed import twin
from picotrain import datasets
from picotrain.datasets import rotated_sample
from picotrain.device.backends import open_device
from picotrain.learn import methods, models

IMAGES = 12


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed (apt: gcc)")
    return twin.build(tmp_path_factory.mktemp("naive"))


@pytest.mark.parametrize("name", twin.METHODS)
def test_naive_c_has_the_bits_of_golden(program: Path, name: str) -> None:
    network = models.load_backbone(models.backbone_path("tinycnn", "digits"))[0]
    split = rotated_sample(datasets.load("digits").train, IMAGES, seed=3, angle=45.0)
    method = methods.make(name, seed=3)
    device = open_device("golden")
    device.load_model(network)
    device.set_method(method)
    scored = name == "priot"
    before = twin.learned(device, network, scored)
    answer = twin.run(program, twin.job(device, network, method, split), IMAGES, len(before[0]))
    run = device.evaluate if name == "infer" else device.train
    result = run(split.images, split.labels)
    assert np.array_equal(answer.predictions, result.predictions)
    assert (answer.weights, answer.scores) == twin.learned(device, network, scored)
    assert (twin.learned(device, network, scored) == before) == (name == "infer")
    assert answer.seconds > 0
