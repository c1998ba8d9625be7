"""Flash and RAM by section, object and symbol: tiled exactly by named parts."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from picotrain.errors import BuildFailure
from picotrain.image.elf import open_elf
from picotrain.places import BUILD_AGAIN

SRAM = 0x20000000
_DECLARED = "__stack_"
_STUBS = "linker stubs"
_STACK = ".stack"
_MAP_HEAD = "Linker script and memory map"
_OBJECT = re.compile(
    r"(?:.*/)?(cortex-m0plus[^/]*|rp2040(?:-\d+mhz)?(?:-\d+baud)?(?:-chain|-affine)?)"
    r"/((?:app|boards|kernels|nn)/.+)"
)
"""Our objects in the linker map: the folder of a set of kernels or of a board that depends on its
clock, and the path in it, which is that of the source."""

PartKind = Literal["function", "object", "constants", "padding", "fill"]


@dataclass(frozen=True)
class Part:
    """A piece of a section.

    `constants` have no symbol (switch tables, string literals) and bear the input section's name;
    `padding` follows a symbol within an object; `fill` is the linker's, between objects.
    """

    name: str
    object: str
    section: str
    kind: PartKind
    address: int
    bytes: int


@dataclass(frozen=True)
class Section:
    """A section that takes memory. `flash`: bytes of its load image; `ram`: bytes where it runs."""

    name: str
    address: int
    load_address: int
    bytes: int
    flash: int
    ram: int


@dataclass(frozen=True)
class Span:
    """A stretch of one memory: a section, what lies between two of them, the arena, the stack;
    in flash also what is free behind the image, and the window for a model.
    """

    name: str
    address: int
    bytes: int


@dataclass(frozen=True)
class Sections:
    """The image's memory. The parts of a section add up to it, the spans to their memory."""

    sections: tuple[Section, ...]
    parts: tuple[Part, ...]
    ram: tuple[Span, ...]
    flash: tuple[Span, ...]

    def by_object(self) -> dict[str, int]:
        """Object file -> bytes, largest first; "(linker)" is the fill."""
        sums: defaultdict[str, int] = defaultdict(int)
        for part in self.parts:
            sums[part.object] += part.bytes
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))

    def symbols(self) -> list[Part]:
        """Functions, objects and nameless constants, largest first."""
        kept = [part for part in self.parts if part.kind in ("function", "object", "constants")]
        return sorted(kept, key=lambda part: (-part.bytes, part.name))

    def unattributed(self) -> int:
        """Bytes of padding and fill within sections."""
        return sum(part.bytes for part in self.parts if part.kind in ("padding", "fill"))


@dataclass(frozen=True)
class _Input:
    """An input section as the linker map lists it."""

    name: str
    object: str
    address: int
    size: int


