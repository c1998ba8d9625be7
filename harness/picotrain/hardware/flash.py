"""Put the firmware on a Pico: by its USB drive, by picotool, or by a debug probe.

Every wait is bounded and announced, and every failure says what to do.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import serial

from picotrain.device.link.client import LinkClient
from picotrain.device.link.frames import LinkFormat
from picotrain.device.link.port import PortLost, SerialPort
from picotrain.errors import DeviceFailure, FlashFailure, UserError
from picotrain.hardware.drives import (
    LABEL,
    Places,
    by_label,
    is_gone,
    only_drive,
    system_places,
    why_none,
)
from picotrain.hardware.ports import AUTO, Port, choose_port, find_ports
from picotrain.image import uf2
from picotrain.image.elf import open_elf

How = Literal["auto", "drive", "picotool", "probe"]
Say = Callable[[str], None]
Found = TypeVar("Found")

DRIVE_SECONDS = 20.0
"""For the boot ROM's drive to appear, and the desktop to mount it."""
GONE_SECONDS = 15.0
"""For the drive to take the last block, and go."""
PORT_SECONDS = 15.0
"""For the program's serial port to appear."""
TOOL_SECONDS = 120.0
_POLL_SECONDS = 0.2
_NEWS_SECONDS = 5.0
_TOUCH_BAUD = 1200

_NO_USE_TO_WAIT = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EFBIG}
_FILE = "picotrain.uf2"


def ask_over_link(elf: Path, port: Port, baud: int) -> None:
    """Send a picotrain device into its boot ROM. Raises DeviceFailure or UserError."""
    stream = SerialPort(port.url, baud)
    try:
        # Not a SerialTarget, which refuses a device with another build than `elf`.
        client = LinkClient(stream, LinkFormat(open_elf(elf)))
        client.hello()
        with suppress(PortLost):  # USB may go before the answer is here
            client.restart("bootsel")
    finally:
        stream.close()


def touch(port: Port) -> None:
    """Open and close a port at 1200 baud: many programs for the Pico go to BOOTSEL then."""
    with suppress(OSError):  # it may go while it is open
        serial.Serial(port.url, _TOUCH_BAUD).close()


