"""The RP2040's USB device (firmware/boards/rp2040/usb.c) in rp2040js, before a scripted host.

The program under test is usb_device/device.c around the driver. `Bus` speaks to it token by token
through usb_device/controller.mjs, a controller stricter than that of rp2040js: toggles, NAK, STALL,
frames, and the datasheet's rules for the buffer controls, whose breaches fail every test.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from picotrain.image.elf import open_elf

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
BOARD = FIRMWARE / "boards" / "rp2040"
HERE = Path(__file__).parent / "usb_device"

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("node", "nodejs"))
]

FLAGS = "-std=c11 -Wall -Wextra -Werror -mcpu=cortex-m0plus -mthumb -ffreestanding -O2 -nostdlib"
TOKEN_US = 8
"""The program runs so long for each token, which takes about that on the bus."""

CHIP = "E6605838834A0F2C"
BUFFER = 4096
"""Bytes of the program's buffer, at the end of its struct test."""

# The program and its bus


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


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("usb"), BOARD / "usb_descriptors.c")


@pytest.fixture(scope="session")
def long_descriptors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("usb"), HERE / "long_descriptors.c")


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


@pytest.fixture
def open_bus(program: Path, package: Path) -> Iterator[Open]:
    """Opens a bus of its own; at the end of the test it kept the datasheet's rules."""
    opened: list[Bus] = []

    def open_(elf: Path = program, revision: int = 2) -> Bus:
        opened.append(Bus(elf, package))
        opened[-1].ask("revision", revision=revision)
        opened[-1].enumerate()
        return opened[-1]

    yield open_
    for bus in opened:
        with bus:
            state = bus.ask("state")
            assert state["faults"] == []
            assert state["aborts"] == 0
            assert "meanwhile" not in state


@pytest.fixture
def bus(open_bus: Open) -> Bus:
    return open_bus()


# What the device says about itself


def parts(data: bytes) -> list[bytes]:
    """The descriptors of a configuration or BOS."""
    found = []
    while data:
        found.append(data[: data[0]])
        data = data[data[0] :]
    return found


def text(reply: Reply) -> str:
    assert list(reply.data[:2]) == [len(reply.data), 3]
    return reply.data[2:].decode("utf-16-le")


DEVICE = bytes.fromhex("12 01 1002 ef 02 01 40 8a2e 0a00 0001 01 02 03 01")


def test_device_descriptor(bus: Bus) -> None:
    assert bus.descriptor(1).data == DEVICE


def test_configuration_descriptor(bus: Bus) -> None:
    data = bus.descriptor(2).data
    assert int.from_bytes(data[2:4], "little") == len(data)
    assert [part.hex(" ") for part in parts(data)] == [
        "09 02 54 00 03 01 00 80 7d",
        "08 0b 00 02 02 02 00 04",
        "09 04 00 00 01 02 02 00 04",
        "05 24 00 10 01",
        "05 24 01 00 01",
        "04 24 02 06",
        "05 24 06 00 01",
        "07 05 81 03 08 00 10",
        "09 04 01 00 02 0a 00 00 00",
        "07 05 02 02 40 00 00",
        "07 05 82 02 40 00 00",
        "09 04 02 00 00 ff 00 01 05",  # picotool looks for these last but one three
    ]


def test_strings(bus: Bus) -> None:
    assert bus.descriptor(3, 0).data == bytes([4, 3, 0x09, 0x04])
    strings = [text(bus.descriptor(3, index)) for index in range(1, 6)]
    assert strings == ["picotrain", "picotrain device", CHIP, "serial link", "reset"]


