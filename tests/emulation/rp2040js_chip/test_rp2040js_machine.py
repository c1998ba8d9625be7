"""The emulated chip itself, without the firmware: boot ROM, clocks, faults, resets, UART."""

from __future__ import annotations

import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from caller import JOB, SCRATCH, SECONDS, SRAM, UART0, XIP, Caller, bootable
from picotrain.device.targets.rp2040js import Rp2040js
from picotrain.image import firmware
from picotrain.image.elf import open_elf

SECTOR, PAGE = 4096, 256
SYST_CSR, SYST_RVR, SYST_CVR = 0xE000E010, 0xE000E014, 0xE000E018
VTOR = 0xE000ED08
TIMERAWL = 0x40054028
CLEAR = 0x3000
RESETS, CLK_REF, CLK_SYS = 0x4000C000, 0x40008030, 0x4000803C
PLL_SYS = 0x40028000
SSI = 0x18000000
SIO_HI_IN, SIO_OUT_SET, SIO_OUT_CLR, SIO_OE_SET = (0xD0000000 + at for at in (8, 20, 24, 36))
GPIO25_CTRL, QSPI_SS_CTRL = 0x400140CC, 0x4001800C
PSM_WDSEL, WATCHDOG = 0x40010008, 0x40058000
WATCHDOG_LOAD, WATCHDOG_REASON, WATCHDOG_SCRATCH0 = WATCHDOG + 4, WATCHDOG + 8, WATCHDOG + 12

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("node", "nodejs"))
]


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


def by_hand(chip: Caller, *command: int) -> list[int]:
    """A command to the flash through the SSI, and what comes in for each of its bytes."""
    chip.poke(SSI + 8, 1)
    for byte in command:
        chip.poke(SSI + 0x60, byte)
    chip.peek(SSI + 0x28)  # all is sent
    return [chip.peek(SSI + 0x60) for _ in command]


def test_the_status_of_the_flash_is_written_once_that_is_enabled(chip: Caller) -> None:
    write, read, enable, value = 0x01, 0x05, 0x06, 0x1C
    by_hand(chip, write, value)
    assert by_hand(chip, read, 0)[1] == 0
    by_hand(chip, enable)
    assert by_hand(chip, read, 0)[1] == 2
    by_hand(chip, write, value)
    assert by_hand(chip, read, 0)[1] == value
    by_hand(chip, write, 0)
    assert by_hand(chip, read, 0)[1] == value


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
    chip.poke(SYST_RVR, 0xFFFFFF)  # from here it counts down to 0, and only then from there
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


def test_what_is_in_reset_is_not_done(chip: Caller) -> None:
    chip.poke(RESETS + CLEAR, 1 << 22)
    held = chip.peek(RESETS)
    assert held != 0 and not held & 1 << 22
    assert chip.peek(RESETS + 8) == ~held & 0x1FFFFFF


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


def test_an_interrupt_that_is_masked_ends_a_sleep(chip: Caller) -> None:
    """Also one that came before: a program that looks with interrupts off sleeps over none."""
    chip.poke(0xE000E100, 1)
    assert chip.call("sleeps_masked", 0xE000E200, 1) == 0xE000E200


# Its panel


def test_the_led_is_on_where_its_pin_is_driven_high(chip: Caller) -> None:
    chip.poke(RESETS + CLEAR, 1 << 5 | 1 << 8)
    seen = [chip.machine.led()]
    for address, value in ((SIO_OUT_SET, 1 << 25), (SIO_OE_SET, 1 << 25), (GPIO25_CTRL, 5)):
        chip.poke(address, value)
        seen.append(chip.machine.led())
    chip.poke(SIO_OUT_CLR, 1 << 25)
    assert [*seen, chip.machine.led()] == [False, False, False, True, False]


def test_the_button_is_seen_while_the_select_line_is_let_go(chip: Caller) -> None:
    def select_line() -> int:
        return chip.peek(SIO_HI_IN) >> 1 & 1

    seen = []
    for held in (False, True):
        chip.machine.button(held)
        for override in (0, 0x2000):
            chip.poke(QSPI_SS_CTRL, override)
            seen.append(select_line())
    assert seen == [1, 1, 1, 0]
    chip.machine.button(False)
    assert select_line() == 1


def test_the_flash_is_no_memory_while_its_select_line_is_let_go(chip: Caller) -> None:
    chip.call(lookup(chip, "CX"))
    chip.poke(QSPI_SS_CTRL, 0x2000)
    expect_fault(chip, "peek", XIP)
