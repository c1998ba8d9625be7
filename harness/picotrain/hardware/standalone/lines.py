"""Lines of text from a port."""

from __future__ import annotations

from time import monotonic

from picotrain.device.link.port import SerialPort
from picotrain.errors import LinkFailure
from picotrain.text import printable

_LONGEST = 1 << 20
_SHOWN = 80
_MOST_DIGITS = 10
"""Of a 32-bit number. Python refuses to read one of some thousands."""


class Lines:
    """What arrives at a port, line by line; numbered from 1."""

    def __init__(self, port: SerialPort) -> None:
        self._port = port
        self._held = b""
        self._searched = 0
        self.number = 0

    def next(self, seconds: float) -> str | None:
        """The next line without its end; None if it is not whole within some seconds.

        Raises PortLost, and LinkFailure for what has no lines.
        """
        deadline = monotonic() + seconds
        while (end := self._held.find(b"\n", self._searched)) < 0:
            self._searched = len(self._held)
            if self._searched > _LONGEST:
                raise LinkFailure(f"{self._port.url} sent {_LONGEST:,} bytes without a line's end")
            left = deadline - monotonic()
            if left <= 0:
                return None
            self._held += self._port.read(left)
        line, self._held, self._searched = self._held[:end], self._held[end + 1 :], 0
        self.number += 1
        return line.decode("utf-8", errors="replace").rstrip("\r")

    def forget(self) -> None:
        """Drop what has arrived so far. Raises PortLost."""
        self._port.discard()
        self._held, self._searched = b"", 0


def number(word: str) -> int | None:
    """The number that a word of a line is; None of any other word."""
    short = 0 < len(word) <= _MOST_DIGITS
    return int(word) if short and word.isascii() and word.isdecimal() else None


def shown(line: str) -> str:
    """A line as messages have it: short, and without what moves a terminal's cursor."""
    text = printable(line)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
