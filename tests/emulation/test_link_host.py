"""The serial link against the firmware's own code, as a process of this machine."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
import serial
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from picotrain.device.golden_device import GoldenDevice
from picotrain.device.link import cobs
from picotrain.device.link.client import WAITS, LinkClient, Refused, Restarted
from picotrain.device.link.damage import DAMAGES
from picotrain.device.link.frames import DELIMITER, Frame, LinkFormat
from picotrain.device.link.piped import PipedDevice
from picotrain.device.link.port import SerialPort
from picotrain.device.link.throughput import measure_throughput
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets import serial as serial_target
from picotrain.device.targets.fault import read_fault
from picotrain.device.targets.serial import SerialTarget, build_id
from picotrain.errors import (
    CrashFailure,
    DeviceFailure,
    FlashFailure,
    LinkFailure,
    TimeoutFailure,
    UserError,
)
from picotrain.hardware import campaign
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison, verify
from picotrain_golden import Method
from support import METHODS, images, require, shipped

ARENA = 240 * 1024
BUILDS = {"host": "HOST", "host-sanitized": "HOST_SANITIZED"}
ANY_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

# Frames and memory: the device as a function from bytes to bytes


class Direct:
    """A `Stream` to a piped device, and frames without a client's rules."""

    def __init__(self, device: PipedDevice, link: LinkFormat) -> None:
        self.device = device
        self.link = link
        self._coming = b""

    def write(self, data: bytes) -> None:
        self._coming += self.device.exchange(data)

    def read(self, seconds: float) -> bytes:
        data, self._coming = self._coming, b""
        return data

    def answers(self, data: bytes) -> list[Frame]:
        """All answers to `data`, each of which must be a frame."""
        bodies = [body for body in self.device.exchange(data).split(DELIMITER) if body]
        frames = [self.link.decode(body) for body in bodies]
        assert None not in frames
        return [frame for frame in frames if frame is not None]

    def ask(self, kind: str, payload: bytes = b"", sequence: int = 1) -> Frame:
        number = int(self.link.kinds[f"PT_LINK_{kind}"])
        (answer,) = self.answers(self.link.encode(Frame(number, sequence, payload)))
        assert answer.kind == number | self.link.answer
        assert answer.sequence == sequence
        return answer

    def error(self, kind: str, payload: bytes = b"", sequence: int = 1) -> str:
        answer = self.ask(kind, payload, sequence)
        assert answer.error == 0 or answer.payload == b""
        return self.link.errors(answer.error).name.removeprefix("PT_LINK_")

    def peek(self, address: int, size: int) -> str:
        return self.error("PEEK", self.link.span(address, size))

    def poke(self, address: int, data: bytes) -> str:
        return self.error("POKE", self.link.poke(address, data))


@pytest.fixture(params=BUILDS)
def device(request: pytest.FixtureRequest) -> Iterator[PipedDevice]:
    elf = require(getattr(firmware, BUILDS[request.param]))
    opened = PipedDevice(elf, ARENA)
    yield opened
    assert opened.close() == 0  # a sanitizer that found something ends the process otherwise


@pytest.fixture
def stranger(device: PipedDevice) -> Direct:
    """A device that was not greeted."""
    return Direct(device, LinkFormat(Elf(device.elf)))


@pytest.fixture
def direct(stranger: Direct) -> Direct:
    """A device that was."""
    assert stranger.error("HELLO") == "OK"
    return stranger


@pytest.fixture
def mailbox(direct: Direct) -> MailboxDevice:
    """The device behind `direct`, for commands."""
    client = LinkClient(direct, direct.link)
    return MailboxDevice(campaign._LinkedTarget(direct.device.elf, client))


@given(
    data=st.lists(
        st.one_of(
            st.binary(max_size=300),
            st.sampled_from([b"\0" * 300, b"\1" * 254, b"\xff" * 255, b"\1" * 253]),
        ),
        max_size=4,
    ).map(b"".join)
)
@ANY_FIXTURE
def test_the_device_encodes_as_the_host_does(direct: Direct, data: bytes) -> None:
    data = data[: direct.link.payload]
    wire = direct.device.exchange(direct.link.encode(Frame(4, 9, data)))
    assert wire == direct.link.encode(Frame(4 | direct.link.answer, 9, data))


def test_the_longest_payload_and_one_byte_more(direct: Direct) -> None:
    longest = bytes(range(256)) * 4 + b"longest!"
    assert len(longest) == direct.link.payload
    assert direct.ask("ECHO", longest).payload == longest
    assert direct.answers(direct.link.encode(Frame(4, 1, longest + b"x"))) == []
    assert direct.ask("ECHO", longest).payload == longest


