"""Steps that test the serial link itself, as docs/serial-link.md promises it."""

from __future__ import annotations

import random
from dataclasses import asdict, replace

import numpy as np

from picotrain.device.blob import encode
from picotrain.device.link.frames import Frame
from picotrain.device.link.throughput import measure_throughput
from picotrain.hardware.rig import DeviceRig, Wire
from picotrain.hardware.suite import CheckFailed, Finding
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain_golden import Network, linear

ANSWER_SECONDS = 3.0
_SILENCE_SECONDS = 0.25
_ROUNDS = 24
_SEED = 20408

Refusal = tuple[str, int, bytes, str]
"""What is asked, the kind of the request, its payload, and the name of the refusal."""


def echo(rig: DeviceRig) -> Finding:
    """Payloads of every length class: around COBS blocks, words and the longest."""
    noise = random.Random(_SEED)
    longest = rig.target().hello().payload
    lengths = [*range(10), *range(252, 258), *range(506, 512), *range(762, 766)]
    lengths += [noise.randrange(longest) for _ in range(8)]
    lengths += range(longest - 2, longest + 1)
    sent = 0
    for length in lengths:
        contents = (
            bytes(length),
            b"\xff" * length,
            noise.randbytes(length),
            bytes(noise.randrange(1, 256) for _ in range(length)),
        )
        for content in contents:
            answer = rig.target().echo(content)
            if answer != content:
                raise CheckFailed(f"an echo of {length} bytes came back different")
            sent += length
    retries = rig.target().retries
    text = f"{4 * len(lengths)} payloads of 0 to {longest} bytes, {sent:,} bytes each way"
    if retries:
        text += f", {retries} of the requests asked again"
    return Finding(text, {"payloads": 4 * len(lengths), "bytes": sent, "retries": retries})


def refusals(rig: DeviceRig) -> Finding:
    """What the host may not touch, it cannot."""
    device = rig.device()
    device.command("RESET")
    mailbox = device.elf.dtype("pt_mailbox")
    start = rig.target().mailbox_address()
    model, room = device.window("MODEL")
    with rig.wire() as wire:
        cases = _cases(wire, start, mailbox, model, room)
        for what, kind, payload, expected in cases:
            answer = wire.ask(wire.next(kind, payload), ANSWER_SECONDS)
            name = "no answer" if answer is None else _error(wire, answer)
            if name != expected:
                raise CheckFailed(f"{what}: expected {expected}, the device gave {name}")
        _expect_echo(wire, "after the refusals")
    rig.device().check()
    names = sorted({case[3] for case in cases if case[3] != "PT_LINK_OK"})
    return Finding(f"{len(cases)} requests answered by name", {"refusals": names})


def _cases(
    wire: Wire, start: int, mailbox: np.dtype[np.void], model: int, room: int
) -> list[Refusal]:
    kinds, format_ = wire.format.kinds, wire.format
    peek, poke = int(kinds["PT_LINK_PEEK"]), int(kinds["PT_LINK_POKE"])
    restart, unknown = int(kinds["PT_LINK_RESTART"]), max(map(int, kinds)) + 1
    end = start + mailbox.itemsize
    word = bytes(4)
    window, read_only = "PT_LINK_ERR_WINDOW", "PT_LINK_ERR_READ_ONLY"
    return [
        ("reading the mailbox", peek, format_.span(start, 4), "PT_LINK_OK"),
        ("reading the end of MODEL", peek, format_.span(model + room - 4, 4), "PT_LINK_OK"),
        ("reading before the mailbox", peek, format_.span(start - 4, 8), window),
        ("reading behind the mailbox", peek, format_.span(end - 4, 8), window),
        ("reading behind MODEL", peek, format_.span(model + room - 4, 8), window),
        ("reading address 0", peek, format_.span(0, 4), window),
        ("reading the end of memory", peek, format_.span((1 << 64) - 4, 8), window),
        ("reading no bytes", peek, format_.span(start, 0), "PT_LINK_ERR_LENGTH"),
        ("a PEEK cut short", peek, format_.span(start, 4)[:-1], "PT_LINK_ERR_LENGTH"),
        ("writing behind MODEL", poke, format_.poke(model + room - 2, word), window),
        ("writing address 0", poke, format_.poke(0, word), window),
        (
            "writing the mailbox's magic",
            poke,
            format_.poke(start + _offset(mailbox, "magic"), word),
            read_only,
        ),
        (
            "writing the mailbox's status",
            poke,
            format_.poke(start + _offset(mailbox, "status"), word),
            read_only,
        ),
        (
            "writing the mailbox's windows",
            poke,
            format_.poke(start + _offset(mailbox, "window"), word),
            read_only,
        ),
        ("a POKE without an address", poke, bytes(3), "PT_LINK_ERR_LENGTH"),
        ("a restart of no kind", restart, b"\xff\0\0\0", "PT_LINK_ERR_ARGUMENT"),
        ("a restart without a kind", restart, b"", "PT_LINK_ERR_LENGTH"),
        ("an unknown request", unknown, b"", "PT_LINK_ERR_KIND"),
    ]


def _error(wire: Wire, answer: Frame) -> str:
    try:
        return str(wire.format.errors(answer.error).name)
    except ValueError:
        return f"error {answer.error}"


