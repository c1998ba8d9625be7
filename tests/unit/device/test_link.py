"""The serial link's format and the client's rules, without a device."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import monotonic

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picotrain.device.link import cobs
from picotrain.device.link.client import LinkClient, NoAnswer, Refused, Restarted
from picotrain.device.link.damage import DAMAGES
from picotrain.device.link.frames import DELIMITER, Frame, LinkFormat, Splitter
from picotrain.errors import LinkFailure, MagicMismatch, VersionMismatch
from picotrain.image import firmware
from picotrain.image.elf import Elf
from support import require

# Rich in zeros and in long runs without one, which is where blocks begin and end.
RUNS = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.integers(0, 600).map(lambda size: b"\1" * size),
        st.sampled_from([253, 254, 255, 508, 509]).map(lambda size: b"\xff" * size),
        st.integers(1, 5).map(lambda size: b"\0" * size),
    ),
    max_size=6,
).map(b"".join)


@pytest.fixture(scope="module")
def link(host_elf: Elf) -> LinkFormat:
    return LinkFormat(host_elf)


def plain_encode(data: bytes) -> bytes:
    """COBS a second time, byte by byte."""
    blocks: list[list[int]] = [[]]
    for byte in data:
        if len(blocks[-1]) == 254:
            blocks.append([])
        if byte == 0:
            blocks.append([])
        else:
            blocks[-1].append(byte)
    return b"".join(bytes([len(block) + 1, *block]) for block in blocks)


@pytest.mark.parametrize(
    ("data", "encoded"),
    [
        (b"", "01"),
        (b"\0", "01 01"),
        (b"\0\0", "01 01 01"),
        (b"\x11\x22\0\x33", "03 11 22 02 33"),
        (b"\x11\0\0\0", "02 11 01 01 01"),
        (b"\1" * 254, "ff" + "01" * 254),
        (b"\1" * 255, "ff" + "01" * 254 + "02 01"),
        (b"\1" * 254 + b"\0", "ff" + "01" * 254 + "01 01"),
        (b"\1" * 253 + b"\0", "fe" + "01" * 253 + "01"),
    ],
)
def test_cobs_of_known_bytes(data: bytes, encoded: str) -> None:
    assert cobs.encode(data) == bytes.fromhex(encoded)
    assert cobs.decode(bytes.fromhex(encoded)) == data


@given(RUNS)
def test_cobs_there_and_back(data: bytes) -> None:
    encoded = cobs.encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + len(data) // 254 + 1
    assert encoded == plain_encode(data)
    assert cobs.decode(encoded) == data


@given(st.binary(min_size=1, max_size=600).map(lambda data: data.replace(b"\0", b"\xff")))
def test_cobs_of_anything_has_one_meaning_or_none(garbage: bytes) -> None:
    decoded = cobs.decode(garbage)
    if decoded is not None:
        # An empty last block behind a full one says nothing.
        assert garbage in (cobs.encode(decoded), cobs.encode(decoded) + b"\1")


def test_cobs_refuses_a_block_that_is_cut_off() -> None:
    assert cobs.decode(b"\5\1\1") is None
    assert cobs.decode(b"\0") is None


# Frames


def test_frame_by_hand(link: LinkFormat) -> None:
    """The bytes of docs/serial-link.md."""
    content = struct.pack("<BBHHH", 4, 0, 0x1234, 3, 0) + b"abc"
    content += struct.pack("<I", zlib.crc32(content))
    wire = link.encode(Frame(int(link.kinds["PT_LINK_ECHO"]), 0x1234, b"abc"))
    assert wire == b"\0" + plain_encode(content) + b"\0"
    assert wire.hex(" ") == "00 02 04 04 34 12 03 01 01 08 61 62 63 ab e7 90 6d 00"


@given(
    kind=st.integers(0, 255),
    sequence=st.integers(0, 65535),
    payload=st.one_of(RUNS, st.binary(max_size=1032)),
    error=st.integers(0, 255),
)
def test_frame_there_and_back(
    link: LinkFormat, kind: int, sequence: int, payload: bytes, error: int
) -> None:
    frame = Frame(kind, sequence, payload[: link.payload], error)
    wire = link.encode(frame)
    assert wire[:1] == wire[-1:] == DELIMITER
    assert 0 not in wire[1:-1]
    assert len(wire) - 2 <= link.longest_body
    assert link.decode(wire[1:-1]) == frame


@given(payload=st.binary(max_size=120), random=st.randoms(use_true_random=False))
def test_no_damage_of_one_to_three_bits_is_overlooked(
    link: LinkFormat, payload: bytes, random: Random
) -> None:
    sent = Frame(4, 77, payload)
    damaged = DAMAGES["1 to 3 bits flipped"](link.encode(sent), random)
    frames = [link.decode(body) for body in damaged.split(DELIMITER) if body]
    assert [frame for frame in frames if frame not in (None, sent)] == []


@pytest.mark.parametrize("change", ["length", "zero", "crc"])
def test_frame_with_one_field_wrong(link: LinkFormat, change: str) -> None:
    content = struct.pack("<BBHHH", 4, 0, 1, 4 if change == "length" else 3, change == "zero")
    content += b"abc"
    content += struct.pack("<I", zlib.crc32(content) ^ (change == "crc"))
    assert link.decode(cobs.encode(content)) is None


def test_structs_are_the_same_on_host_and_chip(host_elf: Elf) -> None:
    chip = Elf(require(firmware.RP2040))
    for name in ("pt_link_head", "pt_link_span", "pt_link_hello"):
        assert host_elf.dtype(name) == chip.dtype(name)
    assert host_elf.dtype("pt_link_head").itemsize == 8
    assert host_elf.dtype("pt_link_hello").itemsize == 48


def test_frames_that_are_too_short_or_too_long(link: LinkFormat) -> None:
    for size in (0, 1, 4, 11, 8 + link.payload + 1 + 4):
        content = bytes(max(0, size - 4))
        content += struct.pack("<I", zlib.crc32(content))
        assert link.decode(cobs.encode(content[:size])) is None
    for size, fits in ((link.payload, True), (link.payload + 1, False)):
        frame = Frame(4, 1, bytes(size))
        assert link.decode(link.encode(frame)[1:-1]) == (frame if fits else None)


# Cutting at zeros


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_splitter_gives_the_same_however_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    whole = Splitter(20).feed(data)
    assert whole == [body for body in data.split(b"\0")[:-1] if 0 < len(body) <= 20]
    pieces = Splitter(20)
    ends = [*sorted(cut for cut in cuts if cut < len(data)), len(data)]
    found = []
    for start, end in zip([0, *ends], ends, strict=False):
        found += pieces.feed(data[start:end])
    assert found == whole


def test_splitter_keeps_little_of_endless_garbage() -> None:
    splitter = Splitter(20)
    for _ in range(100):
        assert splitter.feed(b"x" * 1000) == []
        assert len(splitter._rest) <= 21
    assert splitter.feed(b"\0abc\0") == [b"abc"]


# The client


class Script:
    """A stream that answers each request with what is in the list; nothing when it has ended."""

    def __init__(self, link: LinkFormat, answers: Sequence[bytes]) -> None:
        self.link = link
        self.answers = list(answers)
        self.requests: list[Frame] = []
        self._coming: list[bytes] = []

    def write(self, data: bytes) -> None:
        frame = self.link.decode(data[1:-1])
        assert frame is not None
        self.requests.append(frame)
        self._coming = [self.answers.pop(0)] if self.answers else []

    def read(self, seconds: float) -> bytes:
        return self._coming.pop(0) if self._coming else b""


def echo(link: LinkFormat, sequence: int, data: bytes = b"x", error: int = 0) -> bytes:
    return link.encode(Frame(4 | link.answer, sequence, data, error))


def test_client_asks_again_with_the_same_sequence(link: LinkFormat) -> None:
    script = Script(link, [b"", b"\0garbage\0", echo(link, 8)])
    client = LinkClient(script, link, sequence=7)
    assert client.echo(b"x") == b"x"
    assert [(frame.sequence, frame.payload) for frame in script.requests] == [(8, b"x")] * 3
    assert client.retries == 2


def test_client_ignores_stale_answers_and_its_own_echo(link: LinkFormat) -> None:
    own = link.encode(Frame(4, 8, b"x"))
    other_kind = link.encode(Frame(2 | link.answer, 8, b"no"))
    script = Script(link, [own + echo(link, 7, b"old") + other_kind + echo(link, 8, b"new")])
    assert LinkClient(script, link, sequence=7).echo(b"x") == b"new"


def test_client_counts_sequences_in_16_bits(link: LinkFormat) -> None:
    script = Script(link, [echo(link, 65535), echo(link, 0)])
    client = LinkClient(script, link, sequence=65534)
    client.echo(b"x")
    client.echo(b"x")
    assert [frame.sequence for frame in script.requests] == [65535, 0]


def test_client_gives_up_and_says_what_came(link: LinkFormat) -> None:
    silent = Script(link, [])
    with pytest.raises(NoAnswer, match=r"ECHO: no answer within 0\.3 s \(nothing came\)"):
        LinkClient(silent, link).echo(b"x", waits=(0.1, 0.2))
    assert len(silent.requests) == 2
    noisy = Script(link, [b"hello", b" world"])
    with pytest.raises(NoAnswer, match="11 bytes came, but no answer"):
        LinkClient(noisy, link).echo(b"x", waits=(0.1, 0.2))


class Flood:
    """A stream on which bytes never end; gives up after 5 s."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk
        self.end = monotonic() + 5.0

    def write(self, data: bytes) -> None:
        pass

    def read(self, seconds: float) -> bytes:
        assert monotonic() < self.end, "the client reads on and on"
        return self.chunk


