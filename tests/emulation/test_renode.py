"""The flash image on Renode: boot, bits, cycles, and what goes wrong."""

from __future__ import annotations

import shutil
import struct
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest

import support
from conftest import ROOT
from picotrain import places
from picotrain.device import backends
from picotrain.device.cycles import BlockCount, difference
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.qemu import QemuTarget
from picotrain.device.targets.renode import ACCELERATOR, SRAM, RenodeTarget, _free_port, flash_image
from picotrain.device.targets.renode_release import find_renode
from picotrain.device.targets.serial import SerialTarget
from picotrain.errors import CrashFailure, FlashFailure, LinkFailure, TimeoutFailure, UserError
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison, verify
from picotrain_golden import Method
from support import METHODS, images, require

RENODE = find_renode()

pytestmark = [
    pytest.mark.skipif(
        RENODE is None, reason="Renode is not installed: run `make setup-renode`, or set RENODE"
    )
]

PLATFORM = ROOT / "emulation" / "renode"
HAND_COUNTED = (
    *("branches", "branches_conditional", "data_processing", "load_store", "load_store_multiple"),
    *("long_block", "loop", "loop_nested", "multiply", "page_crossing"),
    *("page_end_narrow_conditional", "page_end_wide", "push_pop", "system"),
)

Open = Callable[..., RenodeTarget]


def pico(
    counting: bool = False, accelerator: Path | None = None, type_: type = RenodeTarget
) -> RenodeTarget:
    elf, rom = require(firmware.RP2040), require(firmware.RP2040_ROM)
    target = type_(elf, rom, counting=counting, accelerator=accelerator)
    assert isinstance(target, RenodeTarget)
    return target


@pytest.fixture
def open_renode() -> Iterator[Open]:
    """Start targets; they are closed when the test ends."""
    targets: list[RenodeTarget] = []

    def open_(*arguments: Any, **keywords: Any) -> RenodeTarget:
        targets.append(pico(*arguments, **keywords))
        targets[-1].connect()
        return targets[-1]

    yield open_
    for target in targets:
        target.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The accelerator's, built as its Makefile does."""
    if not shutil.which("cc"):
        pytest.skip("cc is not installed (apt: gcc)")
    build = tmp_path_factory.mktemp("accelerator")
    subprocess.run(["make", "-s", "-C", str(PLATFORM), f"BUILD={build}"], check=True)
    return build / ACCELERATOR.relative_to(places.BUILD)


@pytest.fixture(scope="module", params=["hook", "accelerated"])
def accelerator(request: pytest.FixtureRequest) -> Path | None:
    """Both ways to count."""
    if request.param == "hook":
        return None
    library = request.getfixturevalue("library")
    assert isinstance(library, Path)
    return library


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


def post(target: RenodeTarget, command: str) -> None:
    """Put a command into the mailbox."""
    elf = Elf(target.elf)
    fields = elf.dtype("pt_mailbox").fields
    assert fields is not None
    number = int(elf.enum("pt_command")[f"PT_CMD_{command}"])
    address = target.mailbox_address() + int(fields["command"][1])
    target.write(address, number.to_bytes(4, "little"))


def read_registers(target: RenodeTarget, *addresses: int) -> list[int]:
    monitor = target.monitor()
    return [monitor.number(f"sysbus ReadDoubleWord {address:#x}") for address in addresses]


def run_script(script: Path) -> str:
    """Run a script of the monitor that ends with `quit`, and return what it prints."""
    command = [str(RENODE), "--disable-xwt", "--plain", "--console", "--hide-log"]
    command += ["--config", str(script.parent / "config"), str(script)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=-1, text=True, check=True, timeout=300
    )
    return done.stdout


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


# Cycles


def by_function(blocks: list[BlockCount], elf: Elf) -> dict[str, tuple[int, int]]:
    """Cycles and instructions of each function."""
    cycles: Counter[str] = Counter()
    instructions: Counter[str] = Counter()
    for block in blocks:
        name = elf.function_at(block.pc)
        cycles[name] += block.total_cycles
        instructions[name] += block.executions * block.instructions
    return {name: (cycles[name], instructions[name]) for name in cycles}


