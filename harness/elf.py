"""What the firmware's ELF file says of it: symbols, and the layout of its structs from DWARF.

The protocol and the model blob are defined once, as C structs and enums. The harness turns those
into NumPy dtypes and enumerations here, so that no offset and no number stands a second time in
Python.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.errors import BuildFailure

_TRANSPARENT = {"DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"}
_SIGNED = {5, 6, 13}  # DW_ATE_signed, signed_char; 13 is DW_ATE_signed_fixed


def open_elf(path: Path) -> Elf:
    """The image at `path`, parsed once for as long as the file stays the same."""
    try:
        return _cached(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise BuildFailure(f"{path}: no firmware image ({error}); run `make firmware`") from error


@lru_cache(maxsize=8)
def _cached(path: Path, modified: int) -> Elf:
    return Elf(path)


class Elf:
    """A firmware image. Raises BuildFailure where the file is missing, foreign or lacks DWARF."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._elf: Any = ELFFile(BytesIO(path.read_bytes()))
        except (OSError, ELFError) as error:
            raise BuildFailure(
                f"{path}: no firmware image ({error}); run `make firmware`"
            ) from error

    @cached_property
    def _symbols(self) -> dict[str, tuple[int, int, bool]]:
        """Name -> (address without the Thumb bit, size, is a function)."""
        table = self._elf.get_section_by_name(".symtab")
        symbols = {}
        for symbol in table.iter_symbols():
            if symbol["st_shndx"] == "SHN_UNDEF" or symbol.name.startswith("$"):
                continue
            function = symbol["st_info"]["type"] == "STT_FUNC"
            address = self._code(symbol["st_value"]) if function else symbol["st_value"]
            symbols[symbol.name] = (address, symbol["st_size"], function)
        return symbols

    def _code(self, address: int) -> int:
        """A code address without the Thumb bit that Arm keeps in it."""
        return address & ~1 if self._elf["e_machine"] == "EM_ARM" else address

    @cached_property
    def _functions(self) -> list[tuple[int, int, str]]:
        return sorted((a, s, n) for n, (a, s, function) in self._symbols.items() if function)

    def symbol(self, name: str) -> int:
        """Address of a symbol, without the Thumb bit."""
        try:
            return self._symbols[name][0]
        except KeyError:
            raise BuildFailure(
                f"{self.path}: no symbol {name}; rebuild with `make firmware`"
            ) from None

    def symbols(self) -> list[str]:
        return sorted(self._symbols)

    def function_at(self, pc: int) -> str:
        """Name of the function that holds `pc`, or "?"."""
        pc = self._code(pc)
        at = bisect_right(self._functions, (pc, 1 << 62, "")) - 1
        if at >= 0:
            address, size, name = self._functions[at]
            if pc < address + max(size, 2):
                return name
        return "?"

    def symbolise(self, pc: int) -> str:
        """`function+0xoffset` for a code address."""
        name = self.function_at(pc)
        if name == "?":
            return f"0x{pc:08x}"
        return f"{name}+0x{self._code(pc) - self._symbols[name][0]:x}"

    @cached_property
    def _types(self) -> dict[tuple[str, str], Any]:
        """(tag, name) -> the defining DIE."""
        if self._elf.get_section_by_name(".debug_info") is None:
            raise BuildFailure(f"{self.path}: no debug information; build with -g")
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
            raise BuildFailure(f"{self.path}: its debug information has no {name}") from None

    def enum(self, name: str) -> type[IntEnum]:
        """A C enum as IntEnum, with the C names."""
        die = self._find("DW_TAG_enumeration_type", name)
        members = {
            child.attributes["DW_AT_name"].value.decode(): child.attributes[
                "DW_AT_const_value"
            ].value
            for child in die.iter_children()
            if child.tag == "DW_TAG_enumerator"
        }
        make: Any = IntEnum
        made: type[IntEnum] = make(name, members)
        return made

    def dtype(self, name: str) -> np.dtype[np.void]:
        """A C struct as a NumPy dtype with the same offsets and size, padding included."""
        return self._struct(self._find("DW_TAG_structure_type", name))

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
            bounds = [
                child.attributes.get("DW_AT_upper_bound")
                for child in target.iter_children()
                if child.tag == "DW_TAG_subrange_type"
            ]
            # A flexible array member has no bound, and no size.
            shape = tuple(0 if bound is None else bound.value + 1 for bound in bounds)
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
        return np.dtype(f"<{'i' if signed else 'u'}{size}")
