"""A baked network has the logits of the masked one, bit for bit, and no scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from picotrain import datasets
from picotrain.datasets import rotate
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device, UInt8, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.learn import models
from picotrain.learn.field.bake import bake, sizes, zeros
from picotrain.learn.field.state import State, state_of
from picotrain_golden import Method, Network, Trainer
from support import METHODS, images
from trainable_affine import trainable_network

IMAGES = 1000
Logits = np.ndarray
SCORED = [name for name, method in METHODS.items() if method.scored]
AFFINE = (0, 1, 3, 5, 8)
"""Seeds of networks that have, together, every kind, padding, and zero points other than 0."""


@pytest.fixture
def host(host_device: Callable[..., MailboxDevice]) -> MailboxDevice:
    return host_device()


def trained(device: Device, network: Network, method: Method, pixels: UInt8) -> State:
    device.load_model(network)
    device.set_method(method)
    device.train(pixels, (np.arange(len(pixels)) % network.classes).astype(np.uint8))
    return state_of(device, network, method)


def logits(device: MailboxDevice, network: Network, pixels: UInt8) -> Logits:
    """Of the forward half of each step: no update follows."""
    last = len(network.layers) - 1
    found = []
    for image in pixels:
        found.append(next(t.values for t in device.trace(image, 0) if t.layer == last))
    return np.array(found)


def by_golden(network: Network, method: Method, state: State | None, pixels: UInt8) -> Logits:
    trainer = Trainer(network, method)
    for index, layer in enumerate(network.layers):
        if state is not None and layer.has_weights:
            trainer.set_scores(index, state.of(index).reshape(trainer.scores(index).shape))
            assert (
                trainer.effective_weights(index) == state.effective_weights(network, index)
            ).all()
    return np.array([trainer.forward(image)[0] for image in pixels])


def same_logits(host: MailboxDevice, network: Network, state: State, pixels: UInt8) -> int:
    """How many weights became 0."""
    method, baked = state.method, bake(network, state)
    masked = by_golden(network, method, state, pixels)
    assert (by_golden(baked, Method("infer"), None, pixels) == masked).all()
    state.restore(host, network)
    assert (logits(host, network, pixels) == masked).all()
    assert state_sha256(host, network) == state.sha256(network)
    host.load_model(baked)
    host.set_method(Method("infer"))
    assert (logits(host, baked, pixels) == masked).all()
    assert host.memory().scores == 0
    return sum(zeros(baked)) - sum(zeros(network))


@pytest.mark.parametrize("name", ["priot", "priot-s"])
def test_tinycnn_on_all_digits(host: MailboxDevice, name: str) -> None:
    network = models.load_network("tinycnn", "digits")
    data = datasets.load("digits")
    pixels = rotate(np.concatenate([data.train.images, data.test.images]), 30)
    state = trained(host, network, Method(name, theta=-4), pixels[:200])  # type: ignore[arg-type]
    assert len(pixels) >= IMAGES
    assert same_logits(host, network, state, pixels) > 100


@pytest.mark.parametrize("seed", AFFINE)
@pytest.mark.parametrize("name", SCORED)
def test_affine_networks(host: MailboxDevice, name: str, seed: int) -> None:
    network = trainable_network(seed)
    pixels, _ = images(network, IMAGES // len(AFFINE))
    state = trained(host, network, METHODS[name], pixels[:40])
    same_logits(host, network, state, pixels)


def test_the_affine_networks_have_what_could_go_wrong() -> None:
    networks = [trainable_network(seed) for seed in AFFINE]
    weighted = [
        (layer, affine)
        for network in networks
        for layer, affine in zip(network.layers, network.affine, strict=True)
        if layer.has_weights
    ]
    assert {layer.kind for layer, _ in weighted} == {"conv2d", "depthwise", "linear"}
    assert sum(affine.zero_in[0] != 0 for _, affine in weighted) >= 5
    assert sum(any(layer.padding) for layer, _ in weighted) >= 3
    assert sum(bool(affine.bias.any()) for _, affine in weighted) >= 5


def test_unscored_edges_stay(reference: GoldenDevice) -> None:
    network = models.load_network("tinycnn", "digits")
    pixels, _ = images(network, 20)
    state = trained(reference, network, Method("priot-s", permille=100, theta=1), pixels)
    baked = bake(network, state)
    for index, held in enumerate(network.parameters):
        if held is None:
            continue
        edges, was, now = state.scored[index], held.weights.ravel(), baked.of(index).weights.ravel()
        assert edges is not None
        unscored = np.ones(was.size, np.bool_)
        unscored[edges] = False
        assert (now[unscored] == was[unscored]).all()
        dropped = state.of(index) < 1
        assert (now[edges[dropped]] == 0).all() and dropped.any()
        assert (now[edges[~dropped]] == was[edges[~dropped]]).all()


@pytest.mark.parametrize("name", ["niti-static", "niti-dynamic"])
def test_niti_reopens_and_trains_on(reference: GoldenDevice, tmp_path: Path, name: str) -> None:
    network, method = models.load_network("tinycnn", "digits"), METHODS[name]
    pixels, labels = images(network, 40)
    state = trained(reference, network, method, pixels[:20])
    baked = bake(network, state)
    for index, layer in enumerate(network.layers):
        if layer.has_weights:
            assert (baked.of(index).weights.ravel() == state.of(index)).all()
            assert (baked.of(index).weights != network.of(index).weights).any()
    models.save_backbone(tmp_path / "baked.npz", baked, {})
    again, _ = models.load_backbone(tmp_path / "baked.npz")
    reference.train(pixels[20:], labels[20:])
    straight = state_sha256(reference, network)
    reference.load_model(again)
    reference.set_method(method)
    reference.train(pixels[20:], labels[20:])
    assert state_sha256(reference, again) == straight


def test_sizes_are_those_of_the_device(host: MailboxDevice) -> None:
    network = models.load_network("tinycnn", "digits")
    for method in (Method("priot"), Method("infer"), Method("niti-static")):
        found = sizes(network, method, learned=7)
        assert found["flash"] == 52_352 + 7
        for frozen, name in ((False, "ram"), (True, "ram_lean")):
            if frozen and method.changes_weights:
                assert found[name] is None
                continue
            host.load_model(network, frozen=frozen)
            host.set_method(method)
            assert host.memory().network == found[name]
    assert sizes(network, Method("infer")) == {"flash": 52_352, "ram": 62_428, "ram_lean": 10_076}
