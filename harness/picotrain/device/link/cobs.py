"""Consistent overhead byte stuffing: bytes without a zero, so that zeros can delimit frames.

The content is cut into blocks: a code byte n, then n - 1 bytes that are not zero. Behind each block
but the last stands a zero that is not sent; code 255 is the exception, a block of 254 bytes with
no zero behind it.
"""

from __future__ import annotations

_LONGEST = 254
"""Bytes of the longest block, without its code."""


def encode(data: bytes) -> bytes:
    """`data` as blocks, without the delimiting zeros: at most one byte in 254 more, plus one."""
    encoded = bytearray()
    runs = data.split(b"\0")
    for number, run in enumerate(runs):
        start = 0
        while len(run) - start >= _LONGEST:
            encoded.append(_LONGEST + 1)
            encoded += run[start : start + _LONGEST]
            start += _LONGEST
        # Behind a full block nothing needs to follow at the very end.
        if start == 0 or start < len(run) or number < len(runs) - 1:
            encoded.append(len(run) - start + 1)
            encoded += run[start:]
    return bytes(encoded)


def decode(encoded: bytes) -> bytes | None:
    """What `encode` was given, or None where the blocks do not end with the bytes."""
    data = bytearray()
    at, end = 0, len(encoded)
    zero_follows = False
    while at < end:
        if zero_follows:
            data.append(0)
        code = encoded[at]
        following = at + code
        if code == 0 or following > end:
            return None
        data += encoded[at + 1 : following]
        zero_follows = code <= _LONGEST
        at = following
    return bytes(data)
