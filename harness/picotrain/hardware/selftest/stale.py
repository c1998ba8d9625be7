"""Copies of the firmware's ELF file that say something else than the firmware that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from picotrain.errors import BuildFailure
from picotrain.output import write_bytes

_NUMBERS = {"DW_FORM_data1": 1, "DW_FORM_data2": 2, "DW_FORM_data4": 4}


def of_another_protocol(elf: Path, copy: Path) -> None:
    """PT_PROTOCOL_VERSION is another."""
    _with_another_number(elf, copy, "pt_protocol", "PT_PROTOCOL_VERSION", "DW_AT_const_value")


def of_another_mailbox(elf: Path, copy: Path) -> None:
    """struct pt_mailbox has another size."""
    _with_another_number(elf, copy, "pt_mailbox", None, "DW_AT_byte_size")


def of_another_build(elf: Path, copy: Path) -> None:
    """A bit of its build id is another."""
    with elf.open("rb") as file:
        section: Any = ELFFile(file).get_section_by_name(".note.gnu.build-id")
        if section is None:
            raise BuildFailure(f"{elf} has no build id; build it with --build-id")
        note = next(section.iter_notes())
        end = note["n_offset"] + note["n_size"]
        _changed(elf, copy, end - len(note["n_descdata"]))


def _with_another_number(
    elf: Path, copy: Path, type_: str, member: str | None, attribute: str
) -> None:
    """The lowest bit of a number in the debugging information is another, where it is first
    defined, which is where the harness takes it from."""
    with elf.open("rb") as file:
        image = ELFFile(file)
        die = _first(image, type_)
        if die is not None and member is not None:
            die = next((one for one in die.iter_children() if _name(one) == member), None)
        if die is None or die.attributes[attribute].form not in _NUMBERS:
            raise BuildFailure(
                f"{elf}: {member or type_} is not a number in its place; build it -g"
            )
        section: Any = image.get_section_by_name(".debug_info")
        at = section["sh_offset"] + die.attributes[attribute].offset
        last = _NUMBERS[die.attributes[attribute].form] - 1
        _changed(elf, copy, at if image.little_endian else at + last)


def _first(image: ELFFile, name: str) -> Any:
    for unit in image.get_dwarf_info().iter_CUs():
        for die in unit.get_top_DIE().iter_children():
            if _name(die) == name and "DW_AT_byte_size" in die.attributes:
                return die
    return None


def _name(die: Any) -> str:
    found = die.attributes.get("DW_AT_name")
    return "" if found is None else str(found.value.decode())


def _changed(elf: Path, copy: Path, at: int) -> None:
    data = bytearray(elf.read_bytes())
    data[at] ^= 1
    write_bytes(copy, bytes(data))