def garbage(rig: DeviceRig) -> Finding:
    """Whatever comes before a request, the request is answered, and nothing else is."""
    noise = random.Random(_SEED)
    sent = 0
    with rig.wire() as wire:
        for number in range(_ROUNDS):
            for name, junk in _junk(wire, noise):
                _expect_echo(wire, f"after {name} (round {number})", junk)
                sent += len(junk)
        wire.send(noise.randbytes(500).replace(b"\0", b"\1") + b"\0")
        unasked = wire.frames(_SILENCE_SECONDS)
        if unasked:
            raise CheckFailed(f"the device answered garbage with {unasked[0]}")
    return Finding(f"{sent:,} bytes of garbage, every request behind it answered", {"bytes": sent})


def _junk(wire: Wire, noise: random.Random) -> list[tuple[str, bytes]]:
    """One of each kind of bytes that are no request."""
    request = wire.next(int(wire.format.kinds["PT_LINK_ECHO"]), noise.randbytes(30))
    whole = wire.format.encode(request)
    inside = whole[1:-1]
    at = noise.randrange(len(inside))
    damaged = bytearray(inside)
    damaged[at] = damaged[at] % 255 + 1
    return [
        ("noise", noise.randbytes(noise.randrange(1, 400))),
        ("noise without a zero", bytes(noise.randrange(1, 256) for _ in range(60))),
        ("a frame that is too long", b"\0" + b"\x11" * (wire.format.longest_body + 50)),
        ("a frame cut short", whole[: noise.randrange(2, len(whole) - 1)]),
        ("a damaged frame", b"\0" + bytes(damaged) + b"\0"),
        ("zeros", bytes(noise.randrange(1, 9))),
    ]


def _expect_echo(wire: Wire, when: str, junk: bytes = b"") -> None:
    content = when.encode()
    request = wire.next(int(wire.format.kinds["PT_LINK_ECHO"]), content)
    answer = wire.ask(request, ANSWER_SECONDS, junk)
    if answer is None or answer.payload != content:
        found = "no answer" if answer is None else f"{answer.payload[:40]!r}"
        raise CheckFailed(f"{when}: the next request got {found}")


def throughput(rig: DeviceRig, size: int) -> Finding:
    """Bytes per second into the device and out of it."""
    measured = measure_throughput(rig.target(), size)
    text = (
        f"write {measured.poke_bytes_per_second / 1000:,.1f} kB/s, read "
        f"{measured.peek_bytes_per_second / 1000:,.1f} kB/s, echo "
        f"{1000 * measured.echo_seconds:.2f} ms ({size:,} bytes each way)"
    )
    details = asdict(measured)
    del details["target"]
    return Finding(text, details)


def duplicates(rig: DeviceRig) -> Finding:
    """A request that comes twice is answered twice and carried out once.

    LOAD_MODEL shows it: with a model there it is refused.
    """
    device = rig.device()
    blob = encode(_tiny_network(), device.elf)
    device.command("RESET")
    device.write_window("MODEL", blob)
    elf, start = device.elf, rig.target().mailbox_address()
    layout = elf.dtype("pt_mailbox")
    argument, command = (start + _offset(layout, name) for name in ("argument", "command"))
    states = elf.enum("pt_status")
    number = int(elf.enum("pt_command")["PT_CMD_LOAD_MODEL"])
    place = int(elf.enum("pt_place")["PT_PLACE_ARENA"])
    with rig.wire() as wire:
        poke = int(wire.format.kinds["PT_LINK_POKE"])
        words = np.array([len(blob), place], "<u4").tobytes()
        _acknowledged(wire, wire.next(poke, wire.format.poke(argument, words)))
        post = wire.next(poke, wire.format.poke(command, number.to_bytes(4, "little")))
        _acknowledged(wire, post)
        _acknowledged(wire, post)
        if _status(wire, start, layout) != states["PT_STATUS_DONE"]:
            raise CheckFailed("LOAD_MODEL, the same request twice, was not carried out once")
        # The control: the same with another number is another request.
        _acknowledged(wire, replace(post, sequence=(post.sequence + 77) & 0xFFFF))
        if _status(wire, start, layout) != states["PT_STATUS_ERROR"]:
            raise CheckFailed("a second LOAD_MODEL, as a request of its own, was not carried out")
    rig.device().command("RESET")
    return Finding("a repeated request was answered twice and carried out once")


def _tiny_network() -> Network:
    layer = linear((1, 1, 4), 2, False)
    return models.initial_network(Architecture("tiny", (1, 1, 4), (layer,)), 1)


def _acknowledged(wire: Wire, frame: Frame) -> None:
    answer = wire.ask(frame, ANSWER_SECONDS)
    if answer is None or answer.error:
        found = "no answer" if answer is None else _error(wire, answer)
        raise CheckFailed(f"a POKE into the mailbox got {found}")


def _status(wire: Wire, start: int, layout: np.dtype[np.void]) -> int:
    """The mailbox's status."""
    span = wire.format.span(start, layout.itemsize)
    answer = wire.ask(wire.next(int(wire.format.kinds["PT_LINK_PEEK"]), span), ANSWER_SECONDS)
    if answer is None or len(answer.payload) != layout.itemsize:
        raise CheckFailed("the mailbox cannot be read")
    return int(np.frombuffer(answer.payload, layout)[0]["status"])


def _offset(layout: np.dtype[np.void], name: str) -> int:
    assert layout.fields is not None
    return int(layout.fields[name][1])