def trained(target: Any, method: Method, disturb: bool = False) -> tuple[dict[str, Any], str]:
    """What training two images runs, by function, and the digest of what was learnt."""
    device = MailboxDevice(target)
    network = support.shipped("tinycnn")
    device.load_model(network)
    device.set_method(method)
    pixels, labels = images(network, 2, seed=4)
    device.write_window("IO", pixels.tobytes() + labels.tobytes())
    before = target.profile()
    if disturb:
        fields = device.elf.dtype("pt_mailbox").fields
        assert fields is not None
        argument = target.mailbox_address() + int(fields["argument"][1])
        target.write(argument, struct.pack("<I", 2))
        post(target, "TRAIN")
        for _ in range(20):
            target.monitor().command("pause")
            target.monitor().number("sysbus.cycles Cycles")
            target.monitor().command("start")
        target.run(60.0)
    else:
        device.command("TRAIN", [2], 60.0)
    functions = by_function(difference(target.profile(), before), device.elf)
    return functions, state_sha256(device, network)


@pytest.mark.skipif(
    any(b.name == "qemu" and not b.works for b in backends.availability()),
    reason="target qemu does not work here",
)
@pytest.mark.parametrize("disturb", [False, True], ids=["", "with-pauses"])
@pytest.mark.parametrize("name", ["priot", "niti-static"])
def test_cycles_are_qemus(
    open_renode: Open, accelerator: Path | None, name: str, disturb: bool
) -> None:
    """Every kernel of whole training steps: cycles and instructions."""
    qemu = QemuTarget(require(firmware.MICROBIT), require(firmware.CYCLE_PLUGIN))
    qemu.connect()
    expected, state = trained(qemu, METHODS[name])
    qemu.close()
    target = open_renode(True, accelerator)
    counted, learnt = trained(target, METHODS[name], disturb)
    assert learnt == state
    # The boards differ in what runs around a command, and the size of the arena is a dividend.
    board = {*("pt_app_serve", "pt_board_alive", "pt_board_cycles", "pt_board_idle"), "__udivsi3"}
    kernels = {function for function in expected if function not in board | {"pt_board_run", "?"}}
    assert len(kernels) > 30
    assert {function: counted.get(function) for function in kernels} == {
        function: expected[function] for function in kernels
    }
    total = target.counters()
    assert total[0] > sum(expected[function][0] for function in kernels)


def check_counts(target: RenodeTarget) -> tuple[int, int]:
    """Cycles and instructions, if the CPU has executed as many and the blocks add up."""
    monitor = target.monitor()
    monitor.command("pause")
    cycles, instructions = target.counters()
    assert instructions == monitor.number("sysbus.cpu ExecutedInstructions")
    blocks = target.profile()
    assert blocks is not None
    assert sum(block.total_cycles for block in blocks) == cycles
    assert sum(block.executions * block.instructions for block in blocks) == instructions
    monitor.command("start")
    return cycles, instructions


def test_every_instruction_is_counted_once(open_renode: Open, accelerator: Path | None) -> None:
    target = open_renode(True, accelerator)
    for _ in range(2):
        MailboxDevice(target).command("INFO")
        check_counts(target)


class Stepped(RenodeTarget):
    """Runs for times that do not depend on the host, so that each run is like the other."""

    def _boot(self) -> None:
        self.monitor().command('emulation RunFor "0.02"')
        self._usable = True

    def run(self, timeout: float) -> None:
        while self._word("command") or self._word("status") == self._busy:
            self._check()
            self.monitor().command('emulation RunFor "0.01"')


def test_accelerated_counts_are_the_hooks(open_renode: Open, library: Path) -> None:
    """Of all code, from the reset to the end of a training step, block by block."""
    network = support.shipped("tinycnn")
    pixels, labels = images(network, 1, seed=4)
    seen = []
    for accelerator in (None, library):
        target = open_renode(True, accelerator, Stepped)
        device = MailboxDevice(target)
        device.load_model(network)
        device.set_method(METHODS["priot"])
        device.write_window("IO", pixels.tobytes() + labels.tobytes())
        device.command("TRAIN", [1])
        assert target.monitor().command("sysbus.cycles Accelerated") == str(bool(accelerator))
        seen.append((target.counters(), target.profile()))
    assert seen[0][0][1] > 10_000_000
    assert seen[0] == seen[1]


