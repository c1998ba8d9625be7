"""The line table, on assembly that says its lines, and on the firmware against addr2line."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from picotrain.errors import BuildFailure
from picotrain.image.elf import Elf, LineRange

SOURCE = """
    .syntax unified
    .thumb
    .file 1 "nn/one.c"
    .file 2 "nn/../nn/two.h"
    .file 3 "/usr/include/far.h"
    .file 4 "../../gcc/near.S"

    .section .text.left_out, "ax"
    .type left_out, %function
left_out:
    .loc 1 99
    nop
    nop
    .size left_out, . - left_out

    .section .text.f, "ax"
    .global f
    .type f, %function
f:
    .loc 1 10
    .loc 1 11
    .loc 2 50           @ the last row at an address is that of the code
    nop
    nop
    .loc 3 7
    bl f                @ 32 bits wide
    .loc 4 8
    bx lr
    .size f, . - f
"""
START = 0x20000100


def build(folder: Path, dwarf: int) -> Elf:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed (apt: gcc-arm-none-eabi)")
    (folder / "a.s").write_text(SOURCE)
    tool = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"]
    subprocess.run([*tool, f"-gdwarf-{dwarf}", "-c", "a.s", "-o", "a.o"], cwd=folder, check=True)
    link = [f"-Wl,-Ttext={START:#x},-e,f,--gc-sections", "-nostdlib", "a.o", "-o", "a.elf"]
    subprocess.run([*tool, *link], cwd=folder, check=True, capture_output=True)
    return Elf(folder / "a.elf")


@pytest.mark.parametrize("dwarf", [4, 5])
def test_lines_of_every_form(tmp_path: Path, dwarf: int) -> None:
    elf = build(tmp_path, dwarf)
    assert elf.lines() == [
        LineRange(START, START + 4, "nn/two.h", 50),
        LineRange(START + 4, START + 8, "far.h", 7),
        LineRange(START + 8, START + 10, "gcc/near.S", 8),
    ]
    assert elf.line_at(START - 1) is None
    assert elf.line_at(START) == elf.line_at(START + 2) == ("nn/two.h", 50)
    assert elf.line_at(START + 3) == ("nn/two.h", 50)  # with the Thumb bit
    assert elf.line_at(START + 4) == elf.line_at(START + 6) == ("far.h", 7)
    assert elf.line_at(START + 8) == ("gcc/near.S", 8)
    assert elf.line_at(START + 10) is None
    assert elf.line_at(0) is None  # where the linker puts the lines of `left_out`
    # The function starts at its own line, though its first instruction is inlined.
    assert elf.source_of("f") == ("nn/one.c", 10)


def test_loaded_code(tmp_path: Path) -> None:
    elf = build(tmp_path, 4)
    nops_and_call = bytes.fromhex("c046c046fff7fcff7047")
    assert elf.loaded(START, 10) == nops_and_call
    assert elf.loaded(START + 8, 100)[:2] == nops_and_call[8:]
    with pytest.raises(BuildFailure, match="loads nothing at 0x10000000"):
        elf.loaded(0x10000000, 2)


def test_firmware_like_addr2line(microbit_elf: Elf) -> None:
    tool = shutil.which("arm-none-eabi-addr2line")
    if tool is None:
        pytest.skip("arm-none-eabi-addr2line is not installed (apt: binutils-arm-none-eabi)")
    addresses = [
        address for row in microbit_elf.lines() for address in range(row.start, row.end, 2)
    ]
    command = [tool, "-e", str(microbit_elf.path), *map(hex, addresses)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    compared = 0
    for address, answer in zip(addresses, done.stdout.splitlines(), strict=True):
        path, _, line = answer.partition(" (")[0].rpartition(":")
        if line == "?":  # it knows no code from outside of C
            continue
        found = microbit_elf.line_at(address)
        assert found is not None
        assert (found[0].rpartition("/")[2], str(found[1])) == (path.rpartition("/")[2], line)
        compared += 1
    assert compared > 0.99 * len(addresses) > 5000


def test_firmware_files_name_no_machine(microbit_elf: Elf) -> None:
    files = {row.file for row in microbit_elf.lines()}
    assert "nn/pt_trainer.c" in files
    assert "kernels/pt_numerics.h" in files  # inlined code
    assert not [file for file in files if file.startswith(("/", "."))]
    rows = microbit_elf.lines()
    assert all(before.end <= after.start for before, after in pairwise(rows))