def run_tool(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Exit status and all output of a program. Raises FlashFailure after `seconds`."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except OSError as error:
        raise FlashFailure(f"{command[0]} does not start: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise FlashFailure(
            f"{command[0]} did not finish within {seconds:g} s; plug the board in again"
        ) from None
    return done.returncode, done.stdout


@dataclass
class System:
    """What flashing touches outside this process; tests put other things there."""

    ports: Callable[[], list[Port]] = find_ports
    places: Places = field(default_factory=system_places)
    ask: Callable[[Path, Port, int], None] = ask_over_link
    touch: Callable[[Port], None] = touch
    tool: Callable[[Sequence[str], float], tuple[int, str]] = run_tool
    which: Callable[[str], str | None] = shutil.which
    has_module: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


class Flasher:
    """Flashes `elf` on the device at `wanted`, a port or "auto"."""

    def __init__(self, elf: Path, wanted: str, baud: int, say: Say, system: System) -> None:
        self._elf = elf
        self._wanted = wanted
        self._baud = baud
        self._say = say
        self._system = system
        self._segments = uf2.read_image(elf)

    def flash(self, how: How = "auto") -> Port:
        """Flash, and return the port where the device is then.

        Raises FlashFailure, or UserError where it is not clear what to flash.
        """
        if how == "probe":
            self._by_probe()
            return self._await_port(None, frozenset())
        before = self._running()
        others = frozenset(port for port in self._ours() if port != before)
        if how == "picotool" and self._system.which("picotool") is None:
            raise UserError("picotool is not on PATH; install it, or leave --picotool out")
        by_tool = how == "picotool" or (how == "auto" and self._system.which("picotool"))
        waiting = only_drive(self._system.places)
        if before is None and waiting is None:
            self._say("no picotrain device runs: hold BOOTSEL while you plug the Pico in")
        if before is not None and waiting is None:
            self._to_bootsel(before)
        elif before is not None and before.kind in ("picotrain", "pico"):
            # Not so at the end of a UART: that device may be the one that waits.
            raise UserError(
                f"another Pico than {before} waits for a program at {waiting}; leave one plugged in"
            )
        if by_tool:
            self._by_picotool()
        else:
            self._by_drive()
        return self._await_port(before, others)

    def _ours(self) -> list[Port]:
        return [port for port in self._system.ports() if port.kind == "picotrain"]

    def _running(self) -> Port | None:
        """The device that shall be sent to BOOTSEL; None: one waits there already, or will."""
        found = self._system.ports()
        if self._wanted != AUTO:
            return choose_port(self._wanted, found)
        if only_drive(self._system.places) is not None:
            return None
        foreign = [port for port in found if port.kind == "pico"]
        if not self._ours() and len(foreign) == 1:
            return foreign[0]
        try:
            return choose_port(AUTO, [port for port in found if port.kind == "picotrain"])
        except UserError:
            if self._ours() or foreign:
                raise
            return None

    def _to_bootsel(self, port: Port) -> None:
        if port.kind == "pico" and port.product:
            self._say(f"{port.url} runs {port.product!r}: asking it for BOOTSEL with 1200 baud")
            self._system.touch(port)
            return
        self._say(f"asking {port} for BOOTSEL")
        try:
            self._system.ask(self._elf, port, self._baud)
        except DeviceFailure as failure:
            if port.kind == "other":
                raise FlashFailure(f"{failure}; or hold BOOTSEL while you plug it in") from failure
            self._say("it does not answer: trying 1200 baud")
            self._system.touch(port)

    def _by_drive(self) -> None:
        system = self._system
        drive = self._wait(
            f"for the drive {LABEL}", DRIVE_SECONDS, lambda: only_drive(system.places)
        )
        if drive is None:
            raise FlashFailure(why_none(system.places))
        content = uf2.encode(self._segments)
        self._say(f"copying {len(content):,} bytes to {drive}")
        labelled = by_label(system.places) is not None
        problem: OSError | None = None
        try:
            with (drive / _FILE).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # The boot ROM leaves with the last block, in the middle of what the system writes.
            problem = error
            if error.errno in _NO_USE_TO_WAIT:
                raise FlashFailure(
                    f"{drive} cannot be written: {error.strerror}; mount it anew, writable for you"
                ) from error
        gone = self._wait(
            "for it to start the program",
            GONE_SECONDS,
            lambda: is_gone(drive, system.places, labelled) or None,
        )
        if gone is None:
            why = f" ({problem.strerror})" if problem else ""
            raise FlashFailure(
                f"{drive} did not take the program{why}: plug the Pico in again while you hold "
                "BOOTSEL, with another cable or without a hub"
            )

    def _by_picotool(self) -> None:
        with tempfile.TemporaryDirectory(prefix="picotrain-") as folder:
            file = Path(folder) / _FILE
            file.write_bytes(uf2.encode(self._segments))
            command = ["picotool", "load", "-v", "-x", str(file)]
            self._say("picotool load -v -x")

            def attempt() -> tuple[int, str] | None:
                status, output = self._system.tool(command, TOOL_SECONDS)
                return None if status and "no accessible" in output.lower() else (status, output)

            done = self._wait("for a Pico in BOOTSEL", DRIVE_SECONDS, attempt)
        if done is None:
            raise FlashFailure(
                "picotool sees no Pico in BOOTSEL: hold BOOTSEL while you plug it in; on Linux it "
                "also needs the udev rule of docs/hardware.md"
            )
        if done[0]:
            raise FlashFailure(f"picotool failed: {_last_line(done[1])}")

    def _by_probe(self) -> None:
        if not self._system.has_module("pyocd"):
            raise UserError("pyocd is not installed; run `.venv/bin/pip install -e '.[probe]'`")
        self._say("pyocd flash --target rp2040")
        command = [sys.executable, "-m", "pyocd", "flash", "--target", "rp2040", str(self._elf)]
        status, output = self._system.tool(command, TOOL_SECONDS)
        if status:
            raise FlashFailure(
                f"pyocd failed: {_last_line(output)}; check that the probe is plugged in and its "
                "wires (docs/hardware.md)"
            )

    def _await_port(self, before: Port | None, others: frozenset[Port]) -> Port:
        if self._wanted != AUTO and (before is None or before.kind != "picotrain"):
            return choose_port(self._wanted, self._system.ports())

        def back() -> Port | None:
            ports = [port for port in self._ours() if port not in others]
            same = [port for port in ports if before and port.serial_number == before.serial_number]
            return next(iter(same or ports), None)

        port = self._wait("for the program's serial port", PORT_SECONDS, back)
        if port is not None:
            return port
        # No USB cable, or a system that hides names: what could it be?
        try:
            return choose_port(AUTO, self._system.ports())
        except UserError as error:
            raise FlashFailure(
                f"the program was written, but no port of it appeared within {PORT_SECONDS:g} s: "
                "plug the Pico in again; if that does not help, flash again"
            ) from error

    def _wait(self, what: str, seconds: float, look: Callable[[], Found | None]) -> Found | None:
        """What `look` finds within some seconds; polls, and says now and then that it waits."""
        start = news = self._system.now()
        said = False
        while True:
            found = look()
            if found is not None:
                return found
            now = self._system.now()
            if now - start >= seconds:
                return None
            if not said or now - news >= _NEWS_SECONDS:
                self._say(f"waiting {what}: {now - start:.0f} of {seconds:g} s")
                said, news = True, now
            self._system.sleep(_POLL_SECONDS)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
