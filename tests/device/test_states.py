"""What was learned is saved, and put back after a boot: training goes on to the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import support
from picotrain import load_state, save_state
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device, state_sha256
from picotrain.errors import UserError
from picotrain_golden import Method, Network, Selection
from support import METHODS, images
from trainable_affine import trainable_network

NETWORKS = ("oddnet", "affine")
EVERY = [(name, method) for name in NETWORKS for method in METHODS]


def network_of(name: str) -> Network:
    return trainable_network(3) if name == "affine" else support.shipped(name)


def step(device: Device, network: Network, first: int, last: int) -> None:
    pixels, labels = images(network, 12)
    device.train(pixels[first:last], labels[first:last])


@pytest.mark.parametrize(("name", "method_name"), EVERY)
def test_half_cut_half_is_the_whole(
    device: Device, reference: GoldenDevice, tmp_path: Path, name: str, method_name: str
) -> None:
    network, method = network_of(name), METHODS[method_name]
    for one in (device, reference):
        one.load_model(network)
        one.set_method(method)
    step(reference, network, 0, 6)
    by_golden = save_state(tmp_path / "golden.npz", reference, network, method, images=6)
    step(reference, network, 6, 12)

    step(device, network, 0, 6)
    save_state(tmp_path / "state.npz", device, network, method, images=6)
    assert (tmp_path / "state.npz").read_bytes() == (tmp_path / "golden.npz").read_bytes()
    half = state_sha256(device, network)
    # All is forgotten, as after a boot.
    device.load_model(support.shipped("tinycnn"))
    state = load_state(tmp_path / "state.npz")
    assert (state.method, state.epochs, state.images) == (method, 0, 6)
    state.restore(device, network)
    assert state_sha256(device, network) == half == state.sha256(network)
    step(device, network, 6, 12)
    whole = state_sha256(device, network)
    assert whole == state_sha256(reference, network) != half
    # What one target learned, another goes on with.
    by_golden.restore(reference, network)
    step(reference, network, 6, 12)
    assert state_sha256(reference, network) == whole


@pytest.mark.parametrize("name", ["priot", "priot-s-random-normal"])
def test_a_network_in_flash_takes_scores_back(device: Device, tmp_path: Path, name: str) -> None:
    network, method = network_of("oddnet"), METHODS[name]
    device.load_model(network, frozen=True)
    device.set_method(method)
    step(device, network, 0, 6)
    save_state(tmp_path / "state.npz", device, network, method)
    before = state_sha256(device, network)
    load_state(tmp_path / "state.npz").restore(device, network, frozen=True)
    assert state_sha256(device, network) == before
    assert device.memory().model_in_flash > 0


def test_what_no_method_could_have_learned_is_not_put(device: Device) -> None:
    network = network_of("oddnet")
    device.load_model(network)
    device.set_method(METHODS["priot"])
    count = device.scores(0).size
    zeros = np.zeros(count, np.int8)
    for put, values, told in (
        (device.put_weights, zeros, "the method is priot, which has no weights that learn"),
        (device.put_scores, zeros[1:], f"the layer has {count} scores, int8; give as many"),
        (device.put_scores, zeros.astype(np.int16), f"the layer has {count} scores, int8"),
        (
            device.put_scores,
            np.full_like(zeros, -128),
            "scores are -127 to 127",
        ),
    ):
        with pytest.raises(UserError, match=told):
            put(0, values)
    device.put_scores(0, zeros + 5)
    assert set(device.scores(0)) == {5}
    device.set_method(METHODS["niti-static"])
    with pytest.raises(UserError, match="the method is niti-static, which has no scores"):
        device.put_scores(0, zeros)


def test_scores_of_as_many_other_edges_are_not_put(device: Device, tmp_path: Path) -> None:
    network, method = network_of("oddnet"), METHODS["priot-s-random"]
    device.load_model(network)
    device.set_method(method)
    state = save_state(tmp_path / "state.npz", device, network, method)
    device.set_method(replace(method, seed=method.seed - 1))
    with pytest.raises(UserError, match="scores other edges of layer 0 than priot-s does there"):
        state.write_to(device, network)


def test_a_state_is_of_all_rows(device: Device, tmp_path: Path) -> None:
    network, method = network_of("affine"), Method("niti-static", mu=2)
    last = max(index for index, layer in enumerate(network.layers) if layer.has_weights)
    device.load_model(network)
    device.set_selection(Selection.whole(network, (last,)))
    device.set_method(method)
    with pytest.raises(UserError, match="a state is of all rows of the network"):
        save_state(tmp_path / "state.npz", device, network, method)
    with pytest.raises(UserError, match="weights are put back under all rows"):
        device.put_weights(last, device.weights(last))
    with pytest.raises(UserError, match="method infer learns nothing that could be saved"):
        save_state(tmp_path / "state.npz", device, network, replace(method, name="infer"))
    assert list(tmp_path.iterdir()) == []
