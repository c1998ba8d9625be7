"""The C library's two functions that the boards have (boards/cortex_m0): lengths and places."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import pytest

from caller import SCRATCH, Caller
from picotrain.places import SHIPPED

FROM, TO, ROOM = SCRATCH + 0x400, SCRATCH + 0x600, 0x100
LENGTHS = (*range(36), 63, 64, 97, 160)
PATTERN = bytes(range(1, 256))


def put(chip: Caller, folder: Path, name: str) -> None:
    """The function's code at SCRATCH."""
    source, raw = SHIPPED / "firmware" / "boards" / "cortex_m0" / f"{name}.S", folder / "code.bin"
    made = str(folder / "code.o")
    subprocess.run(["arm-none-eabi-gcc", "-c", str(source), "-o", made], check=True)
    copy = ["arm-none-eabi-objcopy", "-O", "binary", "-j", f".text.{name}"]
    subprocess.run([*copy, made, str(raw)], check=True)
    chip.machine.write(SCRATCH, raw.read_bytes())


@pytest.mark.parametrize(("to", "source"), [*product((0, 1, 2, 3), (0, 1)), (2, 2), (3, 3)])
def test_memcpy(chip: Caller, tmp_path: Path, to: int, source: int) -> None:
    put(chip, tmp_path, "memcpy")
    chip.machine.write(FROM, PATTERN[:ROOM])
    for length in LENGTHS:
        chip.machine.write(TO, bytes(ROOM))
        assert chip.call(SCRATCH, TO + to, FROM + source, length) == TO + to
        wanted = bytes(to) + PATTERN[source : source + length]
        assert chip.machine.read(TO, ROOM) == wanted.ljust(ROOM, b"\0"), length


@pytest.mark.parametrize("to", range(4))
def test_memset(chip: Caller, tmp_path: Path, to: int) -> None:
    put(chip, tmp_path, "memset")
    for length in LENGTHS:
        chip.machine.write(TO, bytes(ROOM))
        assert chip.call(SCRATCH, TO + to, 0x1A5, length) == TO + to
        assert chip.machine.read(TO, ROOM) == (bytes(to) + b"\xa5" * length).ljust(ROOM, b"\0")