def test_requests_in_one_piece_and_in_single_bytes(direct: Direct) -> None:
    requests = [direct.link.encode(Frame(4, n, bytes([n]) * n)) for n in range(40)]
    wire = b"".join(requests)
    expected = [Frame(4 | direct.link.answer, n, bytes([n]) * n) for n in range(40)]
    assert direct.answers(wire) == expected
    assert [a for byte in wire for a in direct.answers(bytes([byte]))] == expected
    # One zero between two frames is enough.
    assert direct.answers(wire.replace(b"\0\0", b"\0")) == expected


@given(st.lists(st.binary(max_size=80), max_size=5))
@ANY_FIXTURE
def test_garbage_costs_nothing_behind_it(direct: Direct, garbage: list[bytes]) -> None:
    for piece in garbage:
        assert direct.answers(piece) == []
    assert direct.ask("ECHO", b"there?").payload == b"there?"


def test_endless_garbage_without_a_zero(direct: Direct) -> None:
    for byte in (b"\1", b"\2", b"\xff"):
        assert direct.answers(byte * 100_000) == []
        assert direct.ask("ECHO", b"there?").payload == b"there?"


def test_a_frame_at_the_end_of_one_that_is_too_long(direct: Direct) -> None:
    request = cobs.decode(direct.link.encode(Frame(4, 1, b"x"))[1:-1])
    assert request is not None
    longest = len(cobs.decode(direct.link.encode(Frame(4, 1, bytes(1032)))[1:-1]) or b"")
    for before in range(longest - len(request), longest + 3):
        for filling in (b"\0", b"\1"):
            body = cobs.encode(filling * before + request)
            assert direct.answers(DELIMITER + body + DELIMITER) == []
    assert direct.ask("ECHO", b"there?").payload == b"there?"


def test_answers_are_not_answered(direct: Direct) -> None:
    """A line that sends everything back does not ring for ever."""
    wire = direct.device.exchange(direct.link.encode(Frame(4, 1, b"x")))
    assert direct.answers(wire) == []
    assert direct.answers(direct.link.encode(Frame(4, 1, b"x", error=1))) == []


def test_nothing_touches_memory_before_hello(stranger: Direct) -> None:
    assert stranger.ask("ECHO", b"x").payload == b"x"
    for sequence, (kind, payload) in enumerate(
        [
            ("PEEK", stranger.link.span(0, 1)),
            ("POKE", stranger.link.poke(0, b"x")),
            ("RESTART", bytes(4)),
        ]
    ):
        assert stranger.error(kind, payload, sequence) == "ERR_HELLO"
    client = LinkClient(stranger, stranger.link)
    with pytest.raises(Restarted):
        client.peek(0, 1)
    address = client.hello().mailbox
    assert client.peek(address, 4) == b"PTMB"


def test_requests_that_make_no_sense(direct: Direct) -> None:
    assert direct.error("HELLO", b"x") == "ERR_LENGTH"
    assert direct.error("PEEK", bytes(15)) == "ERR_LENGTH"
    assert direct.error("PEEK", bytes(17)) == "ERR_LENGTH"
    assert direct.error("POKE", bytes(7)) == "ERR_LENGTH"
    assert direct.error("POKE", bytes(8)) == "ERR_LENGTH"
    assert direct.error("RESTART", bytes(3)) == "ERR_LENGTH"
    assert direct.error("RESTART", b"\4\0\0\0") == "ERR_ARGUMENT"
    for kind in (0, 6, 0x7F):
        (answer,) = direct.answers(direct.link.encode(Frame(kind, 1)))
        assert direct.link.errors(answer.error).name == "PT_LINK_ERR_KIND"


def test_peek_of_no_bytes_and_of_too_many(direct: Direct, mailbox: MailboxDevice) -> None:
    address, _ = mailbox.window("MODEL")
    most = direct.link.payload
    assert direct.peek(address, 0) == "ERR_LENGTH"
    assert direct.peek(address, most) == "OK"
    assert direct.peek(address, most + 1) == "ERR_LENGTH"
    assert direct.peek(address, 0xFFFFFFFF) == "ERR_LENGTH"
    span = bytearray(direct.link.span(address, 1))
    span[-1] = 1
    assert direct.error("PEEK", bytes(span)) == "ERR_ARGUMENT"


@pytest.mark.parametrize("name", ["MODEL", "FLASH"])
def test_edges_of_a_window(direct: Direct, mailbox: MailboxDevice, name: str) -> None:
    start, size = mailbox.window(name)
    end = start + size
    for inside, count in ((start, 1), (start, 1032), (end - 1, 1), (end - 1032, 1032)):
        assert direct.peek(inside, count) == "OK"
    for outside, count in ((start - 1, 1), (start - 1, 2), (end - 1, 2), (end, 1), (end - 8, 9)):
        assert direct.peek(outside, count) == "ERR_WINDOW"
        assert direct.poke(outside, bytes(count)) == "ERR_WINDOW"


