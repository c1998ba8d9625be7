"""The emulated chip itself, without the firmware: boot ROM, clocks, faults, resets.

The program in flash is `rp2040js_chip/caller.S`, which calls what a test tells it to.
"""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from picotrain.device.targets import node_package
from picotrain.device.targets.rp2040js import Rp2040js, Stop
from picotrain.errors import LinkFailure, UserError
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from support import require

SOURCES = Path(__file__).parent / "rp2040js_chip"
SECONDS = 30.0

XIP, SRAM, JOB = 0x10000000, 0x20000000, 0x20000000
SCRATCH = 0x20001000
SECTOR, PAGE = 4096, 256
SYST_CSR, SYST_RVR, SYST_CVR = 0xE000E010, 0xE000E014, 0xE000E018
VTOR = 0xE000ED08
TIMERAWL = 0x40054028
CLEAR = 0x3000
RESETS, CLK_REF, CLK_SYS = 0x4000C000, 0x40008030, 0x4000803C
PLL_SYS = 0x40028000
PSM_WDSEL, WATCHDOG = 0x40010008, 0x40058000
WATCHDOG_LOAD, WATCHDOG_REASON, WATCHDOG_SCRATCH0 = WATCHDOG + 4, WATCHDOG + 8, WATCHDOG + 12
UART0 = 0x40034000

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("node", "nodejs"))
]


@pytest.fixture(scope="session")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    elf = tmp_path_factory.mktemp("caller") / "caller.elf"
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib"]
    command += ["-Wl,--build-id=none", "-T", str(SOURCES / "caller.ld"), "-o", str(elf)]
    subprocess.run([*command, str(SOURCES / "caller.S")], check=True)
    raw = str(elf.with_suffix(".bin"))
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", str(elf), raw], check=True)
    return elf