@pytest.mark.parametrize("chunk", [b"x" * 4096, b"x\0" * 2048])
def test_client_gives_up_in_a_flood(link: LinkFormat, chunk: bytes) -> None:
    start = monotonic()
    with pytest.raises(NoAnswer, match=r"within 0\.2 s \([0-9]+ bytes came, but no answer\)"):
        LinkClient(Flood(chunk), link).echo(b"x", waits=(0.1, 0.1))
    assert 0.2 <= monotonic() - start < 2.0


def test_client_takes_an_answer_that_comes_with_the_deadline(link: LinkFormat) -> None:
    script = Script(link, [echo(link, 8)])
    assert LinkClient(script, link, sequence=7).echo(b"x", waits=(0.0,)) == b"x"


def test_client_tells_refusals_apart(link: LinkFormat) -> None:
    refused = link.encode(Frame(2 | link.answer, 1, b"", 3))
    with pytest.raises(Refused, match=r"cannot read 4 bytes at 0x10: .*ERR_WINDOW") as info:
        LinkClient(Script(link, [refused]), link, sequence=0).peek(0x10, 4)
    assert info.value.name == "PT_LINK_ERR_WINDOW"
    stranger = link.encode(Frame(2 | link.answer, 1, b"", link.errors["PT_LINK_ERR_HELLO"]))
    with pytest.raises(Restarted):
        LinkClient(Script(link, [stranger]), link, sequence=0).peek(0x10, 4)
    unknown = link.encode(Frame(2 | link.answer, 1, b"", 99))
    with pytest.raises(Refused, match="error 99"):
        LinkClient(Script(link, [unknown]), link, sequence=0).peek(0x10, 4)


