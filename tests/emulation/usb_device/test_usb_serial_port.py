"""The USB device: its serial port, restarts, and another host."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from picotrain.image.elf import open_elf
from usb_bus import HERE, Bus, Open, Reply

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("node", "nodejs"))
]
BUFFER = 4096
"""Bytes of the program's buffer, at the end of its struct test."""


# The serial port


def test_line_coding(bus: Bus) -> None:
    assert bus.control(0xA1, 0x21, data=7).data == struct.pack("<IBBB", 115200, 0, 0, 8)
    line = struct.pack("<IBBB", 921600, 2, 1, 7)
    assert bus.control(0x21, 0x20, data=line) == Reply()
    assert bus.control(0xA1, 0x21, data=7).data == line
    assert bus.control(0x20, 0x22, 3) == Reply()  # to the device, as some hosts write it
    assert bus.control(0x21, 0x23, 100) == Reply()
    assert bus.token_in(1, tries=5)[0] == "nak"  # no notification


@pytest.mark.parametrize("size", [0, 6, 8])
def test_a_line_coding_of_another_size_is_refused(bus: Bus, size: int) -> None:
    """Though its SETUP promised seven bytes."""
    before = bus.control(0xA1, 0x21, data=7).data
    assert bus.setup(struct.pack("<BBHHH", 0x21, 0x20, 0, 0, 7)) == "ack"
    assert bus.token_out(0, b"\x55" * size, 1) == "ack"
    assert bus.token_in(0)[0] == "stall"
    assert bus.control(0xA1, 0x21, data=7).data == before


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
