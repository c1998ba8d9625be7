"""The RP2040's USB device (firmware/boards/rp2040/usb.c) in rp2040js, before a scripted host.

The program under test is device.c around the driver. `Bus` speaks to it token by token through
controller.mjs, a controller stricter than that of rp2040js: toggles, NAK, STALL, frames, and the
datasheet's rules for the buffer controls, whose breaches fail every test.
"""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from picotrain.image.elf import open_elf

ROOT = Path(__file__).resolve().parents[3]
FIRMWARE = ROOT / "firmware"
BOARD = FIRMWARE / "boards" / "rp2040"
HERE = Path(__file__).parent

FLAGS = "-std=c11 -Wall -Wextra -Werror -mcpu=cortex-m0plus -mthumb -ffreestanding -O2 -nostdlib"
TOKEN_US = 8
"""The program runs so long for each token, which takes about that on the bus."""


def build(folder: Path, descriptors: Path) -> Path:
    """The program with these descriptors; its image lies beside the ELF file, as `.bin`."""
    elf = folder / f"{descriptors.stem}.elf"
    sources = [HERE / "device.c", BOARD / "usb.c", descriptors]
    command = ["arm-none-eabi-gcc", *FLAGS.split(), f"-I{FIRMWARE}", "-T", HERE / "device.ld"]
    subprocess.run([*command, "-o", elf, *sources, "-lgcc"], check=True)
    subprocess.run(
        ["arm-none-eabi-objcopy", "-O", "binary", elf, elf.with_suffix(".bin")], check=True
    )
    return elf


@dataclass(frozen=True)
class Reply:
    """What one control transfer gave: its data, the sizes of their packets, or a stall."""

    data: bytes = b""
    packets: list[int] = field(default_factory=list)
    stalled: bool = False


STALLED = Reply(stalled=True)
OUT_TYPES = {"standard": 0x00, "class": 0x21, "vendor": 0x40}


class Bus:
    """A host, and the wire to the device. Toggles are the host's own and checked on both sides."""

    def __init__(self, elf: Path, package: Path) -> None:
        self.symbol = open_elf(elf).symbol("test")
        self.address = 0
        self.toggles = {"in": 0, "out": 0}
        self.process = subprocess.Popen(
            ["node", str(HERE / "controller.mjs"), str(package), str(elf.with_suffix(".bin"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the controller ended with status {self.process.wait(10)}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, micros: float = TOKEN_US) -> None:
        self.ask("run", micros=micros)

    # Tokens

    def setup(self, packet: bytes) -> str:
        self.run()
        return str(self.ask("setup", bytes=list(packet), address=self.address)["answer"])

    def token_in(self, endpoint: int, tries: int = 100) -> tuple[str, bytes, int]:
        """(ack, data, toggle), or (stall, timeout, or nak after so many tries)."""
        answer: dict[str, Any] = {}
        for _ in range(tries):
            self.run()
            answer = self.ask("in", endpoint=endpoint, address=self.address)
            if answer["answer"] != "nak":
                break
        return answer["answer"], bytes(answer.get("data", b"")), answer.get("toggle", 0)

    def token_out(self, endpoint: int, data: bytes, toggle: int, tries: int = 100) -> str:
        answer = ""
        for _ in range(tries):
            self.run()
            fields = {"endpoint": endpoint, "address": self.address, "toggle": toggle}
            answer = self.ask("out", data=list(data), **fields)["answer"]
            if answer != "nak":
                break
        return answer

    # Control transfers

    def control(
        self, kind: int, request: int, value: int = 0, index: int = 0, data: int | bytes = 0
    ) -> Reply:
        """Asks for so many bytes, or sends these."""
        length = data if isinstance(data, int) else len(data)
        assert self.setup(struct.pack("<BBHHH", kind, request, value, index, length)) == "ack"
        if isinstance(data, int) and length and kind & 0x80:
            return self._read(length)
        if isinstance(data, bytes) and data:
            answer = self.token_out(0, data, 1)
            if answer == "stall":
                return STALLED
            assert answer == "ack"
        answer, status, toggle = self.token_in(0)
        if answer == "stall":
            return STALLED
        assert (answer, status, toggle) == ("ack", b"", 1)
        self.run()
        return Reply()

    def _read(self, length: int) -> Reply:
        data, packets, expected = b"", [], 1
        while len(data) < length and (not packets or packets[-1] == 64):
            answer, packet, toggle = self.token_in(0)
            if answer == "stall" and not packets:
                return STALLED
            assert (answer, toggle) == ("ack", expected)
            expected ^= 1
            data += packet
            packets.append(len(packet))
        assert self.token_in(0, tries=2)[0] == "nak"
        assert self.token_out(0, b"", 1) == "ack"
        self.run()
        return Reply(data, packets)

    def descriptor(self, kind: int, index: int = 0, length: int = 255) -> Reply:
        return self.control(0x80, 6, kind << 8 | index, 0x0409 if kind == 3 else 0, length)

    def reset(self) -> None:
        self.ask("reset")
        self.run(100)
        self.address = 0

    def enumerate(self) -> None:
        """To the state in which a program has opened the port."""
        self.run(2000)  # the program starts
        self.reset()
        assert self.control(0, 5, 23) == Reply()
        self.address = 23
        assert self.control(0, 9, 1) == Reply()
        self.toggles = {"in": 0, "out": 0}
        self.dtr(True)

    def dtr(self, on: bool) -> None:
        assert self.control(0x21, 0x22, 3 if on else 0) == Reply()

    # Data

    def write(self, data: bytes, tries: int = 100) -> bool:
        """One packet; whether the device took it."""
        if self.token_out(2, data, self.toggles["out"], tries) != "ack":
            return False
        self.toggles["out"] ^= 1
        return True

    def read(self, tries: int = 100) -> bytes | None:
        """One packet, if there is one."""
        answer, data, toggle = self.token_in(2, tries)
        if answer != "ack":
            return None
        assert toggle == self.toggles["in"]
        self.toggles["in"] ^= 1
        return data

    # The program

    def program(self, mode: str, room: int = 64, data: bytes = b"") -> None:
        self.ask("poke", address=self.symbol + 24, data=list(data))
        modes = ["wait", "echo", "send", "receive"]
        words = struct.pack("<3I", modes.index(mode), room, len(data))
        self.ask("poke", address=self.symbol, data=list(words))

    def word(self, name: str) -> int:
        names = ["mode", "room", "size", "micros", "restart", "primask"]
        answer = self.ask("peek", address=self.symbol + 4 * names.index(name), size=4)
        return int.from_bytes(bytes(answer["data"]), "little")

    def buffer(self, size: int) -> bytes:
        return bytes(self.ask("peek", address=self.symbol + 24, size=size)["data"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


Open = Callable[..., Bus]
