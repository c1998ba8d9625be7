"""Flipped bits in memory that must not change by itself: CHECK, and the commands that rely on it,
refuse by region."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest

from flips.memory import Memory, Span
from picotrain.device.blob import word_sum
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, DamageFailure
from picotrain.image.elf import Elf
from session import Session
from support import INFER, METHODS

LEARN = ("priot", "priot-s-weight", "niti-static")

Look = Callable[[Memory], Span]


def first(spans: list[Span]) -> Span:
    return spans[0]


REGIONS: dict[str, tuple[Look, str]] = {
    "a pointer": (lambda m: first(m.trainer_fields(["arena"])), "TRAINER"),
    "the method": (lambda m: first(m.trainer_fields(["method"])), "TRAINER"),
    "the plan": (lambda m: first(m.trainer_fields(["plan"])), "TRAINER"),
    "weights' places": (lambda m: first(m.trainer_fields(["weights"])), "TRAINER"),
    "the header": (Memory.description, "MODEL"),
    "the size": (lambda m: Span(m.blob().address + 8, 4), "MODEL"),
    "the layers": (lambda m: Span(m.blob().address + 16, 2), "MODEL"),
    "scores": (Memory.scores, "LEARNT"),
    "the magic": (lambda m: first(m.mailbox("magic")), "MAILBOX"),
    "what the board said": (Memory.board, "MAILBOX"),
    "the windows": (lambda m: first(m.mailbox("window")), "MAILBOX"),
}
"""Under PRIOT: what a byte of it is, and what it belongs to."""


def memory_of(session: Session) -> Memory:
    if session.device.name.startswith("serial"):
        pytest.skip("over a link only windows are within reach")
    return Memory(session.device)


def damaged(device: MailboxDevice, command: str, arguments: list[int] = []) -> str:  # noqa: B006
    """The region that it refuses with; empty where it is served."""
    try:
        device.command(command, arguments)
    except DamageFailure as failure:
        return failure.region
    return ""


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_is_named(session: Session, name: str, bit: int) -> None:
    look, region = REGIONS[name]
    memory = memory_of(session)
    session.begin(METHODS["priot"])
    session.goes_on()
    device = session.device
    span = look(memory)
    for at in {span.address, span.address + span.size - 1}:
        assert damaged(device, "CHECK") == ""
        memory.flip(at, bit)
        assert damaged(device, "CHECK") == region
        if name != "the windows":  # which are written after each command
            assert damaged(device, "CHECK") == region
            memory.flip(at, bit)
    assert damaged(device, "CHECK") == ""
    session.goes_on()


@pytest.mark.parametrize("name", LEARN)
def test_what_is_learned_is_told_from_what_is_not(session: Session, name: str) -> None:
    memory = memory_of(session)
    session.begin(METHODS[name])
    session.goes_on()
    region = "LEARNT" if name == "niti-static" else "MODEL"
    for span in memory.weights():
        for at in (span.address, span.address + span.size - 1):
            memory.flip(at, 3)
            assert damaged(session.device, "CHECK") == region
            memory.flip(at, 3)
    session.goes_on()


def test_commands_refuse_what_they_rely_on(session: Session) -> None:
    memory, device = memory_of(session), session.device
    session.begin(METHODS["priot"])
    session.goes_on()
    scores, weights = memory.scores().address, memory.weights()[0].address
    for name in ("TRAIN", "EVALUATE", "TRACE_BEGIN", "CHECKPOINT", "SET_METHOD", "WRITE_TENSOR"):
        memory.flip(scores, 0)
        assert damaged(device, name) == "LEARNT", name
        memory.flip(scores, 0)
    for name in ("SET_METHOD", "RESTORE", "SET_SELECTION"):
        memory.flip(weights, 0)
        assert damaged(device, name) == "MODEL", name
        memory.flip(weights, 0)
    described = memory.description()
    for at in (described.address, described.address + described.size - 1):
        memory.flip(at, 0)
        assert damaged(device, "TRAIN") == "MODEL"
        memory.flip(at, 0)
    (mu,) = memory.trainer_fields(["method"])
    for name in ("INFO", "SET_MU", "TRAIN", "READ_TENSOR", "TRACE_NEXT", "CLEAR_SATURATION"):
        memory.flip(mu.address + 4, 0)
        assert damaged(device, name) == "TRAINER", name
        memory.flip(mu.address + 4, 0)
    session.goes_on()


@pytest.mark.parametrize("name", LEARN)
@pytest.mark.parametrize(("command", "argument"), [("RESTORE", 4), ("LOAD_MODEL", 4)])
def test_a_refusal_hides_no_damage(
    session: Session, name: str, command: str, argument: int
) -> None:
    """No sum is taken anew of what the command did not look at."""
    memory, device = memory_of(session), session.device
    session.begin(METHODS[name])
    session.goes_on()
    for at in (
        memory.weights()[0].address,
        *([memory.scores().address] if "priot" in name else []),
    ):
        memory.flip(at, 2)
        region = damaged(device, "CHECK")
        assert region in ("LEARNT", "MODEL")
        with pytest.raises((CommandError, DamageFailure)):
            device.command(command, [argument, 0])
        assert damaged(device, "CHECK") == region
        memory.flip(at, 2)
    session.goes_on()


def test_a_checkpoint_mends_what_was_learned(session: Session) -> None:
    memory, device = memory_of(session), session.device
    session.begin(METHODS["priot"])
    session.goes_on()
    saved = device.checkpoint()
    memory.flip(memory.scores().address + 5, 6)
    with pytest.raises(DamageFailure, match="what was learned") as raised:
        device.train(session.pixels, session.labels)
    assert raised.value.failure_class == "DAMAGED" and "reset the device" in str(raised.value)
    device.restore(saved)
    device.check_memory()
    session.goes_on()


def test_a_reset_forgets_damage(session: Session) -> None:
    memory, device = memory_of(session), session.device
    session.begin(METHODS["priot"])
    (plan,) = memory.trainer_fields(["plan"])
    memory.flip(plan.address, 4)
    memory.flip(memory.blob().address + 20, 1)
    device.command("RESET")
    assert damaged(device, "CHECK") == ""
    session.begin(METHODS["priot"])
    session.goes_on()


def test_what_was_damaged_before_a_method_is_found_by_it(session: Session) -> None:
    """Between LOAD_MODEL, which checks the blob's own CRC, and the first method."""
    memory, device = memory_of(session), session.device
    device.load_model(session.network)
    memory.flip(memory.weights()[-1].address, 2)
    assert damaged(device, "CHECK") == "MODEL"
    assert damaged(device, "SET_METHOD") == "MODEL"


