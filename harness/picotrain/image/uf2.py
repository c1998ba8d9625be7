"""UF2, the file format of the boot ROM's USB drive: an image of flash in blocks of 512 bytes.

Each block carries one page of 256 bytes with its address, so that the order in which a computer
writes the file does not matter (RP2040 datasheet, 2.8.4.2). The boot ROM erases a sector of 4096
bytes when the first block of each 16 arrives, counted by block numbers, not by addresses. So blocks
16n to 16n + 15 are one sector here: an image begins at a sector, and a sector with a page that is
used has all of its pages, except behind the image's end.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from elftools.elf.elffile import ELFFile

from picotrain.errors import UserError
from picotrain.image.segments import damage_of
from picotrain.places import IN_CHECKOUT, MAKE_UF2

FAMILY = 0xE48BFF56
"""Of the RP2040, in every block; a boot ROM leaves out blocks of another family."""
BLOCK = 512
PAGE = 256
SECTOR = 4096
FLASH = range(0x10000000, 0x10000000 + (2 << 20))
"""Of a Pico."""

_MAGIC = (0x0A324655, 0x9E5D5157)
_MAGIC_END = 0x0AB16F30
_HAS_FAMILY = 0x2000
_LEFT_OUT = 0x0001  # "not main flash": a reader must not write the block
_HEAD = struct.Struct("<8I")
_END = struct.Struct("<I")
_ROOM = BLOCK - _HEAD.size - _END.size
_ERASED = b"\xff"
_PAGES = SECTOR // PAGE
_BOOT2 = PAGE - 4
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_ELF_MAGIC = b"\x7fELF"
_UF2_AGAIN = f"build it again with {MAKE_UF2}"
_AGAIN = (
    "build it again with `make firmware`, or use build/rp2040/picotrain.elf"
    if IN_CHECKOUT
    else "leave --elf out for the firmware that comes with picotrain"
)


class Segment(NamedTuple):
    """Bytes of flash that lie together."""

    address: int
    data: bytes


def encode(segments: Iterable[Segment]) -> bytes:
    """A UF2 file of what flash shall hold; what lies between in the same sectors becomes 0xFF.

    Raises UserError where nothing is given, or is outside a Pico's flash, or twice.
    """
    pages = _pages(segments)
    blocks = bytearray()
    for number, (address, page) in enumerate(sorted(pages.items())):
        fields = (*_MAGIC, _HAS_FAMILY, address, PAGE, number, len(pages), FAMILY)
        blocks += _HEAD.pack(*fields) + page.ljust(_ROOM, b"\0") + _END.pack(_MAGIC_END)
    return bytes(blocks)


def decode(data: bytes, name: str = "UF2", fix: str = _UF2_AGAIN) -> list[Segment]:
    """The segments of a UF2 file for the RP2040, by address; `name` is what errors call it, `fix`
    what they say to do.

    Blocks may come in any order and with other sizes of pages than ours. Raises UserError for
    anything that a boot ROM would leave out, write elsewhere or wait for.
    """
    if not data or len(data) % BLOCK:
        raise UserError(f"{name}: {len(data)} bytes are not a number of blocks of {BLOCK}")
    count = len(data) // BLOCK
    pieces: dict[int, bytes] = {}
    seen: set[int] = set()
    for position in range(count):
        block = data[position * BLOCK : (position + 1) * BLOCK]
        here = f"{name}, block {position}"
        *magic, flags, address, size, number, total, family = _HEAD.unpack_from(block)
        if tuple(magic) != _MAGIC or _END.unpack_from(block, BLOCK - _END.size)[0] != _MAGIC_END:
            raise UserError(f"{here}: no UF2 block (wrong magic); {fix}")
        if not flags & _HAS_FAMILY or family != FAMILY:
            of = f"family 0x{family:08x}" if flags & _HAS_FAMILY else "no family"
            raise UserError(f"{here}: {of}; the RP2040 takes only 0x{FAMILY:08x}")
        if flags & _LEFT_OUT:
            raise UserError(f"{here}: marked as not for flash (flags 0x{flags:x})")
        if total != count:
            raise UserError(f"{here}: says that there are {total} blocks, the file has {count}")
        if number >= count or number in seen:
            what = "twice" if number in seen else f"of {count}"
            raise UserError(f"{here}: block number {number} {what}")
        if size != PAGE or address % PAGE:
            raise UserError(
                f"{here}: {size} bytes at 0x{address:08x}; the boot ROM takes whole pages of {PAGE}"
            )
        _check_flash(address, size, here)
        if address in pieces:
            raise UserError(f"{here}: 0x{address:08x} is written twice")
        seen.add(number)
        pieces[address] = block[_HEAD.size : _HEAD.size + size]
    return _joined(Segment(address, piece) for address, piece in pieces.items())


def read_image(path: Path, fix: str = _AGAIN, uf2_fix: str = _UF2_AGAIN) -> list[Segment]:
    """What a file puts into flash: an ELF file, a UF2 file, or a `.bin` from the start of flash.

    Raises UserError where the file is missing, foreign or cut off, or would not boot;
    `fix` and `uf2_fix` are what to do about a damaged ELF or UF2 file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; build it with {MAKE_UF2}") from error
    # What it is, not what it is called; a name helps where the content tells nothing.
    if data.startswith(_ELF_MAGIC):
        segments = _elf_segments(data, path, fix)
    elif data.startswith(struct.pack("<I", _MAGIC[0])) or path.suffix == ".uf2":
        segments = decode(data, str(path), uf2_fix)
    elif path.suffix == ".bin":
        segments = [Segment(FLASH.start, data)]
    else:
        raise UserError(f"{path}: no ELF file, UF2 file or .bin; use build/rp2040/picotrain.elf")
    for segment in segments:
        _check_flash(segment.address, len(segment.data), str(path))
    _check_boot2(segments, path)
    return segments


