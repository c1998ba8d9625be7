"""Convolution, ReLU and pooling as one operation: the same bytes as apart, in less memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import support
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import BatchResult, Device, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.learn.verify import verify
from picotrain_golden import Method, Network
from support import INFER, METHODS, begin, images, refusal

FUSED = {name: method for name, method in METHODS.items() if method.fused}


@pytest.fixture(params=["tinycnn", "oddnet"])
def network(request: pytest.FixtureRequest) -> Network:
    return support.shipped(request.param)


def learn(device: Device, network: Network, method: Method) -> tuple[list[BatchResult], str]:
    pixels, labels = images(network, 6)
    device.load_model(network)
    device.set_method(method)
    results = [device.train(pixels, labels)] if method.trains else []
    return [*results, device.evaluate(pixels, labels)], state_sha256(device, network)


@pytest.mark.parametrize("method", [*FUSED.values(), replace(INFER, fused=True)])
def test_it_learns_what_separate_operations_learn(
    device: Device, network: Network, method: Method
) -> None:
    one = learn(device, network, method)
    counts, memory = device.saturation(), device.memory()
    other = learn(device, network, replace(method, fused=False))
    for mine, theirs in zip(one[0], other[0], strict=True):
        assert (mine.predictions == theirs.predictions).all()
        assert (mine.loss_norms == theirs.loss_norms).all()
        assert (mine.saturated == theirs.saturated).all()
    assert one[1] == other[1]
    assert (counts == device.saturation()).all()
    assert memory.network < device.memory().network


@pytest.mark.parametrize("seed", range(12))
def test_networks_that_nobody_would_draw(
    device: Device, reference: GoldenDevice, seed: int
) -> None:
    network = support.random_network(100 + seed)
    method = list(FUSED.values())[seed % len(FUSED)]
    comparison = begin(device, reference, network, method)
    pixels, labels = images(network, 4)
    verify(comparison, pixels, labels, 4, train=True)


def test_a_choice_holds_for_the_next_method(mailbox: MailboxDevice) -> None:
    network = support.shipped("tinycnn")
    mailbox.load_model(network)
    assert refusal(mailbox, "SET_PLAN", [2]) == ("PT_ERR_ARGUMENT", (0, 2, 0, 1))
    mailbox.set_method(METHODS["priot"])
    before = mailbox.plan()
    mailbox.command("SET_PLAN", [1])
    assert mailbox.plan() == before
    mailbox.set_method(METHODS["priot-fused"])
    assert int(mailbox.plan()["pairs"]) == 0b0101
    assert int(mailbox.plan()["operations"]) == int(before["operations"]) - 4
    mailbox.set_method(METHODS["niti-dynamic"])
    assert int(mailbox.plan()["pairs"]) == 0
    mailbox.load_model(network)
    mailbox.set_method(METHODS["priot"])
    assert mailbox.plan() == before


def test_what_never_exists_cannot_be_read(mailbox: MailboxDevice) -> None:
    network = support.shipped("tinycnn")
    pixels, labels = images(network, 1)
    tensors = mailbox.elf.enum("pt_tensor_kind")
    activation, places = (int(tensors[f"PT_TENSOR_{kind}"]) for kind in ("ACTIVATION", "PLACES"))
    mailbox.load_model(network)
    for method, missing in ((METHODS["priot-fused"], activation), (METHODS["priot"], places)):
        mailbox.set_method(method)
        mailbox.write_window("IO", pixels.tobytes() + labels.tobytes())
        mailbox.command("TRACE_BEGIN")
        mailbox.trace_next()
        wanted = ("PT_ERR_TENSOR", (missing, 0, 0, 0))
        assert refusal(mailbox, "READ_TENSOR", [missing, 0, 0, 0]) == wanted
        for layer in (1, 4):
            wanted = ("PT_ERR_TENSOR", (places, layer, 0, 0))
            assert refusal(mailbox, "READ_TENSOR", [places, layer, 0, 0]) == wanted


def test_places_are_those_of_the_error(device: Device) -> None:
    """What verify compares: an output that is not 0 has a place in its window."""
    network = support.shipped("tinycnn")
    device.load_model(network)
    device.set_method(METHODS["priot-fused"])
    pixels, labels = images(network, 1)
    found = {(t.kind, t.layer): t.values for t in device.trace(pixels[0], int(labels[0]))}
    assert ("activation", 0) not in found and ("error", 2) not in found
    places, outputs = found["places", 2], found["activation", 3]
    assert np.unique(places).tolist() == [0, 1, 2, 3] and outputs.size == places.size
    assert not places[outputs == 0].any()
