"""The RP2040 firmware on an emulated Pico, from the boot ROM on: links, resets, cycles."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

import support
from kernel_cases import KERNELS, Case, case
from picotrain.device import backends
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.link.port import PortLost
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets import node_package
from picotrain.device.targets.rp2040js import Rp2040js, Rp2040jsTarget
from picotrain.device.targets.serial import SerialTarget, build_id
from picotrain.errors import (
    CrashFailure,
    FlashFailure,
    LinkFailure,
    TimeoutFailure,
)
from picotrain.image import firmware
from picotrain.image.elf import Elf, open_elf
from picotrain.profile.bench import Bench, Layout
from support import METHODS, begin, images

UDF, BRANCH_TO_ITSELF = bytes.fromhex("07de"), bytes.fromhex("fee7")
FLASH_SECTOR, FLASH_PAGE, UART_RING = 4096, 256, 2048
NOP_AND_BACK = bytes.fromhex("c046fde7")
CDC_INTERFACE, RESET_INTERFACE = 0, 2
CLASS_OUT = 0x21
SET_LINE_CODING, SET_CONTROL_LINE_STATE = 0x20, 0x22

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="node is missing (apt: nodejs)")


@pytest.fixture
def machine(elf: Path, package: Path) -> Iterator[Rp2040js]:
    """A Pico that runs, with both ports."""
    with Rp2040js(elf, firmware.RP2040_ROM, package) as machine:
        machine.go()
        yield machine


@pytest.fixture
def open_port(elf: Path) -> Iterator[Callable[[str], SerialTarget]]:
    opened: list[SerialTarget] = []

    def open_(url: str) -> SerialTarget:
        opened.append(SerialTarget(elf, url))
        opened[-1].connect()
        return opened[-1]

    yield open_
    for target in opened:
        target.close()


# Boot


@pytest.mark.parametrize("port", ["uart_url", "usb_url"])
def test_boots_and_answers(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget], elf: Path, port: str
) -> None:
    target = open_port(getattr(machine, port))
    hello = target.hello()
    assert hello.build == build_id(elf)[:8]
    assert hello.clock_hz == machine.state()["clock"] == 125_000_000
    assert hello.reset == "power"
    assert hello.chip.hex() == "e660000000000001"
    assert 10_000 < hello.boot_cycles < 3_000_000  # most of it the CRC-32s of the image
    data = bytes(range(256)) * 4
    assert target.echo(data) == data
    assert MailboxDevice(target).command("INFO")["status"] == 2
    assert machine.messages() == machine.state()["usb"]["complaints"] == []


def test_both_ports_at_once(machine: Rp2040js, open_port: Callable[[str], SerialTarget]) -> None:
    ports = [open_port(machine.uart_url), open_port(machine.usb_url)]
    for number in range(20):
        for port in ports:
            data = bytes([number]) * (40 * number)
            assert port.echo(data) == data


def test_a_damaged_second_stage_stays_in_the_boot_rom(elf: Path, package: Path) -> None:
    image = bytearray(elf.with_suffix(".bin").read_bytes())
    image[17] ^= 1
    target = Rp2040jsTarget(elf, firmware.RP2040_ROM, package)
    target.machine = Rp2040js(
        elf, firmware.RP2040_ROM, package, image=bytes(image), uart=False, usb=False
    )
    with pytest.raises(FlashFailure, match="CRC"):
        target.connect()
    target.close()


# The same numbers


@pytest.mark.parametrize("name", ["priot-s-weight", "niti-dynamic"])
def test_trains_as_golden_does(target: Rp2040jsTarget, reference: GoldenDevice, name: str) -> None:
    network = support.shipped("tinycnn")
    device = MailboxDevice(target)
    comparison = begin(device, reference, network, METHODS[name])
    pixels, labels = images(network, 4, seed=6)
    for step in range(2):
        comparison.traced_step(step, pixels[step], int(labels[step]))
    comparison.batch(2, pixels, labels, train=True)
    assert comparison.report.steps == 2


@pytest.mark.parametrize("port", ["uart_url", "usb_url"])
def test_trains_as_golden_does_over_a_link(
    machine: Rp2040js,
    open_port: Callable[[str], SerialTarget],
    reference: GoldenDevice,
    port: str,
) -> None:
    network = support.random_network(3)
    device = MailboxDevice(open_port(getattr(machine, port)))
    comparison = begin(device, reference, network, METHODS["priot"])
    pixels, labels = images(network, 4, seed=6)
    if port == "usb_url":  # a trace is long, and the UART slow
        comparison.traced_step(1, pixels[0], int(labels[0]))
    comparison.batch(2, pixels, labels, train=True)


# The same cycles


def busiest(kernel: str) -> Case:
    """Of some cases the one with the most operands that are not zero."""
    found = (case(kernel, number) for number in range(40))
    return max(
        found,
        key=lambda one: sum(int(np.count_nonzero(values)) for values in one.job.inputs.values()),
    )


@pytest.fixture(scope="module")
def on_qemu() -> Iterator[Bench]:
    problem = backends.problem("qemu")
    if problem:
        pytest.skip(problem)
    device = backends.open_device("qemu")
    assert isinstance(device, MailboxDevice)
    yield Bench(device)
    device.close()


@pytest.fixture(scope="module")
def counting(elf: Path, package: Path) -> Iterator[MailboxDevice]:
    target = Rp2040jsTarget(elf, firmware.RP2040_ROM, package, counting=True)
    target.connect()
    device = MailboxDevice(target)
    yield device
    device.close()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_chip_counts_the_cycles_of_the_model(
    on_qemu: Bench, counting: MailboxDevice, kernel: str
) -> None:
    """By its own SysTick, and by the emulator's counters: the plugin's on QEMU."""
    wanted = busiest(kernel)
    bench = Bench(counting)
    assert bench.run(wanted.job).answer == wanted.answer
    spent = []
    for dry in (0, 1):
        bench._prepare(wanted.job, Layout())
        spent.append(int(counting.command("BENCH", [dry])["cycles"]))
    model = on_qemu.cycles(wanted.job)
    assert model > 200
    assert spent[0] - spent[1] == model
    assert bench.cycles(wanted.job) == model


# Failures


def test_a_fault_is_told_with_its_place(target: Rp2040jsTarget, symbols: Elf) -> None:
    place = symbols.symbol("pt_watchdog_feed")
    target.write(place, UDF)
    with pytest.raises(CrashFailure, match=r"pt_watchdog_feed\+0x0") as caught:
        target.run(10.0)
    assert caught.value.registers["pc"] == place
    assert symbols.function_at(caught.value.registers["lr"]) == "pt_board_alive"
    # Its start-up code has copied the program anew.
    assert MailboxDevice(target).command("INFO")["status"] == 2


def test_a_fault_with_no_stack_left_is_told_too(target: Rp2040jsTarget, symbols: Elf) -> None:
    """The exception's frame just fits below; the handler goes on at the stack's other end."""
    place = symbols.symbol("pt_watchdog_feed")
    assert place % 4 == 0
    low = symbols.symbol("pt_stack_start") + 32
    # LDR r0, =low; MOV sp, r0; an undefined instruction; nothing; the number
    target.write(place, struct.pack("<4HI", 0x4801, 0x4685, 0xDE00, 0xBF00, low))
    with pytest.raises(CrashFailure, match=r"pt_watchdog_feed\+0x4") as caught:
        target.run(10.0)
    assert caught.value.registers["pc"] == place + 4
    assert caught.value.registers["sp"] == low
    assert caught.value.registers["r0"] == low
    assert MailboxDevice(target).command("INFO")["status"] == 2


def test_a_program_that_hangs_is_reset_by_its_watchdog(
    target: Rp2040jsTarget, symbols: Elf
) -> None:
    before = target.machine.state()["cycles"]
    target.write(symbols.symbol("pt_watchdog_feed"), BRANCH_TO_ITSELF)
    with pytest.raises(TimeoutFailure, match="watchdog"):
        target.run(30.0)
    seconds = (target.machine.state()["cycles"] - before) / 125e6
    assert 8.3 < seconds < 8.5
    assert MailboxDevice(target).command("INFO")["status"] == 2


def test_a_timeout_says_where(target: Rp2040jsTarget, symbols: Elf) -> None:
    target.write(symbols.symbol("pt_watchdog_feed"), NOP_AND_BACK)
    with pytest.raises(
        TimeoutFailure, match=r"still in pt_watchdog_feed\+0x[02] \(.*\) after 0.2 s"
    ):
        target.run(0.2)
    with pytest.raises(LinkFailure, match="connect again"):
        target.run(0.2)


def test_a_halt_is_told(target: Rp2040jsTarget, symbols: Elf) -> None:
    # LDR R0, [PC]; BX R0
    halt = (symbols.symbol("pt_board_halt") | 1).to_bytes(4, "little")
    place = symbols.symbol("pt_watchdog_feed")
    target.write(place, bytes.fromhex("00480047") + (halt if place % 4 == 0 else b"\0\0" + halt))
    with pytest.raises(CrashFailure, match="halted in pt_board_halt"):
        target.run(10.0)


def test_a_stack_that_overflows_ends_with_the_watchdog(
    target: Rp2040jsTarget, symbols: Elf
) -> None:
    # PUSH {R0}; B to it
    target.write(symbols.symbol("pt_watchdog_feed"), bytes.fromhex("01b4fde7"))
    with pytest.raises(CrashFailure, match="locked up"):
        target.run(10.0)


# Resets, by every way in


@pytest.mark.parametrize("port", ["uart_url", "usb_url"])
def test_restarts(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget], symbols: Elf, port: str
) -> None:
    target = open_port(getattr(machine, port))
    place, size = symbols.symbol("pt_fault_record"), symbols.dtype("pt_fault").itemsize
    reasons = {"program": "request", "hang": "watchdog", "fault": "fault"}
    for how, reason in reasons.items():
        hello = target.restart(how)
        assert hello is not None
        assert hello.reset == reason
        assert any(machine.read(place, size)) == (reason != "request")  # for who asks later
    machine.reset("run")
    sleep(0.1)
    target.close()
    assert open_port(getattr(machine, port)).hello().reset == "power"


@pytest.mark.parametrize("port", ["uart_url", "usb_url"])
def test_flash_outlives_a_reset(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget], port: str
) -> None:
    target = open_port(getattr(machine, port))
    device = MailboxDevice(target)
    device.command("RESET")
    address, size = device.window("FLASH")
    assert size == 1 << 20
    data = np.random.default_rng(1).bytes(5000)
    target.write(address, data)
    target.restart("program")
    device = MailboxDevice(target)
    device.command("RESET")
    assert target.read(address, len(data)) == data
    assert machine.read(address, len(data)) == data


def test_flash_is_erased_before_it_is_written(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget]
) -> None:
    """The first sector too."""
    target = open_port(machine.usb_url)
    device = MailboxDevice(target)
    device.command("RESET")
    address, _ = device.window("FLASH")
    for seed in (1, 2):
        data = np.random.default_rng(seed).bytes(5000)
        target.write(address, data)
        assert target.read(address, len(data)) == data


@pytest.mark.parametrize(
    ("flushes", "at"),
    [pytest.param(1, FLASH_SECTOR - 1, id="erase"), pytest.param(2, FLASH_PAGE - 1, id="program")],
)
def test_flash_that_does_not_take_it_is_told(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget], flushes: int, at: int
) -> None:
    """One bit, in the last byte of what was erased or programmed."""
    target = open_port(machine.usb_url)
    device = MailboxDevice(target)
    device.command("RESET")
    address, _ = device.window("FLASH")
    page = bytes(range(FLASH_PAGE))
    flushed = open_elf(firmware.RP2040_ROM.with_suffix(".elf")).symbol("rom_flash_flush_cache")
    machine.halt()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(target.write, address, page)
        for _ in range(flushes):
            assert machine.run(30.0, [flushed]).why == "stop"
        machine.write(address + at, b"\xfe")
        machine.go()
        with pytest.raises(LinkFailure, match="PT_LINK_ERR_FLASH"):
            writing.result(60.0)
    target.write(address, page)
    assert target.read(address, len(page)) == page


def await_state(machine: Rp2040js, what: Callable[[dict[str, object]], bool]) -> None:
    deadline = monotonic() + 10.0
    while not what(machine.state()):
        assert monotonic() < deadline, machine.state()
        sleep(0.01)


def await_usb(machine: Rp2040js, times: int = 1) -> None:
    await_state(machine, lambda state: state["usb"]["enumerations"] == times)  # type: ignore[index]


def in_bootsel(machine: Rp2040js) -> None:
    place = open_elf(firmware.RP2040_ROM.with_suffix(".elf")).symbol("rom_bootsel")
    await_state(machine, lambda state: state["pc"] == place)
    await_state(machine, lambda state: state["usb"]["stage"] == "detached")  # type: ignore[index]


@pytest.mark.parametrize("port", ["uart_url", "usb_url"])
def test_goes_to_bootsel_by_command(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget], port: str
) -> None:
    assert open_port(getattr(machine, port)).restart("bootsel") is None
    in_bootsel(machine)


def test_goes_to_bootsel_by_a_touch_at_1200_baud(machine: Rp2040js) -> None:
    await_usb(machine)
    for baud in (115200, 1200):
        coding = baud.to_bytes(4, "little") + bytes([0, 0, 8])
        done = machine.usb_request(CLASS_OUT, SET_LINE_CODING, index=CDC_INTERFACE, data=coding)
        assert done.status == "ack"
        machine.usb_request(CLASS_OUT, SET_CONTROL_LINE_STATE, 1, CDC_INTERFACE)
        machine.usb_request(CLASS_OUT, SET_CONTROL_LINE_STATE, 0, CDC_INTERFACE)
    in_bootsel(machine)


@pytest.mark.parametrize(("request_", "reaches"), [(1, "bootsel"), (2, "program")])
def test_picotool_resets_it(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget], request_: int, reaches: str
) -> None:
    await_usb(machine)
    machine.usb_request(CLASS_OUT, request_, index=RESET_INTERFACE)
    if reaches == "bootsel":
        in_bootsel(machine)
    else:
        await_usb(machine, times=2)
        assert open_port(machine.usb_url).hello().reset == "request"


# USB


def test_usb_says_what_it_is(machine: Rp2040js) -> None:
    await_usb(machine)
    usb = machine.state()["usb"]
    assert usb["descriptors"]["strings"]["serial"] == "E660000000000001"
    assert usb["descriptors"]["device"][8:12] == [0x8A, 0x2E, 0x0A, 0x00]
    assert machine.usb_request(0x80, 0x77).status == "stall"
    status = machine.usb_request(0x80, 0, length=2)
    assert (status.status, status.data) == ("ack", b"\0\0")
    assert machine.state()["usb"]["complaints"] == []


def test_usb_pulled_out_in_the_middle(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget]
) -> None:
    target = open_port(machine.usb_url)
    assert target.echo(b"before") == b"before"
    machine.plug(False)
    with pytest.raises(LinkFailure):
        target._link().echo(b"into the void")
    # The UART does not mind.
    assert open_port(machine.uart_url).echo(b"meanwhile") == b"meanwhile"
    machine.plug(True)
    target.close()
    await_usb(machine, times=2)
    assert open_port(machine.usb_url).echo(b"after") == b"after"
    assert machine.state()["usb"]["complaints"] == []


def test_clients_come_and_go(machine: Rp2040js, elf: Path) -> None:
    for number in range(5):
        target = SerialTarget(elf, machine.usb_url if number % 2 else machine.uart_url)
        target.connect()
        assert target.echo(bytes([number]) * 1000) == bytes([number]) * 1000
        target.close()


def test_the_uart_holds_as_many_bytes_as_its_ring(machine: Rp2040js, symbols: Elf) -> None:
    """While the program takes none: what comes then is lost, and nothing of before."""
    machine.halt()
    assert machine.run(30.0, [symbols.symbol("pt_board_idle")]).why == "stop"  # the code is checked
    machine.write(symbols.symbol("pt_uart_receive"), BRANCH_TO_ITSELF)
    places = {name: symbols.symbol(name) for name in ("written", "taken", "ring")}

    def word(name: str) -> int:
        return int.from_bytes(machine.read(places[name], 4), "little")

    data = np.random.default_rng(3).bytes(UART_RING + 200)
    begun = word("taken")
    where = ("127.0.0.1", int(machine.uart_url.rpartition(":")[2]))
    with socket.create_connection(where) as client:
        client.sendall(data)
        for _ in range(100):
            machine.run(30.0, cycles=1_250_000)
            if word("written") - begun >= UART_RING:
                break
        machine.run(30.0, cycles=12_500_000)  # 0.1 s, in which the rest comes too
    assert (word("taken"), word("written") - begun) == (begun, UART_RING)
    held = machine.read(places["ring"], UART_RING)
    assert held[begun:] + held[:begun] == data[:UART_RING]


def test_the_uart_interrupts_for_every_eight_bytes(machine: Rp2040js, symbols: Elf) -> None:
    """A quarter of its FIFO, at the rate of the divisor that is nearest to the baud rate."""
    machine.halt()
    place, seen = symbols.symbol("pt_uart_interrupt"), []
    where = ("127.0.0.1", int(machine.uart_url.rpartition(":")[2]))
    with socket.create_connection(where) as client:
        client.sendall(bytes(403))
        for _ in range(50):
            stop = machine.run(30.0, [place])
            assert stop.why == "stop"
            seen.append(stop.cycles)
        # The last three, which fill no quarter, come when the line has been silent.
        assert machine.run(30.0, [place]).why == "stop"
        machine.run(30.0, cycles=10_000)
    assert machine.read(symbols.symbol("written"), 4) == (403).to_bytes(4, "little")
    divisor = round(64 * 125_000_000 / (16 * 921_600)) / 64
    late = (seen[-1] - seen[0]) / 49 - 8 * 10 * 16 * divisor
    assert 0 <= late < 8 * 2  # the emulator takes a byte between two instructions


def test_a_second_client_throws_the_first_one_out(machine: Rp2040js) -> None:
    where = ("127.0.0.1", int(machine.uart_url.rpartition(":")[2]))
    with socket.create_connection(where) as first, socket.create_connection(where):
        first.settimeout(10.0)
        with suppress(ConnectionResetError):
            assert first.recv(1) == b""


# The process


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_idle_chip_takes_no_time_of_ours(
    machine: Rp2040js, open_port: Callable[[str], SerialTarget]
) -> None:
    port = open_port(machine.usb_url)
    assert machine._process is not None
    before = cpu_seconds(machine._process.pid)
    sleep(1.0)
    assert cpu_seconds(machine._process.pid) - before < 0.2
    assert port.echo(b"awake") == b"awake"


def test_sigterm_ends_it(machine: Rp2040js) -> None:
    assert machine._process is not None
    machine._process.send_signal(signal.SIGTERM)
    assert machine._process.wait(10) == 0


def by_hand(elf: Path, package: Path, *more: str) -> list[str]:
    """The command of the README."""
    files = ["--rom", str(firmware.RP2040_ROM), "--elf", str(elf), "--package", str(package)]
    return ["node", str(node_package.SOURCE / "pico.mjs"), *files, *more]


def test_it_runs_by_hand_and_its_usb_goes_with_bootsel(
    elf: Path, package: Path, tmp_path: Path, open_port: Callable[[str], SerialTarget]
) -> None:
    """Without a control channel; at the end the flash is saved."""
    saved = tmp_path / "flash.bin"
    command = by_hand(elf, package, "--usb", "0", "--save-flash", str(saved))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["usb"]
            target = open_port(f"socket://127.0.0.1:{port}")
            assert target.echo(b"by hand") == b"by hand"
            sleep(0.2)
            before = cpu_seconds(process.pid)
            sleep(1.0)
            assert cpu_seconds(process.pid) - before < 0.2  # it knows where it is idle
            link = target._link()
            with pytest.raises(PortLost):  # not only silent
                link.restart("bootsel")
                link.echo(b"to nobody")
        finally:
            process.terminate()
        assert process.wait(10) == 0
    assert saved.stat().st_size == 2 << 20
    assert saved.read_bytes().startswith(elf.with_suffix(".bin").read_bytes())


def test_it_ends_with_its_parent(elf: Path, package: Path, tmp_path: Path) -> None:
    """Even one that is killed, and without a control channel; it says so."""
    said = tmp_path / "said"
    script = f"""
import subprocess, time
runner = subprocess.Popen({by_hand(elf, package, "--uart", "0")!r},
    stdout=subprocess.PIPE, stderr=open({str(said)!r}, "w"))
runner.stdout.readline()
print(runner.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists():
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            break
        assert monotonic() < deadline
        sleep(0.05)
    assert said.read_text() == f"pico: ends: the process that started it ({parent.pid}) has ended\n"
