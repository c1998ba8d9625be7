"""Commands, windows, batches and methods: what the device refuses, and that it goes on after it."""

from __future__ import annotations

import numpy as np
import pytest

import support
from picotrain.device.blob import METHOD_KINDS, blob_size, word_sum
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, LinkFailure
from picotrain.image import firmware
from picotrain_golden import Network, plan
from session import Session
from support import INFER, METHODS, images, refusal

EMPTY, MODEL, READY = 0, 1, 2
NEED_A_METHOD = (
    *("SET_MU", "TRAIN", "EVALUATE", "TRACE_BEGIN", "TRACE_NEXT", "READ_TENSOR", "WRITE_TENSOR"),
    *("CHECKPOINT", "RESTORE", "CLEAR_SATURATION"),
    *("SET_SELECTION", "SELECT", "MAKE_HEAD"),
)

Word = int


def u32(value: int) -> Word:
    return value & 0xFFFFFFFF


# Commands and states


@pytest.mark.parametrize("number", [21, 22, 255, 0x80000000, 0xFFFFFFFF])
def test_unknown_command(session: Session, number: int) -> None:
    assert refusal(session.device, number) == ("PT_ERR_COMMAND", (number, 0, 0, 0))
    session.goes_on()


def test_unknown_command_without_a_model(mailbox: MailboxDevice) -> None:
    assert refusal(mailbox, 21) == ("PT_ERR_COMMAND", (21, 0, 0, 0))


def test_no_command_is_no_command(session: Session) -> None:
    """Serving an empty mailbox leaves the answer to the last command as it is."""
    session.evaluate()
    before = session.device._mailbox()
    support.post(session.device, 0)
    after = session.device._mailbox()
    for field in ("status", "error", "response", "command"):
        assert (before[field] == after[field]).all(), field
    session.goes_on()


def test_commands_need_a_model_and_a_method(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network
) -> None:
    for command in NEED_A_METHOD:
        assert refusal(mailbox, command) == ("PT_ERR_STATE", (EMPTY, READY, 0, 0)), command
    assert refusal(mailbox, "SET_METHOD") == ("PT_ERR_STATE", (EMPTY, MODEL, 0, 0))
    mailbox.load_model(network)
    for command in NEED_A_METHOD:
        assert refusal(mailbox, command) == ("PT_ERR_STATE", (MODEL, READY, 0, 0)), command
    assert refusal(mailbox, "LOAD_MODEL", [24]) == ("PT_ERR_STATE", (MODEL, EMPTY, 0, 0))
    session = Session(mailbox, reference, network)
    session.begin(METHODS["priot"])
    session.goes_on()


def test_every_command_was_tried(mailbox: MailboxDevice) -> None:
    commands = {name.removeprefix("PT_CMD_") for name in mailbox._commands.__members__}
    always = {"NONE", "INFO", "RESET", "LOAD_MODEL", "SET_METHOD", "PT_COMMANDS"}
    elsewhere = {"BENCH", "CHECK", "SET_PLAN"}  # test_bench.py, test_damage.py, test_fused.py
    assert commands == {*NEED_A_METHOD, *always, *elsewhere}


def test_a_loaded_model_is_not_overwritten(session: Session) -> None:
    for size in (0, 24, blob_size(session.network, session.device.elf)):
        assert refusal(session.device, "LOAD_MODEL", [size]) == (
            "PT_ERR_STATE",
            (READY, EMPTY, 0, 0),
        )
    session.goes_on()


def test_status_error_and_response(session: Session) -> None:
    status = session.device.elf.enum("pt_status")
    session.evaluate()
    done = session.device._mailbox()
    expected = session.reference.evaluate(session.pixels, session.labels)
    session.reference.clear_saturation()
    session.device.clear_saturation()
    assert done["response"][0] == expected.correct(session.labels)
    batch = session.device.read_window("IO", session.batch_bytes)
    assert done["response"][1] == word_sum(batch, session.device.elf)
    assert (done["status"], done["error"]) == (status["PT_STATUS_DONE"], 0)
    assert not done["detail"]["value"].any() and not done["response"][2:].any()
    refusal(session.device, "EVALUATE", [0])
    refused = session.device._mailbox()
    assert (refused["status"], refused["command"]) == (status["PT_STATUS_ERROR"], 0)
    assert refused["error"] == session.device.elf.enum("pt_error")["PT_ERR_BATCH"]
    assert not refused["response"].any()
    session.goes_on()


def test_correct_predictions_are_counted(session: Session) -> None:
    device = session.device
    device.write_window("IO", session.pixels.tobytes() + session.labels.tobytes())
    correct = int(device.command("EVALUATE", [8])["response"][0])
    expected = session.reference.evaluate(session.pixels, session.labels)
    assert correct == expected.correct(session.labels)
    right = expected.predictions.astype(np.uint8)
    device.write_window("IO", session.pixels.tobytes() + right.tobytes())
    assert device.command("EVALUATE", [8])["response"][0] == 8
    session.reference.evaluate(session.pixels, session.labels)
    session.goes_on()


