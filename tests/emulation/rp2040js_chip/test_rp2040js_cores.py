"""The second core of the emulated chip: how it starts, sleeps, and waits for banks of memory."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from caller import Caller
from picotrain.device.targets import node_package
from picotrain.device.targets.rp2040js import Rp2040js
from picotrain.image import firmware

FIFO_ST, FIFO_WR, FIFO_RD, CPUID = 0xD0000050, 0xD0000054, 0xD0000058, 0xD0000000
FRCE_OFF, PROC1 = 0x40010004, 1 << 16
TABLE, STACK, DATA = 0x20000200, 0x20001000, 0x20002000
LOADS = 1000
VALID, READY, OVERFLOWN, EMPTIED = 1, 2, 4, 8

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("node", "nodejs"))
]


def tell(chip: Caller, word: int) -> int:
    """What core 1 answers."""
    chip.poke(FIFO_WR, word)
    chip.call("signal")
    while not chip.peek(FIFO_ST) & VALID:
        pass
    return chip.peek(FIFO_RD)


def start(chip: Caller, address: int, count: int = LOADS) -> None:
    """Core 1 at `second`, by the boot ROM's protocol."""
    job = chip.symbol("second_job")
    for at, word in ((job, address), (job + 4, count), (job + 8, 99), (job + 12, 99)):
        chip.machine.write(at, word.to_bytes(4, "little"))
    for word in (0, 0, 1, TABLE, STACK, chip.symbol("second") | 1):
        assert tell(chip, word) == word


def test_core_1_starts_and_sleeps(chip: Caller) -> None:
    assert chip.peek(CPUID) == 0
    assert chip.peek(FIFO_ST) == READY
    # What is no 1 begins anew.
    assert [tell(chip, word) for word in (0, 7, 0, 5)] == [0, 7, 0, 5]
    start(chip, DATA)
    chip.call("loads", DATA + 4, 2 * LOADS)
    job = chip.symbol("second_job")
    assert [chip.word(job + 8), chip.word(job + 12)] == [1, 0]
    # Asleep again it takes no time from anybody.
    before = chip.machine.state()
    chip.call("loads", DATA, LOADS)
    assert chip.machine.state()["stalls"] == before["stalls"]


def test_core_1_is_forced_off_and_starts_anew(chip: Caller) -> None:
    start(chip, DATA)
    chip.poke(FRCE_OFF, PROC1)
    chip.poke(FIFO_WR, 1)
    chip.call("signal")
    chip.call("loads", DATA, LOADS)
    assert not chip.peek(FIFO_ST) & VALID
    chip.poke(FRCE_OFF, 0)
    chip.call("loads", DATA, LOADS)
    start(chip, DATA)


def test_fifos_hold_eight_words_and_tell_mistakes(chip: Caller) -> None:
    chip.poke(FRCE_OFF, PROC1)
    assert chip.peek(FIFO_RD) == 0
    assert chip.peek(FIFO_ST) == READY | EMPTIED
    for word in range(8):
        chip.poke(FIFO_WR, word)
    assert chip.peek(FIFO_ST) == EMPTIED
    chip.poke(FIFO_WR, 8)
    assert chip.peek(FIFO_ST) == EMPTIED | OVERFLOWN
    chip.poke(FIFO_ST, 0)
    assert chip.peek(FIFO_ST) == 0


def spent(machine: Rp2040js, mine: int, other: int) -> tuple[int, list[int]]:
    """Cycles of core 0 while both load, and what each waited."""
    chip = Caller(machine, firmware.RP2040_ROM)
    start(chip, other, 3 * LOADS)
    before = machine.state()
    chip.call("loads", mine, LOADS)
    after = machine.state()
    waited = [b - a for a, b in zip(before["stalls"], after["stalls"], strict=True)]
    return after["cycles"] - before["cycles"], waited


@pytest.mark.parametrize("other", [DATA, DATA + 4])
def test_cores_wait_for_each_other(open_machine: Callable[..., Rp2040js], other: int) -> None:
    """A cycle of core 0 is one that it executes or waits."""
    alone, none = spent(open_machine(None, "--no-contention"), DATA, other)
    assert none == [0, 0]
    both, waited = spent(open_machine(), DATA, other)
    assert both == alone + waited[0]
    assert min(waited) > 0  # code lies in one bank
    assert spent(open_machine(), DATA, other) == (both, waited)


def node(script: str) -> Any:
    """What it prints, with the emulator's cores.mjs at hand."""
    source = (node_package.SOURCE / "cores.mjs").as_uri()
    whole = f"import {{ bankOf, findData, Traffic }} from '{source}';\n{script}"
    command = ["node", "--input-type=module", "-e", whole]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_banks() -> None:
    """Four that take words in turn, two small ones; none where each core has a port of its own."""
    places = [0x20000000, 0x20000007, 0x2000000C, 0x2003FFF0, 0x20040000, 0x20041FFC]
    places += [0x00000100, 0x10000100, 0x40054000, 0x50100000, 0xD0000054, 0xE000ED08]
    banks = node(f"console.log(JSON.stringify({places}.map(bankOf)))")
    assert banks == [0, 1, 3, 0, 4, 5, 6, 7, 10, 11, -1, -1]


def test_who_waits_and_how_long() -> None:
    """By hand. In turn: LDR r2, [r1] at 0x20000000 (fetches bank 0 in cycle 10, loads bank 1 in
    11); then on the other core LDM r1!, {r2-r4} of three words from bank 0 on, at 0x20000002."""
    script = """
    const registers = new Uint32Array(16);
    const [a, b] = [new Traffic(), new Traffic()];
    registers[1] = 0x20000104; findData(0x680a, registers);
    const first = a.charge(0x680a, 0x20000000, 10, 2, b);
    // Fetches bank 0 in cycle 10, which waits until 11. Its loads then are in 12, 13 and 14.
    registers[1] = 0x20000100; findData(0xc91c, registers);
    const fetch = b.charge(0xc91c, 0x20000002, 10, 4, a);
    // The word is there already: a load of bank 1 in cycle 13 waits for the LDM's second word.
    registers[1] = 0x20000204; findData(0x680a, registers);
    const data = a.charge(0x680a, 0x20000002, 12, 2, b);
    // Another bank.
    registers[1] = 0x2000020c; findData(0x680a, registers);
    const none = a.charge(0x680a, 0x20000002, 12, 2, b);
    console.log(JSON.stringify([first, fetch, data, none, a.stalls, b.stalls]));
    """
    assert node(script) == [0, 1, 1, 0, 1, 1]
