"""What a line can do to bytes, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_MOST_NOISE = 40


def drop(_: bytes, __: Random) -> bytes:
    """Nothing of it arrives."""
    return b""


def duplicate(data: bytes, _: Random) -> bytes:
    """It arrives twice."""
    return data + data


def truncate(data: bytes, random: Random) -> bytes:
    """Its beginning arrives, from one byte to all but one."""
    return data[: random.randrange(1, len(data))] if len(data) > 1 else b""


def flip(data: bytes, random: Random) -> bytes:
    """One to three bits change."""
    changed = bytearray(data)
    for bit in random.sample(range(8 * len(data)), min(random.randint(1, 3), 8 * len(data))):
        changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)


def insert_noise(data: bytes, random: Random) -> bytes:
    """Up to 40 random bytes come somewhere in it, before it or behind it."""
    at = random.randint(0, len(data))
    return data[:at] + random.randbytes(random.randint(1, _MOST_NOISE)) + data[at:]


DAMAGES: dict[str, Callable[[bytes, Random], bytes]] = {
    "dropped": drop,
    "duplicated": duplicate,
    "truncated": truncate,
    "1 to 3 bits flipped": flip,
    "noise inserted": insert_noise,
}