# Windows


def test_windows_open_and_close(mailbox: MailboxDevice, network: Network) -> None:
    names = ("MODEL", "IO", "PLAN", "SATURATION", "FLASH")
    arena = int(mailbox.command("INFO")["memory"]["arena"])

    def sizes() -> list[int]:
        return [mailbox.window(name)[1] for name in names]

    flash = firmware.MODEL_FLASH
    assert sizes() == [arena, 0, 0, 0, flash]
    mailbox.load_model(network)
    assert sizes() == [0, 0, 0, 0, 0]
    mailbox.set_method(METHODS["priot"])
    planned = plan(network, METHODS["priot"], blob_size(network, mailbox.elf))
    io = arena - planned.blob - planned.scores - planned.transient
    record = mailbox.elf.dtype("pt_plan").itemsize
    assert sizes() == [0, io, record, 12 * len(network.layers), 0]
    refusal(mailbox, "SET_METHOD", [9])
    assert sizes() == [0, 0, 0, 0, 0]
    mailbox.command("RESET")
    assert sizes() == [arena, 0, 0, 0, flash]
    with pytest.raises(LinkFailure, match="IO window has 0 bytes, 1 do not fit"):
        mailbox.write_window("IO", b"x")
    # A refused blob leaves the window open for the next.
    mailbox.write_window("MODEL", bytes(24))
    assert refusal(mailbox, "LOAD_MODEL", [24])[0] == "PT_ERR_BLOB_MAGIC"
    assert sizes() == [arena, 0, 0, 0, flash]


def test_the_fault_window_is_always_there(mailbox: MailboxDevice, network: Network) -> None:
    """Where a board keeps a record of its last fault; a host process has none."""
    keeps = "pt_fault_record" in mailbox.elf.symbols()
    place = (mailbox.elf.symbol("pt_fault_record"), 92) if keeps else (0, 0)
    assert mailbox.window("FAULT") == place
    mailbox.load_model(network)
    assert mailbox.window("FAULT") == place


def test_which_windows_are_writable(mailbox: MailboxDevice, network: Network) -> None:
    def writable() -> list[bool]:
        return [bool(window["writable"]) for window in mailbox._mailbox()["window"]]

    assert writable() == [True, False, False, False, True, False]
    mailbox.load_model(network)
    mailbox.set_method(INFER)
    assert writable() == [False, True, False, False, False, False]


def test_a_blob_larger_than_the_arena(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network
) -> None:
    arena = mailbox.window("MODEL")[1]
    for size in (arena + 1, 0xFFFFFFFF):
        assert refusal(mailbox, "LOAD_MODEL", [size]) == (
            "PT_ERR_MEMORY",
            (size, arena, size, 0),
        )
    session = Session(mailbox, reference, network)
    session.begin(METHODS["niti-dynamic"])
    session.goes_on()


# Batches