@pytest.mark.parametrize("data", [b"", b"abc", b"abcde"])
def test_client_wants_as_many_bytes_as_it_asked_for(link: LinkFormat, data: bytes) -> None:
    script = Script(link, [link.encode(Frame(2 | link.answer, 1, data))])
    with pytest.raises(LinkFailure, match=f"cannot read 4 bytes at 0x10: .* sent {len(data)}$"):
        LinkClient(script, link, sequence=0).peek(0x10, 4)


def test_restart_counts_as_done_when_the_device_is_a_stranger_again(link: LinkFormat) -> None:
    stranger = link.encode(Frame(5 | link.answer, 1, b"", link.errors["PT_LINK_ERR_HELLO"]))
    script = Script(link, [b"", stranger])
    LinkClient(script, link, sequence=0).restart("program")
    assert [frame.payload for frame in script.requests] == [bytes(4)] * 2


def hello(link: LinkFormat, **fields: int) -> bytes:
    record = np.zeros(1, link.hello)
    record["magic"], record["version"], record["payload"] = link.magic, link.version, link.payload
    for name, value in fields.items():
        record[name] = value
    return link.encode(Frame(1 | link.answer, 1, record.tobytes()))


def test_hello_names_the_reset(link: LinkFormat) -> None:
    for number, name in ((0, "power"), (1, "request"), (2, "watchdog"), (3, "fault"), (9, "? (9)")):
        client = LinkClient(Script(link, [hello(link, reset=number, clock_hz=5)]), link, 0)
        found = client.hello()
        assert (found.reset, found.clock_hz, found.payload) == (name, 5, link.payload)


