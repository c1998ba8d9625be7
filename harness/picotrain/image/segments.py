"""Whether the segments of an ELF file that are loaded agree with each other and its sections.

The wheel's build makes the UF2 with this and pyelftools alone: no NumPy here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

_SHF_ALLOC = 2


def damage_of(elf: Any) -> str:
    """In what the segments that are loaded are at odds with each other or with the sections; empty
    for a sound file, or one with no segments."""
    loads = [one for one in elf.iter_segments() if one["p_type"] == "PT_LOAD"]
    for load in loads:
        if load["p_filesz"] > load["p_memsz"]:
            return (
                f"whose segment at 0x{load['p_vaddr']:08x} has {load['p_filesz']} bytes for the "
                f"{load['p_memsz']} of its memory"
            )
    for start, size in (("p_vaddr", "p_memsz"), ("p_paddr", "p_filesz")):
        spans = sorted((one[start], one[size]) for one in loads if one[size])
        for (first, length), (second, _) in pairwise(spans):
            if first + length > second:
                return f"of which two segments hold 0x{second:08x}"
    ends = [0] * len(loads)
    held = [
        section
        for section in (elf.iter_sections() if loads else ())
        if section["sh_flags"] & _SHF_ALLOC
        and section["sh_type"] != "SHT_NOBITS"
        and section["sh_size"]
    ]
    for section in sorted(held, key=lambda one: one["sh_offset"]):
        for number, load in enumerate(loads):
            offset = section["sh_offset"] - load["p_offset"]
            if 0 <= offset < load["p_filesz"]:
                if section["sh_addr"] - load["p_vaddr"] != offset:
                    return (
                        f"whose section {section.name} is for 0x{section['sh_addr']:08x}, but "
                        f"loaded to 0x{load['p_vaddr'] + offset:08x}"
                    )
                # Before the first may be the ELF header; between others, what aligns the next, or
                # the zeros that linkers make of room for variables, as behind the last.
                gap = offset - ends[number]
                wide = ends[number] and gap >= max(section["sh_addralign"], 1)
                if gap < 0 or (wide and any(load.data()[ends[number] : offset])):
                    what = "something is missing" if gap > 0 else "another one overlaps"
                    return f"where {what} before the section {section.name}"
                ends[number] = offset + section["sh_size"]
                break
    for load, end in zip(loads, ends, strict=True):
        if held and (end > load["p_filesz"] or any(load.data()[end:])):
            return (
                f"whose segment at 0x{load['p_vaddr']:08x} has {load['p_filesz']} bytes, but "
                f"{end} by its sections"
            )
    return ""
