"""A program that picotrain did not build, as an ELF file: what it may be, and what is in it.

It may lack what our own images have: debugging information, sizes and types of its functions. What
it cannot lack, or must not be, is told in one sentence (UserError).
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from elftools.elf.elffile import ELFFile

from picotrain.errors import BuildFailure, UserError
from picotrain.image.elf import Elf, LineRange
from picotrain.inputs import read_bytes
from picotrain.profile.costs import decode

_GIVE = "give the linked program, as the .elf that the linker wrote"
_BUILD = "build it with -mcpu=cortex-m0plus -mthumb"
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_OTHER_CORES = {
    8: "ARMv6T2",
    10: "ARMv7",
    13: "ARMv7E-M (Cortex-M4 or M7)",
    14: "ARMv8-A",
    15: "ARMv8-R",
    16: "ARMv8-M baseline (Cortex-M23)",
    17: "ARMv8-M (Cortex-M33)",
    21: "ARMv8.1-M",
    22: "ARMv9-A",
}
"""Of the attribute that names the architecture: those with instructions that ARMv6-M lacks."""
BRANCH_TO_ITSELF = 0xE7FE
BREAKPOINT, UNDEFINED = 0xBE, 0xDE
"""The upper halves of BKPT and UDF; the lower one is a number."""


class Span(NamedTuple):
    """Memory that a section takes when the program runs."""

    name: str
    address: int
    size: int
    code: bool


class Program(Elf):
    """A linked program. Names of functions are found for hand-written assembly too."""

    def __init__(self, path: Path) -> None:
        self._checked(path)
        try:
            super().__init__(path)
        except BuildFailure as failure:
            reason = str(failure).rpartition(";")[0]
            raise UserError(f"{reason}; link it again") from None
        self.spans = self._spans()

    @staticmethod
    def _checked(path: Path) -> None:
        data = read_bytes(path, _GIVE)
        if data.startswith(b"UF2\n"):
            raise UserError(f"{path} is a UF2 file: give it with --uf2 and --target rp2040js")
        if not data.startswith(b"\x7fELF"):
            raise UserError(f"{path} is no ELF file; {_GIVE}")
        try:
            elf: Any = ELFFile(BytesIO(data))
            machine, kind, flat = elf["e_machine"], elf["e_type"], elf.elfclass == 32
            architecture = _architecture(elf)
            loads = any(one["p_type"] == "PT_LOAD" for one in elf.iter_segments())
        except Exception as error:  # pyelftools meets a broken file with many of them
            raise UserError(f"{path} is a broken ELF file ({error}); link it again") from error
        if machine != "EM_ARM" or not flat or not elf.little_endian:
            shown = str(machine).removeprefix("EM_")
            raise UserError(f"{path} is a program for {shown}, not for a 32-bit Arm; {_BUILD}")
        if kind == "ET_REL":
            raise UserError(f"{path} is an object file, which is not linked yet; {_GIVE}")
        if kind != "ET_EXEC" or not loads:
            raise UserError(f"{path} holds no program at fixed addresses; link it with -static")
        if architecture in _OTHER_CORES:
            raise UserError(
                f"{path} is built for {_OTHER_CORES[architecture]}, whose instructions a "
                f"Cortex-M0+ does not have; {_BUILD}"
            )

    def _spans(self) -> list[Span]:
        return [
            Span(
                section.name,
                section["sh_addr"],
                section["sh_size"],
                bool(section["sh_flags"] & _SHF_EXECINSTR),
            )
            for section in self._elf.iter_sections()
            if section["sh_flags"] & _SHF_ALLOC and section["sh_size"]
        ]

    @property
    def entry(self) -> int:
        """Where the linker was told that it starts, without the Thumb bit."""
        return int(self._elf["e_entry"]) & ~1

    def placed(self) -> Iterator[tuple[int, bytes]]:
        """(address, content) of what is loaded, where flash or SRAM holds it before it runs."""
        for one in self._elf.iter_segments():
            if one["p_type"] == "PT_LOAD" and one["p_filesz"]:
                yield one["p_paddr"], one.data()

    def word(self, address: int) -> int | None:
        """A word of what is loaded, or None."""
        for start, content in self.placed():
            if start <= address and address + 4 <= start + len(content):
                return int.from_bytes(content[address - start : address - start + 4], "little")
        return None

    def in_code(self, address: int) -> bool:
        return any(
            one.code and one.address <= address < one.address + one.size for one in self.spans
        )

    # Where it ends

    @cached_property
    def ends(self) -> dict[int, int]:
        """Address -> instruction of each BKPT and each branch to itself."""
        found = {}
        for address, opcode in self._instructions():
            if opcode >> 8 == BREAKPOINT or opcode == BRANCH_TO_ITSELF:
                found[address] = opcode
        return found

    def _instructions(self) -> Iterator[tuple[int, int]]:
        """(address, first halfword) of all code, without the data that mapping symbols tell of."""
        for span in self.spans:
            if not span.code:
                continue
            try:
                code = self.loaded(span.address, span.size)
            except BuildFailure:
                continue  # room only
            at = 0
            while at + 2 <= len(code):
                if self._is_data(span.address + at):
                    at += 2
                    continue
                opcode = int.from_bytes(code[at : at + 2], "little")
                yield span.address + at, opcode
                at += decode(opcode).width

    @cached_property
    def _mapping(self) -> list[tuple[int, bool]]:
        """(address, data begins here), by address."""
        table = self._elf.get_section_by_name(".symtab")
        marks = (
            [] if table is None else [(one["st_value"], one.name) for one in table.iter_symbols()]
        )
        return sorted((at, name[1] == "d") for at, name in marks if name[:2] in ("$t", "$d"))

    def _is_data(self, address: int) -> bool:
        at = bisect_right(self._mapping, (address, True)) - 1
        return at >= 0 and self._mapping[at][1]

    # Names

    @cached_property
    def _symbols(self) -> dict[str, tuple[int, int, bool]]:
        """As of ours; empty where it was stripped. Of several symbols of one name the global one
        has it, the others with their address."""
        table = self._elf.get_section_by_name(".symtab")
        symbols: dict[str, tuple[int, int, bool]] = {}
        known = [] if table is None else list(table.iter_symbols())
        for symbol in sorted(known, key=lambda one: one["st_info"]["bind"] == "STB_LOCAL"):
            kind = symbol["st_info"]["type"]
            if symbol["st_shndx"] == "SHN_UNDEF" or kind in ("STT_FILE", "STT_SECTION"):
                continue
            if not symbol.name or symbol.name.startswith("$"):
                continue
            # A label of assembly counts as a function where it is global, and in code.
            address, exported = symbol["st_value"], symbol["st_info"]["bind"] != "STB_LOCAL"
            label = kind == "STT_NOTYPE" and exported and self.in_code(address)
            function = kind == "STT_FUNC" or label
            value = (address & ~1 if function else address, symbol["st_size"], function)
            if symbol.name not in symbols:
                symbols[symbol.name] = value
            elif symbols[symbol.name] != value:
                symbols[f"{symbol.name}@0x{value[0]:x}"] = value
        return symbols

    @cached_property
    def _functions(self) -> list[tuple[int, int, str]]:
        """By address, one name for each; what has no size ends at the next, or with its section.
        A label within a function that has a size is none of its own."""
        named: dict[int, tuple[int, str]] = {}
        for name, (address, size, function) in self._symbols.items():
            known = named.get(address)
            if function and self.in_code(address) and (known is None or size > known[0]):
                named[address] = (size, name)
        functions: list[tuple[int, int, str]] = []
        starts = sorted(named)
        for number, start in enumerate(starts):
            size, name = named[start]
            if not size and functions and start < functions[-1][0] + functions[-1][1]:
                continue
            if not size:
                limits = [one.address + one.size for one in self.spans if _holds(one, start)]
                limits += starts[number + 1 : number + 2]
                size = min(limits) - start
            functions.append((start, size, name))
        return functions

    def symbol(self, name: str) -> int:
        """Address of a symbol, without the Thumb bit of code."""
        if name not in self._symbols:
            raise UserError(f"{self.path} has no symbol {name}{self._near(name)}")
        return self._symbols[name][0]

    def code_at(self, text: str, option: str) -> int:
        """The address of code that an option names, by a symbol or as 0x and its number."""
        if text.lower().startswith("0x"):
            try:
                address = int(text, 16) & ~1
            except ValueError:
                raise UserError(f"{option} {text}: no hexadecimal number") from None
        elif not self._symbols:
            raise UserError(
                f"{self.path} has no symbols, it was stripped: give the file that the linker "
                f"wrote, or {option} an address as 0x10000234"
            )
        elif text in self._symbols:
            address = self._symbols[text][0] & ~1
        else:
            raise UserError(f"{option} {text}: {self.path} has no such symbol{self._near(text)}")
        if not self.in_code(address) or self._is_data(address):
            raise UserError(
                f"{option} {text}: 0x{address:08x} is no code of {self.path}; name a function, or "
                "a label in one"
            )
        return address

    def _near(self, text: str) -> str:
        near = difflib.get_close_matches(text, self._symbols, 4, 0.6)
        near += [one for one in self._symbols if text.lower() in one.lower() and one not in near]
        if near:
            return f"; near it are {', '.join(near[:6])}"
        some = [name for _, _, name in self._functions][:6]
        return f"; its functions are {', '.join(some)}" if some else "; it has no functions"

    def symbolise(self, pc: int) -> str:
        return super().symbolise(pc).removesuffix("+0x0")

    # Lines, where it has any

    def lines(self) -> list[LineRange]:
        return self._lines_or_none[0]

    def line_at(self, pc: int) -> tuple[str, int] | None:
        return super().line_at(pc) if self._lines_or_none[0] else None

    def source_of(self, function: str) -> tuple[str, int] | None:
        return self._lines_or_none[1].get(self.symbol(function))

    @cached_property
    def _lines_or_none(self) -> tuple[list[LineRange], dict[int, tuple[str, int]]]:
        try:
            return self._line_table
        except Exception:  # none, or broken, which pyelftools meets with many exceptions
            return [], {}


def _holds(span: Span, address: int) -> bool:
    return span.address <= address < span.address + span.size


def _architecture(elf: Any) -> int | None:
    """Of the attributes that a compiler leaves, the number of the architecture."""
    section = elf.get_section_by_name(".ARM.attributes")
    for part in section.iter_subsections() if section is not None else ():
        for scope in part.iter_subsubsections():
            for attribute in scope.iter_attributes("TAG_CPU_ARCH"):
                return int(attribute.value)
    return None