def crc32(data: bytes) -> int:
    """Of the RP2040's boot ROM: most significant bit first, no final inversion."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def bootable(elf: Path) -> bytes:
    code = elf.with_suffix(".bin").read_bytes().ljust(252, b"\0")
    return code + crc32(code).to_bytes(4, "little")


class Caller:
    """A machine that has booted `caller.S`, stopped between calls."""

    def __init__(self, machine: Rp2040js, rom: Path) -> None:
        self.machine = machine
        self.symbol = open_elf(machine.elf).symbol
        self.rom = open_elf(rom.with_suffix(".elf")).symbol
        self.boot()

    def boot(self) -> None:
        stop = self.machine.run(SECONDS, [self.symbol("pt_board_idle")])
        assert stop.why == "stop"

    def word(self, address: int) -> int:
        return int.from_bytes(self.machine.read(address, 4), "little")

    def start(self, function: int, *arguments: int, stops: tuple[int, ...] = ()) -> Stop:
        words = [function | 1, *arguments]
        data = b"".join(word.to_bytes(4, "little") for word in words)
        self.machine.write(JOB, data)
        return self.machine.run(SECONDS, stops, JOB)

    def call(self, function: int | str, *arguments: int) -> int:
        address = self.symbol(function) if isinstance(function, str) else function
        stop = self.start(address, *arguments)
        assert stop.why == "zero", stop
        return self.word(JOB + 4)

    def peek(self, address: int) -> int:
        return self.call("peek", address)

    def poke(self, address: int, value: int) -> None:
        self.call("poke", address, value)


@pytest.fixture
def open_machine(caller: Path, package: Path) -> Iterator[Callable[..., Rp2040js]]:
    opened: list[Rp2040js] = []

    def open_(image: bytes | None = None, *options: str) -> Rp2040js:
        rom = require(firmware.RP2040_ROM)
        held = bootable(caller) if image is None else image
        machine = Rp2040js(caller, rom, package, image=held, uart=False, usb=False, options=options)
        opened.append(machine)
        machine.start()
        return machine

    yield open_
    for machine in opened:
        machine.close()


@pytest.fixture(scope="module")
def shared(caller: Path, package: Path) -> Iterator[Rp2040js]:
    rom = require(firmware.RP2040_ROM)
    with Rp2040js(caller, rom, package, image=b"", uart=False, usb=False) as machine:
        yield machine


@pytest.fixture
def chip(shared: Rp2040js, caller: Path) -> Caller:
    shared.write(XIP, bootable(caller).ljust(0x200000, b"\xff"))
    shared.reset("power")
    return Caller(shared, firmware.RP2040_ROM)


# The boot ROM


def test_rom_starts_a_right_image_with_lr_0(chip: Caller) -> None:
    assert chip.word(JOB + 4) == 0
    copied = chip.machine.read(0x20041F00, 256)
    assert copied == chip.machine.read(XIP, 256)


@pytest.mark.parametrize("at", [0, 1, 100, 251, 252, 255])
def test_rom_refuses_an_image_with_a_wrong_bit(
    open_machine: Callable[..., Rp2040js], caller: Path, at: int
) -> None:
    image = bytearray(bootable(caller))
    image[at] ^= 1 << at % 8
    machine = open_machine(bytes(image))
    stop = machine.run(SECONDS, [open_elf(caller).symbol("pt_board_idle")])
    assert stop.why == "bootsel"


def test_rom_refuses_an_empty_flash(open_machine: Callable[..., Rp2040js]) -> None:
    assert open_machine(b"").run(SECONDS).why == "bootsel"


def lookup(chip: Caller, code: str) -> int:
    half = chip.machine.read(0x14, 6)
    table, find = (int.from_bytes(half[at : at + 2], "little") for at in (0, 4))
    return chip.call(find, table, ord(code[0]) | ord(code[1]) << 8)


def test_rom_has_a_table_of_functions(chip: Caller) -> None:
    assert chip.machine.read(0x10, 3) == b"Mu\x01"
    names = {
        "IF": "rom_connect_internal_flash",
        "EX": "rom_flash_exit_xip",
        "RE": "rom_flash_range_erase",
        "RP": "rom_flash_range_program",
        "FC": "rom_flash_flush_cache",
        "CX": "rom_flash_enter_cmd_xip",
        "UB": "rom_reset_to_usb_boot",
    }
    for code, name in names.items():
        assert lookup(chip, code) == chip.rom(name) | 1, code
    assert lookup(chip, "P3") == 0


def test_rom_erases_sectors_and_programs_zeros(chip: Caller) -> None:
    noise = random.Random(5).randbytes(3 * SECTOR)
    chip.machine.write(XIP + 0x100000, noise)
    erase, program = lookup(chip, "RE"), lookup(chip, "RP")
    chip.call(erase, 0x101000, SECTOR, 1 << 16, 0xD8)
    expected = bytearray(noise)
    expected[SECTOR : 2 * SECTOR] = b"\xff" * SECTOR
    assert chip.machine.read(XIP + 0x100000, 3 * SECTOR) == expected
    first, second = (random.Random(seed).randbytes(PAGE) for seed in (1, 2))
    for data in (first, second):
        chip.machine.write(SCRATCH + 1, data)  # no alignment is asked for
        chip.call(program, 0x101100, SCRATCH + 1, PAGE)
    expected[SECTOR + PAGE : SECTOR + 2 * PAGE] = bytes(
        one & other for one, other in zip(first, second, strict=True)
    )
    assert chip.machine.read(XIP + 0x100000, 3 * SECTOR) == expected


def test_rom_ends_as_a_usb_drive_on_request(chip: Caller) -> None:
    chip.poke(RESETS + CLEAR, 1 << 21)
    chip.poke(WATCHDOG_LOAD, 1000)
    chip.poke(WATCHDOG, 1 << 30)
    assert chip.start(lookup(chip, "UB") & ~1, 0, 0).why == "bootsel"
    # Also the watchdog does not lead out of it.
    stop = chip.machine.run(SECONDS, cycles=100_000)
    assert (stop.why, stop.pc) == ("bootsel", chip.rom("rom_bootsel"))


def test_flash_is_memory_only_while_it_is_mapped(chip: Caller) -> None:
    chip.call(lookup(chip, "CX"))
    assert chip.peek(XIP) == chip.word(XIP)
    chip.call(lookup(chip, "EX"))
    expect_fault(chip, "peek", XIP)


# Clocks


def set_clock(chip: Caller, feedback: int, first: int, second: int) -> None:
    """PLL_SYS on the crystal of 12 MHz, and clk_sys on it."""
    chip.poke(RESETS + CLEAR, 1 << 12)
    for offset, value in ((0, 1), (8, feedback), (4, 0), (12, first << 16 | second << 12)):
        chip.poke(PLL_SYS + offset, value)
    chip.poke(CLK_SYS, 1)


CLOCKS = {125: (125, 6, 2), 200: (100, 6, 1)}


@pytest.mark.parametrize("megahertz", CLOCKS)
def test_systick_and_timer_count_the_same_time(chip: Caller, megahertz: int) -> None:
    set_clock(chip, *CLOCKS[megahertz])
    chip.poke(RESETS + CLEAR, 1 << 21)
    assert chip.machine.state()["clock"] == megahertz * 1_000_000
    chip.poke(SYST_RVR, 0xFFFFFF)
    chip.poke(SYST_CVR, 1)
    chip.poke(SYST_CSR, 5)
    begin, micros, counter = (
        chip.machine.state()["cycles"],
        chip.peek(TIMERAWL),
        chip.peek(SYST_CVR),
    )
    between = chip.machine.state()["cycles"] - begin
    # More than two of SysTick's rounds, at an odd place.
    chip.machine.run(SECONDS, cycles=40_000_001)
    chip.machine.run(SECONDS, [chip.symbol("pt_board_idle")])
    start = chip.machine.state()["cycles"]
    later, counted = chip.peek(TIMERAWL), chip.peek(SYST_CVR)
    spent = start - begin
    assert chip.machine.state()["cycles"] - start == between
    assert (counter - counted) % (1 << 24) == spent % (1 << 24)
    assert abs((later - micros) - spent / megahertz) <= 1


def test_time_goes_on_when_the_clock_changes(chip: Caller) -> None:
    chip.poke(RESETS + CLEAR, 1 << 21)
    start, first = chip.machine.state()["cycles"], chip.peek(TIMERAWL)
    chip.machine.run(SECONDS, cycles=6_500_000)
    chip.boot()
    spent, before = chip.machine.state()["cycles"] - start, chip.peek(TIMERAWL)
    assert abs(before - first - spent / 6.5) <= 1
    set_clock(chip, *CLOCKS[125])
    assert 0 < chip.peek(TIMERAWL) - before < 100


def test_systick_sees_the_cycles_of_the_table(chip: Caller) -> None:
    chip.poke(SYST_RVR, 0xFFFFFF)
    chip.poke(SYST_CVR, 0)
    chip.poke(SYST_CSR, 5)
    # LDR 2, BL 3, PUSH of 3 registers 4, POP of 3 with PC 6, NOP 1
    assert chip.call("ticks", SYST_CVR) == 2 + 3 + 4 + 6 + 1


def test_without_corrections_push_and_pop_are_short(open_machine: Callable[..., Rp2040js]) -> None:
    chip = Caller(open_machine(None, "--uncorrected"), firmware.RP2040_ROM)
    chip.poke(SYST_RVR, 0xFFFFFF)
    chip.poke(SYST_CVR, 0)
    chip.poke(SYST_CSR, 5)
    assert chip.call("ticks", SYST_CVR) == 2 + 3 + 4 + 6 + 1 - 2


def test_systick_stays_at_0_for_a_cycle(chip: Caller) -> None:
    chip.poke(SYST_RVR, 2)
    chip.poke(SYST_CVR, 0)
    chip.poke(SYST_CSR, 5)
    # A pass of the loop takes 8 cycles, or with a zero 8 too: every third one meets it.
    assert chip.call("zeros", SYST_CVR, 300) == 100
    assert chip.peek(SYST_CSR) == 5 | 1 << 16


# Faults


def expect_fault(chip: Caller, function: str, *arguments: int, at: int | None = None) -> None:
    """The call ends in the ROM's handler, with the place of the instruction on the stack."""
    handler = chip.rom("rom_fault")
    stop = chip.start(chip.symbol(function), *arguments, stops=(handler,))
    assert (stop.why, stop.pc) == ("stop", handler)
    state = chip.machine.state()
    assert state["xpsr"] & 0x3F == 3
    frame = state["registers"][13]
    assert [chip.word(frame + 4 * n) for n in range(len(arguments))] == list(arguments)
    assert chip.word(frame + 24) == (chip.symbol(function) if at is None else at)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("peek", (SRAM + 2,)),
        ("peek", (SRAM + 1,)),
        ("read_half", (SRAM + 1,)),
        ("poke", (SRAM + 3, 1)),
        ("peek", (0x30000000,)),
        ("poke", (0x30000000, 1)),
        ("peek", (SRAM + 0x42000,)),
        ("peek", (SRAM - 4,)),
        ("peek", (0x4000,)),
        ("poke", (XIP, 0)),
        ("poke", (0, 0)),
        ("undefined", ()),
        ("unknown", ()),
    ],
)
def test_what_the_core_cannot_do_is_a_fault(
    chip: Caller, function: str, arguments: tuple[int, ...]
) -> None:
    expect_fault(chip, function, *arguments)


