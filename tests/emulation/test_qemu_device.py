"""What only the emulated chip can show: cycles, stack, and the same bits as the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import support
from picotrain.device import backends
from picotrain.device.cycles import BlockCount, difference, total
from picotrain.device.interface import state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.gdb import GdbClient, Stop
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain_golden import Method, Network
from support import METHODS, images

pytestmark = [
    pytest.mark.skipif(not backend.works, reason=f"target qemu: {backend.remedy}")
    for backend in backends.availability()
    if backend.name == "qemu"
]

RAM = 264 * 1024


@pytest.fixture
def open_qemu() -> Iterator[Callable[[], MailboxDevice]]:
    opened: list[MailboxDevice] = []

    def open_() -> MailboxDevice:
        device = backends.open_device("qemu")
        assert isinstance(device, MailboxDevice)
        opened.append(device)
        return device

    yield open_
    for device in opened:
        device.close()


@pytest.fixture
def qemu(open_qemu: Callable[[], MailboxDevice]) -> MailboxDevice:
    return open_qemu()


def ready(device: MailboxDevice, network: Network, method: Method) -> None:
    device.load_model(network)
    device.set_method(method)


def blocks(device: MailboxDevice) -> list[BlockCount]:
    counted = device.blocks()
    assert counted is not None
    return counted


def cycles_of(device: MailboxDevice, run: Callable[[], Any]) -> int:
    before = blocks(device)
    run()
    return total(difference(blocks(device), before))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_trains_to_the_same_state_as_the_host(
    qemu: MailboxDevice, host_device: Callable[..., MailboxDevice], method: Method
) -> None:
    network = support.shipped("tinycnn")
    pixels, labels = images(network, 24, seed=4)
    results = []
    for device in (qemu, host_device(firmware.pico_arena_bytes())):
        ready(device, network, method)
        before = state_sha256(device, network)
        trained = device.train(pixels, labels)
        predicted = device.evaluate(pixels, labels)
        after = state_sha256(device, network)
        assert before != after
        checkpoint = device.checkpoint()
        results.append(
            (
                trained.predictions.tolist(),
                trained.loss_norms.tolist(),
                trained.saturated.tolist(),
                predicted.predictions.tolist(),
                device.saturation().tolist(),
                after,
                checkpoint,
            )
        )
    assert results[0] == results[1]


def test_cycles_repeat_to_the_last_one(open_qemu: Callable[[], MailboxDevice]) -> None:
    """Two machines, one program, one number; the same work again costs the same."""
    network = support.shipped("oddnet")
    pixels, labels = images(network, 3)

    def train(device: MailboxDevice) -> int:
        ready(device, network, METHODS["niti-static"])
        return cycles_of(device, lambda: device.train(pixels, labels))

    counts = []
    for device in (open_qemu(), open_qemu()):
        first, second = train(device), train(device)
        assert first == second > 0
        counts.append((first, total(blocks(device))))
    assert counts[0] == counts[1]


def test_cycles_grow_with_the_images(qemu: MailboxDevice) -> None:
    """Twice the same image costs twice the cycles but for the command itself."""
    network = support.shipped("tinycnn")  # whose images all begin at a multiple of 4
    ready(qemu, network, Method("infer"))
    pixels, labels = images(network, 1)

    def evaluate(count: int) -> int:
        batch = np.repeat(pixels, count, axis=0), np.repeat(labels, count)
        return cycles_of(qemu, lambda: qemu.evaluate(*batch))

    one, two, three = evaluate(1), evaluate(2), evaluate(3)
    assert three - two == two - one
    assert 0 < one - (two - one) < 5_000


def test_a_forward_pass_takes_a_plausible_time(qemu: MailboxDevice) -> None:
    """At least the arithmetic floor of design.md, at most what plain C takes."""
    network = support.shipped("tinycnn")
    ready(qemu, network, Method("infer"))
    pixels, labels = images(network, 1)
    cycles = cycles_of(qemu, lambda: qemu.evaluate(pixels, labels))
    macs = sum(layer.macs for layer in network.layers)
    assert macs == 333_056
    assert 1.25 * macs < cycles < 25 * macs


def test_waiting_is_not_counted(qemu: MailboxDevice, microbit_elf: Elf) -> None:
    qemu.command("INFO")
    idle = range(microbit_elf.symbol("pt_idle_start"), microbit_elf.symbol("pt_idle_end"))
    everything = qemu._target.profile()
    assert everything is not None
    assert any(block.pc in idle for block in everything)
    assert not any(block.pc in idle for block in blocks(qemu))
    assert all(block.executions > 0 for block in blocks(qemu))


def test_a_command_ends_at_a_watchpoint(
    qemu: MailboxDevice, microbit_elf: Elf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a breakpoint QEMU would forget what it has translated: commands took ten times as long."""
    stops: list[Stop | None] = []
    wait = GdbClient.wait_stop

    def waiting(client: GdbClient, timeout: float) -> Stop | None:
        stops.append(wait(client, timeout))
        return stops[-1]

    monkeypatch.setattr(GdbClient, "wait_stop", waiting)
    qemu.command("INFO")
    word = (microbit_elf.symbol("pt_board_idle") & ~1) + 4
    reasons = [stop.text for stop in stops if stop is not None]
    assert len(reasons) == 1 and f"rwatch:{word:08x};" in reasons[0]