def test_microsoft_os_descriptors(bus: Bus) -> None:
    """BOS and the set that it names bind WinUSB to the reset interface, and to it alone."""
    header, capability = parts(bus.descriptor(15).data)
    assert header == bytes([5, 15, 33, 0, 1])
    uuid = "df60ddd88945c74c9cd2659d9e648a9f"
    assert capability[:20].hex() == "1c100500" + uuid
    version, size, code, alternate = struct.unpack("<IHBB", capability[20:])
    assert (version, alternate) == (0x06030000, 0)

    data = bus.control(0xC0, code, 0, 7, size).data
    assert struct.unpack("<HHIH", data[:10]) == (10, 0, 0x06030000, len(data))
    assert len(data) == size
    assert struct.unpack("<HHBBH", data[10:18]) == (8, 1, 0, 0, size - 10)
    assert struct.unpack("<HHBBH", data[18:26]) == (8, 2, 2, 0, size - 18)
    assert struct.unpack("<HH8s8s", data[26:46]) == (20, 3, b"WINUSB\0\0", bytes(8))
    length, kind, registry, name_size = struct.unpack("<HHHH", data[46:54])
    assert (length, kind, registry) == (size - 46, 4, 7)
    name, rest = data[54 : 54 + name_size], data[54 + name_size :]
    assert name.decode("utf-16-le") == "DeviceInterfaceGUIDs\0"
    assert int.from_bytes(rest[:2], "little") == len(rest) - 2
    guids = rest[2:].decode("utf-16-le")
    assert guids[0] + guids[37:] == "{}\0\0"
    assert bus.control(0xC0, code, 0, 4, 40) == STALLED
    assert bus.control(0xC0, code + 1, 0, 7, 40) == STALLED


def test_a_read_of_every_length(bus: Bus) -> None:
    whole = {kind: bus.descriptor(kind).data for kind in (1, 2, 3, 15)}
    for kind, data in whole.items():
        for length in [*range(len(data) + 3), 64, 128, 0xFFFF]:
            assert bus.descriptor(kind, 0, length).data == data[:length]