@pytest.mark.parametrize("call", [True, False])
def test_a_branch_out_of_thumb_is_a_fault_at_its_target(chip: Caller, call: bool) -> None:
    """By BLX, or by BX."""
    place = SRAM + 0x100
    words = [place] if call else [chip.symbol("branch") | 1, place]
    chip.machine.write(JOB, b"".join(word.to_bytes(4, "little") for word in words))
    handler = chip.rom("rom_fault")
    assert chip.machine.run(SECONDS, [handler]).pc == handler
    assert chip.word(chip.machine.state()["registers"][13] + 24) == place


def start_watchdog(chip: Caller, count: int) -> int:
    """Arm it for `count` half microseconds (RP2040-E1); the cycle of that."""
    chip.poke(PSM_WDSEL, 0x1FFFC)
    chip.poke(WATCHDOG_LOAD, count)
    begin = int(chip.machine.state()["cycles"])
    chip.poke(WATCHDOG, 1 << 30)
    return begin


def test_a_fault_without_a_stack_locks_up_until_the_watchdog(chip: Caller) -> None:
    # MOV SP, R0; BX LR
    chip.machine.write(SCRATCH, bytes.fromhex("85467047"))
    begin = start_watchdog(chip, 1_000_000)
    chip.call(SCRATCH, 0x30000000)
    stop = chip.start(chip.symbol("undefined"))
    assert stop.why == "locked"
    assert "0x2fffffe0" in stop.message
    assert any("lockup" in line for line in chip.machine.messages())
    reset = chip.rom("rom_reset")
    stop = chip.machine.run(SECONDS, [reset], through_resets=True)
    assert (stop.why, stop.pc) == ("stop", reset)
    assert abs(stop.cycles - begin - 500_000 * 6.5) < 200
    chip.boot()
    assert chip.peek(WATCHDOG_REASON) == 1


