"""Frames of the serial link: what stands between two zero bytes, and what is one.

Structs and numbers are those of `firmware/app/pt_link.h`, read from the firmware's DWARF.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from picotrain.device.link import cobs
from picotrain.image.elf import Elf

DELIMITER = b"\0"
_CRC = struct.Struct("<I")
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A request, or an answer: `kind` is then that of the request and PT_LINK_ANSWER."""

    kind: int
    sequence: int
    payload: bytes = b""
    error: int = 0


class LinkFormat:
    """The protocol as one firmware image has it."""

    def __init__(self, elf: Elf) -> None:
        protocol = elf.enum("pt_link_protocol")
        self.magic = int(protocol["PT_LINK_MAGIC"])
        self.version = int(protocol["PT_LINK_VERSION"])
        self.payload = int(protocol["PT_LINK_PAYLOAD"])
        """Most bytes of a payload, of which a POKE's address takes `poke_head`."""
        self.answer = int(protocol["PT_LINK_ANSWER"])
        self.kinds = elf.enum("pt_link_kind")
        self.errors = elf.enum("pt_link_error")
        self.restarts = elf.enum("pt_link_restart")
        self.resets = elf.enum("pt_reset_reason")
        self.hello = elf.dtype("pt_link_hello")
        self._head, self._names = _packer(elf.dtype("pt_link_head"))
        self._span, self._span_names = _packer(elf.dtype("pt_link_span"))
        self.poke_head = struct.calcsize("<Q")
        least = self._head.size + _CRC.size
        self._least, self._most = least, least + self.payload

    @property
    def longest_body(self) -> int:
        """Most bytes between two zeros that can be a frame."""
        return self._most + self._most // 254 + 1

    def encode(self, frame: Frame) -> bytes:
        """A frame as it goes over the wire, with a zero before and behind it."""
        fields = {
            "kind": frame.kind,
            "error": frame.error,
            "sequence": frame.sequence,
            "length": len(frame.payload),
        }
        content = self._head.pack(*(fields.get(name, 0) for name in self._names)) + frame.payload
        return DELIMITER + cobs.encode(content + _CRC.pack(zlib.crc32(content))) + DELIMITER

    def decode(self, body: bytes) -> Frame | None:
        """The frame between two zeros, or None where it is not one from its first byte to its last.

        Whether it is a request or an answer is not looked at.
        """
        content = cobs.decode(body)
        if content is None or not self._least <= len(content) <= self._most:
            return None
        covered = len(content) - _CRC.size
        if _CRC.unpack_from(content, covered)[0] != zlib.crc32(content[:covered]):
            return None
        head = dict(zip(self._names, self._head.unpack_from(content), strict=True))
        if head["length"] != covered - self._head.size or head["zero"] != 0:
            return None
        payload = content[self._head.size : covered]
        return Frame(head["kind"], head["sequence"], payload, head["error"])

    def span(self, address: int, size: int) -> bytes:
        """The payload of a PEEK."""
        fields = {"address": address, "size": size}
        return self._span.pack(*(fields.get(name, 0) for name in self._span_names))

    def poke(self, address: int, data: bytes) -> bytes:
        """The payload of a POKE."""
        return struct.pack("<Q", address) + data


class Splitter:
    """Cuts what arrives at its zeros; keeps what has no zero behind it yet, within bounds."""

    def __init__(self, longest: int) -> None:
        """`longest`: bytes between two zeros; what is longer is no frame and is left out."""
        self._longest = longest
        self._rest = b""
        self.dropped = 0
        """Bytes that were left out."""

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies, none of them empty, that end in `data`."""
        *bodies, self._rest = (self._rest + data).split(DELIMITER)
        if len(self._rest) > self._longest:
            # One byte more than can be: it stays too long, whatever follows.
            self.dropped += len(self._rest) - self._longest - 1
            self._rest = self._rest[: self._longest + 1]
        fitting = [body for body in bodies if 0 < len(body) <= self._longest]
        self.dropped += sum(map(len, bodies)) - sum(map(len, fitting))
        return fitting

    def forget(self) -> None:
        """Leave out what came last and was not finished."""
        self.dropped += len(self._rest)
        self._rest = b""


def _packer(layout: np.dtype[Any]) -> tuple[struct.Struct, list[str]]:
    """A struct of unsigned integers as `struct.Struct`, faster for one, and its names."""
    assert layout.fields is not None and layout.names is not None
    form, at = "<", 0
    for name in layout.names:
        field, offset = layout.fields[name][:2]
        form += f"{offset - at}x" + _UNSIGNED[field.itemsize]
        at = offset + field.itemsize
    return struct.Struct(form + f"{layout.itemsize - at}x"), list(layout.names)