def test_addresses_that_would_wrap(direct: Direct, mailbox: MailboxDevice) -> None:
    start, size = mailbox.window("MODEL")
    for address in (0, 1, (1 << 64) - 1, (1 << 64) - 16, start ^ 1 << 63, (1 << 32) + 4):
        for count in (1, 16, 1024):
            assert direct.peek(address, count) == "ERR_WINDOW"
            assert direct.poke(address, bytes(count)) == "ERR_WINDOW"
    assert size == ARENA


def test_what_may_be_written_of_the_mailbox(direct: Direct, mailbox: MailboxDevice) -> None:
    layout = mailbox.elf.dtype("pt_mailbox")
    base = LinkClient(direct, direct.link).hello().mailbox
    before = LinkClient(direct, direct.link).peek(base, layout.itemsize)
    first = layout.fields["command"][1]
    behind = layout.fields["argument"][1] + layout.fields["argument"][0].itemsize
    assert direct.peek(base, layout.itemsize) == "OK"
    assert direct.peek(base - 1, 2) == direct.peek(base + layout.itemsize - 1, 2) == "ERR_WINDOW"
    for at, count in ((0, 4), (first - 4, 8), (first - 1, 1), (behind, 1), (behind - 4, 8)):
        assert direct.poke(base + at, b"\xee" * count) == "ERR_READ_ONLY"
    assert direct.poke(base - 4, bytes(8)) == "ERR_WINDOW"
    assert LinkClient(direct, direct.link).peek(base, layout.itemsize) == before
    assert direct.poke(base + first, bytes(behind - first)) == "OK"
    assert direct.poke(base + behind - 4, b"\7\0\0\0") == "OK"
    assert mailbox._mailbox()["argument"][7] == 7


def test_windows_open_and_close(direct: Direct, mailbox: MailboxDevice) -> None:
    model, room = mailbox.window("MODEL")
    flash, _ = mailbox.window("FLASH")
    network = shipped("oddnet")
    mailbox.load_model(network)
    assert direct.peek(model, 4) == direct.peek(flash, 4) == "ERR_WINDOW"
    assert direct.poke(model, bytes(4)) == direct.poke(flash, bytes(256)) == "ERR_WINDOW"
    mailbox.set_method(Method("infer"))
    (io, io_size), (plan, plan_size) = mailbox.window("IO"), mailbox.window("PLAN")
    assert io + io_size == model + room
    assert direct.poke(io, b"\1") == direct.poke(model + room - 1, b"\1") == "OK"
    assert direct.peek(io - 1, 1) == direct.poke(io - 1, b"\1") == "ERR_WINDOW"
    assert direct.peek(plan, min(1032, plan_size)) == "OK"
    assert direct.poke(plan, b"\1") == "ERR_READ_ONLY"


def test_flash_is_written_in_pages(direct: Direct, mailbox: MailboxDevice) -> None:
    client = LinkClient(direct, direct.link)
    base, _ = mailbox.window("FLASH")
    for offset, size in ((0, 1), (1, 256), (0, 255), (256, 257), (4096 - 256, 512)):
        assert direct.poke(base + offset, bytes(size)) == "ERR_FLASH"
    ones, other = b"\xff" * 256, bytes(range(256))
    assert client.peek(base, 256) == ones
    client.poke(base + 256, other)
    client.poke(base, other * 2)  # the start of a sector erases it
    client.poke(base + 4096, other)
    assert client.peek(base, 768) == other * 2 + ones
    # A bit does not rise again before its sector is erased; that is said again when asked again.
    request = direct.link.encode(Frame(3, 77, direct.link.poke(base + 256, ones)))
    for _ in range(2):
        (answer,) = direct.answers(request)
        assert direct.link.errors(answer.error).name == "PT_LINK_ERR_FLASH"
    assert client.peek(base + 256, 256) == other


def test_a_repeated_command_is_answered_and_not_run(direct: Direct, mailbox: MailboxDevice) -> None:
    network = shipped("oddnet")
    mailbox.load_model(network)
    mailbox.set_method(Method("niti-dynamic", mu=2))
    mailbox.write_window("IO", images(network, 1)[0].tobytes() + b"\0")

    def position() -> int:
        return int(mailbox.trace_next(bare=True)["layer"])

    mailbox.command("TRACE_BEGIN")
    layers = [position() for _ in range(3)]
    assert layers == [0, 1, 2]

    mailbox.command("TRACE_BEGIN")
    offset = mailbox._offset("command")
    base = mailbox._address
    number = int(mailbox.elf.enum("pt_command")["PT_CMD_TRACE_NEXT"])
    words = np.array([number, 1], "<u4").tobytes()
    request = direct.link.encode(Frame(3, 500, direct.link.poke(base + offset, words)))
    answers = direct.answers(request * 3) + direct.answers(request)
    assert answers == [Frame(3 | direct.link.answer, 500)] * 4
    assert position() == 1

    # Another sequence number is another request, and after HELLO so is the same.
    other = direct.link.encode(Frame(3, 501, direct.link.poke(base + offset, words)))
    mailbox.command("TRACE_BEGIN")
    assert len(direct.answers(request + other)) == 2
    assert position() == 2
    mailbox.command("TRACE_BEGIN")
    hello = direct.link.encode(Frame(1, 502))
    assert len(direct.answers(request + hello + request)) == 3
    assert position() == 2


