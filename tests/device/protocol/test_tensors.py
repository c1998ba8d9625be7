"""Tensors and traces: what the device refuses, and that it goes on after it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import support
from picotrain.device.blob import blob_size
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison
from picotrain_golden import Method, Network, conv2d, linear, plan
from session import Session
from support import METHODS, begin, images, refusal

ACTIVATION, ERROR, WEIGHTS, SCORES, BITMAP = range(5)
INPUT_LAYER = 0xFF


# Tensors


def test_reading_outside_a_tensor(session: Session) -> None:
    device, io = session.device, session.io_size
    size = device.weights(0).size
    assert size == 375
    ranges = [(0, size + 1), (size, 1), (size + 1, 0), (1, size), (0xFFFFFFFF, 1), (4, 0xFFFFFFFF)]
    for offset, count in ranges:
        for command in ("READ_TENSOR", "WRITE_TENSOR"):
            assert refusal(device, command, [WEIGHTS, 0, offset, count]) == (
                "PT_ERR_RANGE",
                (offset, count, size, io),
            )
    for offset, count in [(0, 0), (size, 0), (size - 1, 1), (0, size)]:
        mailbox = device.command("READ_TENSOR", [WEIGHTS, 0, offset, count])
        assert mailbox["response"][0] == size
    session.goes_on()


def test_reading_more_than_the_window_holds(
    host_device: Callable[..., MailboxDevice], host_elf: Elf
) -> None:
    """Large tensors are read in pieces; a piece is at most the window."""
    network = support.shipped("tinycnn")
    needed = plan(network, METHODS["niti-static"], blob_size(network, host_elf)).total
    device = host_device(needed)
    device.load_model(network)
    device.set_method(METHODS["niti-static"])
    assert device.window("IO")[1] == 796
    assert refusal(device, "READ_TENSOR", [WEIGHTS, 4, 0, 797]) == (
        "PT_ERR_RANGE",
        (0, 797, 50176, 796),
    )
    assert (device.weights(4) == network.of(4).weights.reshape(-1)).all()


def test_tensors_that_are_not_there(session: Session) -> None:
    device = session.device
    layers = len(session.network.layers)
    absent = [(5, 0), (0xFFFFFFFF, 0), (WEIGHTS, 1), (WEIGHTS, layers), (WEIGHTS, INPUT_LAYER)]
    absent += [(ERROR, INPUT_LAYER), (ACTIVATION, layers), (ERROR, layers), (WEIGHTS, 0xFFFFFFFF)]
    absent += [(SCORES, 0), (BITMAP, 0)]
    for kind, layer in absent:
        assert refusal(device, "READ_TENSOR", [kind, layer, 0, 0]) == (
            "PT_ERR_TENSOR",
            (kind, layer, 0, 0),
        )
    session.goes_on()


def test_tensors_of_methods(mailbox: MailboxDevice, network: Network) -> None:
    absent = {
        "infer": [(ERROR, 3), (SCORES, 0), (BITMAP, 0)],
        "priot": [(BITMAP, 0), (SCORES, 1)],
        "priot-s": [(BITMAP, 1), (SCORES, 1)],
    }
    mailbox.load_model(network)
    for name, tensors in absent.items():
        mailbox.set_method(Method(name))  # type: ignore[arg-type]
        for kind, layer in tensors:
            assert refusal(mailbox, "READ_TENSOR", [kind, layer, 0, 0]) == (
                "PT_ERR_TENSOR",
                (kind, layer, 0, 0),
            )


def test_activations_and_errors_only_while_they_live(session: Session) -> None:
    """A buffer that another operation may have overwritten is not to be had."""
    device, network = session.device, session.network
    alive = [
        buffer
        for buffer in plan(network, METHODS["niti-static"], 0).buffers
        if buffer.kind in ("activation", "error")
    ]
    device.write_window("IO", session.pixels[0].tobytes() + bytes([3]))
    device.command("TRACE_BEGIN")
    operation = 0
    while device.trace_next()["kind"] != 4:
        for buffer in alive:
            kind = ACTIVATION if buffer.kind == "activation" else ERROR
            arguments = [kind, buffer.layer & 0xFF, 0, 0]
            if buffer.first <= operation <= buffer.last:
                device.command("READ_TENSOR", arguments)
            else:
                assert refusal(device, "READ_TENSOR", arguments)[0] == "PT_ERR_TENSOR"
        operation += 1
    session.reference.train(session.pixels[:1], np.array([3], np.uint8))
    session.goes_on()


@pytest.mark.parametrize("kind", [ACTIVATION, ERROR, BITMAP, 5, 0xFFFFFFFF])
def test_what_may_not_be_written(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, kind: int
) -> None:
    session = Session(mailbox, reference, network)
    session.begin(METHODS["priot-s-weight"])
    mailbox.write_window("IO", b"\xff" * 16)
    assert refusal(mailbox, "WRITE_TENSOR", [kind, 0, 0, 16]) == (
        "PT_ERR_ARGUMENT",
        (0, kind, WEIGHTS, SCORES),
    )
    session.goes_on()


@pytest.mark.parametrize("kind", ["WEIGHTS", "SCORES"])
def test_minus_128_may_not_be_written(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, kind: str
) -> None:
    session = Session(mailbox, reference, network)
    session.begin(METHODS["priot"])
    for at in (0, 13, 19):
        values = np.arange(-127, -107, dtype=np.int8)
        values[at] = -128
        with pytest.raises(CommandError) as caught:
            mailbox.write_tensor(kind, 2, 40, values)
        assert (caught.value.name, caught.value.detail) == ("PT_ERR_WEIGHT", (2, at, 0, 0))
    session.goes_on()


@pytest.mark.parametrize("kind", ["WEIGHTS", "SCORES"])
def test_written_tensors_take_part(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, kind: str
) -> None:
    """What is written is what is read, only there, and the next step computes with it."""
    method = METHODS["priot"]
    mailbox.load_model(network)
    mailbox.set_method(method)
    before = mailbox.tensor(kind, 2)
    values = np.array([-127, 127, 0, -1, 90], np.int8)
    mailbox.write_tensor(kind, 2, 100, values)
    after = mailbox.tensor(kind, 2)
    assert (after[100:105] == values).all()
    assert np.flatnonzero(after != before).tolist() == [
        index for index in range(100, 105) if before[index] != after[index]
    ]
    if kind == "SCORES":
        return
    changed = network.copy()
    changed.of(2).weights.reshape(-1)[100:105] = values
    reference.load_model(changed)
    reference.set_method(method)
    pixels, labels = images(network, 3)
    Comparison(reference, mailbox, network).traced_step(0, pixels[0], int(labels[0]))


# Traces


def long_row() -> Network:
    """Rows of 512 weights."""
    shape = (4, 4, 1)
    first = conv2d(shape, 32, (1, 1), 1, (0, 0), True)
    layers = [first, linear(first.out_shape, 3, False)]
    return support.calibrate(support.build("long-row", shape, layers))


def test_trace_of_a_row_that_fills_the_window(
    host_device: Callable[..., MailboxDevice], host_elf: Elf, reference: GoldenDevice
) -> None:
    network, method = long_row(), METHODS["niti-static"]
    device = host_device(plan(network, method, blob_size(network, host_elf)).total - 28 + 512)
    comparison = begin(device, reference, network, method)
    assert device.window("IO")[1] == 512
    pixels, labels = images(network, 4)
    for step in range(4):
        comparison.traced_step(step, pixels[step], int(labels[step]))
        comparison.state(step)


def test_trace_of_a_row_that_the_window_cannot_hold(
    host_device: Callable[..., MailboxDevice], host_elf: Elf, reference: GoldenDevice
) -> None:
    network, method = long_row(), METHODS["niti-static"]
    device = host_device(plan(network, method, blob_size(network, host_elf)).total)
    comparison = begin(device, reference, network, method)
    pixels, labels = images(network, 4)
    assert device.window("IO")[1] == 28
    with pytest.raises(CommandError) as caught:
        list(device.trace(pixels[0], int(labels[0])))
    assert (caught.value.name, caught.value.detail) == ("PT_ERR_RANGE", (0, 512, 28, 0))
    comparison.state(0)
    # Without its updates the step goes on.
    while device.operation_name(device.trace_next(bare=True)) != "PT_DONE":
        pass
    reference.train(pixels[:1], labels[:1])
    comparison.state(0)
    comparison.batch(1, pixels, labels, train=True)


@pytest.mark.parametrize("method", ["niti-dynamic", "priot-s-random-normal"])
def test_bare_trace_trains_like_any_step(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, method: str
) -> None:
    """It leaves the io window alone, and needs one command for each operation."""
    session = Session(mailbox, reference, network)
    session.begin(METHODS[method])
    batch = session.pixels[0].tobytes() + session.labels[:1].tobytes()
    mailbox.write_window("IO", batch)
    mailbox.command("TRACE_BEGIN")
    done = []
    while not done or done[-1] != "PT_DONE":
        event = mailbox.trace_next(bare=True)
        assert (event["updates"], event["unfinished"]) == (0, 0)
        done.append(mailbox.operation_name(event))
    assert done == [
        *["PT_FORWARD"] * 5,
        "PT_LOSS",
        *("PT_ERROR", "PT_UPDATE", "PT_ERROR", "PT_UPDATE", "PT_ERROR", "PT_UPDATE"),
        *("PT_ERROR", "PT_UPDATE"),
        "PT_DONE",
    ]
    assert mailbox.read_window("IO")[: len(batch)] == batch
    reference.train(session.pixels[:1], session.labels[:1])
    session.goes_on()


@pytest.mark.parametrize("command", ["TRAIN", "EVALUATE"])
def test_trace_next_without_a_begun_step_does_nothing(session: Session, command: str) -> None:
    """A batch leaves no step behind that TRACE_NEXT could go on with."""
    device = session.device
    for one in (session.reference, device):
        getattr(one, command.lower())(session.pixels, session.labels)
    for _ in range(3 * len(session.network.layers)):
        device.command("TRACE_NEXT")
    session.goes_on()


def test_trace_next_after_the_end_does_nothing(session: Session) -> None:
    device = session.device
    image, label = session.pixels[0], int(session.labels[0])
    assert list(device.trace(image, label))
    list(session.reference.trace(image, label))
    for _ in range(3):
        assert device.trace_next().tolist() == (4, 0, 0, 0)
    session.goes_on()


def test_trace_next_before_any_step_is_done(session: Session) -> None:
    assert session.device.trace_next().tolist() == (4, 0, 0, 0)
    session.goes_on()


def test_an_abandoned_trace_is_forgotten(session: Session) -> None:
    device = session.device
    device.write_window("IO", session.pixels[1].tobytes() + bytes([2]))
    device.command("TRACE_BEGIN")
    for _ in range(len(session.network.layers)):
        assert device.trace_next()["kind"] == 0
    session.reference.evaluate(session.pixels[1:2], session.labels[1:2])  # the forward counts
    session.goes_on()
