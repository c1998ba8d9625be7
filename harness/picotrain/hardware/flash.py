"""Put the firmware on a Pico: by its USB drive, by picotool, or by a debug probe.

It writes to the board that it has itself sent into its boot ROM, to the one whose drive the user
has named, or to the only one that is there; else it refuses. Every wait is bounded and announced,
and every failure says what to do.
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
from picotrain.device.link.port import PortLost, SerialPort, explain
from picotrain.device.link.ports import AUTO, Port, choose_port, find_ports, only
from picotrain.errors import DeviceFailure, FlashFailure, UserError
from picotrain.hardware.drives import (
    LABEL,
    Places,
    Waiting,
    by_label,
    drive_named,
    find_waiting,
    is_gone,
    only_waiting,
    system_places,
    usb_address,
    why_none,
)
from picotrain.image import uf2
from picotrain.image.elf import open_elf
from picotrain.places import with_make
from picotrain.versions import to_install

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


def ask_over_link(elf: Path, port: Port, baud: int) -> str:
    """Send a picotrain device into its boot ROM; the number of its chip, which USB shows too.

    Raises DeviceFailure or UserError.
    """
    stream = SerialPort(port.url, baud)
    try:
        # Not a SerialTarget, which refuses a device with another build than `elf`.
        client = LinkClient(stream, LinkFormat(open_elf(elf)))
        chip = client.hello().chip
        with suppress(PortLost):  # USB may go before the answer is here
            client.restart("bootsel")
        return chip.hex().upper() if any(chip) else ""
    finally:
        stream.close()


def touch(port: Port) -> None:
    """Open and close a port at 1200 baud: many programs for the Pico go to BOOTSEL then.

    Raises UserError where it cannot be opened.
    """
    try:
        serial.Serial(port.url, _TOUCH_BAUD).close()
    except OSError as error:
        problem = explain(port.url, _TOUCH_BAUD, error)
        if isinstance(problem, UserError):
            raise problem from None
        # It may go while it is open.


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
    ask: Callable[[Path, Port, int], str] = ask_over_link
    touch: Callable[[Port], None] = touch
    tool: Callable[[Sequence[str], float], tuple[int, str]] = run_tool
    which: Callable[[str], str | None] = shutil.which
    has_module: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


class Flasher:
    """Flashes `elf` on the device at `wanted`: a port, a drive of a board in BOOTSEL, or "auto".

    Or `segments`, and then not by a probe. `link` is the firmware whose link is asked for BOOTSEL,
    where `elf` has none.
    """

    def __init__(
        self,
        elf: Path,
        wanted: str,
        baud: int,
        say: Say,
        system: System,
        segments: Sequence[uf2.Segment] = (),
        link: Path | None = None,
    ) -> None:
        self._elf = elf
        self._link = link or elf
        self._wanted = wanted
        self._baud = baud
        self._say = say
        self._system = system
        self._port_named = wanted != AUTO
        self._segments = segments or uf2.read_image(elf)

    def flash(self, how: How = "auto") -> Port:
        """Flash, and return the port where the device is then.

        Raises FlashFailure, or UserError where it is not clear what to flash.
        """
        if how == "probe":
            self._by_probe()
            return self._await_port(None, "", frozenset())
        if how == "picotool" and self._system.which("picotool") is None:
            raise UserError("picotool is not on PATH; install it, or leave --picotool out")
        by_tool = how == "picotool" or (how == "auto" and bool(self._system.which("picotool")))
        board = drive_named(self._wanted, self._system.places)
        self._port_named &= board is None
        waiting = find_waiting(self._system.places)
        before = None if board else self._running(waiting)
        others = frozenset(port for port in self._ours() if port != before)
        location = ""
        if before is not None:
            if waiting or (by_tool and self._picotool_sees_one()):
                where = f"at {waiting[0]}" if waiting else "as picotool sees"
                raise UserError(
                    f"a Pico waits for a program {where}, and it is not known to be {before}: "
                    "unplug it, or name its drive with --port"
                )
            location = self._to_bootsel(before)
        else:
            board = board or only_waiting(waiting)
            if board is None:
                self._say("no picotrain device runs: hold BOOTSEL while you plug the Pico in")
            else:
                location = board.location
        if by_tool:
            self._by_picotool(location)
        else:
            self._by_drive(location, board)
        return self._await_port(before, location, others)

    def _ours(self) -> list[Port]:
        return [port for port in self._system.ports() if port.kind == "picotrain"]

    def _running(self, waiting: Sequence[Waiting]) -> Port | None:
        """The device that shall be sent to BOOTSEL; None: one waits there already, or will."""
        found = self._system.ports()
        if self._wanted != AUTO:
            return choose_port(self._wanted, found)
        running = [port for port in found if port.kind in ("picotrain", "pico")]
        if waiting and running:
            names = ", ".join(map(str, [*running, *waiting]))
            raise UserError(
                f"several Picos are plugged in: {names}; name the one to flash, by its port or its "
                f"drive, with --port{with_make(running[0].url)}"
            )
        ours = [port for port in running if port.kind == "picotrain"]
        return only(ours or running) if running else None

    def _to_bootsel(self, port: Port) -> str:
        """Its place on USB, where that is known."""
        if port.kind == "pico" and port.product:
            self._say(f"{port.url} runs {port.product!r}: asking it for BOOTSEL with 1200 baud")
            self._system.touch(port)
            return port.location
        self._say(f"asking {port} for BOOTSEL")
        on_usb = {one.serial_number: one.location for one in self._ours()}
        try:
            chip = self._system.ask(self._link, port, self._baud)
        except DeviceFailure as failure:
            if port.kind not in ("picotrain", "pico"):
                raise FlashFailure(f"{failure}; or hold BOOTSEL while you plug it in") from failure
            self._say("it does not answer: trying 1200 baud")
            self._system.touch(port)
            return port.location
        if port.kind in ("picotrain", "pico"):
            return port.location
        return on_usb.get(chip, "") if chip else ""  # at the end of a UART

    def _arrived(self, location: str) -> Waiting | None:
        """The board that was sent into BOOTSEL, at its place on USB where that is known."""
        return only_waiting(find_waiting(self._system.places), location)

    def _by_drive(self, location: str, board: Waiting | None) -> None:
        places = self._system.places

        def mounted() -> Waiting | None:
            found = board if board and board.drive else self._arrived(location)
            return found if found and found.drive else None

        found = self._wait(f"for the drive {LABEL}", DRIVE_SECONDS, mounted)
        if found is None:
            strangers = find_waiting(places)
            if location and strangers and all(one.location != location for one in strangers):
                raise FlashFailure(
                    f"the Pico at USB {location} did not come to BOOTSEL, only another one waits "
                    f"({strangers[0]}), which is left alone; hold BOOTSEL while you plug it in"
                )
            raise FlashFailure(why_none(places))
        assert found.drive is not None
        self._copy(found, found.drive)

    def _copy(self, board: Waiting, drive: Path) -> None:
        places = self._system.places
        content = uf2.encode(self._segments)
        self._say(f"copying {len(content):,} bytes to {drive}")
        labelled = by_label(places) is not None
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
            lambda: is_gone(board, places, labelled) or None,
        )
        if gone is None:
            why = f" ({problem.strerror})" if problem else ""
            raise FlashFailure(
                f"{drive} did not take the program{why}: plug the Pico in again while you hold "
                "BOOTSEL, with another cable or without a hub"
            )

    def _picotool_sees_one(self) -> bool:
        """Whether a board waits already, where only picotool can tell."""
        if self._system.places.usb is not None:
            return False
        return self._system.tool(["picotool", "info"], TOOL_SECONDS)[0] == 0

    def _by_picotool(self, location: str) -> None:
        with tempfile.TemporaryDirectory(prefix="picotrain-") as folder:
            file = Path(folder) / _FILE
            file.write_bytes(uf2.encode(self._segments))
            command = ["picotool", "load", "-v", "-x", str(file)]
            self._say("picotool load -v -x")

            def attempt() -> tuple[int, str] | None:
                chosen: list[str] = []
                if self._system.places.usb is not None:
                    board = self._arrived(location)
                    address = usb_address(self._system.places, board.location if board else "")
                    if address is None:
                        return None
                    chosen = ["--bus", str(address[0]), "--address", str(address[1])]
                status, output = self._system.tool([*command, *chosen], TOOL_SECONDS)
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
            raise UserError(f"pyocd is not installed; run `{to_install('probe')}`")
        self._say("pyocd flash --target rp2040")
        command = [sys.executable, "-m", "pyocd", "flash", "--target", "rp2040"]
        command += [*self._probe_choice(), str(self._elf)]
        status, output = self._system.tool(command, TOOL_SECONDS)
        if status:
            raise FlashFailure(
                f"pyocd failed: {_last_line(output)}; check that the probe is plugged in and its "
                "wires (docs/hardware.md)"
            )

    def _probe_choice(self) -> list[str]:
        """The probe whose UART the user named, else the only one."""
        found = self._system.ports()
        probes = [port for port in found if port.kind == "probe"]
        if self._wanted != AUTO:
            named = choose_port(self._wanted, found)
            probes = [named] if named.kind == "probe" else probes
        if len(probes) > 1:
            names = ", ".join(map(str, probes))
            raise UserError(
                f"several debug probes are plugged in: {names}; name the UART of the one that is "
                f"wired to the board with --port{with_make(probes[0].url)}"
            )
        number = probes[0].serial_number if probes else ""
        return ["--uid", number] if number else []

    def _await_port(self, before: Port | None, location: str, others: frozenset[Port]) -> Port:
        """The port of the board that was flashed, which may have another name than before."""
        if self._port_named and (before is None or before.kind not in ("picotrain", "pico")):
            return choose_port(self._wanted, self._system.ports())

        def back() -> Port | None:
            ports = [port for port in self._ours() if port not in others]
            if location and any(port.location for port in ports):
                return next((port for port in ports if port.location == location), None)
            if before and before.kind == "picotrain" and before.serial_number:
                number = before.serial_number
                return next((port for port in ports if port.serial_number == number), None)
            return ports[0] if len(ports) == 1 else None

        port = self._wait("for the program's serial port", PORT_SECONDS, back)
        if port is not None:
            return port
        # No USB cable, or a system that hides names: what could it be?
        left = [one for one in self._system.ports() if one not in others]
        try:
            return choose_port(AUTO, left)
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
