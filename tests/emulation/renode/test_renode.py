"""The flash image on Renode: boot, bits, and what goes wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

import support
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.renode import SRAM, RenodeTarget, _free_port, flash_image
from picotrain.device.targets.serial import SerialTarget
from picotrain.errors import CrashFailure, FlashFailure, LinkFailure, TimeoutFailure, UserError
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison, verify
from picotrain_golden import Method
from renode_machine import PLATFORM, RENODE, Open, pico, post, run_script
from support import METHODS, images, require

pytestmark = [
    pytest.mark.skipif(
        RENODE is None, reason="Renode is not installed: run `make setup-renode`, or set RENODE"
    )
]


@pytest.fixture(scope="module")
def shared() -> Iterator[MailboxDevice]:
    """One device for the tests that leave it whole."""
    target = pico()
    target.connect()
    device = MailboxDevice(target)
    yield device
    device.close()


def go_to(target: RenodeTarget, address: int, command: str) -> None:
    """Post a command, but let the core go on elsewhere."""
    monitor = target.monitor()
    monitor.command("pause")
    post(target, command)
    monitor.command(f"sysbus.cpu PC {address:#x}")
    monitor.command("start")


def read_registers(target: RenodeTarget, *addresses: int) -> list[int]:
    monitor = target.monitor()
    return [monitor.number(f"sysbus ReadDoubleWord {address:#x}") for address in addresses]


# A device that works


def test_boots_through_the_rom_and_serves(shared: MailboxDevice) -> None:
    elf = shared.elf
    memory = shared.command("INFO")["memory"]
    assert memory["arena"] == elf.symbol("pt_arena_end") - elf.symbol("pt_arena_start")
    target = shared._target
    assert isinstance(target, RenodeTarget)
    # XOSC, PLLs and clocks as the start-up sets them up; the core's vectors are in SRAM.
    status, locked, ref, sys, tick = read_registers(
        target, 0x40024004, 0x40028000, 0x40008038, 0x40008044, 0x4005802C
    )
    assert status >> 31 and locked >> 31
    assert (ref, sys, tick & 0x7FF) == (4, 2, 0x60C)
    assert target.monitor().number("sysbus.cpu VectorTableOffset") in SRAM


def test_boots_from_its_own_vectors_without_a_rom(tmp_path: Path) -> None:
    """As README.md says it."""
    image = tmp_path / "image.bin"
    image.write_bytes(flash_image(require(firmware.RP2040)))
    elf = Elf(firmware.RP2040)
    script = tmp_path / "start.resc"
    script.write_text(
        f"include @{PLATFORM}/Rp2040.cs\n"
        'mach create "rp2040"\n'
        f"machine LoadPlatformDescription @{PLATFORM}/rp2040.repl\n"
        f"sysbus LoadBinary @{image} 0x10000000\n"
        "sysbus.cpu VectorTableOffset 0x10000100\n"
        'emulation RunFor "0.05"\n'
        f"sysbus ReadDoubleWord {elf.symbol('pt_mailbox'):#x}\nquit\n"
    )
    magic = int(elf.enum("pt_protocol")["PT_MAILBOX_MAGIC"])
    assert f"0x{magic:08X}" in run_script(script)


def test_time_runs_in_microseconds(shared: MailboxDevice) -> None:
    """TIMER against the core's instructions, of which 125 take a microsecond."""
    target = shared._target
    assert isinstance(target, RenodeTarget)
    monitor = target.monitor()
    monitor.command("pause")
    counts = []
    for _ in range(2):
        instructions = monitor.number("sysbus.cpu ExecutedInstructions")
        counts.append((read_registers(target, 0x40054028)[0], instructions))
        monitor.command('emulation RunFor "0.05"')
    monitor.command("start")
    (time, instructions), (later, more) = counts
    assert later - time == 50_000
    assert more - instructions == 50_000 * 125


@pytest.mark.parametrize("name", ["priot", "niti-dynamic"])
def test_trains_bit_by_bit_as_golden(
    shared: MailboxDevice, reference: GoldenDevice, name: str
) -> None:
    network = support.shipped("oddnet")
    sides: tuple[Device, Device] = (reference, shared)
    for device in sides:
        device.load_model(network)
        device.set_method(METHODS[name])
    pixels, labels = images(network, 4, seed=3)
    done = verify(Comparison(*sides, network), pixels, labels, 4, METHODS[name].trains)
    assert done.steps == 4 and done.elements > 10_000