# The campaign


def test_campaign(host_elf: Elf) -> None:
    result = campaign.run_campaign(20_000, seed=7, elf=host_elf.path)
    assert result.passed, result.text()
    assert result.frames >= 20_000
    assert result.commands > 300
    for counts in result.damaged.values():
        assert set(counts) == set(DAMAGES)
        assert min(counts.values()) > 1000


def test_campaign_with_sanitizers() -> None:
    elf = require(firmware.HOST_SANITIZED)
    result = campaign.run_campaign(2_000, seed=8, elf=elf)
    assert result.passed, result.text()


def test_campaign_repeats_itself(host_elf: Elf) -> None:
    first, second = (campaign.run_campaign(500, seed=3, elf=host_elf.path) for _ in range(2))
    second.seconds = first.seconds
    assert first == second
    assert campaign.run_campaign(500, seed=4, elf=host_elf.path).damaged != first.damaged


def test_campaign_notices_frames_that_were_forged(host_elf: Elf) -> None:
    """Damage that repairs the CRC: each side believes what the other did not send."""
    link = LinkFormat(host_elf)

    def forge(data: bytes, _: object) -> bytes:
        frame = link.decode(data.strip(DELIMITER))
        assert frame is not None
        return link.encode(Frame(frame.kind, frame.sequence, frame.payload + b"x", frame.error))

    result = campaign.run_campaign(300, seed=1, elf=host_elf.path, damages={"forged": forge})
    assert not result.passed
    assert result.accepted_by_device > 50
    assert result.accepted_by_host > 50


