"""The USB device: descriptors and standard requests."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from usb_bus import HERE, STALLED, Bus, Open, Reply, build

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("node", "nodejs"))
]

CHIP = "E6605838834A0F2C"


# The program and its bus


@pytest.fixture(scope="session")
def long_descriptors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("usb"), HERE / "long_descriptors.c")


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
