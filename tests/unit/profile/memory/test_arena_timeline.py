"""The arena over one step: golden's timeline, the device's plan, and the mark of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import support
from memory_boards import FIVE, board_of, golden_timeline
from picotrain.cli.profile.memory import BOARDS
from picotrain.device import backends
from picotrain.device.mailbox import MailboxDevice
from picotrain.image.elf import Elf
from picotrain.profile.memory.arena import timeline_of_record
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.stack import StackReport


@pytest.fixture
def device(image: Image) -> Iterator[MailboxDevice]:
    """A device that no other test used: the painted mark counts from the reset on."""
    target = BOARDS[board_of(image)].target
    if missing := backends.problem(target):
        pytest.skip(f"target {target}: {missing}")
    opened = backends.open_device(target)
    assert isinstance(opened, MailboxDevice)
    yield opened
    opened.close()


def test_the_timeline_of_static_niti(host_elf: Elf) -> None:
    """Every number from docs/numerics.md, section 11, by hand."""
    timeline = golden_timeline(FIVE["niti-static"], host_elf)
    assert [one.name for one in timeline.operations] == [
        *(f"forward {layer}" for layer in range(6)),
        *("loss", "error 5", "update 5", "error 4", "update 4", "error 3"),
        *("error 2", "update 2", "error 1", "update 0"),
    ]
    buffers = {buffer.name: buffer for buffer in timeline.buffers}
    assert buffers["activation[-1]"].bytes == 28 * 28
    assert buffers["activation[0]"].bytes == 28 * 28 * 8
    # The input is needed again by the very last operation.
    assert len(buffers["activation[-1]"].operations) == 16
    assert buffers["error[5]"].operations == ("loss", "error 5", "update 5")
    assert buffers["scratch update(5)"].operations == ("update 5",)
    assert buffers["scratch update(5)"].bytes == 64 + 4 * 64 + 4
    uses = {one.name: one.in_use for one in timeline.operations}
    activations = [784, 6272, 1568, 3136, 784, 64, 12]
    # Forward 0: input, output, lists of 3 rows of it, lanes, sums, and a patch of 3 x 3 in words.
    lists, lanes = 4 * 3 * (2 * 28 + 28 + 2 + 2), 16 * 3 * 3
    assert uses["forward 0"] == activations[0] + activations[1] + lists + lanes + 32 * 28 + 12
    assert uses["loss"] == sum(activations) + 12
    assert uses["error 5"] == sum(activations) - 12 + 12 + 64 + 4 * 64 + 64
    peaks = [one.name for one in timeline.operations if one.peak]
    assert peaks == [name for name, used in uses.items() if used == timeline.peak] != []
    assert timeline.peak <= timeline.transient


def test_in_use_is_what_lies_in_the_arena(host_elf: Elf) -> None:
    """By painting every buffer into an arena of bytes: none is painted over, none lies outside."""
    for method in FIVE.values():
        timeline = golden_timeline(method, host_elf)
        for one in timeline.operations:
            arena = bytearray(timeline.transient)
            for buffer in timeline.buffers:
                if one.name in buffer.operations:
                    span = slice(buffer.offset, buffer.offset + buffer.bytes)
                    assert not any(arena[span])
                    arena[span] = b"\1" * len(arena[span])
            assert sum(arena) == one.in_use, one
        assert max(buffer.offset + buffer.bytes for buffer in timeline.buffers) == (
            timeline.transient
        )


@pytest.mark.parametrize("name", FIVE)
def test_a_run_stays_within_the_bound_and_the_plan(
    name: str, image: Image, device: MailboxDevice, stack: StackReport
) -> None:
    """On the emulated chip: the device's own plan is golden's, the painted mark below the bound."""
    network, method = support.shipped("tinycnn"), FIVE[name]
    device.load_model(network)
    device.set_method(method)
    images, labels = support.images(network, 2)
    run = device.train if method.trains else device.evaluate
    run(images, labels)
    assert timeline_of_record(device.plan(), image.symbols) == golden_timeline(
        method, image.symbols
    )
    painted = device.memory().stack
    assert painted is not None
    assert painted <= stack.worst + stack.interrupt < stack.reserved
    # The call that the bound is about was made, so that the two can be compared.
    if name == "priot-s":
        assert painted >= stack.worst - 64
    else:
        assert painted >= 256