def test_a_fault_in_the_handler_of_faults_locks_up(chip: Caller) -> None:
    handler = chip.symbol("undefined")
    chip.machine.write(SCRATCH + 12, (handler | 1).to_bytes(4, "little"))
    chip.poke(VTOR, SCRATCH)
    stop = chip.start(handler)
    assert (stop.why, stop.pc) == ("locked", handler)


# Resets


def arm_watchdog(chip: Caller, select: int) -> None:
    chip.poke(PSM_WDSEL, select)
    for number in range(8):
        chip.poke(WATCHDOG_SCRATCH0 + 4 * number, 100 + number)
    chip.machine.write(SCRATCH, b"kept")
    chip.machine.write(XIP + 0x100000, b"kept")


def test_the_watchdog_resets_all_but_what_it_keeps(chip: Caller) -> None:
    arm_watchdog(chip, 0x1FFFC)
    chip.poke(RESETS + CLEAR, 1 << 22)
    chip.poke(UART0 + 0x24, 8)
    set_clock(chip, *CLOCKS[125])
    words = [chip.symbol("poke") | 1, WATCHDOG, 1 << 31]
    chip.machine.write(JOB, b"".join(word.to_bytes(4, "little") for word in words))
    stop = chip.machine.run(SECONDS)
    assert (stop.why, stop.pc) == ("reset", chip.rom("rom_reset"))
    chip.boot()
    assert chip.peek(WATCHDOG_REASON) == 2
    kept = [chip.peek(WATCHDOG_SCRATCH0 + 4 * number) for number in range(8)]
    assert kept == [100 + number for number in range(8)]
    assert chip.machine.read(SCRATCH, 4) == chip.machine.read(XIP + 0x100000, 4) == b"kept"
    assert chip.peek(RESETS) & 1 << 22
    assert chip.machine.state()["clock"] == 6_500_000
    assert chip.peek(PSM_WDSEL) == 0