def test_an_empty_packet_ends_what_fills_its_last(open_bus: Open, long_descriptors: Path) -> None:
    """Only if the host asked for more: else it knows that this is all."""
    bus = open_bus(long_descriptors)
    for size in (63, 64, 65, 128, 192):
        for asked in (size - 1, size, size + 1, 255):
            reply = bus.descriptor(size // 16, size % 16, asked)
            got = min(size, asked)
            expected = [64] * (got // 64) + [got % 64] * (got % 64 > 0 or asked > size)
            assert len(reply.data) == got
            assert reply.packets == expected, (size, asked)


def test_the_controller_is_set_up(bus: Bus) -> None:
    written = bus.ask("state")["written"]
    assert written[str(0x40)] == 1  # MAIN_CTRL: enabled, a device
    assert written[str(0x4C)] == 1 << 29 | 1 << 16  # SIE_CTRL: EP0_INT_1BUF, PULLUP_EN
    assert written[str(0x74)] == 0x9  # USB_MUXING: TO_PHY, SOFTCON
    assert written[str(0x78)] == 0xC  # USB_PWR: VBUS_DETECT, and it is overridden
    assert written[str(0x90)] & ~(1 << 17) == 1 << 16 | 1 << 12 | 1 << 4  # INTE


# Standard requests


def test_the_address_counts_after_the_status_stage(open_bus: Open) -> None:
    bus = open_bus()
    bus.reset()
    assert bus.setup(struct.pack("<BBHHH", 0, 5, 99, 0, 0)) == "ack"
    bus.run(100)
    assert bus.token_in(0)[0] == "ack"  # at address 0
    bus.run()
    bus.address = 99
    assert bus.descriptor(1).data == DEVICE
    bus.address = 23
    assert bus.setup(struct.pack("<BBHHH", 0x80, 6, 0x100, 0, 18)) == "timeout"


def test_configurations(bus: Bus) -> None:
    assert bus.control(0x80, 8, data=1).data == b"\1"
    assert bus.control(0, 9, 0) == Reply()
    assert bus.control(0x80, 8, data=1).data == b"\0"
    assert bus.token_in(2)[0] == "timeout"  # no such endpoint now
    assert bus.token_out(2, b"x", 0) == "timeout"
    assert bus.control(0x81, 0, 0, 0, 2) == STALLED  # no interface
    assert bus.control(0x82, 0, 0, 0x82, 2) == STALLED
    assert bus.control(0x21, 0x22, 1) == STALLED
    assert bus.control(0, 9, 2) == STALLED
    assert bus.control(0, 9, 1) == Reply()
    assert bus.control(0x80, 8, data=1).data == b"\1"


def test_status(bus: Bus) -> None:
    assert bus.control(0x80, 0, data=2).data == bytes(2)
    for interface in range(3):
        assert bus.control(0x81, 0, 0, interface, 2).data == bytes(2)
        assert bus.control(0x81, 10, 0, interface, 1).data == bytes(1)
        assert bus.control(0x01, 11, 0, interface) == Reply()
        assert bus.control(0x01, 11, 1, interface) == STALLED
    assert bus.control(0x81, 0, 0, 3, 2) == STALLED
    for endpoint in (0x00, 0x80, 0x81, 0x02, 0x82):
        assert bus.control(0x82, 0, 0, endpoint, 2).data == bytes(2)
    for endpoint in (0x01, 0x03, 0x83, 0x8F, 0x12, 0x182):
        assert bus.control(0x82, 0, 0, endpoint, 2) == STALLED


UNKNOWN = {
    "device qualifier": (0x80, 6, 0x600, 0, 10),
    "other speed": (0x80, 6, 0x700, 0, 9),
    "second device": (0x80, 6, 0x101, 0, 18),
    "second configuration": (0x80, 6, 0x201, 0, 9),
    "string 6": (0x80, 6, 0x306, 0x409, 255),
    "MS OS 1.0 string": (0x80, 6, 0x3EE, 0, 18),
    "descriptor of an interface": (0x81, 6, 0x2200, 0, 64),
    "SET_DESCRIPTOR": (0x00, 7, 0x100, 0, bytes(18)),
    "SYNCH_FRAME": (0x82, 12, 0, 0x82, 2),
    "remote wakeup": (0x00, 3, 1, 0, 0),
    "test mode": (0x00, 3, 2, 0x100, 0),
    "feature of an interface": (0x01, 3, 0, 0, 0),
    "other feature of an endpoint": (0x02, 3, 1, 0x82, 0),
    "address 128": (0x00, 5, 128, 0, 0),
    "to others": (0x83, 0, 0, 0, 2),
    "reserved type": (0xE0, 0, 0, 0, 2),
    "SEND_ENCAPSULATED_COMMAND": (0x21, 0, 0, 0, bytes(8)),
    "GET_ENCAPSULATED_RESPONSE": (0xA1, 1, 0, 0, 8),
    "CDC request of the data interface": (0x21, 0x22, 1, 1, 0),
    "reset request 0": (0x21, 0, 0, 2, 0),
    "reset request 3": (0x21, 3, 0, 2, 0),
    "reset request of the port": (0x21, 1, 0, 0, 0),
    "reset request to the vendor": (0x41, 1, 0, 2, 0),
    "reset request with data": (0x21, 1, 0, 2, bytes(3)),
    "reset request that reads": (0xA1, 1, 0, 2, 3),
    "configuration with data": (0x00, 9, 0, 0, bytes(2)),
    "GET_STATUS the wrong way": (0x00, 0, 0, 0, bytes(2)),
    "line coding too short": (0x21, 0x20, 0, 0, bytes(6)),
    "line coding too long": (0x21, 0x20, 0, 0, bytes(8)),
    "no line coding": (0x21, 0x20, 0, 0, 0),
}


def test_unknown_requests_stall(bus: Bus) -> None:
    for name, request in UNKNOWN.items():
        assert bus.control(*request) == STALLED, name
        assert bus.token_in(0)[0] == "stall", name  # for as long as the host asks
        assert bus.descriptor(1).data == DEVICE, name  # which the next SETUP ends
    assert bus.control(0x80, 8, data=1).data == b"\1"
    assert bus.word("restart") == 0


def test_a_bus_reset_begins_anew(bus: Bus) -> None:
    line = struct.pack("<IBBB", 1200, 0, 0, 8)
    assert bus.control(0x21, 0x20, data=line) == Reply()
    assert bus.write(b"lost")
    bus.enumerate()
    bus.dtr(False)
    bus.run(1000)
    assert bus.word("restart") == 0  # the line coding is forgotten
    bus.program("receive")
    bus.run(100)
    assert bus.word("size") == 0


@pytest.mark.parametrize("revision", [1, 2])
def test_broken_off_transfers(open_bus: Open, revision: int) -> None:
    """A SETUP ends whatever was before, at each point of it; B0 and B1 cannot abort a buffer."""
    bus = open_bus(revision=revision)
    configuration = bus.descriptor(2).data
    read = struct.pack("<BBHHH", 0x80, 6, 0x200, 0, 255)
    for tokens in range(3):  # in: none, the first packet, all but the status
        assert bus.setup(read) == "ack"
        for _ in range(tokens):
            assert bus.token_in(0)[0] == "ack"
        bus.run(20)
        assert bus.descriptor(2).data == configuration
    bus.setup(read)
    bus.token_in(0)
    assert bus.token_out(0, b"", 1) == "ack"  # the host has read enough
    bus.run(20)
    assert bus.token_in(0, tries=5)[0] == "nak"
    assert bus.descriptor(1).data == DEVICE

    write = struct.pack("<BBHHH", 0x21, 0x20, 0, 0, 7)
    for tokens in range(2):  # out: none, the data but not the status
        assert bus.setup(write) == "ack"
        if tokens:
            assert bus.token_out(0, bytes(7), 1) == "ack"
        bus.run(20)
        assert bus.descriptor(2).data == configuration
    for request in ((0, 5, 77, 0, 0), (0x21, 1, 0, 2, 0)):
        assert bus.setup(struct.pack("<BBHHH", *request)) == "ack"
        bus.run(20)
        assert bus.descriptor(1).data == DEVICE  # without its status nothing comes of it
    assert bus.word("restart") == 0

    packets = [struct.pack("<BBHHH", 0x80, 6, kind << 8, 0, 255) for kind in (2, 15, 1)]
    for packet in packets:  # one after the other, before the program sees the first
        bus.ask("setup", bytes=list(packet), address=bus.address)
    assert bus._read(255).data == DEVICE


@pytest.mark.parametrize("revision", [1, 2])
def test_a_setup_right_behind_a_status_stage(open_bus: Open, revision: int) -> None:
    """The interrupt finds both."""
    bus = open_bus(revision=revision)
    read = struct.pack("<BBHHH", 0x80, 6, 0x100, 0, 18)
    assert bus.setup(read) == "ack"
    assert bus.token_in(0)[:2] == ("ack", DEVICE)
    assert bus.token_out(0, b"", 1) == "ack"
    bus.ask("setup", bytes=list(read), address=bus.address)
    assert bus._read(18).data == DEVICE
    assert bus.setup(struct.pack("<BBHHH", 0x21, 1, 0, 2, 0)) == "ack"
    assert bus.token_in(0)[0] == "ack"
    bus.ask("setup", bytes=list(read), address=bus.address)
    bus.run(50)
    assert bus.word("restart") == 2


# The serial port


def test_line_coding(bus: Bus) -> None:
    assert bus.control(0xA1, 0x21, data=7).data == struct.pack("<IBBB", 115200, 0, 0, 8)
    line = struct.pack("<IBBB", 921600, 2, 1, 7)
    assert bus.control(0x21, 0x20, data=line) == Reply()
    assert bus.control(0xA1, 0x21, data=7).data == line
    assert bus.control(0x20, 0x22, 3) == Reply()  # to the device, as some hosts write it
    assert bus.control(0x21, 0x23, 100) == Reply()
    assert bus.token_in(1, tries=5)[0] == "nak"  # no notification


def test_echo(bus: Bus) -> None:
    """Packets of all sizes, taken in pieces of another size."""
    bus.program("echo", room=48)
    pattern = bytes((i * i >> 3) & 0xFF for i in range(2000))
    sent, back = b"", b""
    for size in [*range(65), 64, 64, 0, 1]:
        packet = pattern[len(sent) : len(sent) + size] if len(sent) + size < 2000 else b"y" * size
        assert bus.write(packet)
        sent += packet
        for piece in (packet[:48], packet[48:]):
            if piece:
                assert bus.read() == piece
                back += piece
    assert back == sent
    assert bus.read(tries=5) is None


def test_answers_that_fill_their_last_packet_end_empty(bus: Bus) -> None:
    for size in (1, 63, 64, 65, 127, 128, 1000, BUFFER):
        data = bytes(i % 251 for i in range(size))
        bus.program("send", data=data)
        packets = []
        while not packets or len(packets[-1]) == 64:
            packet = bus.read()
            assert packet is not None
            packets.append(packet)
        assert b"".join(packets) == data
        bus.run(100)
        assert bus.word("mode") == 0
        assert bus.read(tries=5) is None


def test_nothing_is_lost_while_nobody_takes_it(bus: Bus) -> None:
    assert bus.write(b"a" * 64)
    for _ in range(3):
        assert not bus.write(b"b" * 64, tries=20)
        bus.program("receive", room=30)
        bus.run(100)
        assert (bus.word("size"), bus.word("primask")) == (min(30, 64 - 30 * _), 1)
        assert bus.buffer(4) == b"aaaa"
    assert bus.write(b"b" * 64)
    bus.program("receive")
    bus.run(100)
    assert bus.buffer(64) == b"b" * 64


def test_a_repeated_packet_counts_once(bus: Bus) -> None:
    """The host did not get the acknowledgement."""
    bus.program("echo")
    assert bus.write(b"once")
    assert bus.read() == b"once"
    assert bus.token_out(2, b"once", bus.toggles["out"] ^ 1) == "ack"
    assert bus.write(b"twice")
    assert bus.read() == b"twice"


def test_who_does_not_listen_is_waited_for_once(bus: Bus) -> None:
    bus.program("send", data=b"x" * 100)
    bus.run(510_000)
    assert bus.word("mode") == 0
    assert 500_000 <= bus.word("micros") < 505_000
    bus.program("send", data=b"y" * 100)
    bus.run(100)
    assert bus.word("micros") < 50  # the first packet is still there
    assert bus.read() == b"x" * 64
    bus.program("send", data=b"z")
    assert bus.read() == b"z"

    bus.dtr(False)
    bus.program("send", data=b"y" * 100)
    bus.run(100)
    assert (bus.word("mode"), bus.read(tries=5)) == (0, None)
    bus.dtr(True)
    assert bus.control(0, 9, 0) == Reply()
    bus.program("send", data=b"y" * 100)
    bus.run(100)
    assert bus.word("mode") == 0


@pytest.mark.parametrize("how", ["dtr", "configuration", "reset"])
def test_waiting_ends_when_the_listener_goes(bus: Bus, how: str) -> None:
    bus.program("send", data=b"x" * 100)
    bus.run(1000)
    assert bus.word("mode") == 2
    if how == "dtr":
        bus.dtr(False)
    elif how == "configuration":
        bus.control(0, 9, 0)
    else:
        bus.reset()
    bus.run(100)
    assert bus.word("mode") == 0


@pytest.mark.parametrize("revision", [1, 2])
def test_halts(open_bus: Open, revision: int) -> None:
    """Packets that wait survive; the toggles begin anew."""
    bus = open_bus(revision=revision)
    bus.program("echo")
    assert bus.write(b"odd")
    assert bus.read() == b"odd"  # both toggles are 1
    bus.program("wait")
    assert bus.write(b"kept")
    bus.run(20)
    for endpoint in (0x02, 0x82, 0x81):
        assert bus.control(0x02, 3, 0, endpoint) == Reply()
        assert bus.control(0x82, 0, 0, endpoint, 2).data == b"\1\0"
    assert bus.token_out(2, b"no", 0) == "stall"
    assert bus.token_in(2)[0] == "stall"
    assert bus.token_in(1)[0] == "stall"
    bus.program("echo")
    bus.run(1000)
    assert bus.token_in(2)[0] == "stall"  # though "kept" waits
    for endpoint in (0x02, 0x82, 0x81):
        assert bus.control(0x02, 1, 0, endpoint) == Reply()
        assert bus.control(0x82, 0, 0, endpoint, 2).data == b"\0\0"
    bus.toggles = {"in": 0, "out": 0}
    assert bus.read() == b"kept"
    assert bus.write(b"next")
    bus.run(50)
    for request in ((0x02, 1, 0, 0x82), (0x01, 11, 0, 1), (0x02, 1, 0, 0x02)):
        assert bus.control(*request) == Reply()  # without a halt before
    bus.toggles = {"in": 0, "out": 0}
    assert bus.read() == b"next"
    assert bus.write(b"last")
    assert bus.read() == b"last"
    assert bus.token_in(1, tries=5)[0] == "nak"


@pytest.mark.parametrize("feature", [1, 3])
def test_a_packet_that_comes_as_its_endpoint_is_halted(bus: Bus, feature: int) -> None:
    """It comes after the interrupt has looked for packets and before the endpoint is aborted."""
    toggle, address = bus.toggles["out"], bus.address
    token = {"do": "out", "endpoint": 2, "data": list(b"late"), "toggle": toggle}
    bus.ask("meanwhile", token={**token, "address": address})
    assert bus.control(0x02, feature, 0, 0x02) == Reply()
    bus.program("receive")
    bus.run(100)
    assert bus.buffer(4) == b"late"
    assert bus.control(0x02, 1, 0, 0x02) == Reply()
    bus.toggles["out"] = 0
    assert bus.write(b"next")

    bus.program("send", data=b"once")
    bus.run(50)
    bus.ask("meanwhile", token={"do": "in", "endpoint": 2, "address": address})
    assert bus.control(0x02, feature, 0, 0x82) == Reply()
    bus.run(100)
    assert bus.word("mode") == 0  # sent
    assert bus.control(0x02, 1, 0, 0x82) == Reply()
    assert bus.read(tries=5) is None


def test_data_is_not_offered_late_in_a_frame(bus: Bus) -> None:
    """RP2040-E15; wherever in the frame the program comes to send."""
    bus.ask("frames", on=True)
    bus.run(3000)
    bus.ask("state")
    delayed, offered = 0, []
    for i in range(60):
        bus.run(370 + 7 * i)  # up to 0.8 frames: they are watched all the time
        if i % 2:
            bus.run(20_000 + 37 * i)  # they are not any more
        bus.program("send", data=b"x" * 100)
        assert bus.read(tries=300) == b"x" * 64
        assert bus.read(tries=300) == b"x" * 36
        bus.run(20)
        delayed += bus.word("micros") > 100
        offered += [micros % 1000 for side, micros in bus.ask("state")["offers"] if side == 4]
    assert len(offered) == 120
    assert max(offered) < 800
    assert delayed > 5
    assert min(offered) < 100


def test_the_first_data_is_not_offered_late_in_a_frame(bus: Bus) -> None:
    """The frames are known from the configuration on."""
    bus.ask("frames", on=True)
    offered = []
    for wait in range(0, 1000, 90):
        bus.run(10_000)
        bus.enumerate()
        bus.run(10_000 + wait)
        bus.ask("state")
        bus.program("send", data=b"x")
        assert bus.read(tries=300) == b"x"
        offered += [micros % 1000 for side, micros in bus.ask("state")["offers"] if side == 4]
    assert len(offered) == 12
    assert max(offered) < 800


def test_frames_interrupt_only_near_data(bus: Bus) -> None:
    """A command of the program is not to be slowed down by them."""
    bus.ask("frames", on=True)
    bus.run(20_000)
    assert bus.ask("state")["written"][str(0x90)] & 1 << 17 == 0
    assert bus.write(b"x")
    bus.run(20)
    assert bus.ask("state")["written"][str(0x90)] & 1 << 17 != 0
    bus.run(20_000)
    assert bus.ask("state")["written"][str(0x90)] & 1 << 17 == 0


# Restarts


def restart_of(bus: Bus, packet: bytes) -> int:
    """What is restarted by this request, which must not be before its status stage."""
    assert bus.setup(packet) == "ack"
    bus.run(1000)
    assert bus.word("restart") == 0
    assert bus.token_in(0)[0] == "ack"
    bus.run(100)
    return bus.word("restart") - 1


@pytest.mark.parametrize(("request_", "how"), [(1, 1), (2, 0)])
def test_picotool_restarts(bus: Bus, request_: int, how: int) -> None:
    """While the program waits for a host that does not read: the interrupt does it."""
    bus.program("send", data=b"x" * 100)
    assert restart_of(bus, struct.pack("<BBHHH", 0x21, request_, 0, 2, 0)) == how


def test_1200_baud_touch(bus: Bus) -> None:
    for baud in (9600, 1200 + (1 << 24), 1200):
        line = struct.pack("<IBBB", baud, 0, 0, 8)
        assert bus.control(0x21, 0x20, data=line) == Reply()
        bus.dtr(True)
        if baud != 1200:
            bus.dtr(False)
        bus.run(1000)
        assert bus.word("restart") == 0
    assert restart_of(bus, struct.pack("<BBHHH", 0x21, 0x22, 0, 0, 0)) == 1


# Another host


def test_the_host_of_rp2040js(program: Path, package: Path, tmp_path: Path) -> None:
    """It enumerates the device by itself and gets back 100 KB."""
    mode = open_elf(program).symbol("test") - 0x20000000
    image = bytearray(program.with_suffix(".bin").read_bytes().ljust(mode + 8, b"\0"))
    image[mode : mode + 8] = struct.pack("<II", 1, 64)
    memory = tmp_path / "echo.bin"
    memory.write_bytes(image)
    data = bytes((i * 2654435761 >> 11) & 0xFF for i in range(100 * 1024))
    done = subprocess.run(
        ["node", str(HERE / "cdc.mjs"), str(package), str(memory)],
        input=data,
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert done.stdout == data
