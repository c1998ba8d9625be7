"""Pads the second stage to 256 bytes that end in the CRC-32 the RP2040's boot ROM asks for.

    python3 boot2_checksum.py boot2.bin boot2.checked.bin

Datasheet 2.8.1.3.1: polynomial 0x04c11db7, initial value 0xffffffff, highest bit first, nothing
inverted at the end, over the first 252 bytes. Standard library only: it runs before any setup.
"""

from __future__ import annotations

import sys
from pathlib import Path

SIZE = 256
POLYNOMIAL = 0x04C11DB7


def crc32(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (POLYNOMIAL if crc >> 31 else 0)
            crc &= 0xFFFFFFFF
    return crc


def checked(code: bytes) -> bytes:
    """`code` (at most 252 bytes) padded with zeros, and its checksum: 256 bytes."""
    if len(code) > SIZE - 4:
        raise ValueError(f"the second stage has {len(code)} bytes; {SIZE - 4} fit")
    padded = code.ljust(SIZE - 4, b"\0")
    return padded + crc32(padded).to_bytes(4, "little")


def main() -> None:
    code, image = map(Path, sys.argv[1:])
    image.write_bytes(checked(code.read_bytes()))


if __name__ == "__main__":
    main()