def test_the_watchdog_bites_after_its_time(chip: Caller) -> None:
    set_clock(chip, *CLOCKS[125])
    begin = start_watchdog(chip, 20_000)
    stop = chip.machine.run(SECONDS)
    assert stop.why == "reset"
    assert abs(stop.cycles - begin - 10_000 * 125) < 200
    chip.boot()
    assert chip.peek(WATCHDOG_REASON) == 1


def test_a_watchdog_that_resets_nothing_does_nothing(chip: Caller) -> None:
    start_watchdog(chip, 1000)
    chip.poke(PSM_WDSEL, 0)
    assert chip.machine.run(SECONDS, cycles=100_000).why == "cycles"
    chip.boot()
    assert chip.peek(WATCHDOG_REASON) == 1


def test_a_partial_reset_is_refused(chip: Caller) -> None:
    chip.poke(PSM_WDSEL, 1 << 15)
    assert chip.start(chip.symbol("poke"), WATCHDOG, 1 << 31).why == "error"


@pytest.mark.parametrize("kind", ["run", "power"])
def test_other_resets_keep_less(chip: Caller, kind: str) -> None:
    arm_watchdog(chip, 0x1FFFC)
    chip.machine.reset(kind)
    chip.boot()
    assert chip.peek(WATCHDOG_REASON) == 0
    assert chip.peek(WATCHDOG_SCRATCH0) == 0
    assert (chip.machine.read(SCRATCH, 4) == b"kept") == (kind == "run")
    assert chip.machine.read(XIP + 0x100000, 4) == b"kept"


# UART

BYTE_CYCLES = 10 * 16 * 4


def start_uart(chip: Caller, divisor: int) -> None:
    chip.poke(RESETS + CLEAR, 1 << 22)
    for offset, value in ((0x24, divisor), (0x28, 0), (0x2C, 0x70), (0x30, 0x301)):
        chip.poke(UART0 + offset, value)


def received(chip: Caller, most: int) -> list[int]:
    """What is in the FIFO, word by word as the chip reads it, with time for more between."""
    found: list[int] = []
    while len(found) < most and not chip.peek(UART0 + 0x18) & 0x10:
        found.append(chip.peek(UART0))
        chip.machine.run(SECONDS, cycles=2 * BYTE_CYCLES)
        chip.boot()
    return found