def test_infer_learns_nothing(session: Session) -> None:
    memory, device = memory_of(session), session.device
    device.load_model(session.network)
    device.set_method(INFER)
    device.evaluate(session.pixels, session.labels)
    memory.flip(memory.weights()[0].address, 0)
    assert damaged(device, "EVALUATE", [1]) == ""  # it would cost more than the batch
    assert damaged(device, "CHECK") == "MODEL"


@pytest.mark.parametrize("what", ["image", "label", "result"])
def test_a_batch_is_the_one_that_was_written(session: Session, what: str) -> None:
    """Flipped behind the harness's back: after it wrote, or before it read."""
    memory, device = memory_of(session), session.device
    session.begin(METHODS["priot"])
    address, _ = device.window("IO")
    run = device._target.run
    images, batch = session.pixels.nbytes, session.batch_bytes

    def flipping(timeout: float) -> None:
        if what != "result":
            memory.flip(address + (1 if what == "image" else images), 0)
        run(timeout)
        if what == "result":
            memory.flip(address + batch - 1, 0)

    device._target.run = flipping  # type: ignore[method-assign]
    try:
        with pytest.raises(DamageFailure, match="on its way") as raised:
            device.evaluate(session.pixels, session.labels % 2)
    finally:
        device._target.run = run  # type: ignore[method-assign]
    assert raised.value.region == "IO"


def test_code_and_stack(session: Session) -> None:
    memory, mailbox = memory_of(session), session.device
    if not memory.on_chip:
        pytest.skip("the code of a host process is the system's, and so is its stack")
    for span in memory.code():
        for at in (span.address + span.size // 2, span.address + span.size - 1):
            memory.flip(at, 5)
            assert damaged(mailbox, "CHECK") == "CODE"
            memory.flip(at, 5)
    memory.flip(memory.stack_guard().address, 1)
    assert damaged(mailbox, "CHECK") == "STACK"
    memory.flip(memory.stack_guard().address, 1)
    assert damaged(mailbox, "CHECK") == ""


def test_a_tensor_on_its_way(session: Session) -> None:
    memory, device = memory_of(session), session.device
    session.begin(METHODS["priot"])
    address, _ = device.window("IO")
    run = device._target.run

    def flipping(timeout: float) -> None:
        run(timeout)
        memory.flip(address, 7)

    device._target.run = flipping  # type: ignore[method-assign]
    try:
        with pytest.raises(DamageFailure, match="on its way"):
            device.scores(0)
    finally:
        device._target.run = run  # type: ignore[method-assign]


def test_the_sum_by_hand(host_elf: Elf) -> None:
    """One word after another; the last one filled up."""
    factor, expected = 0x01000193, 0
    data = bytes(range(7, 30))
    for at in range(0, len(data), 4):
        word = int.from_bytes(data[at : at + 4], "little")
        expected = (expected * factor + word) & 0xFFFFFFFF
    assert word_sum(data, host_elf) == expected != zlib.crc32(data)
    assert word_sum(b"", host_elf) == 0 and word_sum(b"\1", host_elf) == 1
    damage = np.random.default_rng(0).bytes(256)
    for at in range(8 * len(damage)):
        flipped = bytearray(damage)
        flipped[at // 8] ^= 1 << at % 8
        assert word_sum(flipped, host_elf) != word_sum(damage, host_elf)
