"""The standalone application on rp2040js, and what a client of its ports does."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Self

import serial

from picotrain.device.targets.rp2040js import Rp2040js
from picotrain.image import firmware, uf2
from picotrain.image.elf import open_elf
from support import require

XIP, WINDOW, RING = 0x10000000, 0x10100000, 0x101C0000
SECONDS = 60.0
CLOCK = 125_000_000


class Alone:
    """A chip with the application and `held` in the second MiB of its flash, or what the UF2 file
    `written` puts there; a context manager.

    `say` sends a line by USB or the UART, whichever `port` names, and returns the answer.
    """

    def __init__(
        self, package: Path, held: bytes = b"", port: str = "usb", written: Path | None = None
    ) -> None:
        self.elf = open_elf(require(firmware.STANDALONE))
        program = self.elf.path.with_suffix(".bin").read_bytes()
        image = program.ljust(WINDOW - XIP, b"\xff") + held
        if written is not None:
            image = uf2.encode([uf2.Segment(XIP, program)]) + written.read_bytes()
        self.machine = Rp2040js(self.elf.path, require(firmware.RP2040_ROM), package, image=image)
        self.port = port
        self._serial: serial.Serial | None = None

    def __enter__(self) -> Self:
        self.machine.start()
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.machine.close()

    def boot(self) -> int:
        """From reset until it waits, then on beside us. -> cycles of the first part"""
        self.hang_up()
        before = int(self.machine.state()["cycles"])
        stop = self.machine.run(SECONDS, [self.elf.symbol("pt_board_idle")])
        assert stop.why == "stop", stop
        self.machine.go()
        return stop.cycles - before

    def power_off(self) -> None:
        self.hang_up()
        self.machine.halt()
        self.machine.reset("power")

    def hang_up(self) -> None:
        if self._serial is not None:
            self._serial.close()
        self._serial = None

    def dial(self) -> serial.Serial:
        if self._serial is None:
            url = self.machine.usb_url if self.port == "usb" else self.machine.uart_url
            self._serial = serial.serial_for_url(url, timeout=SECONDS)
        return self._serial

    def say(self, line: bytes) -> str:
        port = self.dial()
        port.write(line + b"\n")
        answer = port.readline()
        assert answer.endswith(b"\n"), (line[:40], answer)
        return bytes(answer).decode("ascii").removesuffix("\n")

    def info(self) -> dict[str, str]:
        return dict(pair.split("=") for pair in self.say(b"info").split())

    def wait(self, seconds: float) -> None:
        """Let so much of the chip's time pass."""
        self.machine.halt()
        stop = self.machine.run(SECONDS, cycles=int(seconds * CLOCK))
        assert stop.why == "cycles", stop
        self.machine.go()

    def stack_left(self) -> int:
        """Bytes of the stack that were never used since reset."""
        start, end = (self.elf.symbol(f"pt_stack_{name}") for name in ("start", "end"))
        held = self.machine.read(start, end - start)
        return len(held) - len(held.lstrip(b"\xa5"))

    def blinks(self, seconds: float, step: float) -> int:
        """How often the LED changes, looked at so often."""
        seen = []
        for _ in range(round(seconds / step)):
            self.wait(step)
            seen.append(self.machine.led())
        return sum(one != other for one, other in pairwise(seen))