class Image:
    """A linked Cortex-M0+ image with its map and its objects' .su files, which lie beside them.

    `objects` is the folder of all objects; by default they are in the folders beside the image's
    own that the map names.
    """

    def __init__(
        self, elf: Path, map_file: Path | None = None, objects: Path | None = None
    ) -> None:
        self.path = elf
        self._folder = objects
        self._map = map_file or elf.with_suffix(".map")
        try:
            self._elf: Any = ELFFile(BytesIO(elf.read_bytes()))
        except (OSError, ELFError) as error:
            raise BuildFailure(f"{elf}: no firmware image ({error}); {BUILD_AGAIN}") from error
        if self._elf["e_machine"] != "EM_ARM":
            raise BuildFailure(f"{elf}: not for Arm; use the image of a board")
        self.symbols = open_elf(elf)

    @cached_property
    def _allocated(self) -> list[Any]:
        """Sections that take memory, by address, but for a section that only reserves the stack.

        ALLOC is flag 2.
        """
        kept = [
            s
            for s in self._elf.iter_sections()
            if s["sh_flags"] & 2 and s["sh_size"] and s.name != _STACK
        ]
        return sorted(kept, key=lambda section: int(section["sh_addr"]))

    def _load_address(self, section: Any) -> int:
        for segment in self._elf.iter_segments():
            start = segment["p_vaddr"]
            if start <= section["sh_addr"] < start + max(segment["p_memsz"], 1):
                return int(segment["p_paddr"] + section["sh_addr"] - start)
        return int(section["sh_addr"])

    @cached_property
    def _map_text(self) -> str:
        try:
            text = self._map.read_text(encoding="utf-8")
        except OSError as error:
            raise BuildFailure(f"{self._map}: no map ({error}); {BUILD_AGAIN}") from error
        if _MAP_HEAD not in text:
            raise BuildFailure(f"{self._map}: not a map of GNU ld; {BUILD_AGAIN}")
        # Before the head ld lists what it left out.
        return text.split(_MAP_HEAD, 1)[1]

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Object -> its folder beside the image's own."""
        found = {match[2]: match[1] for match in _OBJECT.finditer(self._map_text)}
        if not found:
            raise BuildFailure(f"{self._map}: names no object of ours; {BUILD_AGAIN}")
        return found

    def object_file(self, name: str) -> Path:
        """Where an object lies, by its name in the parts; for foreign ones no file that exists."""
        if self._folder is not None:
            return self._folder / name
        return self.path.parent.parent / self._folders.get(name, "") / name

    def object_of(self, address: int) -> str:
        """The name of the object that gave what lies at an address, or "?"."""
        held = self._input_at(address)
        return held.object if held else "?"

    @cached_property
    def inputs(self) -> list[_Input]:
        """The input sections in memory, by address, from the linker map.

        The map, not DWARF: compile units have no ranges for libgcc's assembler, switch tables and
        the linker's fill, so that sections would not add up.
        """
        # Long names have their numbers on a new line.
        body = re.sub(r"^( ?\.\S+)\n +0x", r"\1 0x", self._map_text, flags=re.MULTILINE)
        names = {section.name for section in self._allocated}
        entry = re.compile(r" (\.\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S.*)")
        found, within = [], False
        for line in body.splitlines():
            if line[:1] not in ("", " "):
                within = line.split()[0] in names
            match = entry.fullmatch(line)
            if within and match and int(match[3], 16):
                name, address, size = match[1], int(match[2], 16), int(match[3], 16)
                found.append(_Input(name, _short(match[4]), address, size))
        return sorted(found, key=lambda one: one.address)

    def _input_at(self, address: int) -> _Input | None:
        at = bisect_right([one.address for one in self.inputs], address) - 1
        if at >= 0 and address < self.inputs[at].address + self.inputs[at].size:
            return self.inputs[at]
        return None

    @cached_property
    def _named(self) -> list[tuple[int, int, str, bool]]:
        """(address, size, name, is a function) of symbols with a size, one per address."""
        kept: dict[int, tuple[int, int, str, bool]] = {}
        for symbol in self._elf.get_section_by_name(".symtab").iter_symbols():
            kind = symbol["st_info"]["type"]
            if kind not in ("STT_FUNC", "STT_OBJECT") or symbol["st_size"] == 0:
                continue
            function = kind == "STT_FUNC"
            address = symbol["st_value"] & ~1 if function else symbol["st_value"]
            one = (int(address), int(symbol["st_size"]), str(symbol.name), function)
            # libgcc gives functions two names; the first of the alphabet is the ABI's.
            kept[address] = min(kept.get(address, one), one, key=lambda held: (-held[1], held[2]))
        return sorted(kept.values())

    def sections(self) -> Sections:
        """Everything that takes memory. Raises BuildFailure where parts do not add up."""
        sections: list[Section] = []
        parts: list[Part] = []
        for one in self._allocated:
            address, size = int(one["sh_addr"]), int(one["sh_size"])
            image = 0 if one["sh_type"] == "SHT_NOBITS" else size
            in_ram = size if address >= SRAM else 0
            load = self._load_address(one) if image else address
            sections.append(Section(one.name, address, load, size, image, in_ram))
            tiles = self._tile(one.name, address, size)
            if sum(tile.bytes for tile in tiles) != size:
                raise BuildFailure(f"{self.path}: the parts of {one.name} do not add up")
            parts.extend(tiles)
        arena, arena_end = (self.symbols.symbol(f"pt_arena_{end}") for end in ("start", "end"))
        stack, stack_end = (self.symbols.symbol(f"pt_stack_{end}") for end in ("start", "end"))
        running = [Span(s.name, s.address, s.ram) for s in sections if s.ram]
        running += [Span("arena", arena, arena_end - arena)]
        running += [Span("stack", stack, stack_end - stack)]
        ram = _spans(running, SRAM)
        end = max(span.address + span.bytes for span in running)
        if sum(span.bytes for span in ram) != end - SRAM:
            raise BuildFailure(f"{self.path}: what lies in RAM does not add up to it")
        loaded = [Span(s.name, s.load_address, s.flash) for s in sections if s.flash]
        return Sections(tuple(sections), tuple(parts), ram, self._flash(loaded))

    def _flash(self, loaded: list[Span]) -> tuple[Span, ...]:
        """All of the flash, which starts with the image and ends with the window for a model."""
        window, window_end = (self.symbols.symbol(f"pt_flash_{end}") for end in ("start", "end"))
        end = max(span.address + span.bytes for span in loaded)
        rest = [Span("free", end, window - end), Span("model", window, window_end - window)]
        return _spans(loaded + rest, min(span.address for span in loaded))

    def _tile(self, section: str, start: int, size: int) -> list[Part]:
        """The section's parts by address, without overlap; raises BuildFailure on overlap."""
        parts: list[Part] = []
        at = start
        for address, length, name, function in self._named:
            if not start <= address < start + size:
                continue
            if address < at:
                raise BuildFailure(f"{self.path}: {name} overlaps what lies before it")
            parts.extend(self._gap(section, at, address))
            kind: PartKind = "function" if function else "object"
            parts.append(Part(name, self.object_of(address), section, kind, address, length))
            at = address + length
        return [*parts, *self._gap(section, at, start + size)]

    def _gap(self, section: str, start: int, end: int) -> list[Part]:
        """What lies between two symbols, cut where input sections start and end."""
        parts = []
        while start < end:
            held = self._input_at(start)
            if held is None:
                later = [one.address for one in self.inputs if one.address > start]
                stop = min([end, *later])
                parts.append(Part("fill", "(linker)", section, "fill", start, stop - start))
            else:
                stop = min(end, held.address + held.size)
                whole = start == held.address and stop == held.address + held.size
                kind: PartKind = "constants" if whole else "padding"
                name = held.name if whole else f"padding in {held.name}"
                parts.append(Part(name, held.object, section, kind, start, stop - start))
            start = stop
        return parts

    # Stack

    @property
    def entry(self) -> int:
        """The address of the program's first function."""
        return int(self._elf["e_entry"]) & ~1

    def word(self, address: int, size: int = 4) -> int | None:
        """The constant of `size` bytes at an address; None where the image has none."""
        for section in self._allocated:
            at = address - section["sh_addr"]
            if 0 <= at <= section["sh_size"] - size and section["sh_type"] != "SHT_NOBITS":
                return int.from_bytes(self._data[section.name][at : at + size], "little")
        return None

    @cached_property
    def _data(self) -> dict[str, bytes]:
        return {section.name: section.data() for section in self._allocated}

    @cached_property
    def _code_marks(self) -> list[tuple[int, bool]]:
        """(address, code follows) by address: Arm's mapping symbols $t and $d."""
        index = {self._elf.get_section_index(section.name) for section in self._allocated}
        return sorted(
            (int(symbol["st_value"]), symbol.name.startswith("$t"))
            for symbol in self._elf.get_section_by_name(".symtab").iter_symbols()
            if symbol["st_shndx"] in index and symbol.name[:2] in ("$t", "$d")
        )

    def is_code(self, address: int) -> bool:
        at = bisect_right(self._code_marks, (address, True)) - 1
        return at >= 0 and self._code_marks[at][1]

    @cached_property
    def functions(self) -> dict[int, tuple[str, int]]:
        """Address -> (name, bytes)."""
        return {address: (name, size) for address, size, name, function in self._named if function}

    def function_at(self, address: int) -> int | None:
        """The address of the function that holds `address`."""
        starts = sorted(self.functions)
        at = bisect_right(starts, address) - 1
        if at >= 0 and address < starts[at] + self.functions[starts[at]][1]:
            return starts[at]
        return None

    @cached_property
    def compiler_frames(self) -> dict[int, int]:
        """Function address -> bytes by its object's .su file; without libgcc, which has none."""
        frames = {}
        by_object: dict[str, dict[str, int]] = {}
        for address, (name, _) in self.functions.items():
            held = self.object_of(address)
            if held not in by_object:
                by_object[held] = self._su(held)
            # The compiler numbers the clones of a function, but in .su not all: forward.isra.0 is
            # forward.isra there, and select.part.0 is that.
            frames_of = by_object[held]
            size = frames_of.get(name, frames_of.get(re.sub(r"\.\d+$", "", name)))
            if size is not None:
                frames[address] = size
        return frames

    @cached_property
    def declared_frames(self) -> dict[int, int]:
        """Function address -> bytes by the absolute symbol __stack_NAME beside its assembler."""
        declared = {
            symbol.name.removeprefix(_DECLARED): int(symbol["st_value"])
            for symbol in self._elf.get_section_by_name(".symtab").iter_symbols()
            if symbol.name.startswith(_DECLARED) and symbol["st_shndx"] == "SHN_ABS"
        }
        return {
            address: declared[name]
            for address, (name, _) in self.functions.items()
            if name in declared
        }

    def is_foreign(self, function: int) -> bool:
        """Whether a function is of libgcc or the linker's (a veneer), which tell no stack."""
        held = self.object_of(function)
        return held.endswith(")") or held == _STUBS

    def _su(self, name: str) -> dict[str, int]:
        file = self.object_file(name).with_suffix(".su")
        if not file.is_file():  # libgcc, the linker, or assembler
            return {}
        frames = {}
        for line in file.read_text(encoding="utf-8").splitlines():
            place, size, kind = line.split("\t")
            if "static" not in kind and "bounded" not in kind:
                raise BuildFailure(f"{place}: the stack it takes has no bound ({kind})")
            frames[place.rsplit(":", 1)[1]] = int(size)
        return frames


def _short(file: str) -> str:
    """An object as people know it, without this machine's folders."""
    ours = _OBJECT.fullmatch(file)
    return ours[2] if ours else file.rsplit("/", 1)[-1]


def _spans(spans: Iterable[Span], start: int) -> tuple[Span, ...]:
    """The spans by address and, named, what lies between them from `start` on."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: span.address):
        if span.address > start:
            result.append(Span(f"alignment of {span.name}", start, span.address - start))
        elif span.address < start:
            raise BuildFailure(f"{span.name} overlaps what lies before it")
        result.append(span)
        start = span.address + span.bytes
    return tuple(result)
