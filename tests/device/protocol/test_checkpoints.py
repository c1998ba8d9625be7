"""Checkpoints: what they restore, and which the device refuses."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import support
from picotrain.device.blob import blob_size, encode
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError
from picotrain.image.elf import Elf
from picotrain_golden import Method, Network, plan
from session import Session
from support import METHODS, begin, images, refusal

CHECKPOINT_FIELDS = ("magic", "model_crc", "method", "state_crc", "state_size")


def learn(device: MailboxDevice, network: Network, method: Method) -> None:
    device.load_model(network)
    device.set_method(method)


@pytest.mark.parametrize("name", METHODS)
def test_checkpoint_round_trip(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, name: str
) -> None:
    """Training that was interrupted ends where training that was not does."""
    method = METHODS[name]
    pixels, labels = images(network, 12)
    comparison = begin(mailbox, reference, network, method)
    comparison.batch(0, pixels[:6], labels[:6], train=True)
    saved = mailbox.checkpoint()
    comparison.batch(1, pixels[6:9], labels[6:9], train=True)
    learn(mailbox, network, replace(method, mu=-3))
    mailbox.restore(saved)
    mailbox.set_mu(method.mu)
    assert mailbox.checkpoint() == saved
    reference.load_model(network)
    reference.set_method(method)
    reference.train(pixels[:6], labels[:6])
    reference.clear_saturation()
    comparison.state(2)
    comparison.batch(3, pixels[6:], labels[6:], train=True)
    comparison.traced_step(4, pixels[0], int(labels[0]))


def test_checkpoint_without_a_method(mailbox: MailboxDevice, network: Network) -> None:
    learn(mailbox, network, METHODS["priot"])
    saved = mailbox.checkpoint()
    mailbox.load_model(network)
    with pytest.raises(CommandError, match="PT_ERR_STATE"):
        mailbox.restore(saved)


def test_checkpoint_layout(mailbox: MailboxDevice, network: Network) -> None:
    method = replace(METHODS["priot-s-weight-normal"], easy=20)
    learn(mailbox, network, method)
    saved = mailbox.checkpoint()
    layout = mailbox.elf.dtype("pt_checkpoint")
    head = np.frombuffer(saved, layout, 1)[0]
    scores = b"".join(mailbox.scores(index).tobytes() for index in (0, 2, 3, 4))
    blob = encode(network, mailbox.elf)
    fields = np.array([4, 0, method.theta, method.permille, 1, 1, method.seed, 20], np.int64)
    assert head["magic"] == mailbox.elf.enum("pt_checkpoint_format")["PT_CHECKPOINT_MAGIC"]
    frozen = b"".join(mailbox.weights(index).tobytes() for index in (0, 2, 3, 4))
    assert head["model_crc"] == zlib.crc32(frozen, int.from_bytes(blob[12:16], "little"))
    assert head["method"] == zlib.crc32((fields & 0xFFFFFFFF).astype(np.uint32).tobytes())
    assert head["state_crc"] == zlib.crc32(scores)
    assert head["state_size"] == len(scores)
    assert saved[layout.itemsize :] == scores


@pytest.mark.parametrize("field", range(len(CHECKPOINT_FIELDS)), ids=CHECKPOINT_FIELDS)
def test_damaged_checkpoint_head(session: Session, field: int) -> None:
    saved = bytearray(session.device.checkpoint())
    session.goes_on()
    saved[4 * field] ^= 0x10
    session.device.write_window("IO", bytes(saved))
    assert refusal(session.device, "RESTORE", [len(saved)]) == (
        "PT_ERR_CHECKPOINT",
        (field, 0, 0, 0),
    )
    session.goes_on()


def test_damaged_checkpoint_state(session: Session) -> None:
    saved = session.device.checkpoint()
    session.goes_on()
    for at in (20, 999, len(saved) - 1):
        damaged = bytearray(saved)
        damaged[at] ^= 1
        session.device.write_window("IO", bytes(damaged))
        assert refusal(session.device, "RESTORE", [len(saved)]) == (
            "PT_ERR_CHECKPOINT",
            (3, 0, 0, 0),
        )
    session.goes_on()


@pytest.mark.parametrize("at", [0, 77, -1])
def test_checkpoint_with_minus_128(session: Session, at: int) -> None:
    """The check that no sealed damage may pass: kernels rely on it."""
    saved = bytearray(session.device.checkpoint())
    saved[at if at < 0 else 20 + at] = 0x80
    saved[12:16] = zlib.crc32(bytes(saved[20:])).to_bytes(4, "little")
    session.device.write_window("IO", bytes(saved))
    assert refusal(session.device, "RESTORE", [len(saved)]) == ("PT_ERR_CHECKPOINT", (5, 0, 0, 0))
    session.goes_on()


def test_checkpoint_of_another_length(session: Session) -> None:
    saved = session.device.checkpoint()
    session.device.write_window("IO", saved)
    io = session.io_size
    for size in (0, 19, 20, len(saved) - 1, len(saved) + 1, 0xFFFFFFFF):
        assert refusal(session.device, "RESTORE", [size]) == (
            "PT_ERR_RANGE",
            (0, size, len(saved), io),
        )
    session.goes_on()


def test_checkpoint_of_another_model(session: Session) -> None:
    other = session.network.copy()
    other.of(4).weights[0, 0] ^= 1
    learn(session.device, other, METHODS["niti-static"])
    foreign = session.device.checkpoint()
    session.begin(METHODS["niti-static"])
    session.device.write_window("IO", foreign)
    assert refusal(session.device, "RESTORE", [len(foreign)]) == (
        "PT_ERR_CHECKPOINT",
        (1, 0, 0, 0),
    )
    session.goes_on()


PRIOT = Method("priot", theta=-64, start="normal", seed=5)
PRIOT_S = Method("priot-s", theta=-64, start="normal", seed=5)


@pytest.mark.parametrize(
    ("method", "change"),
    [
        (PRIOT, {"theta": -63}),
        (PRIOT, {"seed": 6}),
        (PRIOT, {"start": "zero"}),
        (PRIOT_S, {"select": "random"}),
        (PRIOT_S, {"seed": 6}),
    ],
    ids=["theta", "seed", "start", "select", "seed of some"],
)
def test_checkpoint_of_another_method(
    session: Session, method: Method, change: dict[str, Any]
) -> None:
    learn(session.device, session.network, replace(method, **change))
    foreign = session.device.checkpoint()
    session.begin(method)
    session.device.write_window("IO", foreign)
    assert refusal(session.device, "RESTORE", [len(foreign)]) == (
        "PT_ERR_CHECKPOINT",
        (2, 0, 0, 0),
    )
    session.goes_on()


@pytest.mark.parametrize("change", [{"select": "random"}, {"permille": 101}, {"mu": 1}])
def test_checkpoint_of_what_a_method_does_not_use(session: Session, change: dict[str, Any]) -> None:
    """And of another step size: it is the same method."""
    learn(session.device, session.network, replace(PRIOT, **change))
    foreign, kept = session.device.checkpoint(), session.device.scores(0)
    session.begin(PRIOT)
    session.device.restore(foreign)
    assert (session.device.scores(0) == kept).all()
    assert session.device.checkpoint() == foreign


def test_checkpoint_of_dynamic_niti_is_not_one_of_static_niti(session: Session) -> None:
    learn(session.device, session.network, METHODS["niti-dynamic"])
    foreign = session.device.checkpoint()
    session.begin(METHODS["niti-static"])
    session.device.write_window("IO", foreign)
    assert refusal(session.device, "RESTORE", [len(foreign)])[1] == (2, 0, 0, 0)
    session.goes_on()


@pytest.mark.parametrize("name", ["priot", "priot-s-weight"])
def test_checkpoint_of_scores_on_other_weights(
    mailbox: MailboxDevice, network: Network, name: str
) -> None:
    """Scores mean nothing without the weights they were trained on, which NITI has changed."""
    pixels, labels = images(network, 6)
    learn(mailbox, network, METHODS["niti-static"])
    mailbox.train(pixels, labels)
    mailbox.set_method(METHODS[name])
    mailbox.train(pixels, labels)
    saved = mailbox.checkpoint()
    learn(mailbox, network, METHODS[name])
    mailbox.write_window("IO", saved)
    assert refusal(mailbox, "RESTORE", [len(saved)])[0] == "PT_ERR_CHECKPOINT"


def test_checkpoint_that_does_not_fit_the_window(
    host_device: Callable[..., MailboxDevice], host_elf: Elf, reference: GoldenDevice
) -> None:
    network = support.shipped("tinycnn")
    method = METHODS["niti-static"]
    device = host_device(plan(network, method, blob_size(network, host_elf)).total)
    comparison = begin(device, reference, network, method)
    assert refusal(device, "CHECKPOINT") == ("PT_ERR_RANGE", (0, 20 + 52040, 796, 0))
    assert refusal(device, "RESTORE", [20 + 52040]) == (
        "PT_ERR_RANGE",
        (0, 20 + 52040, 20 + 52040, 796),
    )
    pixels, labels = images(network, 4)
    comparison.traced_step(0, pixels[0], int(labels[0]))


@pytest.mark.parametrize("short", [20, 1, 0])
def test_checkpoint_at_the_end_of_the_window(
    host_device: Callable[..., MailboxDevice], host_elf: Elf, reference: GoldenDevice, short: int
) -> None:
    """A window that holds all but the last `short` bytes of it."""
    network = support.shipped("tinycnn")
    method = METHODS["niti-static"]
    least = plan(network, method, blob_size(network, host_elf)).total
    room = 20 + 52040 - short
    device = host_device(least - 796 + room)
    begin(device, reference, network, method)
    assert device.window("IO")[1] == room
    if short:
        expected = ("PT_ERR_RANGE", (0, 20 + 52040, room, 0))
        assert refusal(device, "CHECKPOINT") == expected
    else:
        assert device.command("CHECKPOINT")["response"][0] == 20 + 52040
