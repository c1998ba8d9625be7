"""What the RP2040 firmware leaves in registers of its chip, as a program there reads them."""

from __future__ import annotations

import shutil
import struct

import pytest

from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.rp2040js import Rp2040jsTarget
from picotrain.errors import CrashFailure
from picotrain.image.elf import Elf

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="node is missing (apt: nodejs)")

UDF, NOP = 0xDE00, 0xBF00
CLK_PERI_CTRL, CLK_PERI_ENABLE = 0x40008048, 1 << 11
WATCHDOG_SCRATCH4 = 0x4005801C


def registers_after(
    target: Rp2040jsTarget, symbols: Elf, code: list[int], *words: int
) -> list[int]:
    """r0 to r11, as an undefined instruction behind some others finds them. `words` follow."""
    feed, place = symbols.symbol("pt_watchdog_feed"), symbols.symbol("pt_arena_start")
    assert feed % 4 == place % 4 == 0 and len(code) % 2 == 1
    target.write(place, struct.pack(f"<{len(code) + 1}H{len(words)}I", *code, UDF, *words))
    # LDR r0, =place; BX r0
    target.write(feed, struct.pack("<2HI", 0x4800, 0x4700, place | 1))
    with pytest.raises(CrashFailure) as caught:
        target.run(10.0)
    assert caught.value.registers["pc"] == place + 2 * len(code)
    return [caught.value.registers[f"r{number}"] for number in range(12)]


def read(target: Rp2040jsTarget, symbols: Elf, address: int) -> int:
    # LDR r0, =address; LDR r0, [r0]; NOP
    return registers_after(target, symbols, [0x4801, 0x6800, NOP], address)[0]


def test_the_stack_is_guarded(target: Rp2040jsTarget, symbols: Elf) -> None:
    """The MPU's region 0: nobody may touch the 64 MiB below SRAM. The emulator only holds it."""
    # LDR r3, =MPU_TYPE; LDR r0, [r3, #4]; LDR r1, [r3, #12]; LDR r2, [r3, #16]; NOP
    code = [0x4B02, 0x6858, 0x68D9, 0x691A, NOP]
    found = registers_after(target, symbols, code, 0xE000ED90)
    assert found[:3] == [0b101, 0x1C000000, 1 << 28 | 25 << 1 | 1]


def test_the_peripherals_have_a_clock(target: Rp2040jsTarget, symbols: Elf) -> None:
    """The UART's, which the emulator gives it anyhow."""
    assert read(target, symbols, CLK_PERI_CTRL) & CLK_PERI_ENABLE


def test_the_boot_rom_is_told_nothing(target: Rp2040jsTarget, symbols: Elf) -> None:
    """Whatever a program before left for it in the watchdog's scratch registers."""
    # LDR r0, =WATCHDOG_SCRATCH4; STR r0, [r0]; LDR r1, [r0]
    found = registers_after(target, symbols, [0x4801, 0x6000, 0x6801], WATCHDOG_SCRATCH4)
    assert found[:2] == [WATCHDOG_SCRATCH4] * 2
    assert MailboxDevice(target).command("INFO")["status"] == 2  # the watchdog started it anew
    assert read(target, symbols, WATCHDOG_SCRATCH4) == 0


def test_a_fault_keeps_all_registers(target: Rp2040jsTarget, symbols: Elf) -> None:
    # MOVS r4..r7, #4..#7; MOV r8, r4; MOV r9, r5; MOV r10, r6; MOV r11, r7; NOP
    code = [0x2404, 0x2505, 0x2606, 0x2707, 0x46A0, 0x46A9, 0x46B2, 0x46BB, NOP]
    assert registers_after(target, symbols, code)[4:] == [4, 5, 6, 7, 4, 5, 6, 7]
