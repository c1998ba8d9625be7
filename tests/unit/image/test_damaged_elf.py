"""ELF files whose segments are at odds with themselves: no image, wherever one is read."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from picotrain.errors import BuildFailure, UserError
from picotrain.image import firmware, uf2
from picotrain.image.elf import Elf
from support import require

SEGMENT = {"p_offset": 4, "p_vaddr": 8, "p_paddr": 12, "p_filesz": 16, "p_memsz": 20}
SECTION = {"sh_addr": 12, "sh_offset": 16, "sh_size": 20}
Change = Callable[[Any, bytearray], None]


def segment(number: int, field: str, by: int) -> Change:
    """The segment that is loaded as the `number`-th has another number in `field`."""

    def change(elf: Any, content: bytearray) -> None:
        at = elf["e_phoff"] + number * elf["e_phentsize"] + SEGMENT[field]
        value = struct.unpack_from("<I", content, at)[0]
        struct.pack_into("<I", content, at, value + by)

    return change


def section(name: str, field: str, by: int) -> Change:
    def change(elf: Any, content: bytearray) -> None:
        number = [one.name for one in elf.iter_sections()].index(name)
        at = elf["e_shoff"] + number * elf["e_shentsize"] + SECTION[field]
        value = struct.unpack_from("<I", content, at)[0]
        struct.pack_into("<I", content, at, value + by)

    return change


def test_the_sound_file_is_read() -> None:
    path = require(firmware.RP2040)
    Elf(path)
    assert uf2.read_image(path)


SCRIPT = """
PHDRS { all PT_LOAD; }
SECTIONS {
    .text 0x20000000 : { *(.text) } :all
    .room (NOLOAD) : { . = . + 0x300; }
    .data : { *(.data) }
    .bss : { *(.bss) }
    .tail 0x20001000 : { LONG(0) }
}
"""


def test_room_for_variables_between_sections_is_no_damage(tmp_path: Path) -> None:
    require(firmware.MICROBIT)  # where that is built, there is a compiler
    source, script, path = (tmp_path / name for name in ("a.c", "a.ld", "a.elf"))
    source.write_text("int data = 5, bss[99]; int _start(void) { return data + bss[data]; }\n")
    script.write_text(SCRIPT)
    options = ["-mcpu=cortex-m0plus", "-mthumb", "-nostdlib", "-g", "-Wl,--build-id=none"]
    command = ["arm-none-eabi-gcc", *options, "-T", str(script), str(source), "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    assert Elf(path).symbol("data") > 0x20000300


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (segment(0, "p_memsz", -16), "bytes for the"),
        (segment(0, "p_filesz", 1 << 20), "bytes for the"),
        (segment(0, "p_filesz", -4), "bytes, but"),
        (segment(0, "p_vaddr", 0x100), "but loaded to 0x10000100"),
        (segment(0, "p_offset", -4), "but loaded to"),
        (segment(1, "p_paddr", -0x100), "two segments hold"),
        (segment(1, "p_vaddr", 0x10000000 - 0x20001000), "two segments hold"),
        (section(".cold", "sh_addr", 8), "whose section .cold is for"),
        (section(".cold", "sh_offset", 8), "whose section .cold is for"),
        (section(".vectors", "sh_size", -4), "where something is missing before the section .note"),
        (section(".idle", "sh_size", 8), "where another one overlaps before the section .guard"),
        (section(".text", "sh_size", -4), "by its sections"),
        (section(".text", "sh_size", 4), "by its sections"),
    ],
)
def test_what_disagrees_is_refused(tmp_path: Path, change: Change, sentence: str) -> None:
    source, path = require(firmware.RP2040), tmp_path / "image.elf"
    content = bytearray(source.read_bytes())
    with source.open("rb") as file:
        change(ELFFile(file), content)
    path.write_bytes(content)
    for read, error in ((uf2.read_image, UserError), (Elf, BuildFailure)):
        with pytest.raises(error) as caught:
            read(path)  # type: ignore[operator]
        assert f"{path}: a damaged ELF file, " in str(caught.value)
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_uf2_is_made_without_numpy() -> None:
    """By the build of a wheel, where there is pyelftools alone."""
    program = "import sys; sys.modules['numpy'] = None; import picotrain.image.uf2"
    subprocess.run([sys.executable, "-c", program], check=True)
