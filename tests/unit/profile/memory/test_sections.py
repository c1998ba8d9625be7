"""Every byte of flash and RAM has one owner."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from memory_boards import board_of, rp2040_only
from picotrain.errors import BuildFailure
from picotrain.image import firmware
from picotrain.profile.memory.image import SRAM, Image, Sections
from support import require

FLASH_BASE = {"microbit": 0, "rp2040": 0x10000000}


def test_parts_tile_every_section(sections: Sections) -> None:
    for section in sections.sections:
        at = section.address
        for part in (part for part in sections.parts if part.section == section.name):
            assert part.address == at and part.bytes > 0, part
            at += part.bytes
        assert at == section.address + section.bytes
    total = sum(section.bytes for section in sections.sections)
    assert sum(sections.by_object().values()) == total
    named = sum(part.bytes for part in sections.symbols())
    assert named + sections.unattributed() == total


def test_spans_tile_the_memories(image: Image, sections: Sections) -> None:
    for spans, start in ((sections.ram, SRAM), (sections.flash, FLASH_BASE[board_of(image)])):
        for span in spans:
            assert span.address == start
            start += span.bytes
    assert sum(span.bytes for span in sections.ram) == firmware.PICO_RAM == 270336
    assert sum(span.bytes for span in sections.flash) == 2 * firmware.MODEL_FLASH == 2 << 20
    ram = {span.name: span.bytes for span in sections.ram}
    arena = image.symbols.symbol("pt_arena_end") - image.symbols.symbol("pt_arena_start")
    assert ram["stack"] == 4096 and ram["arena"] == arena
    # Code runs from SRAM and is kept in flash; zeroed data is in SRAM only.
    kept = {one.name: (one.flash, one.ram) for one in sections.sections}
    assert kept[".text"][0] == kept[".text"][1] == ram[".text"]
    assert kept[".bss"] == (0, ram[".bss"])
    assert kept[".vectors"][1] == kept[".idle"][1] == 0
    flash = {span.name: span.bytes for span in sections.flash}
    assert flash["model"] == firmware.MODEL_FLASH
    loaded = sum(size for name, size in flash.items() if name not in ("free", "model"))
    assert loaded + flash["free"] == 1 << 20


@rp2040_only
def test_the_flash_image_is_its_sections(image: Image, sections: Sections) -> None:
    """The file that is written to flash, byte for byte, without a gap."""
    binary = require(image.path.with_suffix(".bin"))
    assert sum(section.flash for section in sections.sections) == binary.stat().st_size
    spans = {span.name: span for span in sections.flash}
    assert spans["free"].address == FLASH_BASE["rp2040"] + binary.stat().st_size
    assert list(spans)[:6] == [
        *(".boot2", ".vectors", ".note.gnu.build-id", ".idle", ".guard", ".cold")
    ]
    # SHA-1 with the head of a note; the second stage with its checksum.
    assert (spans[".note.gnu.build-id"].bytes, spans[".boot2"].bytes) == (16 + 20, 256)


@rp2040_only
def test_sram_from_the_stack_up(image: Image, sections: Sections) -> None:
    """The stack is no section of the image, so that it counts once, and outliving a reset costs."""
    names = [s.name for s in sections.ram if not s.name.startswith("alignment")]
    assert [name for name in names if name != ".data"] == [
        *("stack", ".text", ".kept", ".bss", "arena"),
    ]
    assert sections.ram[0].address == SRAM and sections.ram[-1].name == "arena"
    sizes = {section.name: section.bytes for section in sections.sections}
    assert ".stack" not in sizes
    # struct pt_fault: 23 words; and why the program halted.
    assert sizes[".kept"] == 23 * 4 + 4
    kept = {part.name for part in sections.parts if part.section == ".kept"}
    assert kept == {"pt_fault_record", "pt_halt_reason"}


def test_sizes_are_the_objects_own(image: Image) -> None:
    """The linker's map against the objects that it linked."""
    foreign = {one.object for one in image.inputs if image.is_foreign(one.address)}
    objects = {one.object for one in image.inputs} - foreign
    assert {"nn/pt_plan.o", "kernels/cortex_m0plus/pt_linear.o", "app/pt_app.o"} <= objects
    for name in objects:
        with image.object_file(name).open("rb") as file:
            sizes = {s.name: s["sh_size"] for s in ELFFile(file).iter_sections()}
        for one in image.inputs:
            if one.object == name:
                assert one.size == sizes[one.name], one


def test_symbols_know_their_object(image: Image, sections: Sections) -> None:
    board = board_of(image)
    parts = {part.name: part for part in sections.parts}
    program = {"microbit": "boards/microbit/board.o", "rp2040": "boards/rp2040/main.o"}[board]
    assert parts["app"].object == program and parts["app"].kind == "object"
    assert parts["pt_mailbox"].section == ".bss"
    assert parts["pt_crc32"].object == "nn/pt_crc32.o"
    assert (parts["nibble"].object, parts["nibble"].bytes) == ("nn/pt_crc32.o", 64)
    assert parts["vectors"].bytes == 192
    assert parts["vectors"].section == {"microbit": ".vectors", "rp2040": ".text"}[board]
    assert parts["__udivsi3"].object == "libgcc.a(_udivsi3.o)"
    assert parts[".rodata.pt_app_serve"].kind == "constants"
    sizes = [part.bytes for part in sections.symbols()]
    assert sizes == sorted(sizes, reverse=True)
    assert {part.object for part in sections.parts if part.kind == "fill"} == {"(linker)"}
    # Within an object, only what aligns the next function to 4 bytes.
    assert {part.bytes for part in sections.parts if part.kind == "padding"} <= {1, 2, 3}


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    elf = require(firmware.MICROBIT)
    wrong = tmp_path / "picotrain.map"
    with pytest.raises(BuildFailure, match="no map"):
        Image(elf, wrong).sections()
    wrong.write_text("Archive member included\n")
    with pytest.raises(BuildFailure, match="not a map of GNU ld"):
        Image(elf, wrong).sections()
    with pytest.raises(BuildFailure, match="no firmware image"):
        Image(wrong)
    with pytest.raises(BuildFailure, match="not for Arm"):
        Image(require(firmware.HOST))
