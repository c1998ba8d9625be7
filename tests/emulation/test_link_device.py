"""The serial link of the host program, frame by frame, and a campaign of damaged frames."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from link_programs import ARENA, BUILDS
from picotrain.device.link import cobs
from picotrain.device.link.client import WAITS, LinkClient, Restarted
from picotrain.device.link.damage import DAMAGES
from picotrain.device.link.frames import DELIMITER, Frame, LinkFormat
from picotrain.device.link.piped import PipedDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import LinkFailure
from picotrain.hardware import campaign
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain_golden import Method
from support import images, require, shipped

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


def wire_of(*fields: int, payload: bytes = b"abc", crc: int = 0) -> bytes:
    """A frame whose head is these fields, and whose CRC is right but for some bits."""
    content = struct.pack("<BBHHH", *fields) + payload
    content += struct.pack("<I", zlib.crc32(content) ^ crc)
    return DELIMITER + cobs.encode(content) + DELIMITER


WRONG = [
    *(wire_of(4, 0, 1, length, 0) for length in (0, 2, 4, 1032, 5000, 0xFFFF)),
    wire_of(4, 0, 1, 5000, 0, payload=bytes(1032)),
    *(wire_of(4, 0, 1, 3, zero) for zero in (1, 0x100, 0xFFFF)),
    *(wire_of(4, error, 1, 3, 0) for error in (1, 0xFF)),
    wire_of(4 | 0x80, 0, 1, 3, 0),
    *(wire_of(4, 0, 1, 3, 0, crc=1 << bit) for bit in (0, 7, 31)),
    *(DELIMITER + cobs.encode(bytes(size)) + DELIMITER for size in (0, 1, 7, 8, 11)),
]


def test_a_frame_with_one_field_wrong(direct: Direct) -> None:
    """The CRC is right, so the field alone tells: a length that is believed gives memory away."""
    assert direct.answers(wire_of(4, 0, 1, 3, 0)) == [Frame(4 | direct.link.answer, 1, b"abc")]
    for wrong in WRONG:
        assert direct.answers(wrong) == [], wrong
        assert direct.ask("ECHO", b"there?").payload == b"there?"


def test_a_frame_whose_last_block_is_cut_off(direct: Direct) -> None:
    """All of the frame came, but the block that it ends in says that there is more."""
    body = bytearray(direct.link.encode(Frame(4, 1, b"abc"))[1:-1])
    at = 0
    while at + body[at] < len(body):
        at += body[at]
    body[at] += 1
    assert direct.answers(DELIMITER + bytes(body) + DELIMITER) == []
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
    # A greeting that is refused is none.
    assert stranger.error("HELLO", b"x") == "ERR_LENGTH"
    assert stranger.error("PEEK", stranger.link.span(0, 1)) == "ERR_HELLO"
    address = client.hello().mailbox
    assert client.peek(address, 4) == b"PTMB"


def test_requests_that_make_no_sense(direct: Direct, mailbox: MailboxDevice) -> None:
    span = direct.link.span(mailbox.window("MODEL")[0], 1)
    assert direct.error("HELLO", b"x") == "ERR_LENGTH"
    assert direct.error("PEEK", span[:-1]) == "ERR_LENGTH"
    assert direct.error("PEEK", span + b"\0") == "ERR_LENGTH"
    assert direct.error("POKE", bytes(7)) == "ERR_LENGTH"
    assert direct.error("POKE", bytes(8)) == "ERR_LENGTH"
    assert direct.error("RESTART", bytes(3)) == "ERR_LENGTH"
    assert direct.error("RESTART", b"\4\0\0\0\0") == "ERR_LENGTH"
    assert direct.error("RESTART", b"\4\0\0\0") == "ERR_ARGUMENT"
    for kind in (0, 6, 0x7F):
        (answer,) = direct.answers(direct.link.encode(Frame(kind, 1)))
        assert direct.link.errors(answer.error).name == "PT_LINK_ERR_KIND"


@pytest.mark.parametrize("how", [0, 1], ids=["program", "bootsel"])
def test_a_restart_ends_a_process_on_a_pipe(direct: Direct, how: int) -> None:
    """Which has no boot ROM, and nobody to start it again."""
    with pytest.raises(LinkFailure, match=r"exit status 0"):
        direct.device.exchange(direct.link.encode(Frame(5, 9, bytes([how, 0, 0, 0]))))


def test_peek_of_no_bytes_and_of_too_many(direct: Direct, mailbox: MailboxDevice) -> None:
    address, _ = mailbox.window("MODEL")
    most = direct.link.payload
    assert direct.peek(address, 0) == "ERR_LENGTH"
    assert direct.peek(address, most) == "OK"
    assert direct.peek(address, most + 1) == "ERR_LENGTH"
    assert direct.peek(address, 0xFFFFFFFF) == "ERR_LENGTH"
    for at in range(12, 16):
        span = bytearray(direct.link.span(address, 1))
        span[at] = 1
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
