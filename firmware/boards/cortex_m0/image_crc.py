"""Writes into an image the CRC-32s of its own code and constants (boards/cortex_m0/image.c).

    python3 image_crc.py picotrain.elf

From section .vectors up to section .image: what stays in flash; and .text, which start-up copies to
SRAM. Standard library only: it runs before any setup.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

FIRST, LAST, COPIED = ".vectors", ".image", ".text"
IN_MEMORY = 2  # SHF_ALLOC


class Section(NamedTuple):
    address: int
    offset: int
    size: int


def sections(elf: bytes) -> dict[str, Section]:
    """Of a 32-bit little-endian ELF file, those that come into memory, by name."""
    if elf[:6] != b"\x7fELF\x01\x01":
        raise ValueError("no 32-bit little-endian ELF file")
    (table,) = struct.unpack_from("<I", elf, 32)
    entry, count, names_at = struct.unpack_from("<HHH", elf, 46)
    heads = [struct.unpack_from("<10I", elf, table + entry * number) for number in range(count)]
    names = heads[names_at][4]
    found = {}
    for name, _, flags, address, offset, size, *_ in heads:
        start = names + name
        if flags & IN_MEMORY:
            found[elf[start : elf.index(b"\0", start)].decode()] = Section(address, offset, size)
    return found


def crcs(elf: bytes) -> tuple[int, int]:
    """Of what stays in flash, and of what is copied."""
    found = sections(elf)
    start, end = found[FIRST].address, found[LAST].address
    flash = bytearray(end - start)
    for address, offset, size in found.values():
        if start <= address and address + size <= end:
            flash[address - start : address - start + size] = elf[offset : offset + size]
    text = found[COPIED]
    return zlib.crc32(flash), zlib.crc32(elf[text.offset : text.offset + text.size])


def main() -> None:
    path = Path(sys.argv[1])
    elf = bytearray(path.read_bytes())
    struct.pack_into("<II", elf, sections(elf)[LAST].offset, *crcs(elf))
    path.write_bytes(elf)


if __name__ == "__main__":
    main()
