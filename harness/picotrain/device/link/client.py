"""The host's rules on the serial link: ask, wait, ask again, and believe nothing damaged."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import numpy as np

from picotrain.device.link.frames import Frame, LinkFormat, Splitter
from picotrain.errors import LinkFailure, MagicMismatch, VersionMismatch

WAITS = (0.3, 0.6, 1.2, 2.4)
"""Seconds to wait for an answer, attempt by attempt: a lost frame costs little, and a slow device
is not flooded."""
FLASH_WAITS = (1.0, 2.0, 4.0)
"""The same where a sector may have to be erased first, which takes up to 0.4 s."""


class Stream(Protocol):
    """A way to the device that may lose, damage and invent bytes, but not change their order."""

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises LinkFailure where the way is gone."""

    def read(self, seconds: float) -> bytes:
        """What has arrived; waits for it up to `seconds`, and returns b"" if nothing came.

        Raises LinkFailure where the way is gone.
        """


class NoAnswer(LinkFailure):
    """Nothing that is an answer arrived in time."""


class Refused(LinkFailure):
    """The device refused a request; `name` is the enumerator of `enum pt_link_error`."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


class Restarted(LinkFailure):
    """The device has started anew since the last HELLO: what it held is lost."""


@dataclass(frozen=True)
class Hello:
    """What a device says of itself; `struct pt_link_hello`."""

    mailbox: int
    """Its address."""
    payload: int
    """Most bytes of a payload."""
    clock_hz: int
    """0: not clocked, as a host process."""
    boot_cycles: int
    """Clock cycles from the first instruction of the program to its first idle."""
    reset: str
    """Why it started: "power", "request", "watchdog" or "fault"; "?" and a number otherwise."""
    build: bytes
    """The first bytes of the build id; zeros: unknown."""
    chip: bytes
    """The unique number of its flash chip; zeros: unknown."""


_REFUSALS = {
    "PT_LINK_ERR_KIND": "it knows no such request",
    "PT_LINK_ERR_LENGTH": "the payload does not suit the request",
    "PT_LINK_ERR_WINDOW": "that is not within the mailbox or one open window",
    "PT_LINK_ERR_READ_ONLY": "that may be read, not written",
    "PT_LINK_ERR_FLASH": "the flash did not take it; it is written in pages of 256 bytes",
    "PT_LINK_ERR_ARGUMENT": "an argument has no meaning",
}


class LinkClient:
    """One host on one stream, which it does not close."""

    def __init__(self, stream: Stream, format_: LinkFormat, sequence: int | None = None) -> None:
        """`sequence`: of the first request; random by default, so that an answer to the host that
        was here before is hardly taken for one's own."""
        self._stream = stream
        self.format = format_
        self._splitter = Splitter(format_.longest_body)
        self._sequence = random.randrange(1 << 16) if sequence is None else sequence
        self.retries = 0
        """Requests that were sent again."""
        self.heard = 0
        """Bytes that arrived, of whatever kind."""

    def exchange(
        self, kind: str, payload: bytes = b"", waits: Iterable[float] = WAITS, what: str = ""
    ) -> bytes:
        """Ask and return the answer's payload; `kind` without its prefix, e.g. "PEEK".

        Asks again after each of `waits`, in seconds. `what` names the request in error messages.
        Raises NoAnswer, Refused, and Restarted where the device wants a HELLO first.
        """
        number = int(self.format.kinds[f"PT_LINK_{kind}"])
        self._sequence = (self._sequence + 1) & 0xFFFF
        wire = self.format.encode(Frame(number, self._sequence, payload))
        heard = self.heard
        waited = 0.0
        for attempt, wait in enumerate(waits):
            self.retries += attempt > 0
            self._stream.write(wire)
            answer = self._answer(number | self.format.answer, wait)
            if answer is not None:
                self._check(answer, what or kind)
                return answer.payload
            waited += wait
        noise = self.heard - heard
        what_came = f"{noise} bytes came, but no answer" if noise else "nothing came"
        raise NoAnswer(f"{what or kind}: no answer within {waited:g} s ({what_came})")

    def _answer(self, kind: int, seconds: float) -> Frame | None:
        """The answer to the present request; others, of requests sent twice, are left out."""
        deadline = monotonic() + seconds
        while True:
            data = self._stream.read(max(0.0, deadline - monotonic()))
            self.heard += len(data)
            for body in self._splitter.feed(data):
                frame = self.format.decode(body)
                if frame and frame.kind == kind and frame.sequence == self._sequence:
                    return frame
            # Noise may never end, so silence is not the only way out.
            if not data or monotonic() >= deadline:
                return None

    def _check(self, answer: Frame, what: str) -> None:
        if answer.error == 0:
            return
        try:
            name = self.format.errors(answer.error).name
        except ValueError:
            name = f"error {answer.error}"
        if name == "PT_LINK_ERR_HELLO":
            raise Restarted(f"{what}: the device has started anew")
        reason = _REFUSALS.get(name, "no reason is known here")
        raise Refused(f"{what}: the device refused with {name}: {reason}", name)

    # Requests

    def hello(self, waits: Iterable[float] = WAITS) -> Hello:
        """Begin: the device forgets whom it talked to before.

        Raises MagicMismatch or VersionMismatch where something else answers.
        """
        answer = self.exchange("HELLO", waits=waits)
        layout = self.format.hello
        if len(answer) < layout.itemsize:
            answer = answer.ljust(layout.itemsize, b"\0")
        found = np.frombuffer(answer, layout, count=1)[0]
        if found["magic"] != self.format.magic:
            raise MagicMismatch(f"what answers is no picotrain link (magic 0x{found['magic']:08x})")
        if found["version"] != self.format.version:
            raise VersionMismatch(
                f"the device speaks version {found['version']} of the serial link, this harness "
                f"version {self.format.version}; flash the matching firmware"
            )
        reset = int(found["reset"])
        known = reset in set(self.format.resets)
        return Hello(
            mailbox=int(found["mailbox"]),
            payload=int(found["payload"]),
            clock_hz=int(found["clock_hz"]),
            boot_cycles=int(found["boot_cycles"]),
            reset=_plain(self.format.resets(reset).name) if known else f"? ({reset})",
            build=found["build"].tobytes(),
            chip=found["chip"].tobytes(),
        )

    def echo(self, data: bytes, waits: Iterable[float] = WAITS) -> bytes:
        """What the device sends back."""
        return self.exchange("ECHO", data, waits)

    def peek(self, address: int, size: int, waits: Iterable[float] = WAITS) -> bytes:
        """Read at most a payload of memory."""
        what = f"cannot read {size} bytes at 0x{address:x}"
        data = self.exchange("PEEK", self.format.span(address, size), waits, what)
        if len(data) != size:
            raise LinkFailure(f"{what}: the device sent {len(data)}")
        return data

    def poke(self, address: int, data: bytes, waits: Iterable[float] = WAITS) -> None:
        """Write at most a payload, less `poke_head`, into memory."""
        what = f"cannot write {len(data)} bytes at 0x{address:x}"
        self.exchange("POKE", self.format.poke(address, data), waits, what)

    def restart(self, how: str, waits: Iterable[float] = WAITS) -> None:
        """Ask the device to start anew: "program", "bootsel", or "hang" or "fault" as a self-test.

        It does so once: what has started anew refuses a repeated request. NoAnswer where it is not
        known whether the request arrived.
        """
        number = int(self.format.restarts[f"PT_LINK_RESTART_{how.upper()}"])
        # Refused as a stranger's: the answer was lost, the request was not.
        with suppress(Restarted):
            self.exchange("RESTART", number.to_bytes(4, "little"), waits, f"cannot restart ({how})")


def _plain(name: str) -> str:
    """PT_RESET_WATCHDOG -> "watchdog"."""
    return name.rpartition("_")[2].lower()
