"""What the device refuses, with which name and numbers, and that it goes on after it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import support
from picotrain.device.blob import blob_size, encode
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import METHOD_KINDS, MailboxDevice
from picotrain.errors import CommandError, LinkFailure
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison
from picotrain_golden import Method, Network, conv2d, linear, plan
from support import INFER, METHODS, begin, images, refusal

EMPTY, MODEL, READY = 0, 1, 2
ACTIVATION, ERROR, WEIGHTS, SCORES, BITMAP = range(5)
INPUT_LAYER = 0xFF
NEED_A_METHOD = (
    *("SET_MU", "TRAIN", "EVALUATE", "TRACE_BEGIN", "TRACE_NEXT", "READ_TENSOR", "WRITE_TENSOR"),
    *("CHECKPOINT", "RESTORE", "CLEAR_SATURATION"),
)
CHECKPOINT_FIELDS = ("magic", "model_crc", "method", "state_crc", "state_size")

Word = int


def u32(value: int) -> Word:
    return value & 0xFFFFFFFF


@pytest.fixture
def network() -> Network:
    return support.shipped("oddnet")


class Session:
    """A device in training beside golden; `goes_on` proves that a refusal changed nothing."""

    def __init__(self, device: MailboxDevice, reference: GoldenDevice, network: Network) -> None:
        self.device = device
        self.reference = reference
        self.network = network
        self.pixels, self.labels = images(network, 8)
        self._comparison: Comparison | None = None
        self._step = 0

    def begin(self, method: Method) -> None:
        self._comparison = begin(self.device, self.reference, self.network, method)

    def goes_on(self) -> None:
        assert self._comparison is not None
        self._comparison.state(self._step)
        at = self._step % len(self.pixels)
        self._comparison.traced_step(self._step, self.pixels[at], int(self.labels[at]))
        self._comparison.batch(self._step, self.pixels, self.labels, train=True)
        self._step += 1

    def evaluate(self) -> None:
        """Both devices predict all images, which counts forward saturation."""
        expected = self.reference.evaluate(self.pixels, self.labels).predictions
        assert (self.device.evaluate(self.pixels, self.labels).predictions == expected).all()

    @property
    def io_size(self) -> int:
        return self.device.window("IO")[1]


@pytest.fixture
def session(mailbox: MailboxDevice, reference: GoldenDevice, network: Network) -> Session:
    """Trains oddnet by static NITI."""
    session = Session(mailbox, reference, network)
    session.begin(METHODS["niti-static"])
    return session


# Commands and states


@pytest.mark.parametrize("number", [16, 17, 255, 0x80000000, 0xFFFFFFFF])
def test_unknown_command(session: Session, number: int) -> None:
    assert refusal(session.device, number) == ("PT_ERR_COMMAND", (number, 0, 0, 0))
    session.goes_on()


def test_unknown_command_without_a_model(mailbox: MailboxDevice) -> None:
    assert refusal(mailbox, 16) == ("PT_ERR_COMMAND", (16, 0, 0, 0))


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
    elsewhere = {"BENCH"}  # test_bench.py
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
    assert (done["status"], done["error"]) == (status["PT_STATUS_DONE"], 0)
    assert not done["detail"]["value"].any() and not done["response"][1:].any()
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
    place = (mailbox.elf.symbol("pt_fault_record"), 72) if keeps else (0, 0)
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
    for count in (0, most + 1, 0x7FFFFFFF, 0xFFFFFFFF):
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
    assert caught.value.detail == (0, 0, 1, 4)
    assert (mailbox.evaluate(pixels, labels).predictions == expected).all()


# Methods


METHOD_FIELDS = {
    "kind-5": (0, 5, 0, 4),
    "kind-max": (0, 0xFFFFFFFF, 0, 4),
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


def test_random_method_fields(mailbox: MailboxDevice, network: Network) -> None:
    """The device takes exactly what `Method` takes."""
    random = np.random.default_rng(6)
    limits = [(0, 4), (-8, 7), (-127, 127), (1, 1000), (0, 1), (0, 1), (0, 0xFFFFFFFF), (0, 4095)]
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
        if low <= value <= high:
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


# Tensors


def test_reading_outside_a_tensor(session: Session) -> None:
    device, io = session.device, session.io_size
    size = device.weights(0).size
    assert size == 375
    ranges = [(0, size + 1), (size, 1), (size + 1, 0), (1, size), (0xFFFFFFFF, 1), (4, 0xFFFFFFFF)]
    for offset, count in ranges:
        for command in ("READ_TENSOR", "WRITE_TENSOR"):
            assert refusal(device, command, [WEIGHTS, 0, offset, count]) == (
                "PT_ERR_RANGE",
                (offset, count, size, io),
            )
    for offset, count in [(0, 0), (size, 0), (size - 1, 1), (0, size)]:
        mailbox = device.command("READ_TENSOR", [WEIGHTS, 0, offset, count])
        assert mailbox["response"][0] == size
    session.goes_on()


def test_reading_more_than_the_window_holds(
    host_device: Callable[..., MailboxDevice], host_elf: Elf
) -> None:
    """Large tensors are read in pieces; a piece is at most the window."""
    network = support.shipped("tinycnn")
    needed = plan(network, METHODS["niti-static"], blob_size(network, host_elf)).total
    device = host_device(needed)
    device.load_model(network)
    device.set_method(METHODS["niti-static"])
    assert device.window("IO")[1] == 796
    assert refusal(device, "READ_TENSOR", [WEIGHTS, 4, 0, 797]) == (
        "PT_ERR_RANGE",
        (0, 797, 50176, 796),
    )
    assert (device.weights(4) == network.of(4).weights.reshape(-1)).all()


def test_tensors_that_are_not_there(session: Session) -> None:
    device = session.device
    layers = len(session.network.layers)
    absent = [(5, 0), (0xFFFFFFFF, 0), (WEIGHTS, 1), (WEIGHTS, layers), (WEIGHTS, INPUT_LAYER)]
    absent += [(ERROR, INPUT_LAYER), (ACTIVATION, layers), (ERROR, layers), (WEIGHTS, 0xFFFFFFFF)]
    absent += [(SCORES, 0), (BITMAP, 0)]
    for kind, layer in absent:
        assert refusal(device, "READ_TENSOR", [kind, layer, 0, 0]) == (
            "PT_ERR_TENSOR",
            (kind, layer, 0, 0),
        )
    session.goes_on()


def test_tensors_of_methods(mailbox: MailboxDevice, network: Network) -> None:
    absent = {
        "infer": [(ERROR, 3), (SCORES, 0), (BITMAP, 0)],
        "priot": [(BITMAP, 0), (SCORES, 1)],
        "priot-s": [(BITMAP, 1), (SCORES, 1)],
    }
    mailbox.load_model(network)
    for name, tensors in absent.items():
        mailbox.set_method(Method(name))  # type: ignore[arg-type]
        for kind, layer in tensors:
            assert refusal(mailbox, "READ_TENSOR", [kind, layer, 0, 0]) == (
                "PT_ERR_TENSOR",
                (kind, layer, 0, 0),
            )


def test_activations_and_errors_only_while_they_live(session: Session) -> None:
    """A buffer that another operation may have overwritten is not to be had."""
    device, network = session.device, session.network
    alive = [
        buffer
        for buffer in plan(network, METHODS["niti-static"], 0).buffers
        if buffer.kind in ("activation", "error")
    ]
    device.write_window("IO", session.pixels[0].tobytes() + bytes([3]))
    device.command("TRACE_BEGIN")
    operation = 0
    while device.trace_next()["kind"] != 4:
        for buffer in alive:
            kind = ACTIVATION if buffer.kind == "activation" else ERROR
            arguments = [kind, buffer.layer & 0xFF, 0, 0]
            if buffer.first <= operation <= buffer.last:
                device.command("READ_TENSOR", arguments)
            else:
                assert refusal(device, "READ_TENSOR", arguments)[0] == "PT_ERR_TENSOR"
        operation += 1
    session.reference.train(session.pixels[:1], np.array([3], np.uint8))
    session.goes_on()


@pytest.mark.parametrize("kind", [ACTIVATION, ERROR, BITMAP, 5, 0xFFFFFFFF])
def test_what_may_not_be_written(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, kind: int
) -> None:
    session = Session(mailbox, reference, network)
    session.begin(METHODS["priot-s-weight"])
    mailbox.write_window("IO", b"\xff" * 16)
    assert refusal(mailbox, "WRITE_TENSOR", [kind, 0, 0, 16]) == (
        "PT_ERR_ARGUMENT",
        (0, kind, WEIGHTS, SCORES),
    )
    session.goes_on()


@pytest.mark.parametrize("kind", ["WEIGHTS", "SCORES"])
def test_minus_128_may_not_be_written(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, kind: str
) -> None:
    session = Session(mailbox, reference, network)
    session.begin(METHODS["priot"])
    values = np.arange(-127, -107, dtype=np.int8)
    values[13] = -128
    with pytest.raises(CommandError) as caught:
        mailbox.write_tensor(kind, 2, 40, values)
    assert (caught.value.name, caught.value.detail) == ("PT_ERR_WEIGHT", (2, 13, 0, 0))
    session.goes_on()


@pytest.mark.parametrize("kind", ["WEIGHTS", "SCORES"])
def test_written_tensors_take_part(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, kind: str
) -> None:
    """What is written is what is read, only there, and the next step computes with it."""
    method = METHODS["priot"]
    mailbox.load_model(network)
    mailbox.set_method(method)
    before = mailbox.tensor(kind, 2)
    values = np.array([-127, 127, 0, -1, 90], np.int8)
    mailbox.write_tensor(kind, 2, 100, values)
    after = mailbox.tensor(kind, 2)
    assert (after[100:105] == values).all()
    assert np.flatnonzero(after != before).tolist() == [
        index for index in range(100, 105) if before[index] != after[index]
    ]
    if kind == "SCORES":
        return
    changed = network.copy()
    changed.of(2).weights.reshape(-1)[100:105] = values
    reference.load_model(changed)
    reference.set_method(method)
    pixels, labels = images(network, 3)
    Comparison(reference, mailbox, network).traced_step(0, pixels[0], int(labels[0]))


# Traces


def test_trace_of_a_row_that_the_window_cannot_hold(
    host_device: Callable[..., MailboxDevice], host_elf: Elf, reference: GoldenDevice
) -> None:
    shape = (4, 4, 1)
    first = conv2d(shape, 32, (1, 1), 1, (0, 0), True)
    layers = [first, linear(first.out_shape, 3, False)]
    network = support.calibrate(support.build("long-row", shape, layers))
    method = METHODS["niti-static"]
    device = host_device(plan(network, method, blob_size(network, host_elf)).total)
    comparison = begin(device, reference, network, method)
    pixels, labels = images(network, 4)
    assert device.window("IO")[1] == 28
    with pytest.raises(CommandError) as caught:
        list(device.trace(pixels[0], int(labels[0])))
    assert (caught.value.name, caught.value.detail) == ("PT_ERR_RANGE", (0, 512, 28, 0))
    comparison.state(0)
    # Without its updates the step goes on.
    while device.operation_name(device.trace_next(bare=True)) != "PT_DONE":
        pass
    reference.train(pixels[:1], labels[:1])
    comparison.state(0)
    comparison.batch(1, pixels, labels, train=True)


@pytest.mark.parametrize("method", ["niti-dynamic", "priot-s-random-normal"])
def test_bare_trace_trains_like_any_step(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, method: str
) -> None:
    """It leaves the io window alone, and needs one command for each operation."""
    session = Session(mailbox, reference, network)
    session.begin(METHODS[method])
    batch = session.pixels[0].tobytes() + session.labels[:1].tobytes()
    mailbox.write_window("IO", batch)
    mailbox.command("TRACE_BEGIN")
    done = []
    while not done or done[-1] != "PT_DONE":
        event = mailbox.trace_next(bare=True)
        assert (event["updates"], event["unfinished"]) == (0, 0)
        done.append(mailbox.operation_name(event))
    assert done == [
        *["PT_FORWARD"] * 5,
        "PT_LOSS",
        *("PT_ERROR", "PT_UPDATE", "PT_ERROR", "PT_UPDATE", "PT_ERROR", "PT_UPDATE"),
        *("PT_ERROR", "PT_UPDATE"),
        "PT_DONE",
    ]
    assert mailbox.read_window("IO")[: len(batch)] == batch
    reference.train(session.pixels[:1], session.labels[:1])
    session.goes_on()


@pytest.mark.parametrize("command", ["TRAIN", "EVALUATE"])
def test_trace_next_without_a_begun_step_does_nothing(session: Session, command: str) -> None:
    """A batch leaves no step behind that TRACE_NEXT could go on with."""
    device = session.device
    for one in (session.reference, device):
        getattr(one, command.lower())(session.pixels, session.labels)
    for _ in range(3 * len(session.network.layers)):
        device.command("TRACE_NEXT")
    session.goes_on()


def test_trace_next_after_the_end_does_nothing(session: Session) -> None:
    device = session.device
    image, label = session.pixels[0], int(session.labels[0])
    assert list(device.trace(image, label))
    list(session.reference.trace(image, label))
    for _ in range(3):
        assert device.trace_next().tolist() == (4, 0, 0, 0)
    session.goes_on()


def test_trace_next_before_any_step_is_done(session: Session) -> None:
    assert session.device.trace_next().tolist() == (4, 0, 0, 0)
    session.goes_on()


def test_an_abandoned_trace_is_forgotten(session: Session) -> None:
    device = session.device
    device.write_window("IO", session.pixels[1].tobytes() + bytes([2]))
    device.command("TRACE_BEGIN")
    for _ in range(len(session.network.layers)):
        assert device.trace_next()["kind"] == 0
    session.reference.evaluate(session.pixels[1:2], session.labels[1:2])  # the forward counts
    session.goes_on()


# Checkpoints


def learn(device: MailboxDevice, network: Network, method: Method) -> None:
    device.load_model(network)
    device.set_method(method)


@pytest.mark.parametrize("name", METHODS)
def test_checkpoint_round_trip(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, name: str
) -> None:
    """Training that was interrupted ends where training that was not does."""
    method = METHODS[name]
    pixels, labels = images(network, 12)
    comparison = begin(mailbox, reference, network, method)
    comparison.batch(0, pixels[:6], labels[:6], train=True)
    saved = mailbox.checkpoint()
    comparison.batch(1, pixels[6:9], labels[6:9], train=True)
    learn(mailbox, network, replace(method, mu=-3))
    mailbox.restore(saved)
    mailbox.set_mu(method.mu)
    assert mailbox.checkpoint() == saved
    reference.load_model(network)
    reference.set_method(method)
    reference.train(pixels[:6], labels[:6])
    reference.clear_saturation()
    comparison.state(2)
    comparison.batch(3, pixels[6:], labels[6:], train=True)
    comparison.traced_step(4, pixels[0], int(labels[0]))


def test_checkpoint_layout(mailbox: MailboxDevice, network: Network) -> None:
    method = replace(METHODS["priot-s-weight-normal"], easy=20)
    learn(mailbox, network, method)
    saved = mailbox.checkpoint()
    layout = mailbox.elf.dtype("pt_checkpoint")
    head = np.frombuffer(saved, layout, 1)[0]
    scores = b"".join(mailbox.scores(index).tobytes() for index in (0, 2, 3, 4))
    blob = encode(network, mailbox.elf)
    fields = np.array([4, 0, method.theta, method.permille, 1, 1, method.seed, 20], np.int64)
    assert head["magic"] == mailbox.elf.enum("pt_checkpoint_format")["PT_CHECKPOINT_MAGIC"]
    frozen = b"".join(mailbox.weights(index).tobytes() for index in (0, 2, 3, 4))
    assert head["model_crc"] == zlib.crc32(frozen, int.from_bytes(blob[12:16], "little"))
    assert head["method"] == zlib.crc32((fields & 0xFFFFFFFF).astype(np.uint32).tobytes())
    assert head["state_crc"] == zlib.crc32(scores)
    assert head["state_size"] == len(scores)
    assert saved[layout.itemsize :] == scores


@pytest.mark.parametrize("field", range(len(CHECKPOINT_FIELDS)), ids=CHECKPOINT_FIELDS)
def test_damaged_checkpoint_head(session: Session, field: int) -> None:
    saved = bytearray(session.device.checkpoint())
    session.goes_on()
    saved[4 * field] ^= 0x10
    session.device.write_window("IO", bytes(saved))
    assert refusal(session.device, "RESTORE", [len(saved)]) == (
        "PT_ERR_CHECKPOINT",
        (field, 0, 0, 0),
    )
    session.goes_on()


def test_damaged_checkpoint_state(session: Session) -> None:
    saved = session.device.checkpoint()
    session.goes_on()
    for at in (20, 999, len(saved) - 1):
        damaged = bytearray(saved)
        damaged[at] ^= 1
        session.device.write_window("IO", bytes(damaged))
        assert refusal(session.device, "RESTORE", [len(saved)]) == (
            "PT_ERR_CHECKPOINT",
            (3, 0, 0, 0),
        )
    session.goes_on()


def test_checkpoint_with_minus_128(session: Session) -> None:
    """The check that no sealed damage may pass: kernels rely on it."""
    saved = bytearray(session.device.checkpoint())
    saved[20 + 77] = 0x80
    saved[12:16] = zlib.crc32(bytes(saved[20:])).to_bytes(4, "little")
    session.device.write_window("IO", bytes(saved))
    assert refusal(session.device, "RESTORE", [len(saved)]) == ("PT_ERR_CHECKPOINT", (5, 0, 0, 0))
    session.goes_on()


def test_checkpoint_of_another_length(session: Session) -> None:
    saved = session.device.checkpoint()
    session.device.write_window("IO", saved)
    io = session.io_size
    for size in (0, 19, 20, len(saved) - 1, len(saved) + 1, 0xFFFFFFFF):
        assert refusal(session.device, "RESTORE", [size]) == (
            "PT_ERR_RANGE",
            (0, size, len(saved), io),
        )
    session.goes_on()


def test_checkpoint_of_another_model(session: Session) -> None:
    other = session.network.copy()
    other.of(4).weights[0, 0] ^= 1
    learn(session.device, other, METHODS["niti-static"])
    foreign = session.device.checkpoint()
    session.begin(METHODS["niti-static"])
    session.device.write_window("IO", foreign)
    assert refusal(session.device, "RESTORE", [len(foreign)]) == (
        "PT_ERR_CHECKPOINT",
        (1, 0, 0, 0),
    )
    session.goes_on()


@pytest.mark.parametrize(
    "change",
    [{"theta": -63}, {"seed": 6}, {"start": "zero"}, {"select": "random"}, {"permille": 101}],
    ids=lambda change: next(iter(change)),
)
def test_checkpoint_of_another_method(session: Session, change: dict[str, object]) -> None:
    method = Method("priot", theta=-64, start="normal", seed=5)
    learn(session.device, session.network, replace(method, **change))  # type: ignore[arg-type]
    foreign = session.device.checkpoint()
    session.begin(method)
    session.device.write_window("IO", foreign)
    assert refusal(session.device, "RESTORE", [len(foreign)]) == (
        "PT_ERR_CHECKPOINT",
        (2, 0, 0, 0),
    )
    session.goes_on()


def test_checkpoint_of_dynamic_niti_is_not_one_of_static_niti(session: Session) -> None:
    learn(session.device, session.network, METHODS["niti-dynamic"])
    foreign = session.device.checkpoint()
    session.begin(METHODS["niti-static"])
    session.device.write_window("IO", foreign)
    assert refusal(session.device, "RESTORE", [len(foreign)])[1] == (2, 0, 0, 0)
    session.goes_on()


@pytest.mark.parametrize("name", ["priot", "priot-s-weight"])
def test_checkpoint_of_scores_on_other_weights(
    mailbox: MailboxDevice, network: Network, name: str
) -> None:
    """Scores mean nothing without the weights they were trained on, which NITI has changed."""
    pixels, labels = images(network, 6)
    learn(mailbox, network, METHODS["niti-static"])
    mailbox.train(pixels, labels)
    mailbox.set_method(METHODS[name])
    mailbox.train(pixels, labels)
    saved = mailbox.checkpoint()
    learn(mailbox, network, METHODS[name])
    mailbox.write_window("IO", saved)
    assert refusal(mailbox, "RESTORE", [len(saved)])[0] == "PT_ERR_CHECKPOINT"


def test_checkpoint_that_does_not_fit_the_window(
    host_device: Callable[..., MailboxDevice], host_elf: Elf, reference: GoldenDevice
) -> None:
    network = support.shipped("tinycnn")
    method = METHODS["niti-static"]
    device = host_device(plan(network, method, blob_size(network, host_elf)).total)
    comparison = begin(device, reference, network, method)
    assert refusal(device, "CHECKPOINT") == ("PT_ERR_RANGE", (0, 20 + 52040, 796, 0))
    assert refusal(device, "RESTORE", [20 + 52040]) == (
        "PT_ERR_RANGE",
        (0, 20 + 52040, 20 + 52040, 796),
    )
    pixels, labels = images(network, 4)
    comparison.traced_step(0, pixels[0], int(labels[0]))
