"""What the firmware's ELF file says of it: symbols, and the layout of its structs from DWARF.

The protocol and the model blob are defined once, as C structs and enums. The harness turns those
into NumPy dtypes and enumerations here, so that no offset and no number stands a second time in
Python.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from enum import EnumType, IntEnum
from functools import cached_property, lru_cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from posixpath import normpath
from typing import Any, Literal, NamedTuple

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from picotrain.errors import BuildFailure
from picotrain.image.segments import damage_of
from picotrain.places import BUILD_AGAIN

_TRANSPARENT = {"DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"}
_SIGNED = {5, 6, 13}  # DW_ATE_signed, signed_char; 13 is DW_ATE_signed_fixed
_SHF_ALLOC = 2
_LANGUAGES_C = {1, 2, 0xC, 0x1D, 0x2C}  # DW_LANG_C89, C, C99, C11, C17
_SHOWN_FLAGS = ("O", "march=", "mcpu=")


class LineRange(NamedTuple):
    """Code from address `start` to before `end`, and the source line that it comes from."""

    start: int
    end: int
    file: str
    line: int


def open_elf(path: Path) -> Elf:
    """The image at `path`, parsed once for as long as the file stays the same."""
    try:
        return _cached(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise BuildFailure(f"{path}: no firmware image ({error}); {BUILD_AGAIN}") from error


@lru_cache(maxsize=8)
def _cached(path: Path, modified: int) -> Elf:
    return Elf(path)


def _older(path: Path, name: str) -> str:
    return f"{path}: the firmware is older than this picotrain, it has no {name}; {BUILD_AGAIN}"


def _extent(attributes: Any) -> int:
    """Elements of an array: gcc gives the last, clang their number."""
    if "DW_AT_count" in attributes:
        return int(attributes["DW_AT_count"].value)
    # A flexible array member has no bound, and no size.
    bound = attributes.get("DW_AT_upper_bound")
    return 0 if bound is None else int(bound.value) + 1


def _enumeration(path: Path, title: str, members: dict[str, int]) -> type[IntEnum]:
    """With a sentence for a name that the firmware does not have yet."""

    class Names(EnumType):
        def __getitem__(cls, name: str) -> Any:
            try:
                return super().__getitem__(name)
            except KeyError:
                raise BuildFailure(_older(path, name)) from None

    class Numbers(IntEnum, metaclass=Names):
        pass

    make: Any = Numbers
    made: type[IntEnum] = make(title, members)
    return made


class Elf:
    """A firmware image. Raises BuildFailure where the file is missing, foreign or lacks DWARF."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: dict[tuple[str, str], Any] = {}
        try:
            self._elf: Any = ELFFile(BytesIO(path.read_bytes()))
            if sections := self._elf.num_sections():  # at the end of the file, which may be cut off
                self._elf.get_section(sections - 1)
        except (OSError, ELFError) as error:
            raise BuildFailure(f"{path}: no firmware image ({error}); {BUILD_AGAIN}") from error
        if damage := damage_of(self._elf):
            raise BuildFailure(f"{path}: a damaged ELF file, {damage}; {BUILD_AGAIN}")

    @property
    def byte_order(self) -> Literal["little", "big"]:
        """Of the machine that the image is for."""
        return "little" if self._elf.little_endian else "big"

    @property
    def order(self) -> Literal["<", ">"]:
        """The same, as NumPy and `struct` write it."""
        return "<" if self._elf.little_endian else ">"

    @cached_property
    def _named(self) -> list[tuple[str, int, int, bool]]:
        """Name, address without the Thumb bit, size, is a function; two files may share a name."""
        table = self._elf.get_section_by_name(".symtab")
        if table is None:
            raise BuildFailure(f"{self.path}: no symbols, it was stripped; {BUILD_AGAIN}")
        symbols = []
        for symbol in table.iter_symbols():
            if symbol["st_shndx"] == "SHN_UNDEF" or symbol.name.startswith("$"):
                continue
            function = symbol["st_info"]["type"] == "STT_FUNC"
            address = self._code(symbol["st_value"]) if function else symbol["st_value"]
            symbols.append((symbol.name, address, symbol["st_size"], function))
        return symbols

    @cached_property
    def _addresses(self) -> dict[str, int]:
        """Addresses by name; what all files know comes last in the table, and stays."""
        return {name: address for name, address, _, _ in self._named}

    def _code(self, address: int) -> int:
        """A code address without the Thumb bit that Arm keeps in it."""
        return address & ~1 if self._elf["e_machine"] == "EM_ARM" else address

    @cached_property
    def _functions(self) -> list[tuple[int, int, str]]:
        return sorted((a, s, n) for n, a, s, function in self._named if function)

    def symbol(self, name: str) -> int:
        """Address of a symbol, without the Thumb bit."""
        try:
            return self._addresses[name]
        except KeyError:
            raise BuildFailure(f"{self.path}: no symbol {name}; {BUILD_AGAIN}") from None

    def symbols(self) -> list[str]:
        return sorted(self._addresses)

    def function_at(self, pc: int) -> str:
        """Name of the function that holds `pc`, or "?"."""
        return self._function(pc)[0]

    def _function(self, pc: int) -> tuple[str, int]:
        """The same, and its address."""
        pc = self._code(pc)
        at = bisect_right(self._functions, (pc, 1 << 62, "")) - 1
        if at >= 0:
            address, size, name = self._functions[at]
            if pc < address + max(size, 2):
                return name, address
        return "?", 0

    def symbolise(self, pc: int) -> str:
        """`function+0xoffset` for a code address."""
        name, start = self._function(pc)
        if name == "?":
            return f"0x{pc:08x}"
        return f"{name}+0x{self._code(pc) - start:x}"

    def lines(self) -> list[LineRange]:
        """The line table, by address: ranges that do not overlap, without code of no known line.

        Files are named relative to the firmware's folder, inlined code by the file it stands in.
        A file from elsewhere keeps no path of the machine that built it.
        """
        return self._line_table[0]

    def line_at(self, pc: int) -> tuple[str, int] | None:
        """Source file and line of the code at `pc`, inlined code included, or None."""
        pc = self._code(pc)
        lines = self.lines()
        at = bisect_right(lines, pc, key=lambda row: row.start) - 1
        if at < 0 or pc >= lines[at].end:
            return None
        return lines[at].file, lines[at].line

    def source_of(self, function: str) -> tuple[str, int] | None:
        """Source file and line where a function starts, or None.

        `line_at` its address may name another line, inlined from another file.
        """
        return self._line_table[1].get(self.symbol(function))

    @cached_property
    def _line_table(self) -> tuple[list[LineRange], dict[int, tuple[str, int]]]:
        """All ranges, by address, and the first line that is given for an address."""
        if self._elf.get_section_by_name(".debug_line") is None:
            raise BuildFailure(f"{self.path}: no line table; build with -g")
        dwarf = self._elf.get_dwarf_info()
        ranges: list[LineRange] = []
        firsts: dict[int, tuple[str, int]] = {}
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            for rows in _sequences(program) if program is not None else ():
                # Of several rows at one address the last counts. Line 0: the compiler knows none.
                for (start, file, line), (end, _, _) in pairwise(rows):
                    if line:
                        firsts.setdefault(start, (file, line))
                        if end > start:
                            ranges.append(LineRange(start, end, file, line))
        return sorted(ranges), firsts

    @cached_property
    def compiler(self) -> str:
        """What compiled the C, with its options for the machine: "GNU C11 12.2.1 20221205 -O2".

        By the debugging information; several, by how much they compiled, if they were mixed; empty
        where it does not say.
        """
        made: Counter[str] = Counter()
        for unit in self._elf.get_dwarf_info().iter_CUs() if self._elf.has_dwarf_info() else ():
            found = unit.get_top_DIE().attributes
            if "DW_AT_producer" in found and found["DW_AT_language"].value in _LANGUAGES_C:
                name, *flags = found["DW_AT_producer"].value.decode().split(" -")
                shown = [f"-{flag}" for flag in flags if flag.startswith(_SHOWN_FLAGS)]
                made[" ".join([name, *shown])] += 1
        return ", ".join(name for name, _ in made.most_common())

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the code and data that are loaded, without notes and debugging information."""
        digest = hashlib.sha256()
        for section in self._elf.iter_sections():
            loaded = section["sh_flags"] & _SHF_ALLOC and section["sh_type"] == "SHT_PROGBITS"
            if loaded and not section.name.startswith(".note"):
                digest.update(section.name.encode())
                digest.update(section.data())
        return digest.digest()

    @cached_property
    def _loaded(self) -> list[tuple[int, bytes]]:
        """(address at which it runs, content) of the sections that are loaded."""
        return [
            (section["sh_addr"], section.data())
            for section in self._elf.iter_sections()
            if section["sh_type"] == "SHT_PROGBITS" and section["sh_flags"] & _SHF_ALLOC
        ]

    def loaded(self, address: int, size: int) -> bytes:
        """What the image has for `size` bytes of memory at `address`, at most to the section's end.

        `address` is where the bytes are at run time, not where flash holds a copy of them.
        """
        for start, content in self._loaded:
            if start <= address < start + len(content):
                return content[address - start : address - start + size]
        raise BuildFailure(f"{self.path}: the image loads nothing at 0x{address:08x}")

    @cached_property
    def _types(self) -> dict[tuple[str, str], Any]:
        """(tag, name) -> the defining DIE."""
        if self._elf.get_section_by_name(".debug_info") is None:
            raise BuildFailure(f"{self.path}: no debug information; build with -g")
        try:
            return self._read_types()
        except Exception as error:  # pyelftools meets a broken file with many of them
            raise BuildFailure(
                f"{self.path}: broken debug information ({error}); {BUILD_AGAIN}"
            ) from error

    def _read_types(self) -> dict[tuple[str, str], Any]:
        types: dict[tuple[str, str], Any] = {}
        for unit in self._elf.get_dwarf_info().iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                if (
                    die.tag in ("DW_TAG_structure_type", "DW_TAG_enumeration_type")
                    and "DW_AT_name" in die.attributes
                    and "DW_AT_byte_size" in die.attributes
                ):
                    types.setdefault((die.tag, die.attributes["DW_AT_name"].value.decode()), die)
        return types

    def _find(self, tag: str, name: str) -> Any:
        try:
            return self._types[(tag, name)]
        except KeyError:
            raise BuildFailure(_older(self.path, name)) from None

    def enum(self, name: str) -> type[IntEnum]:
        """A C enum as IntEnum, with the C names."""
        found: type[IntEnum] = self._once("DW_TAG_enumeration_type", name, self._enum)
        return found

    def dtype(self, name: str) -> np.dtype[np.void]:
        """A C struct as a NumPy dtype with the same offsets and size, padding included."""
        found: np.dtype[np.void] = self._once("DW_TAG_structure_type", name, self._struct)
        return found

    def _once(self, tag: str, name: str, make: Callable[[Any], Any]) -> Any:
        """Made from its DIE on first use; every device of a process asks for the same ones."""
        if (tag, name) not in self._made:
            self._made[tag, name] = make(self._find(tag, name))
        return self._made[tag, name]

    def _enum(self, die: Any) -> type[IntEnum]:
        members = {
            child.attributes["DW_AT_name"].value.decode(): child.attributes[
                "DW_AT_const_value"
            ].value
            for child in die.iter_children()
            if child.tag == "DW_TAG_enumerator"
        }
        return _enumeration(self.path, die.attributes["DW_AT_name"].value.decode(), members)

    def _struct(self, die: Any) -> np.dtype[np.void]:
        names, formats, offsets = [], [], []
        for member in die.iter_children():
            if member.tag != "DW_TAG_member":
                continue
            names.append(member.attributes["DW_AT_name"].value.decode())
            formats.append(self._type(member))
            offsets.append(member.attributes["DW_AT_data_member_location"].value)
        return np.dtype(
            {
                "names": names,
                "formats": formats,
                "offsets": offsets,
                "itemsize": die.attributes["DW_AT_byte_size"].value,
            }
        )

    def _type(self, die: Any) -> np.dtype[Any]:
        target = die.get_DIE_from_attribute("DW_AT_type")
        while target.tag in _TRANSPARENT:
            target = target.get_DIE_from_attribute("DW_AT_type")
        if target.tag == "DW_TAG_structure_type":
            return self._struct(target)
        if target.tag == "DW_TAG_array_type":
            shape = tuple(
                _extent(child.attributes)
                for child in target.iter_children()
                if child.tag == "DW_TAG_subrange_type"
            )
            return np.dtype((self._type(target), shape))
        size = self._elf.elfclass // 8
        if "DW_AT_byte_size" in target.attributes:
            size = target.attributes["DW_AT_byte_size"].value
        if target.tag == "DW_TAG_enumeration_type":
            signed = any(
                child.attributes["DW_AT_const_value"].value < 0 for child in target.iter_children()
            )
        else:
            signed = (
                target.tag == "DW_TAG_base_type"
                and target.attributes["DW_AT_encoding"].value in _SIGNED
            )
        return np.dtype(f"{self.order}{'i' if signed else 'u'}{size}")


def _sequences(program: Any) -> Iterator[list[tuple[int, str, int]]]:
    """The rows (address, file, line) of each sequence of one unit's line program.

    A sequence ends with a row for the address after its code.
    """
    rows: list[tuple[int, str, int]] = []
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        rows.append((state.address, _source_file(program, state.file), state.line))
        if state.end_sequence:
            # The linker moves the lines of functions that it left out to address 0, where there
            # are vectors and no code.
            if rows[0][0] != 0:
                yield rows
            rows = []


def _source_file(program: Any, index: int) -> str:
    header = program.header
    # Versions before 5 number files and folders from 1, but folder 0 is always the unit's own.
    first = 0 if header["version"] >= 5 else 1
    entry = header["file_entry"][index - first]
    folder = b"."
    if entry["dir_index"]:
        folder = header["include_directory"][entry["dir_index"] - first]
    path: str = normpath(f"{folder.decode()}/{entry['name'].decode()}")
    if path.startswith("/"):
        return path.rpartition("/")[2]
    while path.startswith("../"):
        path = path[3:]
    return path