@pytest.mark.parametrize("overrun", [False, True])
def test_uart_keeps_what_has_no_room_or_loses_it(
    open_machine: Callable[..., Rp2040js], overrun: bool
) -> None:
    options = ["--uart", "0", *(["--uart-overrun"] if overrun else [])]
    chip = Caller(open_machine(None, *options), firmware.RP2040_ROM)
    start_uart(chip, 4)
    port = int(chip.machine.uart_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(bytes(range(100)))
        for _ in range(50):  # until the runner has them, and the wire too
            chip.machine.run(SECONDS, cycles=10 * BYTE_CYCLES)
        chip.boot()
        if not overrun:
            assert received(chip, 200) == list(range(100))
            return
        assert received(chip, 200) == list(range(32))
        client.sendall(b"xy")
        for _ in range(50):
            chip.machine.run(SECONDS, cycles=10 * BYTE_CYCLES)
        chip.boot()
        assert received(chip, 200) == [ord("x") | 0x800, ord("y")]


def test_uart_sends_at_its_rate(open_machine: Callable[..., Rp2040js]) -> None:
    chip = Caller(open_machine(None, "--uart", "0"), firmware.RP2040_ROM)
    start_uart(chip, 60000)
    port = int(chip.machine.uart_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(SECONDS)
        begin = chip.machine.state()["cycles"]
        for number in range(33):
            assert bool(chip.peek(UART0 + 0x18) & 0x20) == (number == 32)
            chip.poke(UART0, number)
        while not chip.peek(UART0 + 0x18) & 0x80:
            chip.machine.run(SECONDS, cycles=1_000_000)
            chip.boot()
        spent = chip.machine.state()["cycles"] - begin
        assert 32 <= spent / (10 * 16 * 60000) < 33
        got = b""
        while len(got) < 32:
            got += client.recv(100)
        assert got == bytes(range(32))  # the last one had no room


# What is not modelled, and who uses the machine


def test_what_is_not_modelled_ends_the_run(chip: Caller) -> None:
    stop = chip.start(chip.symbol("peek"), UART0)
    assert stop.why == "error"
    assert "in reset" in stop.message
    assert any("in reset" in line for line in chip.machine.messages())
    assert chip.machine.run(SECONDS).why == "error"
    chip.machine.reset()
    chip.boot()
    assert chip.start(chip.symbol("peek"), 0x40060000).why == "error"


def test_counts_are_all_instructions(open_machine: Callable[..., Rp2040js]) -> None:
    chip = Caller(open_machine(None, "--count"), firmware.RP2040_ROM)
    chip.call("zeros", SCRATCH, 1000)
    state, counts = chip.machine.state(), chip.machine.counts()
    assert sum(one.executions for one in counts) == state["instructions"]
    assert sum(one.total_cycles for one in counts) == state["cycles"]
    by_pc = {one.pc: one for one in counts}
    subs = by_pc[chip.symbol("zeros") + 10]
    assert subs.executions == 1000
    assert by_pc[subs.pc + 2].taken == 999


def test_wrong_requests_are_refused(chip: Caller) -> None:
    with pytest.raises(LinkFailure, match="no memory for 4 bytes at 0x30000000"):
        chip.machine.read(0x30000000, 4)
    with pytest.raises(LinkFailure, match="no memory"):
        chip.machine.write(SRAM + 0x41FFF, b"12")
    with pytest.raises(LinkFailure, match="no reset of kind"):
        chip.machine.reset("wet")


def test_a_long_run_is_interrupted(chip: Caller) -> None:
    stop = chip.machine.run(0.2)
    assert stop.why == "interrupted"
    assert chip.machine.run(SECONDS, cycles=1000).why == "cycles"


def test_flash_is_saved(
    open_machine: Callable[..., Rp2040js], tmp_path: Path, caller: Path
) -> None:
    saved = tmp_path / "flash.bin"
    saved.write_bytes(b"of before")
    machine = open_machine(None, "--save-flash", str(saved))
    machine.write(XIP + 0x1FFFFC, b"last")
    assert saved.read_bytes() == b"of before"
    machine.close()
    assert saved.read_bytes()[:256] == bootable(caller)
    assert saved.read_bytes()[0x1FFFFC:] == b"last"


def test_without_an_image_the_elf_file_is_in_flash(package: Path) -> None:
    """Its physical addresses: the firmware's code in SRAM comes from flash."""
    elf, rom = require(firmware.RP2040), require(firmware.RP2040_ROM)
    with Rp2040js(elf, rom, package, uart=False, usb=False) as machine:
        wanted = elf.with_suffix(".bin").read_bytes().ljust(0x200000, b"\xff")
        assert machine.read(XIP, 0x200000) == wanted


def uf2(*parts: tuple[int, bytes], family: int = 0xE48BFF56) -> bytes:
    """A block for each offset and its 256 bytes."""
    blocks = b""
    for number, (offset, data) in enumerate(parts):
        head = (0x0A324655, 0x9E5D5157, 0x2000, XIP + offset, 256, number, len(parts), family)
        words = b"".join(word.to_bytes(4, "little") for word in head)
        blocks += (words + data).ljust(508, b"\0") + (0x0AB16F30).to_bytes(4, "little")
    return blocks


def test_a_uf2_is_the_same_flash(caller: Path, package: Path) -> None:
    """Its blocks may come in any order, and leave gaps."""
    image = uf2((0x1000, b"\x55" * 256), (0, bootable(caller)))
    rom = require(firmware.RP2040_ROM)
    with Rp2040js(caller, rom, package, image=image, uart=False, usb=False) as machine:
        assert Caller(machine, rom).word(XIP + 0x1000) == 0x55555555
        assert machine.read(XIP + 256, 256) == b"\xff" * 256


def test_mistakes_are_explained(caller: Path, package: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make setup"):
        Rp2040js(caller, firmware.RP2040_ROM, tmp_path).start()
    with pytest.raises(UserError, match="boot ROM"):
        Rp2040js(caller, tmp_path / "rom.bin", package).start()
    with pytest.raises(UserError, match="firmware image"):
        Rp2040js(tmp_path / "picotrain.elf", firmware.RP2040_ROM, package).start()
    # It is no program, and only an image brings --any-flash along.
    with pytest.raises(LinkFailure, match=r"caller\.elf is no program"):
        Rp2040js(caller, firmware.RP2040_ROM, package).start()


# The command line


def refused(*arguments: str | Path) -> str:
    """What pico.mjs says to a command line that it does not take."""
    command = ["node", str(node_package.SOURCE / "pico.mjs"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("pico: ")
    return line


@pytest.fixture
def right(package: Path) -> dict[str, str | Path]:
    """Options that pico.mjs takes."""
    elf, rom = require(firmware.RP2040), require(firmware.RP2040_ROM)
    return {"--package": package, "--rom": rom, "--elf": elf, "--usb": "0"}


def refused_with(right: dict[str, str | Path], **changes: str | Path | None) -> str:
    """The same with some options changed, or left out for None."""
    given = right | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return refused(*(part for pair in given.items() if pair[1] is not None for part in pair))


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("package", None, "--package is missing; --help"),
        ("rom", None, "--rom is missing; --help"),
        ("elf", None, "--elf is missing, or --flash; --help"),
        ("usb", None, "give --uart PORT, --usb PORT or both"),
        ("usb", "zz", "--usb zz is no port: give 1 to 65535, or 0"),
        ("usb", "0x10", "--usb 0x10 is no port"),
        ("usb", "-1", "--help lists the options"),
        ("uart", "65536", "--uart 65536 is no port"),
        ("uart", "", "--uart  is no port"),
        ("unique", "12", "--unique 12 is no number of 8 bytes: give 16 hexadecimal digits"),
        ("unique", "e66000000000000g", "--unique e66000000000000g is no number"),
        ("idle", "0x10000288", "Unknown option '--idle'; --help lists the options"),
        ("control", "77", "--control 77 is no channel"),
        ("control", "/nowhere/socket", "--control /nowhere/socket is no channel"),
        ("save_flash", "/nowhere/flash", "--save-flash /nowhere/flash cannot be written (no such"),
        ("package", "/", "`python -m picotrain.device.targets.node_package`"),
        ("rom", "/nowhere", "--rom /nowhere cannot be read (no such file or directory): `make"),
        ("rom", "/etc/passwd", "--rom /etc/passwd is no boot ROM: `make -C emulation/rom`"),
        ("elf", "/nowhere", "--elf /nowhere cannot be read (no such file or directory): `make"),
        ("elf", "/etc/passwd", "--elf /etc/passwd is no ELF file of a 32-bit Arm"),
        ("flash", "/etc/passwd", "--flash /etc/passwd is no program for the RP2040 (stack 0x"),
        ("flash", "/", "--flash / cannot be read"),
    ],
)
def test_a_wrong_option_is_refused_with_a_fix(
    right: dict[str, str | Path], option: str, value: str | None, says: str
) -> None:
    assert says in refused_with(right, **{option: value})


def test_files_of_a_wrong_kind_are_refused(
    right: dict[str, str | Path], tmp_path: Path, caller: Path
) -> None:
    elf, rom = firmware.RP2040, firmware.RP2040_ROM
    assert "give it as --elf" in refused_with(right, flash=elf)
    assert "give the rom.bin beside it" in refused_with(right, rom=rom.with_suffix(".elf"))
    assert "no symbol pt_board_idle" in refused_with(right, elf=rom.with_suffix(".elf"))
    alone = tmp_path / "rom.bin"
    alone.write_bytes(rom.read_bytes())
    assert f"{tmp_path / 'rom.elf'} (beside --rom) cannot be read" in refused_with(right, rom=alone)

    held = elf.with_suffix(".bin").read_bytes()
    file = tmp_path / "file"

    def written(data: bytes) -> Path:
        file.write_bytes(data)
        return file

    assert "damaged ELF" in refused_with(right, elf=written(elf.read_bytes()[:30000]))
    other = bytearray(held)
    other[0x2345] ^= 1
    assert "another build than --elf" in refused_with(right, flash=written(bytes(other)))
    assert "at 0x10002345" in refused_with(right, flash=file)
    large = bytes(0x200001)
    assert "the flash is 2 MiB" in refused_with(right, flash=written(large))
    first = (0, held[:256])
    assert "no program" in refused_with(right, flash=written(uf2(first)))
    assert "no block at byte 512" in refused_with(right, flash=written(uf2(first) + b"more"))
    assert "another chip" in refused_with(right, flash=written(uf2(first, family=0xADA52840)))
    elsewhere = (0x200000, held[:256])
    assert "0x10200000" in refused_with(right, flash=written(uf2(elsewhere)))


@pytest.mark.parametrize("stack", [0x20000000, 0x20042004, 0x20041002, 0x10000000])
def test_a_stack_outside_of_sram_is_refused(
    right: dict[str, str | Path], tmp_path: Path, stack: int
) -> None:
    refused_vectors(right, tmp_path / "flash.bin", stack, 0x10000101)


@pytest.mark.parametrize("start", [0x10000100, 0x100000FF, 0x10200001, 0x20000001])
def test_a_start_outside_of_flash_is_refused(
    right: dict[str, str | Path], tmp_path: Path, start: int
) -> None:
    refused_vectors(right, tmp_path / "flash.bin", 0x20042000, start)


def refused_vectors(right: dict[str, str | Path], file: Path, stack: int, start: int) -> None:
    vectors = stack.to_bytes(4, "little") + start.to_bytes(4, "little")
    file.write_bytes(bytes(256) + vectors)
    says = f"(stack 0x{stack:08x}, start 0x{start:08x} at 0x10000100)"
    assert says in refused_with(right, elf=None, flash=file)


def test_help_names_each_option() -> None:
    command = ["node", str(node_package.SOURCE / "pico.mjs"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    options = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  --")}
    manual = (node_package.SOURCE / "README.md").read_text()
    assert len(options) == 14
    assert all(f"`{option}" in manual for option in options)
