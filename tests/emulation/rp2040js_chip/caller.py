"""A machine with `caller.S` in flash, which calls what a test tells it to."""

from __future__ import annotations

from pathlib import Path

from picotrain.device.targets.rp2040js import Rp2040js, Stop
from picotrain.image.elf import open_elf

SECONDS = 30.0

XIP, SRAM, JOB = 0x10000000, 0x20000000, 0x20000000
SCRATCH = 0x20001000
UART0 = 0x40034000


def crc32(data: bytes) -> int:
    """Of the RP2040's boot ROM: most significant bit first, no final inversion."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def bootable(elf: Path) -> bytes:
    code = elf.with_suffix(".bin").read_bytes().ljust(252, b"\0")
    return code + crc32(code).to_bytes(4, "little")


class Caller:
    """A machine that has booted `caller.S`, stopped between calls."""

    def __init__(self, machine: Rp2040js, rom: Path) -> None:
        self.machine = machine
        self.symbol = open_elf(machine.elf).symbol
        self.rom = open_elf(rom.with_suffix(".elf")).symbol
        self.boot()

    def boot(self) -> None:
        stop = self.machine.run(SECONDS, [self.symbol("pt_board_idle")])
        assert stop.why == "stop"

    def word(self, address: int) -> int:
        return int.from_bytes(self.machine.read(address, 4), "little")

    def start(self, function: int, *arguments: int, stops: tuple[int, ...] = ()) -> Stop:
        words = [function | 1, *arguments]
        data = b"".join(word.to_bytes(4, "little") for word in words)
        self.machine.write(JOB, data)
        return self.machine.run(SECONDS, stops, JOB)

    def call(self, function: int | str, *arguments: int) -> int:
        address = self.symbol(function) if isinstance(function, str) else function
        stop = self.start(address, *arguments)
        assert stop.why == "zero", stop
        return self.word(JOB + 4)

    def peek(self, address: int) -> int:
        return self.call("peek", address)

    def poke(self, address: int, value: int) -> None:
        self.call("poke", address, value)