def test_a_model_in_flash(shared: MailboxDevice, reference: GoldenDevice) -> None:
    network = support.shipped("tinycnn")
    pixels, labels = images(network, 3)
    predictions = []
    for device, frozen in ((reference, False), (shared, True)):
        device.load_model(network, frozen)
        device.set_method(Method("infer"))
        predictions.append(device.evaluate(pixels, labels).predictions.tolist())
    assert predictions[0] == predictions[1]
    magic = shared.elf.enum("pt_model_format")["PT_MODEL_MAGIC"]
    blob = shared._target.read(shared.elf.symbol("pt_flash_start"), 4)
    assert int.from_bytes(blob, "little") == magic


def test_memory_that_is_not_there(shared: MailboxDevice) -> None:
    target = shared._target
    for address, size in ((0x30000000, 4), (SRAM.stop - 4, 8), (SRAM.start - 1, 1)):
        with pytest.raises(LinkFailure, match=f"no memory of {size} bytes at {address:#010x}"):
            target.read(address, size)
        with pytest.raises(LinkFailure, match="no memory"):
            target.write(address, bytes(size))


def test_counts_nothing_unless_asked(shared: MailboxDevice) -> None:
    target = shared._target
    assert isinstance(target, RenodeTarget)
    assert target.profile() is None and target.calls() is None
    with pytest.raises(UserError, match="counting=True"):
        target.counters()


def test_an_error_of_the_monitor(shared: MailboxDevice) -> None:
    target = shared._target
    assert isinstance(target, RenodeTarget)
    with pytest.raises(LinkFailure, match=r"Renode refuses 'sysbus\.nothing Size'"):
        target.monitor().command("sysbus.nothing Size")


def test_atomic_aliases(shared: MailboxDevice) -> None:
    """Of a scratch register of the watchdog, and of the stock UART's interrupt mask."""
    target = shared._target
    assert isinstance(target, RenodeTarget)
    monitor = target.monitor()
    for address in (0x40058018, 0x40034038):
        kept = read_registers(target, address)[0]
        seen = []
        for alias, value in ((0, 0x350), (0x1000, 0x3F0), (0x2000, 0x10F), (0x3000, 0x101)):
            monitor.command(f"sysbus WriteDoubleWord {address + alias:#x} {value:#x}")
            seen += read_registers(target, address + alias)
        assert seen == [0x350, 0x0A0, 0x1AF, 0x0AE]
        monitor.command(f"sysbus WriteDoubleWord {address:#x} {kept:#x}")


def test_the_serial_link(open_renode: Open) -> None:
    """UART0 with its interrupts, the flash's number through the SSI, and reasons of resets."""
    target = open_renode()
    monitor = target.monitor()
    port = _free_port()
    monitor.command(f'emulation CreateServerSocketTerminal {port} "link" false')
    monitor.command("connector Connect sysbus.uart0 link")
    serial = SerialTarget(target.elf, f"socket://127.0.0.1:{port}")
    serial.connect()
    try:
        hello = serial.hello()
        assert hello.chip.hex() == "e660583883000001"
        assert (hello.clock_hz, hello.reset) == (125_000_000, "power")
        data = bytes(range(256)) * 4
        assert serial.echo(data) == data
        for how, reset in (("hang", "watchdog"), ("fault", "fault"), ("program", "request")):
            again = serial.restart(how, 60.0)
            assert again is not None and again.reset == reset
    finally:
        serial.close()


# A device that fails


def test_rewritten_code_runs(open_renode: Open) -> None:
    """Although Renode has translated it before."""
    target = open_renode()
    device = MailboxDevice(target)
    device.command("INFO")
    address = Elf(target.elf).symbol("pt_board_cycles")
    target.write(address, struct.pack("<H", 0xDE00))  # UDF
    with pytest.raises(CrashFailure) as caught:
        device.command("INFO")
    assert caught.value.place == "pt_board_cycles+0x0"


def test_a_fault_tells_where(open_renode: Open) -> None:
    target = open_renode()
    address = Elf(target.elf).symbol("pt_arena_start")
    target.write(address, struct.pack("<H", 0xDE00))  # UDF
    go_to(target, address, "INFO")
    with pytest.raises(CrashFailure) as caught:
        target.run(30.0)
    assert caught.value.registers["pc"] == address
    assert f"pc {address:#010x}" in str(caught.value)
    with pytest.raises(LinkFailure, match="connect again"):
        target.run(1.0)
    # The handler resets the chip; REASON then says FORCE.
    for _ in range(100):
        if read_registers(target, 0x40058008) == [2]:
            break
        sleep(0.05)
    assert read_registers(target, 0x40058008) == [2]
    target.connect()
    MailboxDevice(target).command("INFO")