def test_acceleration_and_other_uses_of_the_core(
    open_renode: Open, library: Path, tmp_path: Path
) -> None:
    """Breakpoints, single steps and hooks at blocks work as ever, and all is counted."""
    target = open_renode(True, library)
    monitor = target.monitor()
    seen = tmp_path / "seen"
    address = Elf(target.elf).symbol("pt_app_serve")
    note = f"\"f = open('{seen}', 'a'); f.write('.'); f.close()\""
    monitor.command(f"sysbus.cpu AddHook {address:#x} {note}")
    MailboxDevice(target).command("INFO")
    check_counts(target)
    assert len(seen.read_text()) > 1
    monitor.command("sysbus.cpu RemoveAllHooks")

    monitor.command("pause")
    monitor.command("sysbus.cpu ExecutionMode SingleStep")
    monitor.command("start")
    _, before = target.counters()
    for _ in range(5):
        monitor.command("sysbus.cpu Step")
    assert target.counters()[1] == before + 5
    monitor.command("sysbus.cpu ExecutionMode Continuous")

    for command in ("Decelerate", f"Accelerate @{library}", f"Accelerate @{library}"):
        monitor.command(f"sysbus.cycles {command}")  # while it runs
        MailboxDevice(target).command("INFO")
        check_counts(target)

    seen.unlink()
    monitor.command(f"sysbus.cpu SetHookAtBlockBegin {note}")
    MailboxDevice(target).command("INFO")
    monitor.command("sysbus.cpu ClearHookAtBlockBegin")
    assert len(seen.read_text()) > 100
    MailboxDevice(target).command("INFO")
    check_counts(target)
    assert monitor.command("sysbus.cycles Accelerated") == "True"


def test_accelerators_of_two_machines(library: Path, tmp_path: Path) -> None:
    """Each of them with counts of its own."""
    image = tmp_path / "image.bin"
    image.write_bytes(flash_image(require(firmware.RP2040)))
    script = tmp_path / "two.resc"
    script.write_text(
        f"$image=@{image}\n$rom=@{require(firmware.RP2040_ROM)}\n"
        f"include @{PLATFORM}/rp2040.resc\ninclude @{PLATFORM}/CycleAccelerator.cs\n"
        "mach clear\n"
        f'mach create "two"\nmachine LoadPlatformDescription @{PLATFORM}/rp2040.repl\n'
        f"sysbus LoadBinary @{require(firmware.RP2040_ROM)} 0x0\n"  # and no flash: ends in the ROM
        "sysbus.cpu VectorTableOffset 0x0\n"
        + "".join(
            f'mach set "{name}"\nmachine LoadPlatformDescriptionFromString '
            '"cycles: Timers.CycleCounter @ sysbus 0xF0000000 { cpu: cpu }"\n'
            f"sysbus.cycles Accelerate @{library}\n"
            for name in ("rp2040", "two")
        )
        + 'emulation RunFor "0.02"\nemulation RunFor "0.02"\n'
        + "".join(
            f'mach set "{name}"\nsysbus.cycles Instructions\nsysbus.cpu ExecutedInstructions\n'
            "sysbus.cycles Cycles\nsysbus.cycles Unexplained\n"
            for name in ("rp2040", "two")
        )
        + "quit\n"
    )
    numbers = [int(word, 16) for word in run_script(script).split() if word.startswith("0x")]
    assert len(numbers) == 8
    for instructions, executed, cycles, unexplained in (numbers[:4], numbers[4:]):
        assert instructions == executed > 1000
        assert cycles > instructions
        assert unexplained == 0
    assert numbers[2] != numbers[6]


def test_counts_survive_a_reset(open_renode: Open, accelerator: Path | None) -> None:
    """All but those of the block that it ends."""
    target = open_renode(True, accelerator)
    monitor = target.monitor()
    check_counts(target)
    monitor.command("pause")
    before = target.counters()
    monitor.command("machine Reset")
    assert target.counters() == before
    monitor.command("start")
    sleep(0.3)
    monitor.command("pause")
    cycles, instructions = target.counters()
    assert instructions - before[1] == monitor.number("sysbus.cpu ExecutedInstructions") > 1000
    assert cycles > before[0]


@pytest.mark.parametrize("broken", ["missing", "text", "version"])
def test_an_accelerator_that_does_not_fit(
    open_renode: Open, tmp_path: Path, library: Path, broken: str
) -> None:
    """Is told, and the hook counts."""
    other = tmp_path / "other library.so"
    reason = {"missing": "there is no file", "text": "dynamic library", "version": "version"}
    if broken == "text":
        other.write_text("no library")
    elif broken == "version":
        source = (PLATFORM / "cycle_counter.c").read_text()
        assert "INTERFACE 1" in source
        (tmp_path / "other.c").write_text(source.replace("INTERFACE 1", "INTERFACE 2"))
        command = ["cc", "-shared", "-fPIC", "-o", str(other), str(tmp_path / "other.c")]
        subprocess.run(command, check=True)
    with pytest.warns(RuntimeWarning, match=f"counts cycles slowly: .*{reason[broken]}"):
        target = open_renode(True, other)
    MailboxDevice(target).command("INFO")
    check_counts(target)