def test_campaign_notices_commands_that_run_twice(
    host_elf: Elf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that gives each attempt a number of its own."""

    class Careless(LinkClient):
        def exchange(self, kind, payload=b"", waits=WAITS, what=""):  # type: ignore[no-untyped-def]
            for wait in waits:
                with suppress(LinkFailure):
                    return super().exchange(kind, payload, [wait], what)
            raise LinkFailure("no answer")

    monkeypatch.setattr(campaign, "LinkClient", Careless)
    result = campaign.run_campaign(3_000, seed=1, elf=host_elf.path)
    assert result.not_once > 5


def test_campaign_notices_a_host_that_does_not_check(
    host_elf: Elf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def believe(self: LinkFormat, body: bytes) -> Frame | None:
        frame = decode(self, body)
        return frame or Frame(4 | self.answer, believe.sequence, body)  # type: ignore[attr-defined]

    class Client(LinkClient):
        def _answer(self, kind: int, seconds: float) -> Frame | None:
            believe.sequence = self._sequence  # type: ignore[attr-defined]
            monkeypatch.setattr(LinkFormat, "decode", believe)
            try:
                return super()._answer(kind, seconds)
            finally:
                monkeypatch.setattr(LinkFormat, "decode", decode)

    decode = LinkFormat.decode
    monkeypatch.setattr(campaign, "LinkClient", Client)
    result = campaign.run_campaign(500, seed=1, elf=host_elf.path)
    assert result.accepted_by_host > 5


# The target, over TCP


@contextmanager
def listening(elf: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A host process that serves the link, and its URL."""
    command = [str(elf), "--link", str(port), str(ARENA), str(firmware.MODEL_FLASH)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process, f"socket://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def served(host_elf: Elf) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with listening(host_elf.path) as opened:
        yield opened


@pytest.fixture
def target(host_elf: Elf, served: tuple[subprocess.Popen[bytes], str]) -> Iterator[SerialTarget]:
    opened = SerialTarget(host_elf.path, served[1])
    opened.connect()
    yield opened
    opened.close()


def test_hello_of_the_target(target: SerialTarget, host_elf: Elf) -> None:
    hello = target.hello()
    assert (hello.reset, hello.clock_hz, hello.boot_cycles) == ("power", 0, 0)
    assert hello.mailbox == target.mailbox_address()
    assert hello.build == build_id(host_elf.path)[:8] != bytes(8)
    assert target.echo(b"\0there?\xff") == b"\0there?\xff"
    assert (target.profile(), target.calls()) == (None, None)


@pytest.mark.parametrize("build", BUILDS)
def test_verify_over_the_link(build: str, reference: GoldenDevice) -> None:
    elf = require(getattr(firmware, BUILDS[build]))
    network = shipped("oddnet")
    pixels, labels = images(network, 4)
    with listening(elf) as (_, url):
        target = SerialTarget(elf, url)
        target.connect()
        device = MailboxDevice(target)
        for frozen, method in ((False, METHODS["niti-dynamic"]), (True, METHODS["priot"])):
            for one in (reference, device):
                one.load_model(network, frozen=frozen)
                one.set_method(method)
            comparison = Comparison(reference, device, network)
            report = verify(comparison, pixels, labels, 4, True, lambda _: None)
            assert report.steps == 4
        assert target.retries == 0
        device.close()


def test_flash_of_the_target_is_padded(target: SerialTarget) -> None:
    address, _ = MailboxDevice(target).window("FLASH")
    data = bytes(range(1, 251)) * 20
    target.write(address + 256, data)
    assert target.read(address + 256, len(data) + 6) == data + b"\xff" * 6
    with pytest.raises(LinkFailure, match="pages of 256 bytes"):
        target.write(address + 100, b"x")


def test_memory_outside_the_windows(target: SerialTarget) -> None:
    with pytest.raises(Refused, match="ERR_WINDOW"):
        target.read(0, 4)
    with pytest.raises(Refused, match="ERR_READ_ONLY"):
        target.write(target.mailbox_address(), b"x")


def test_the_next_client_finds_the_device_as_it_was(target: SerialTarget) -> None:
    address, _ = MailboxDevice(target).window("MODEL")
    target.write(address, b"left here")
    target.close()
    target.close()
    with pytest.raises(LinkFailure, match="connect first"):
        target.read(address, 4)
    target.connect()
    assert target.read(address, 9) == b"left here"
    assert target.hello().reset == "power"


def test_a_client_that_leaves_in_the_middle_of_a_frame(
    host_elf: Elf, served: tuple[subprocess.Popen[bytes], str]
) -> None:
    link = LinkFormat(host_elf)
    port = int(served[1].rpartition(":")[2])
    wire = link.encode(Frame(4, 1, b"x" * 500))
    for cut in (1, 2, 100, len(wire) - 1):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(wire[:cut])
        target = SerialTarget(host_elf.path, served[1])
        target.connect()
        assert target.echo(b"there?") == b"there?"
        assert target.retries == 0
        target.close()


def test_restart_of_the_program(target: SerialTarget) -> None:
    device = MailboxDevice(target)
    address, _ = device.window("MODEL")
    flash, _ = device.window("FLASH")
    target.write(flash, b"kept" * 64)
    target.write(address, b"lost")
    hello = target.restart()
    assert hello is not None and hello.reset == "request"
    device = MailboxDevice(target)
    assert target.read(device.window("MODEL")[0], 4) == bytes(4)
    assert target.read(device.window("FLASH")[0], 256) == b"kept" * 64


@pytest.mark.parametrize(("how", "reset"), [("hang", "watchdog"), ("fault", "fault")])
def test_self_tests_end_in_a_reset(target: SerialTarget, how: str, reset: str) -> None:
    hello = target.restart(how)
    assert hello is not None and hello.reset == reset
    assert MailboxDevice(target).window("MODEL")[1] == ARENA


@pytest.mark.parametrize(
    ("how", "failure", "text"),
    [
        ("hang", TimeoutFailure, "the watchdog reset the device"),
        ("fault", CrashFailure, "faulted"),
        ("program", LinkFailure, r"started anew \(request\)"),
    ],
)
def test_a_device_that_restarts_underneath(
    target: SerialTarget, how: str, failure: type[DeviceFailure], text: str
) -> None:
    """Whoever waits for a command learns why it never ends, and can go on."""
    target._link().restart(how)
    with pytest.raises(failure, match=text):
        target.run(20.0)
    device = MailboxDevice(target)
    device.command("RESET")
    target._link().restart("fault")
    with pytest.raises(CrashFailure):
        target.read(target.mailbox_address(), 4)


def test_a_command_lost_in_a_restart_is_not_taken_for_done(
    target: SerialTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset between the command and the first question: the mailbox is as after power-up."""
    MailboxDevice(target).command("RESET")
    target._link().restart("program")
    target._greet(WAITS)
    with pytest.raises(LinkFailure, match=r"started anew \(request\)"):
        target.run(5.0)


def test_a_port_that_closes_and_comes_back(host_elf: Elf) -> None:
    with listening(host_elf.path) as (process, url):
        port = int(url.rpartition(":")[2])
        target = SerialTarget(host_elf.path, url)
        target.connect()
        process.kill()
        process.wait()
        with listening(host_elf.path, port):
            with pytest.raises(LinkFailure, match=r"started anew \(power\)"):
                target.read(target.mailbox_address(), 4)
            assert MailboxDevice(target).command("INFO")["error"] == 0
            target.close()


def test_an_emulator_that_has_ended(host_elf: Elf, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(host_elf.path) as (process, url):
        target = SerialTarget(host_elf.path, url)
        target.connect()
        process.kill()
        process.wait()
        start = monotonic()
        with pytest.raises(LinkFailure, match=f"{url} is gone .*does the emulator still run"):
            target.read(target.mailbox_address(), 4)
        assert 2.0 <= monotonic() - start < 6.0
        told = f"serial:{url}: waiting up to 2 s for the device to come back\n"
        assert capsys.readouterr().err == told
        with pytest.raises(LinkFailure, match="connect first"):
            target.hello()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


class Relay:
    """A port before a device that notices nothing of its clients: a new one takes the old's place.

    `cut` takes the port from a client, as a cable does; `deaf` keeps what clients send.
    """

    def __init__(self, device_url: str) -> None:
        self.deaf = False
        self._device = socket.create_connection(("127.0.0.1", port_of(device_url)))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._client: socket.socket | None = None
        self._cut, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def cut(self) -> None:
        self._cut.set()
        while self._cut.is_set():
            sleep(0.01)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._leave()
        self._listener.close()
        self._device.close()

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def _serve(self) -> None:
        while not self._ended.is_set():
            if self._cut.is_set():
                self._leave()
                self._cut.clear()
            ports = [self._listener, self._device, *([self._client] if self._client else [])]
            ready = select.select(ports, [], [], 0.02)[0]
            with suppress(ConnectionError):
                if self._client in ready:
                    self._forward_request()
                if self._device in ready:
                    data = self._device.recv(4096)
                    if self._client is not None:
                        self._client.sendall(data)
            if self._listener in ready:
                self._leave()
                self._client = self._listener.accept()[0]

    def _forward_request(self) -> None:
        assert self._client is not None
        data = self._client.recv(4096)
        if not data:
            self._leave()
        elif not self.deaf:
            self._device.sendall(data)


@pytest.fixture
def relay(served: tuple[subprocess.Popen[bytes], str]) -> Iterator[Relay]:
    opened = Relay(served[1])
    yield opened
    opened.close()


def test_two_programs_at_one_port(
    host_elf: Elf, relay: Relay, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last reset was the watchdog's, but that is not why the port went away."""
    first, second = (SerialTarget(host_elf.path, relay.url) for _ in range(2))
    first.connect()
    hello = first.restart("hang")
    assert hello is not None and hello.reset == "watchdog"
    address, _ = MailboxDevice(first).window("MODEL")
    first.write(address, b"kept")
    second.connect()
    for loser in (first, second):
        with pytest.raises(LinkFailure, match="did not start anew: a loose cable, or another prog"):
            loser.read(address, 4)
        assert loser.read(address, 4) == b"kept"  # it has the port again
    assert capsys.readouterr().err == ""  # nobody waited
    first.close()
    second.close()


def test_a_loose_cable_while_a_command_runs(host_elf: Elf, relay: Relay) -> None:
    target = SerialTarget(host_elf.path, relay.url)
    target.connect()
    assert MailboxDevice(target).command("RESET")["error"] == 0
    relay.cut()
    with pytest.raises(LinkFailure, match="did not start anew"):
        target.run(5.0)
    target.run(5.0)
    target.close()


@pytest.mark.parametrize(
    ("how", "failure", "text"),
    [
        ("hang", TimeoutFailure, "the watchdog reset the device"),
        ("fault", CrashFailure, "faulted"),
        ("program", LinkFailure, r"started anew \(request\)"),
    ],
)
def test_a_device_that_restarts_while_its_port_is_away(
    host_elf: Elf, relay: Relay, how: str, failure: type[DeviceFailure], text: str
) -> None:
    target = SerialTarget(host_elf.path, relay.url)
    target.connect()
    target._link().restart(how)
    relay.cut()
    with pytest.raises(failure, match=text):
        target.read(target.mailbox_address(), 4)
    assert MailboxDevice(target).command("INFO")["error"] == 0
    target.close()


def test_another_process_that_another_host_has_greeted(host_elf: Elf, relay: Relay) -> None:
    """It refuses an address that was right in the process before."""
    target = SerialTarget(host_elf.path, relay.url)
    target.connect()
    target._hello = replace(target._known(), mailbox=16)
    relay.cut()
    with pytest.raises(LinkFailure, match=r"started anew \(power\)"):
        target.read(0, 4)
    target.close()


def test_a_port_that_comes_back_silent(
    host_elf: Elf,
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    monkeypatch.setattr(serial_target, "_BACK_SECONDS", 0.5)
    target = SerialTarget(host_elf.path, relay.url)
    target.connect()
    relay.deaf = True
    relay.cut()
    with pytest.raises(LinkFailure, match=r"did not come back within 0\.5 s: nobody answers"):
        target.read(target.mailbox_address(), 4)
    assert capsys.readouterr().err.count("waiting up to 0.5 s for the device to come back\n") == 1
    with pytest.raises(LinkFailure, match="connect first"):
        target.hello()


def test_an_emulator_with_another_build(served: tuple[subprocess.Popen[bytes], str]) -> None:
    other = require(firmware.HOST_TUNED)
    text = r"another build \([0-9a-f]{16}\).*: start the emulator again with the new image$"
    with pytest.raises(FlashFailure, match=text):
        SerialTarget(other, served[1]).connect()


def test_a_device_with_another_build(host_elf: Elf) -> None:
    other = require(firmware.HOST_TUNED)
    with (
        PipedDevice(host_elf.path, ARENA) as device,
        terminal(device.exchange) as path,
        pytest.raises(FlashFailure, match=r"another build \([0-9a-f]{16}\).*make hw-flash"),
    ):
        SerialTarget(other, path).connect()


def test_throughput(target: SerialTarget) -> None:
    found = measure_throughput(target, 20_000)
    assert found.size == 20_000
    assert min(found.peek_bytes_per_second, found.poke_bytes_per_second) > 1000
    assert 0 < found.echo_seconds < 1
    assert "20,000 bytes each way" in found.text()
    with pytest.raises(LinkFailure, match="do not fit"):
        measure_throughput(target, ARENA + 1)


# The target, on ports that are not as they should be


@contextmanager
def terminal(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A serial device of this machine, and what its other end answers to each piece."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            if select.select([master], [], [], 0.05)[0]:
                os.write(master, answer(os.read(master, 4096)))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)


def test_a_serial_device(host_elf: Elf) -> None:
    with PipedDevice(host_elf.path, ARENA) as device, terminal(device.exchange) as path:
        target = SerialTarget(host_elf.path, path, 115200)
        target.connect()
        assert target.name == f"serial:{path}"
        assert measure_throughput(target, 10_000).size == 10_000
        with pytest.raises(UserError, match="used by another program"):
            SerialTarget(host_elf.path, path).connect()
        target.close()


def test_a_device_that_is_unplugged(
    host_elf: Elf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serial_target, "_BACK_SECONDS", 0.5)
    with PipedDevice(host_elf.path, ARENA) as device:
        with terminal(device.exchange) as path:
            target = SerialTarget(host_elf.path, path)
            target.connect()
        with pytest.raises(LinkFailure, match=f"{path} is gone .*is it still plugged in"):
            target.read(target.mailbox_address(), 4)
    told = f"serial:{path}: waiting up to 0.5 s for the device to come back\n"
    assert capsys.readouterr().err == told


def test_a_silent_port(host_elf: Elf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    with (
        terminal(lambda _: b"") as path,
        pytest.raises(LinkFailure, match=r"nobody answers at .*baud rate \(9600\)"),
    ):
        SerialTarget(host_elf.path, path, 9600).connect()


@pytest.mark.parametrize("noise", [b"login: ", b"\0", b"\0\1\2\3\0"])
def test_a_port_with_something_else(
    host_elf: Elf, monkeypatch: pytest.MonkeyPatch, noise: bytes
) -> None:
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    with (
        terminal(lambda _: noise) as path,
        pytest.raises(LinkFailure, match="is no picotrain device"),
    ):
        SerialTarget(host_elf.path, path).connect()


def test_a_port_that_sends_everything_back(host_elf: Elf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    with (
        terminal(lambda data: data) as path,
        pytest.raises(LinkFailure, match="is no picotrain device"),
    ):
        SerialTarget(host_elf.path, path).connect()


@contextmanager
def stranger_at_socket(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP port with something else behind it, for one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with listener.accept()[0] as client, suppress(OSError):
                client.settimeout(10.0)
                serve(client)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def flood(client: socket.socket) -> None:
    """More than anyone can read, for at most 10 s."""
    end = monotonic() + 10.0
    while monotonic() < end:
        client.sendall(b"x" * (1 << 16))


def mirror(client: socket.socket) -> None:
    while data := client.recv(4096):
        client.sendall(data)


def swallow(client: socket.socket) -> None:
    while client.recv(4096):
        pass


@pytest.mark.parametrize(
    ("serve", "text"),
    [
        (flood, r"is no picotrain device \([0-9]+ bytes"),
        (mirror, r"is no picotrain device \([0-9]+ bytes"),
        (swallow, "nobody answers at socket://.*emulator"),
    ],
)
def test_a_socket_with_something_else(
    host_elf: Elf,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[[socket.socket], None],
    text: str,
) -> None:
    """It has no baud rate that could be wrong, and is given up in time, whatever it sends."""
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    start = monotonic()
    with stranger_at_socket(serve) as url:
        with pytest.raises(LinkFailure, match=text) as info:
            SerialTarget(host_elf.path, url).connect()
        assert monotonic() - start < 4.0
    assert "baud" not in str(info.value)


class Endless:
    """A port of pyserial's on which bytes never end."""

    in_waiting = 4096

    def open(self) -> None:
        self.reset_input_buffer()

    def reset_input_buffer(self) -> None:
        pytest.fail("pyserial's reads a socket on and on")

    def read(self, size: int) -> bytes:
        return b"x" * min(size, self.in_waiting)


def test_a_flood_is_discarded_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "serial_for_url", lambda *_, **__: Endless())
    port = SerialPort("socket://127.0.0.1:4000", 921600)
    start = monotonic()
    port.discard()
    assert 0.1 < monotonic() - start < 1.0


def test_what_was_there_before_is_discarded() -> None:
    def greet(client: socket.socket) -> None:
        client.sendall(b"x" * 1000)
        client.recv(1)

    with stranger_at_socket(greet) as url:
        port = SerialPort(url, 921600)
        assert port.read(5.0)[:1] == b"x"
        sleep(0.05)
        port.discard()
        assert port.read(0.05) == b""
        port.close()


@pytest.mark.parametrize(
    ("url", "failure", "text"),
    [
        ("/dev/ttyNOWHERE7", UserError, "there is no serial port /dev/ttyNOWHERE7: .*picotrain po"),
        ("socket://127.0.0.1:1", LinkFailure, "nobody listens at socket://127.0.0.1:1"),
        ("SOCKET://127.0.0.1:1", LinkFailure, "nobody listens at SOCKET://127.0.0.1:1"),
        ("rfc2217://127.0.0.1:1", LinkFailure, "nobody listens at rfc2217://127.0.0.1:1"),
        ("nonsense://x", UserError, "'nonsense://x' is no serial port"),
        ("hwgrep://no-such-name", UserError, "is no serial port.*no ports found"),
        ("socket://nowhere", UserError, "socket://nowhere names no port: socket://HOST:PORT$"),
        ("socket://127.0.0.1", UserError, "names no port: socket://HOST:PORT$"),
        ("socket://127.0.0.1:", UserError, "names no port: socket://HOST:PORT$"),
        ("socket://[::1]", UserError, "names no port: socket://HOST:PORT$"),
        ("socket://", UserError, "names no port: socket://HOST:PORT$"),
        ("socket://127.0.0.1:99999", UserError, r"port 99999 is not in 1\.\.65535$"),
        ("socket://127.0.0.1:0", UserError, r"port 0 is not in 1\.\.65535$"),
        ("socket://[::1]:x", UserError, r"port x is not in 1\.\.65535$"),
        ("/dev/null", UserError, "/dev/null is no serial port; `picotrain ports` lists them$"),
        (__file__, UserError, "is no serial port; `picotrain ports` lists them$"),
        (str(Path(__file__).parent), UserError, "is no serial port; `picotrain ports` lists them$"),
        ("", UserError, "'' names no serial port: name one, `picotrain ports` lists them$"),
        ("auto", UserError, "'auto' names no serial port: name one, `picotrain ports` lists them$"),
    ],
    ids=lambda value: value.rpartition("/")[2] if isinstance(value, str) else None,
)
def test_ports_that_cannot_be_opened(
    host_elf: Elf, url: str, failure: type[Exception], text: str
) -> None:
    with pytest.raises(failure, match=text):
        SerialTarget(host_elf.path, url).connect()


def test_a_host_that_is_not_there(host_elf: Elf, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match=r"^socket://nowhere:4000: no such host \(Name or serv"):
        SerialTarget(host_elf.path, "socket://nowhere:4000").connect()


# Faults, which a host process keeps no record of


def test_a_fault_record_becomes_a_crash(microbit_elf: Elf) -> None:
    record = np.zeros(1, microbit_elf.dtype("pt_fault"))
    assert read_fault(record.tobytes(), microbit_elf) is None
    assert read_fault(b"", microbit_elf) is None
    record["magic"] = microbit_elf.enum("pt_fault_format")["PT_FAULT_MAGIC"]
    record["stacked"] = [*range(100, 104), 112, 0, 0, 0x01000000]
    record["stacked"][0][6] = microbit_elf.symbol("pt_app_serve") + 8
    record["stacked"][0][5] = microbit_elf.symbol("pt_app_start") + 1
    record["high"] = range(104, 112)
    record["sp"] = 0x20041FF0
    crash = read_fault(record.tobytes(), microbit_elf)
    assert crash is not None
    assert crash.place == "pt_app_serve+0x8"
    assert "lr in pt_app_start+0x0, sp 0x20041ff0" in str(crash)
    for number in (*range(8), 8, 9, 10, 11, 12):
        assert crash.registers[f"r{number}"] == 100 + number
