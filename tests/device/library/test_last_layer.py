"""The last layer alone learns (pt_trainer_select_last), stays in flash, and is golden's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import support
from building import SANITIZED, build
from picotrain.device.blob import METHOD_KINDS, encode
from picotrain.image.elf import Elf
from picotrain.learn import models
from picotrain_golden import (
    Histograms,
    Method,
    Network,
    Selection,
    Trainer,
    calibrated,
    observe,
)
from trainable_affine import trainable_network

IMAGES = 40
METHODS = ("niti-dynamic", "niti-static", "priot")


def scaled(network: Network) -> Network:
    """With the static numbers of what it sees, so that something moves."""
    histograms = Histograms.empty(network)
    for image, label in zip(*support.images(network, 6), strict=True):
        histograms.add(observe(network, image, int(label)))
    return calibrated(network, histograms)


def poolend() -> Network:
    """A graph whose last layer has no weights."""
    return next(one for one in map(trainable_network, range(9)) if not one.layers[-1].has_weights)


NETWORKS = {
    "tinycnn": lambda: models.load_network("tinycnn", "digits"),
    "oddnet": lambda: support.shipped("oddnet"),
    "affine": lambda: scaled(trainable_network(1)),
    "poolend": lambda: scaled(poolend()),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, sanitized_library: Path) -> Path:
    sources = ["last_layer.c", "flash_model.c"]
    return build(tmp_path_factory.mktemp("last"), sources, SANITIZED, sanitized_library)


@pytest.mark.parametrize("frozen", [False, True], ids=["arena", "flash"])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("network_name", NETWORKS)
def test_only_the_last_layer_learns_and_as_golden_does(
    program: Path, tmp_path: Path, host_elf: Elf, network_name: str, name: str, frozen: bool
) -> None:
    network, method = NETWORKS[network_name](), Method(name)  # type: ignore[arg-type]
    last = max(index for index, layer in enumerate(network.layers) if layer.has_weights)
    trainer = Trainer(network, method, Selection.whole(network, (last,)))
    pixels, labels = support.images(network, IMAGES)
    for image, label in zip(pixels, labels, strict=True):
        trainer.train_step(image, int(label))

    blob = tmp_path / "net.blob"
    blob.write_bytes(encode(network, host_elf))
    kind = int(host_elf.enum("pt_method_kind")[METHOD_KINDS[method.name]])
    given = b"".join(
        image.tobytes() + bytes([label]) for image, label in zip(pixels, labels, strict=True)
    )
    done = subprocess.run(
        [program, blob, str(kind), str(int(frozen))], input=given, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")

    held = np.frombuffer(done.stdout, np.int8)
    moved = {}
    for index, layer in enumerate(network.layers):
        if not layer.has_weights:
            continue
        before = network.of(index).weights.reshape(-1)
        weights, held = np.split(held, [before.size])
        assert weights.tobytes() == trainer.weights(index).tobytes()
        moved[index] = np.count_nonzero(weights != before)
        if method.scored:
            wanted = trainer.scores(index)
            scores, held = np.split(held, [wanted.size])
            assert scores.tobytes() == wanted.tobytes()
            assert wanted.size == (before.size if index == last else 0)
            moved[index] += np.count_nonzero(scores)
    assert held.size == 0
    assert [index for index, count in moved.items() if count] == [last]