def test_batch_sizes(session: Session) -> None:
    device = session.device
    image = session.pixels[0].size
    most = session.io_size // (image + 1 + 8)
    assert most > 8
    # So many that their bytes, counted in 32 bits, would fit again.
    wraps = -(-(1 << 32) // (image + 1 + 8))
    assert (-(-wraps * (image + 1) // 4) * 4 + wraps * 8) % (1 << 32) <= session.io_size
    for count in (0, most + 1, wraps, 0x7FFFFFFF, 0xFFFFFFFF):
        for command in ("TRAIN", "EVALUATE"):
            assert refusal(device, command, [count]) == ("PT_ERR_BATCH", (count, most, 0, 0))
    session.goes_on()


def test_largest_batch(session: Session) -> None:
    """As many images as the window holds, up to its last byte."""
    device = session.device
    address, size = device.window("IO")
    image = session.pixels[0].size
    most = size // (image + 1 + 8)
    pixels = np.resize(session.pixels, (most, *session.network.input_shape))
    labels = np.resize(session.labels, most)
    device._target.write(address, pixels.tobytes() + labels.tobytes())
    device.command("EVALUATE", [most], timeout=120)
    at = -(-most * (image + 1) // 4) * 4
    data = device._target.read(address + at, most * 8)
    results = np.frombuffer(data, device.elf.dtype("pt_result"))
    expected = session.reference.evaluate(session.pixels, session.labels).predictions
    assert (results["prediction"] == np.resize(expected, most)).all()
    # Evaluation counts forward saturation, and nothing else.
    saturated = session.device.saturation()
    assert not saturated[:, 1:].any()
    for one in (session.reference, device):
        one.clear_saturation()
    session.goes_on()


@pytest.mark.parametrize("label", [7, 8, 255])
def test_label_out_of_range(session: Session, label: int) -> None:
    device = session.device
    labels = np.array([0, 6, label, 1], np.uint8)
    device.write_window("IO", session.pixels[:4].tobytes() + labels.tobytes())
    for command in ("TRAIN", "EVALUATE"):
        assert refusal(device, command, [4]) == ("PT_ERR_LABEL", (2, label, 7, 0))
    device.write_window("IO", session.pixels[0].tobytes() + bytes([label]))
    assert refusal(device, "TRACE_BEGIN") == ("PT_ERR_LABEL", (0, label, 7, 0))
    session.goes_on()


def test_training_under_infer(mailbox: MailboxDevice, network: Network) -> None:
    mailbox.load_model(network)
    mailbox.set_method(INFER)
    pixels, labels = images(network, 2)
    expected = mailbox.evaluate(pixels, labels).predictions
    with pytest.raises(CommandError) as caught:
        mailbox.train(pixels, labels)
    assert caught.value.name == "PT_ERR_ARGUMENT"
    assert caught.value.detail == (0, 0, 1, 6)
    assert (mailbox.evaluate(pixels, labels).predictions == expected).all()


# Methods


METHOD_FIELDS = {
    "kind-7": (0, 7, 0, 6),
    "kind-max": (0, 0xFFFFFFFF, 0, 6),
    "mu-8": (1, 8, u32(-8), 7),
    "mu--9": (1, u32(-9), u32(-8), 7),
    "theta-128": (2, 128, u32(-127), 127),
    "theta--128": (2, u32(-128), u32(-127), 127),
    "permille-0": (3, 0, 1, 1000),
    "permille-1001": (3, 1001, 1, 1000),
    "permille-huge": (3, 0x80000000, 1, 1000),
    "selection-2": (4, 2, 0, 1),
    "start-2": (5, 2, 0, 1),
    "easy-4096": (7, 4096, 0, 4095),
    "easy-huge": (7, 0x80000000, 0, 4095),
}


@pytest.mark.parametrize("expected", METHOD_FIELDS.values(), ids=METHOD_FIELDS)
def test_method_fields_out_of_range(session: Session, expected: tuple[int, int, int, int]) -> None:
    field, value, _, _ = expected
    arguments = [4, 3, 0, 100, 1, 0, 0, 0]
    arguments[field] = value
    assert refusal(session.device, "SET_METHOD", arguments) == ("PT_ERR_ARGUMENT", expected)
    # The model stays, without a method.
    assert refusal(session.device, "TRAIN", [1]) == ("PT_ERR_STATE", (MODEL, READY, 0, 0))
    for one in (session.reference, session.device):
        one.set_method(METHODS["priot-s-random"])
    session.goes_on()


_NITI = {1, 7}
USED = {0: set(), 1: _NITI, 2: _NITI, 3: {1, 2, 5, 6, 7}, 4: {1, 2, 3, 4, 5, 6, 7}}
"""Fields of struct pt_method, beside the kind, that each kind uses."""


def test_random_method_fields(mailbox: MailboxDevice, network: Network) -> None:
    """The device takes what `Method` takes, and anything where the kind does not use the field."""
    random = np.random.default_rng(6)
    limits = [(0, 6), (-8, 7), (-127, 127), (1, 1000), (0, 1), (0, 1), (0, 0xFFFFFFFF), (0, 4095)]
    mailbox.load_model(network)
    taken = 0
    for _ in range(60):
        arguments = [int(random.integers(low, high, endpoint=True)) for low, high in limits]
        field = int(random.integers(len(limits)))
        low, high = limits[field]
        # Around both limits, and anywhere.
        at = random.choice([low - 1, low, high, high + 1, random.integers(-(2**31), 2**31)])
        arguments[field] = int(at)
        value = arguments[field] & 0xFFFFFFFF if field == 6 else arguments[field]
        if arguments[0] in (5, 6):
            continue  # of affine networks alone: test_selections.py
        if low <= value <= high or (field and field not in USED[arguments[0]]):
            mailbox.command("SET_METHOD", arguments)
            taken += 1
        else:
            expected = (field, u32(value), u32(low), u32(high))
            assert refusal(mailbox, "SET_METHOD", arguments) == ("PT_ERR_ARGUMENT", expected)
    assert 10 < taken < 50


def test_method_kinds_are_those_of_the_firmware(mailbox: MailboxDevice) -> None:
    kinds = mailbox.elf.enum("pt_method_kind")
    assert {kinds[name] for name in METHOD_KINDS.values()} == set(range(kinds["PT_METHOD_KINDS"]))


@pytest.mark.parametrize("mu", [8, -9, 127, 0x7FFFFFFF, -0x80000000])
def test_set_mu_out_of_range(session: Session, mu: int) -> None:
    assert refusal(session.device, "SET_MU", [mu]) == (
        "PT_ERR_ARGUMENT",
        (1, u32(mu), u32(-8), 7),
    )
    session.goes_on()