def _pages(segments: Iterable[Segment]) -> dict[int, bytes]:
    """All pages of all sectors in use, up to the last that is used."""
    used: dict[int, bytearray] = {}
    end = 0
    for address, data in sorted(one for one in segments if one.data):
        _check_flash(address, len(data), "segment")
        if address < end:
            raise UserError(f"two segments hold 0x{address:08x}; link the program anew")
        end = address + len(data)
        taken = 0
        while taken < len(data):
            offset = (address + taken) % PAGE
            page = used.setdefault(address + taken - offset, bytearray(_ERASED * PAGE))
            piece = data[taken : taken + PAGE - offset]
            page[offset : offset + len(piece)] = piece
            taken += len(piece)
    if not used:
        raise UserError("there is nothing to write into flash; is the ELF file linked for flash?")
    last = max(used)
    sectors = {address - address % SECTOR for address in used}
    return {
        page: bytes(used.get(page, _ERASED * PAGE))
        for sector in sectors
        for page in range(sector, sector + SECTOR, PAGE)
        if page <= last
    }


def _joined(pieces: Iterable[Segment]) -> list[Segment]:
    segments: list[Segment] = []
    for address, data in sorted(pieces):
        if segments and segments[-1].address + len(segments[-1].data) == address:
            segments[-1] = Segment(segments[-1].address, segments[-1].data + data)
        else:
            segments.append(Segment(address, data))
    return segments


def _elf_segments(data: bytes, path: Path, again: str) -> list[Segment]:
    """The sections that are loaded, at the addresses where flash holds them."""
    try:
        elf: Any = ELFFile(BytesIO(data))
        if elf["e_machine"] != "EM_ARM":
            raise UserError(f"{path}: no Arm program; use build/rp2040/picotrain.elf")
        loads = [one for one in elf.iter_segments() if one["p_type"] == "PT_LOAD"]
        segments, code = [], []
        for section in elf.iter_sections():
            flags = section["sh_flags"]
            if not flags & _SHF_ALLOC or not section["sh_size"]:
                continue
            here, size = section["sh_addr"], section["sh_size"]
            if flags & _SHF_EXECINSTR:
                code.append(range(here, here + size))
            if section["sh_type"] == "SHT_NOBITS":
                if flags & _SHF_EXECINSTR:
                    raise UserError(
                        f"{path}: has no code, only what a debugger wants (objcopy "
                        "--only-keep-debug); use the file that it was made from"
                    )
                continue
            # Not the segments: a linker may put the ELF header in front of the first.
            for load in loads:
                offset = section["sh_offset"] - load["p_offset"]
                if 0 <= offset < load["p_filesz"]:
                    content = section.data()
                    if len(content) != size:
                        raise UserError(f"{path}: ends within {section.name}; {again}")
                    segments.append(Segment(load["p_paddr"] + offset, content))
                    break
            else:
                raise UserError(
                    f"{path}: nothing loads its section {section.name}; link the program anew"
                )
        if damage := damage_of(elf):
            raise UserError(f"{path}: a damaged ELF file, {damage}; {again}")
    except UserError:
        raise
    except Exception as error:  # pyelftools meets a broken file with many of them
        raise UserError(f"{path}: a broken ELF file ({error}); {again}") from error
    if not segments:
        raise UserError(f"{path}: holds nothing to load, so it is no linked program; {again}")
    for segment in segments:
        _check_flash(segment.address, len(segment.data), str(path))
    entry = elf["e_entry"] & ~1
    if not any(entry in span for span in code):
        raise UserError(
            f"{path}: it starts at 0x{entry:08x}, where it has no code; link the program anew"
        )
    return _joined(segments)


def _check_flash(address: int, size: int, what: str) -> None:
    if address not in FLASH or address + size > FLASH.stop:
        raise UserError(
            f"{what}: {size} bytes at 0x{address:08x} are not in a Pico's flash "
            f"(0x{FLASH.start:08x} to 0x{FLASH.stop - 1:08x})"
        )


def _check_boot2(segments: Iterable[Segment], path: Path) -> None:
    """An image begins with a second stage that the boot ROM accepts."""
    first = next((data for address, data in segments if address == FLASH.start), None)
    if first is None:
        raise UserError(
            f"{path}: has no second stage at 0x{FLASH.start:08x}, the first {PAGE} bytes of flash; "
            "the boot ROM would start nothing"
        )
    crc = _END.unpack(first[_BOOT2:PAGE])[0] if len(first) >= PAGE else None
    if crc != boot2_checksum(first[:_BOOT2]):
        raise UserError(
            f"{path}: the checksum of the second stage, the first {PAGE} bytes, is wrong; "
            "the boot ROM would not start it"
        )


def boot2_checksum(code: bytes) -> int:
    """CRC-32 as the boot ROM computes it: most significant bit first, not inverted."""
    # zlib's CRC is the same polynomial with the bits of every byte, and of the result, reversed.
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in code)
    return int(f"{binascii.crc32(mirrored) ^ 0xFFFFFFFF:032b}"[::-1], 2)