def test_reading_and_writing_memory_costs_no_cycles(qemu: MailboxDevice) -> None:
    network = support.shipped("oddnet")
    ready(qemu, network, METHODS["priot"])
    address, size = qemu.window("IO")

    def touch() -> None:
        qemu._target.write(address, bytes(size))
        assert qemu._target.read(address, size) == bytes(size)

    assert cycles_of(qemu, touch) == 0


def test_every_block_lies_in_a_function(qemu: MailboxDevice, microbit_elf: Elf) -> None:
    """So that a profile has a name for every cycle, and no timed code runs from flash."""
    network = support.shipped("oddnet")
    ready(qemu, network, METHODS["priot-s-random"])
    pixels, labels = images(network, 2)
    before = blocks(qemu)
    qemu.train(pixels, labels)
    ran = difference(blocks(qemu), before)
    assert {microbit_elf.function_at(block.pc) for block in ran} >= {
        *("pt_app_serve", "pt_trainer_next", "pt_conv2d_forward_s8", "pt_update_sparse_scores_s8"),
    }
    assert all(microbit_elf.function_at(block.pc) != "?" for block in ran)
    # What runs once a command, and the linker's stubs from there, may be in flash.
    cold = {microbit_elf.function_at(block.pc) for block in ran if block.pc < 0x20000000}
    assert {name for name in cold if not name.endswith("_veneer")} <= {
        "pt_app_serve",
        "check_batch",
        "open_windows",
        "report_memory",
        "pt_board_run",
    }


def test_memory_adds_up_to_the_chip(qemu: MailboxDevice, microbit_elf: Elf) -> None:
    network = support.shipped("tinycnn")
    ready(qemu, network, METHODS["priot"])
    pixels, labels = images(network, 2)
    qemu.train(pixels, labels)
    record = qemu.command("INFO")["memory"]
    symbol = microbit_elf.symbol
    assert record["arena"] == symbol("pt_arena_end") - symbol("pt_arena_start")
    assert record["code"] == symbol("pt_code_end") - symbol("pt_code_start")
    assert record["statics"] == symbol("pt_bss_end") - symbol("pt_bss_start")
    assert record["stack_reserved"] == 4096
    parts = ("code", "statics", "arena", "stack_reserved")
    alignment = symbol("pt_bss_start") - symbol("pt_code_end")
    assert sum(int(record[part]) for part in parts) + alignment == RAM
    memory = qemu.memory()
    parts_of_memory = memory.by_part()
    whole = parts_of_memory.pop("total")
    assert parts_of_memory.pop("network") == memory.network
    assert whole is not None and whole == sum(size or 0 for size in parts_of_memory.values()) < RAM
    assert (memory.code, memory.statics) == (record["code"], record["statics"])
    assert memory.stack == record["stack_used"]


def test_stack_stays_far_from_its_end(qemu: MailboxDevice, microbit_elf: Elf) -> None:
    """Painted at reset; the choice of edges, with a histogram on the stack, is the deepest."""
    used = []
    network = support.shipped("tinycnn")
    pixels, labels = images(network, 1)
    for name in ("niti-dynamic", "priot", "priot-s-random-normal"):
        ready(qemu, network, METHODS[name])
        qemu.train(pixels, labels)
        list(qemu.trace(pixels[0], 1))
        qemu.restore(qemu.checkpoint())
        used.append(int(qemu.command("INFO")["memory"]["stack_used"]))
    assert used == sorted(used)
    assert 0 < used[0] < 1200 < used[-1] < 2048
    # The paint below is whole, so nothing reached past the high-water mark.
    start, end = microbit_elf.symbol("pt_stack_start"), microbit_elf.symbol("pt_stack_end")
    paint = np.frombuffer(qemu._target.read(start, end - start), "<u4") == 0xA5A5A5A5
    assert paint[: (end - start - used[-1]) // 4].all()
    assert not paint[(end - start - used[-1]) // 4]


def test_no_write_outside_ram_and_none_below_the_arena(
    qemu: MailboxDevice, microbit_elf: Elf
) -> None:
    """Training leaves code and flash as they were."""
    symbol = microbit_elf.symbol
    start = symbol("pt_code_start")
    size = symbol("pt_code_end") - start
    regions = [(start, size), (0, 0x20000)]
    before = [qemu._target.read(*region) for region in regions]
    network = support.shipped("tinycnn")
    for name in ("niti-dynamic", "priot-s-weight"):
        ready(qemu, network, METHODS[name])
        pixels, labels = images(network, 4)
        qemu.train(pixels, labels)
    assert [qemu._target.read(*region) for region in regions] == before


def test_skipping_a_zero_loss_saves_the_backward_pass(qemu: MailboxDevice) -> None:
    """Exact by docs/numerics.md section 10, and most of the time of a step."""
    shape = (4, 4, 1)
    network = support.build("sure", shape, [support.linear(shape, 2, False)])
    network.of(0).weights[0] = 127
    network.of(0).weights[1] = -127
    network.of(0).forward_shift, network.of(0).exponent = 12, 0
    ready(qemu, network, Method("niti-static"))
    white = np.full((1, *shape), 255, np.uint8)
    costs = []
    for label in (0, 1):
        labels = np.array([label], np.uint8)
        before = blocks(qemu)
        result = qemu.train(white, labels)
        costs.append(total(difference(blocks(qemu), before)))
        assert (result.loss_norms[0] == 0) == (label == 0)
        assert result.predictions[0] == 0
    assert costs[0] < costs[1]