def test_hello_of_something_else(link: LinkFormat) -> None:
    with pytest.raises(MagicMismatch):
        LinkClient(Script(link, [hello(link, magic=1)]), link, 0).hello()
    with pytest.raises(VersionMismatch, match=f"version 77 .* version {link.version}"):
        LinkClient(Script(link, [hello(link, version=77)]), link, 0).hello()
    short = link.encode(Frame(1 | link.answer, 1, b"abc"))
    with pytest.raises(MagicMismatch):
        LinkClient(Script(link, [short]), link, 0).hello()


# What docs/serial-link.md says of the speed

DOCS = Path(__file__).resolve().parents[3] / "docs" / "serial-link.md"
UART_KB = 92.16  # kB/s at 921600 baud, with a start and a stop bit


def sizes_on_the_wire(link: LinkFormat, kind: int, before: bytes, size: int) -> range:
    """Fewest to most bytes of a frame with `before` and `size` bytes of data in its payload."""
    least, most = (len(link.encode(Frame(kind, 1, before + fill * size))) for fill in (b"\0", b"x"))
    assert most == link.longest_body + len(DELIMITER) * 2
    return range(least, most + 1)


def spread(low: float, high: float, form: str) -> str:
    texts = [format(value, form) for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def test_throughput_of_the_docs(link: LinkFormat) -> None:
    poked = link.payload - link.poke_head
    requests: dict[str, Sequence[int]] = {
        "POKE": sizes_on_the_wire(link, 3, link.poke(0x20001000, b""), poked),
        "PEEK": [len(link.encode(Frame(2, 1, link.span(0x20001000, link.payload))))],
    }
    answers: dict[str, Sequence[int]] = {
        "POKE": [len(link.encode(Frame(3 | link.answer, 1)))],
        "PEEK": sizes_on_the_wire(link, 2 | link.answer, b"", link.payload),
    }
    text = DOCS.read_text()
    for kind, useful in (("POKE", poked), ("PEEK", link.payload)):
        ways = (requests[kind], answers[kind])
        on_the_wire = " + ".join(spread(way[0], way[-1], "d") for way in ways)
        fewest, most = sum(way[0] for way in ways), sum(way[-1] for way in ways)
        speed = spread(useful / most * UART_KB, useful / fewest * UART_KB, ".1f")
        assert f"| {kind} of {useful} bytes | {on_the_wire} | {speed} kB/s |" in text
