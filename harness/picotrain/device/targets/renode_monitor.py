"""Renode's monitor over TCP, as `renode -P PORT` offers it: a telnet-like shell.

It echoes each line, prints the answer, and ends with a prompt at the start of a line, `(monitor) `
or the name of the machine: what ends so is taken for one. Nothing marks an error but its wording.
"""

from __future__ import annotations

import re
import socket
from time import monotonic

from picotrain.errors import LinkFailure

_COMMAND_SECONDS = 60.0
_QUIT_SECONDS = 5.0

_PROMPT = re.compile(r"(?:\A|[\r\n])\([^()\r\n]+\) \Z")
_ERRORS = (
    "There was an error executing command",
    "No such command or device",
    "Errors during compilation",
    "Could not ",
    "Bad parameters",
)

_IAC = 0xFF
_OPTIONS = range(0xFB, 0xFF)  # WILL, WONT, DO, DONT: one more byte follows
_SUBNEGOTIATION, _SUBNEGOTIATION_END = 0xFA, 0xF0


class Telnet:
    """Takes telnet's own bytes out of a stream, however it is cut into pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def text(self, data: bytes) -> bytes:
        """What of `data`, and of earlier bytes that were not complete, is text."""
        data = self._rest + data
        text = bytearray()
        at = 0
        while at < len(data):
            if data[at] != _IAC:
                text.append(data[at])
                at += 1
                continue
            size = self._size(data, at)
            if size is None:
                break
            if data[at + 1] == _IAC:
                text.append(_IAC)
            at += size
        self._rest = data[at:]
        return bytes(text)

    @staticmethod
    def _size(data: bytes, at: int) -> int | None:
        """Of the sequence that begins with the IAC at `at`; None: more must come."""
        if at + 1 == len(data):
            return None
        if data[at + 1] in _OPTIONS:
            return 3 if at + 2 < len(data) else None
        if data[at + 1] == _SUBNEGOTIATION:
            end = data.find(bytes([_IAC, _SUBNEGOTIATION_END]), at + 2)
            return None if end < 0 else end + 2 - at
        return 2


class RenodeMonitor:
    """A connected monitor. It owns the connection."""

    def __init__(self, connection: socket.socket, seconds: float = _COMMAND_SECONDS) -> None:
        """Waits up to `seconds` for the first prompt. Raises LinkFailure if none comes."""
        self._connection = connection
        self._telnet = Telnet()
        self._prompt("", seconds)

    def command(self, line: str, seconds: float = _COMMAND_SECONDS) -> str:
        """Run one line and return what it prints, without spaces around it.

        Raises LinkFailure where Renode reports an error, is gone, or has no prompt after `seconds`.
        """
        if "\n" in line or "\r" in line:
            raise ValueError(f"one line at a time, not {line!r}")
        try:
            self._connection.sendall(line.encode() + b"\n")
        except OSError as error:
            raise LinkFailure(f"Renode's monitor is gone: {error}") from error
        answer = self._prompt(line, seconds)
        if any(error in answer for error in _ERRORS):
            text = " ".join(answer.split())
            raise LinkFailure(f"Renode refuses {line!r}: {text}")
        return answer

    def number(self, line: str) -> int:
        """Run one line that prints a number."""
        answer = self.command(line)
        try:
            return int(answer, 0)
        except ValueError:
            raise LinkFailure(f"Renode answers {line!r} with {answer!r}, not a number") from None

    def close(self) -> None:
        """End Renode, if it still listens, and the connection."""
        try:
            self._connection.settimeout(_QUIT_SECONDS)
            self._connection.sendall(b"quit\n")
            while self._connection.recv(4096):
                pass
        except OSError:
            pass  # it is gone already, or will be killed
        self._connection.close()

    def _prompt(self, line: str, seconds: float) -> str:
        """What comes between the echo of `line` and the next prompt."""
        deadline = monotonic() + seconds
        received = ""
        while True:
            _, echo, answer = received.partition(line) if line else ("", "-", received)
            if echo and (prompt := _PROMPT.search(answer)):
                return answer[: prompt.start()].strip()
            self._connection.settimeout(max(deadline - monotonic(), 0.001))
            try:
                data = self._connection.recv(65536)
            except TimeoutError:
                what = f"after {line!r}" if line else "at all"
                raise LinkFailure(
                    f"Renode's monitor shows no prompt {what} within {seconds:g} s"
                ) from None
            except OSError as error:
                raise LinkFailure(f"Renode's monitor is gone: {error}") from error
            if not data:
                raise LinkFailure("Renode's monitor has closed the connection")
            received += self._telnet.text(data).decode("utf-8", "replace")