def test_a_hang_is_a_timeout_with_its_place(open_renode: Open) -> None:
    target = open_renode()
    address = Elf(target.elf).symbol("pt_arena_start")
    target.write(address, struct.pack("<HH", 0xBF00, 0xE7FD))  # nop; b to it
    go_to(target, address, "INFO")
    with pytest.raises(
        TimeoutFailure, match=rf"still in 0x({address:08x}|{address + 2:08x}) after"
    ):
        target.run(0.2)


def test_the_watchdog_ends_a_hang(open_renode: Open) -> None:
    """After 8.3 s of the device's time the chip starts anew, and says why.

    Renode knows a jump to itself, and lets its time pass at once.
    """
    target = open_renode()
    go_to(target, Elf(target.elf).symbol("pt_board_halt"), "INFO")
    with pytest.raises(TimeoutFailure, match=r"in pt_board_halt\+0x2 when its watchdog started it"):
        target.run(60.0)
    reason, mark = read_registers(target, 0x40058008, 0x40058014)
    assert (reason, mark) == (1, 0x50545202)
    target.connect()
    MailboxDevice(target).command("INFO")


def test_the_watchdog_resets_what_it_is_told_to(
    open_renode: Open,
) -> None:
    """With PSM's WDSEL empty, nothing: on the chip the program would go on."""
    target = open_renode()
    monitor = target.monitor()
    monitor.command("sysbus WriteDoubleWord 0x40010008 0x0")
    monitor.command("sysbus WriteDoubleWord 0x4005A000 0x80000000")  # CTRL's SET alias, TRIGGER
    MailboxDevice(target).command("INFO")
    assert read_registers(target, 0x40058008) == [0]
    monitor.command("sysbus WriteDoubleWord 0x40010008 0x1FFFC")
    monitor.command("sysbus WriteDoubleWord 0x4005A000 0x80000000")
    sleep(0.5)
    assert read_registers(target, 0x40058008) == [2]


def test_power_on_is_no_watchdog(open_renode: Open) -> None:
    """A reset by the monitor is one by power: nothing of the watchdog stays."""
    target = open_renode()
    monitor = target.monitor()
    monitor.command("pause")
    monitor.command("machine Reset")
    assert read_registers(target, 0x40058008, 0x40058014, 0x4005802C) == [0, 0, 0]
    assert read_registers(target, 0x40054024, 0x40054028) == [0, 0]  # TIMER
    monitor.command("start")
    sleep(0.5)
    assert read_registers(target, 0x40058008, 0x40058014) == [0, 0x50545202]


def test_an_image_without_a_second_stage_ends_in_the_rom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on the chip, whose ROM then shows the USB drive."""
    from picotrain.device.targets import renode

    broken = bytearray(flash_image(require(firmware.RP2040)))
    broken[10] ^= 1
    monkeypatch.setattr(renode, "flash_image", lambda _: bytes(broken))
    monkeypatch.setattr(renode, "_BOOT_SECONDS", 1.0)
    target = pico()
    try:
        with pytest.raises(FlashFailure, match=r"after 1 s it was in 0x0000"):
            target.connect()
    finally:
        target.close()


def test_renode_that_dies(open_renode: Open) -> None:
    target = open_renode()
    assert target._process is not None
    target._process.kill()
    target._process.wait()
    post(target, "INFO")
    with pytest.raises(LinkFailure, match="Renode ended"):
        target.run(30.0)


def test_closing_leaves_nothing(open_renode: Open) -> None:
    target = open_renode()
    folder, process = target._folder, target._process
    assert process is not None and folder.is_dir()
    target.close()
    assert not folder.exists()
    assert process.poll() is not None
    with pytest.raises(LinkFailure, match="connect first"):
        target.read(SRAM.start, 4)
    target.close()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elf, rom = require(firmware.RP2040), require(firmware.RP2040_ROM)
    with pytest.raises(UserError, match="there is no boot ROM"):
        RenodeTarget(elf, tmp_path / "rom.bin").connect()
    monkeypatch.setenv("RENODE", "no-such-renode")
    with pytest.raises(UserError, match="RENODE names no-such-renode, which is no program"):
        RenodeTarget(elf, rom).connect()


def test_a_program_that_is_no_renode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "renode"
    script.write_text("#!/bin/sh\necho cannot start >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("RENODE", str(script))
    with pytest.raises(LinkFailure, match="Renode does not start: cannot start"):
        pico().connect()
    script.write_text("#!/bin/sh\n")
    with pytest.raises(LinkFailure, match="renode ended without a word, so it is no Renode; set"):
        pico().connect()
