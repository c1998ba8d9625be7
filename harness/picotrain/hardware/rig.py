"""The device under test, with everything that keeps hold of it while it restarts and renames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from picotrain.device.link.client import Hello
from picotrain.device.link.frames import Frame, LinkFormat, Splitter
from picotrain.device.link.port import SerialPort
from picotrain.device.link.ports import Port, find_ports
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.serial import SerialTarget
from picotrain.errors import DeviceFailure, LinkFailure, UserError
from picotrain.image.elf import open_elf

_BACK_SECONDS = 20.0
_PAUSE_SECONDS = 0.3


@dataclass
class Wire:
    """Frames on an open port, with nothing repeated and nothing left out."""

    stream: SerialPort
    format: LinkFormat
    splitter: Splitter
    sequence: int = 1

    def send(self, data: bytes) -> None:
        self.stream.write(data)

    def next(self, kind: int, payload: bytes = b"") -> Frame:
        """A request with a sequence number of its own."""
        self.sequence = (self.sequence + 1) & 0xFFFF
        return Frame(kind, self.sequence, payload)

    def frames(self, seconds: float, count: int = 1 << 30) -> list[Frame]:
        """The frames that arrive within `seconds`, at most until there are `count`."""
        deadline = time.monotonic() + seconds
        found: list[Frame] = []
        while len(found) < count:
            data = self.stream.read(max(0.0, deadline - time.monotonic()))
            if not data:
                break
            found += filter(None, map(self.format.decode, self.splitter.feed(data)))
            if time.monotonic() >= deadline:  # a flood never ends by itself
                break
        return found

    def ask(self, frame: Frame, seconds: float, junk: bytes = b"") -> Frame | None:
        """The answer to a request that is sent once, with `junk` before it.

        None where there is no answer, or something else came first.
        """
        self.send(junk + self.format.encode(frame))
        answers = self.frames(seconds, 1)
        return answers[0] if answers and answers[0].sequence == frame.sequence else None


class DeviceRig:
    """A picotrain device at a port; connects when it is first needed."""

    def __init__(self, elf: Path, baud: int, ports: Callable[[], list[Port]] = find_ports) -> None:
        self.elf = elf
        self.port: Port | None = None
        self._baud = baud
        self._ports = ports
        self._target: SerialTarget | None = None
        self._device: MailboxDevice | None = None

    def target(self) -> SerialTarget:
        """The connected target."""
        if self._target is None:
            target = SerialTarget(self.elf, self._url(), self._baud)
            target.connect()
            self._target = target
        return self._target

    def device(self) -> MailboxDevice:
        """The device behind the target."""
        target = self.target()
        if self._device is None:
            self._device = MailboxDevice(target)
        return self._device

    def restart(self, how: str) -> Hello:
        """Restart the device, and what it says then."""
        hello = self.target().restart(how)
        assert hello is not None
        self._device = None  # its mailbox may have moved, where memory is a process's
        return hello

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """The port for frames of one's own; the device has said HELLO."""
        self.close()
        format_ = LinkFormat(open_elf(self.elf))
        stream = SerialPort(self._url(), self._baud)
        try:
            wire = Wire(stream, format_, Splitter(format_.longest_body))
            stream.discard()
            hello = wire.next(int(format_.kinds["PT_LINK_HELLO"]))
            if wire.ask(hello, 2.0) is None:
                raise LinkFailure(f"no answer to HELLO at {self._url()}")
            yield wire
        finally:
            stream.close()

    def recover(self) -> None:
        """Connect anew and see that the device works; it may have another name by now."""
        deadline = time.monotonic() + _BACK_SECONDS
        while True:
            try:
                self.close()
                self._follow()
                self.device().command("RESET")
                return
            except (DeviceFailure, UserError):
                self.close()
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        if self._target is not None:
            self._target.close()
        self._target = self._device = None

    def _url(self) -> str:
        if self.port is None:
            raise LinkFailure("no port is chosen")
        return self.port.url

    def _follow(self) -> None:
        """The same device may appear as another port."""
        if self.port is not None and self.port.serial_number:
            number = self.port.serial_number
            same = [port for port in self._ports() if port.serial_number == number]
            self.port = same[0] if same else self.port