def test_an_accelerator_that_is_not_built(
    open_renode: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is not missed."""
    from picotrain.device.targets import renode

    nowhere = Path("/nowhere/libcycle_counter.so")
    monkeypatch.setattr(renode, "ACCELERATOR", nowhere)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_counts(open_renode(True, nowhere))


@pytest.fixture(scope="module")
def hand_counted(
    tmp_path_factory: pytest.TempPathFactory, accelerator: Path | None
) -> dict[str, tuple[int, int, int]]:
    """Cycles, instructions and expected cycles of each snippet, run once by the bare core.

    The counter is used as in anybody's platform: one include, one line of a platform file; and one
    of each for the accelerator.
    """
    folder = tmp_path_factory.mktemp("bare")
    platform = folder / "core.repl"
    platform.write_text(
        "flash: Memory.MappedMemory @ sysbus 0x0\n    size: 0x200000\n\n"
        "sram: Memory.MappedMemory @ sysbus 0x20000000\n    size: 0x42000\n\n"
        "nvic: IRQControllers.NVIC @ sysbus 0xE000E000\n    IRQ -> cpu@0\n\n"
        'cpu: CPU.CortexM @ sysbus\n    cpuType: "cortex-m0+"\n    nvic: nvic\n'
        "    PerformanceInMips: 125\n"
    )
    script = [f"include @{PLATFORM}/CycleCounter.cs"]
    accelerate = []
    if accelerator is not None:
        script.append(f"include @{PLATFORM}/CycleAccelerator.cs")
        accelerate.append(f"sysbus.cycles Accelerate @{accelerator}")
    elves = {}
    snippets = ROOT / "tests" / "emulation" / "snippets"
    for name in HAND_COUNTED:
        elf = folder / f"{name}.elf"
        command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib"]
        command += [f"-Wa,-I{snippets}", "-T", str(snippets / "snippet.ld"), "-o", str(elf)]
        command += [str(snippets / "runtime.S"), str(snippets / f"{name}.S")]
        subprocess.run(command, check=True)
        elves[name] = Elf(elf)
        again = elves[name].symbol("reset") + 8
        script += [
            f'mach create "{name}"',
            f"machine LoadPlatformDescription @{platform}",
            "machine LoadPlatformDescriptionFromString "
            '"cycles: Timers.CycleCounter @ sysbus 0xF0000000 { cpu: cpu }"',
            *accelerate,
            f"sysbus LoadELF @{elf}",
            f"sysbus WriteWord {again:#x} 0xE7FE",  # the second run: a jump to itself instead
            "sysbus.cpu VectorTableOffset 0x0",
            'emulation RunFor "0.002"',
            f'sysbus.cycles Dump "{folder / name}.txt"',
            "Clear",
        ]
    script.append("quit")
    (folder / "all.resc").write_text("\n".join(script) + "\n")
    printed = run_script(folder / "all.resc")
    assert printed.count("counting in machine code") == len(elves) * len(accelerate)
    counted = {}
    for name, image in elves.items():
        low, high = image.symbol("snippet"), image.symbol("snippet_end")
        totals = np.zeros(2, int)
        for line in (folder / f"{name}.txt").read_text().splitlines():
            pc, instructions, cycles, passes, taken = line.split()
            if low <= int(pc, 16) < high:
                totals += [
                    int(cycles) * int(passes) + int(taken),
                    int(instructions) * int(passes),
                ]
        counted[name] = (int(totals[0]), int(totals[1]), image.symbol("expected_cycles"))
    return counted


@pytest.mark.parametrize("name", HAND_COUNTED)
def test_counts_what_the_hand_counted(
    hand_counted: dict[str, tuple[int, int, int]], name: str
) -> None:
    cycles, instructions, expected = hand_counted[name]
    assert cycles == expected
    assert 0 < instructions < cycles


# A device that fails


def test_rewritten_code_runs(open_renode: Open) -> None:
    """Although Renode has translated it before."""
    target = open_renode()
    device = MailboxDevice(target)
    device.command("INFO")
    address = Elf(target.elf).symbol("pt_app_serve")
    target.write(address, struct.pack("<H", 0xDE00))  # UDF
    with pytest.raises(CrashFailure) as caught:
        device.command("INFO")
    assert caught.value.place == "pt_app_serve+0x0"


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
    with pytest.raises(UserError, match="no-such-renode is not installed: `make setup-renode`"):
        RenodeTarget(elf, rom).connect()


def test_a_program_that_is_no_renode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "renode"
    script.write_text("#!/bin/sh\necho cannot start >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("RENODE", str(script))
    with pytest.raises(LinkFailure, match="Renode does not start: cannot start"):
        pico().connect()
