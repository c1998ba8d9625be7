"""A device at the end of a serial link: a Pico, or an emulator's UART (docs/serial-link.md)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

import numpy as np
from elftools.elf.elffile import ELFFile
from tqdm import tqdm

from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.link.client import (
    FLASH_WAITS,
    WAITS,
    Hello,
    LinkClient,
    NoAnswer,
    Refused,
    Restarted,
)
from picotrain.device.link.frames import LinkFormat
from picotrain.device.link.port import PortLost, SerialPort, is_socket
from picotrain.device.targets.fault import read_fault
from picotrain.errors import (
    CrashFailure,
    DeviceFailure,
    FlashFailure,
    LinkFailure,
    TimeoutFailure,
    UserError,
)
from picotrain.image.elf import Elf, open_elf
from picotrain.places import FLASH

BAUD = 921600
_BACK_SECONDS = 15.0
"""For a device that starts anew: the watchdog's 8 s, its start, USB's enumeration."""
_SOCKET_SECONDS = 2.0
"""For a socket that is refused: an emulator keeps its port while its chip starts anew."""
_POLL_WAITS = (0.5, 1.0, 2.0, 4.0)
"""A device that works answers when it has finished: one question in its buffer is enough, the next
ones are for the case that it was lost. Then every 8 s, so that the buffer holds them all."""
_LATER_WAIT = 8.0
_REOPEN_SECONDS = 0.1
_WORD = 4

Result = TypeVar("Result")


class SerialTarget:
    """The `Target` on a device that is reached through a pyserial URL.

    The host can only touch the mailbox and open windows, so a wrong address is a LinkFailure.
    A device that starts anew while we talk to it is a TimeoutFailure if its watchdog did it, a
    CrashFailure if it faulted, a LinkFailure otherwise; it can be used again at once, but what it
    held is lost. A port that goes away and comes back with the device as it was is a LinkFailure.
    """

    def __init__(self, elf: Path, url: str, baud: int = BAUD) -> None:
        self.elf = elf
        self.name = f"serial:{url}"
        self.url = url
        self.baud = baud
        self._port: SerialPort | None = None
        self._client: LinkClient | None = None
        self._hello: Hello | None = None
        self._flash = range(0)
        self.silence = 0.0
        """Seconds for which `run` does not ask: on the UART the bytes of a question interrupt a
        command that counts its cycles."""

    # The Target protocol

    def connect(self) -> None:
        """Open the port and greet the device.

        Raises UserError for a port that cannot be opened, LinkFailure where no picotrain device
        answers, FlashFailure where the device runs another build than `elf`.
        """
        self.close()
        try:
            self._open()
            self._greet(WAITS)
        except BaseException:
            self.close()
            raise

    def mailbox_address(self) -> int:
        """Where the device says that its mailbox is."""
        return self._known().mailbox

    def read(self, address: int, size: int) -> bytes:
        """Read `size` bytes of the mailbox or of one open window."""
        return self._guarded(lambda: self._read(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Write into one open window, or to what the host may write of the mailbox.

        Flash is written in whole pages of 256 bytes, the last filled with 0xFF.
        """
        self._guarded(lambda: self._write(address, data))

    def run(self, timeout: float) -> None:
        """Wait until the device has carried out what was written to `command`."""
        self._guarded(lambda: self._run(timeout))

    def profile(self) -> list[BlockCount] | None:
        """None: a serial link shows no counters. The mailbox holds the cycles of each command."""
        return None

    def calls(self) -> list[CallNode] | None:
        """None, as `profile`."""
        return None

    def close(self) -> None:
        """Close the port; the device stays as it is."""
        if self._port is not None:
            self._port.close()
        self._port = self._client = self._hello = None

    # More than the protocol

    def hello(self) -> Hello:
        """What the device says of itself now; greets one that has started anew."""
        return self._guarded(lambda: self._link().hello())

    def echo(self, data: bytes) -> bytes:
        """The bytes, there and back; at most a payload."""
        return self._guarded(lambda: self._link().echo(data))

    def restart(self, how: str = "program", seconds: float = _BACK_SECONDS) -> Hello | None:
        """Start the device anew, and return what it says then.

        `how`: "program", "bootsel" (the boot ROM's USB drive; the port is closed then, and the
        answer None), and as self-tests "hang", until the watchdog bites, and "fault". Raises
        LinkFailure where the device is not back after `seconds`.
        """
        with suppress(PortLost):  # it may go before its answer is here
            self._link().restart(how)
        if how == "bootsel":
            self.close()
            return None
        return self._await(seconds, partial(self._greet, WAITS[:2]))

    @property
    def retries(self) -> int:
        """Requests that were sent again since `connect`."""
        return self._link().retries

    # Talking

    def _open(self) -> None:
        self._port = SerialPort(self.url, self.baud)
        self._port.discard()
        self._client = LinkClient(self._port, LinkFormat(self._symbols))

    @property
    def _symbols(self) -> Elf:
        return open_elf(self.elf)

    def _link(self) -> LinkClient:
        if self._client is None:
            raise LinkFailure(f"{self.name} is not connected: connect first")
        return self._client

    def _known(self) -> Hello:
        if self._hello is None:
            raise LinkFailure(f"{self.name} is not connected: connect first")
        return self._hello

    def _greet(self, waits: tuple[float, ...]) -> Hello:
        """Say HELLO and check who answers."""
        client = self._link()
        try:
            hello = client.hello(waits)
        except NoAnswer as failure:
            raise NoAnswer(self._silence(client)) from failure
        expected = build_id(self.elf)[: len(hello.build)]
        if expected and any(hello.build) and hello.build != expected:
            remedy = (
                "start the emulator again with the new image"
                if is_socket(self.url)
                else f"flash the firmware that is here with {FLASH}"
            )
            raise FlashFailure(
                f"the device at {self.url} runs another build ({hello.build.hex()}) than "
                f"{self.elf.name} ({expected.hex()}): {remedy}"
            )
        self._hello = hello
        return hello

    def _silence(self, client: LinkClient) -> str:
        emulated = is_socket(self.url)
        if client.heard:
            check = "the port" if emulated else f"the port, and the baud rate ({self.baud})"
            return (
                f"what answers at {self.url} is no picotrain device ({client.heard} bytes, no "
                f"frame of the serial link): check {check}"
            )
        if emulated:
            return (
                f"nobody answers at {self.url}: check that the emulator runs picotrain, that no "
                "other program is connected there, and whether a long command still runs (start "
                "the emulator again)"
            )
        return (
            f"nobody answers at {self.url}: check the wires and the baud rate ({self.baud}), "
            f"whether picotrain is flashed ({FLASH}), and whether a long command still runs "
            "(reset the device)"
        )

    def _read(self, address: int, size: int) -> bytes:
        most = self._known().payload
        client = self._link()
        pieces = (client.peek(address + at, min(most, size - at)) for at in range(0, size, most))
        return b"".join(pieces)

    def _write(self, address: int, data: bytes) -> None:
        client = self._link()
        most = self._known().payload - client.format.poke_head
        flash = self._flash_window(address)
        if address in flash:
            units = self._symbols.enum("pt_link_flash")
            page, sector = int(units["PT_LINK_FLASH_PAGE"]), int(units["PT_LINK_FLASH_SECTOR"])
            offset = address - flash.start
            if offset % page:
                raise LinkFailure(
                    f"cannot write flash at 0x{address:x}: it is written in pages of {page} bytes"
                )
            padded = data + b"\xff" * (-len(data) % page)
            most -= most % page
            for at, size in _pieces(offset, len(padded), most, sector):
                client.poke(address + at, padded[at : at + size], FLASH_WAITS)
            return
        for at in range(0, len(data), most):
            client.poke(address + at, data[at : at + most])

    def _flash_window(self, address: int) -> range:
        """Where flash for a model is, if that is known and `address` is not in the mailbox.

        It never moves, so it is asked for until it has been seen open.
        """
        mailbox = self._symbols.dtype("pt_mailbox")
        start = self._known().mailbox
        if start <= address < start + mailbox.itemsize:
            return range(0)
        if not self._flash:
            name = int(self._symbols.enum("pt_window_name")["PT_WINDOW_FLASH"])
            found = np.frombuffer(self._read(start, mailbox.itemsize), mailbox)[0]["window"][name]
            self._flash = range(int(found["address"]), int(found["address"]) + int(found["size"]))
        return self._flash

    def _run(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        mailbox = self._symbols.dtype("pt_mailbox")
        states = self._symbols.enum("pt_status")
        sleep(min(self.silence, timeout))
        while True:
            try:
                data = self._link().peek(
                    self._known().mailbox, mailbox.itemsize, _poll_waits(deadline)
                )
            except NoAnswer:
                raise TimeoutFailure(
                    f"{self.name}: the device was still busy after {timeout:g} s"
                ) from None
            found = np.frombuffer(data, mailbox)[0]
            if found["command"] == 0:
                if found["status"] == states["PT_STATUS_IDLE"]:
                    raise Restarted(f"{self.name}: the device has started anew")
                return
            if monotonic() >= deadline:
                raise TimeoutFailure(
                    f"{self.name}: the device answers, but did not serve the command within "
                    f"{timeout:g} s"
                )
            sleep(0.01)

    # A device that starts anew

    def _guarded(self, act: Callable[[], Result]) -> Result:
        """The result, or the reason why the device or the port went away under us."""
        try:
            return act()
        except Restarted:
            raise self._explain_restart() from None
        except PortLost as lost:
            raise self._explain_loss(lost) from None

    def _explain_restart(self) -> DeviceFailure:
        return self._reason(self._greet(WAITS))

    def _explain_loss(self, lost: PortLost) -> DeviceFailure:
        """A port that comes back is USB's way to show that the device has started anew; but a
        loose cable and another program that takes the port look the same, so the device is asked.
        """
        self._drop_port()
        hello = None
        try:
            if not self._await(_BACK_SECONDS, self._knows_us, tell=True):
                hello = self._await(_BACK_SECONDS, partial(self._greet, WAITS[:2]))
        except LinkFailure as failure:
            silent = self._port is not None
            self.close()
            return failure if silent else lost
        if hello is None:
            return LinkFailure(
                f"{self.name} went away and came back, but the device did not start anew: a loose "
                "cable, or another program that took the port"
            )
        return self._reason(hello)

    def _knows_us(self) -> bool:
        """Whether the device was greeted since it started; to be asked before the next HELLO."""
        client = self._link()
        try:
            client.peek(self._known().mailbox, _WORD, WAITS[:2])
        except NoAnswer as failure:
            raise NoAnswer(self._silence(client)) from failure
        except (Restarted, Refused):  # refused: another process, which another host has greeted
            return False
        return True

    def _await(self, seconds: float, ask: Callable[[], Result], tell: bool = False) -> Result:
        """What `ask` gets from a device that may be away for a while, port and all.

        Raises LinkFailure after `seconds`, and sooner where a socket stays refused. `tell`: whether
        the user is told that it takes a while.
        """
        patience = min(seconds, _SOCKET_SECONDS) if is_socket(self.url) else seconds
        start = seen = monotonic()  # seen: when there last was a port
        while True:
            try:
                if self._port is None:
                    self._open()
                return ask()
            except FlashFailure:
                raise
            except NoAnswer as silence:
                failure: Exception = silence
            except (DeviceFailure, UserError) as problem:
                # The port is gone, or not there yet, or may not be opened just yet.
                failure = problem
                if self._port is not None:
                    seen = monotonic()
                self._drop_port()
            limit = seconds if self._port is not None else patience
            if tell:
                _say(f"{self.name}: waiting up to {limit:g} s for the device to come back")
                tell = False
            now = monotonic()
            if now - start >= seconds or (self._port is None and now - seen >= patience):
                break
            if self._port is None:
                sleep(_REOPEN_SECONDS)
        raise LinkFailure(
            f"the device at {self.url} did not come back within {limit:g} s: {failure}"
        )

    def _drop_port(self) -> None:
        if self._port is not None:
            self._port.close()
        self._port = self._client = None

    def _reason(self, hello: Hello) -> DeviceFailure:
        if hello.reset in ("watchdog", "fault"):
            return self._death(hello.reset)
        return LinkFailure(
            f"{self.name}: the device started anew ({hello.reset}); what it held is lost"
        )

    def _death(self, reset: str) -> DeviceFailure:
        """What the window with the last fault tells."""
        mailbox = self._symbols.dtype("pt_mailbox")
        name = int(self._symbols.enum("pt_window_name")["PT_WINDOW_FAULT"])
        data = self._read(self._known().mailbox, mailbox.itemsize)
        window = np.frombuffer(data, mailbox)[0]["window"][name]
        if window["size"]:
            record = self._read(int(window["address"]), int(window["size"]))
            if (told := read_fault(record, self._symbols)) is not None:
                return told
        if reset == "fault":
            return CrashFailure(f"{self.name}: the device faulted and kept no record of it")
        late = TimeoutFailure(
            f"{self.name}: the watchdog reset the device, because its program made no progress"
        )
        late.kind = "watchdog"
        return late


def build_id(elf: Path) -> bytes:
    """The build id that the linker gave the image; empty where there is none."""
    with elf.open("rb") as file:
        section: Any = ELFFile(file).get_section_by_name(".note.gnu.build-id")
        if section is None:
            return b""
        return b"".join(
            bytes.fromhex(note["n_desc"])
            for note in section.iter_notes()
            if note["n_type"] == "NT_GNU_BUILD_ID"
        )


def _say(text: str) -> None:
    """A line on standard error, above a progress bar if there is one."""
    tqdm.write(text, file=sys.stderr)


def _poll_waits(deadline: float) -> Iterator[float]:
    """Seconds to wait for an answer, attempt by attempt, until the deadline; at least one."""
    for number in range(1 << 30):
        wait = _POLL_WAITS[number] if number < len(_POLL_WAITS) else _LATER_WAIT
        left = deadline - monotonic()
        if number and left <= 0:
            return
        yield max(0.1, min(wait, left))


def _pieces(offset: int, size: int, most: int, sector: int) -> Iterator[tuple[int, int]]:
    """(start, bytes) of the pieces of a write, none of which leaves its sector."""
    at = 0
    while at < size:
        room = sector - (offset + at) % sector
        count = min(most, room, size - at)
        yield at, count
        at += count
