"""What single instructions of ARMv6-M say: where a BL goes, what the others write."""

from __future__ import annotations


def bl_target(address: int, first: int, second: int) -> int:
    """Where the BL (encoding T1) of two halfwords at `address` goes."""
    sign = first >> 10 & 1
    i1, i2 = ~(second >> 13 ^ sign) & 1, ~(second >> 11 ^ sign) & 1
    offset = sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
    return address + 4 + signed(offset, 25)


def signed(value: int, bits: int) -> int:
    """`value` as a number of `bits` bits, two's complement."""
    return value - (1 << bits) if value >> bits - 1 & 1 else value


def written(code: int) -> list[int]:
    """Low registers that a 16-bit instruction may write, of those without a case of their own."""
    top, low, middle = code >> 11, code & 7, code >> 8 & 7
    if top <= 0b00011 or code >> 8 in (0xB2, 0xBA):  # shifts, ADD, SUB; extends, reverses
        return [low]
    if top in (0b00110, 0b00111, 0b10100):  # ADD, SUB #n; ADR
        return [middle]
    if code >> 10 == 0b010000:  # TST, CMP and CMN write none
        return [] if code >> 6 & 15 in (8, 10, 11) else [low]
    if top in (0b01111, 0b10001):  # LDRB, LDRH with an offset
        return [low]
    if top in (0b01010, 0b01011):  # with a register: from LDRSB on they load
        return [low] if code >> 9 & 7 >= 3 else []
    if top in (0b11000, 0b11001):  # STM, LDM: the base, and what is loaded
        loaded = [register for register in range(8) if top & 1 and code >> register & 1]
        return [middle, *loaded]
    return []
