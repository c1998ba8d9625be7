"""Selections, solvers and heads: what the device refuses by name, and that it serves on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import support
from picotrain.device.blob import METHOD_KINDS
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, UserError
from picotrain_golden import Method, Network, Selection
from session import Session
from support import METHODS, images, refusal
from trainable_affine import Drawing, trainable_network

MODEL, READY = 1, 2
FISHER, PROTOTYPE = Method("fisher"), Method("prototype")
FULL = 0xFFFFFFFF
SELECTING = ("niti-dynamic", "niti-static", "priot")
GREEDY, TRUE_COST = 0, 1


def of_layers(drawing: Drawing) -> Network:
    """The network as drawn so far, with drawn numbers."""
    numbers = [drawing.numbers(index) for index in range(len(drawing.layers))]
    affine, parameters = zip(*numbers, strict=True)
    return Network("drawn", drawing.input, tuple(drawing.layers), parameters, affine, (40000, -5))


@pytest.fixture
def affine() -> Network:
    """A residual block with a depthwise layer, then a linear layer of 4 outputs; 21 rows."""
    drawing = Drawing(0)
    drawing.input = (5, 4, 2)
    one, three = ((1, 1), (1, 1), (0, 0)), ((3, 3), (1, 1), (1, 1))
    start = drawing.put("conv2d", (-1,), (5, 4, 6), *three)
    inner = drawing.put("depthwise", (start,), (5, 4, 6), *three)
    inner = drawing.put("conv2d", (inner,), (5, 4, 6), *one)
    drawing.mean(drawing.add(start, inner))
    drawing.linear(drawing.here, 4)
    return of_layers(drawing)


WEIGHTED = (0, 1, 2, 5)
ROWS = (6, 6, 6, 4)


def bits(*rows: int) -> bytes:
    """The rows of each layer with weights as the bits of a number."""
    return b"".join(one.to_bytes(4, "little") for one in rows)


def chosen(*rows: int) -> Selection:
    """The same as golden has it; layers 3 and 4 have no weights."""
    layers: list[np.ndarray | None] = [None] * 6
    for index, count, number in zip(WEIGHTED, ROWS, rows, strict=True):
        layers[index] = np.array([number >> row & 1 for row in range(count)], bool)
    return Selection(tuple(layers))


def session_of(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, method: Method
) -> Session:
    session = Session(mailbox, reference, network)
    session.begin(method)
    return session


def under(session: Session, selection: Selection | None, method: Method) -> None:
    for one in (session.reference, session.device):
        one.set_selection(selection)
        one.set_method(method)


# Bits


WRONG_BITS = {
    "short": (bits(1, 0, 0), ("PT_ERR_SELECTION_SIZE", (12, 16, 0, 0))),
    "long": (bits(1, 0, 0, 0, 0), ("PT_ERR_SELECTION_SIZE", (20, 16, 0, 0))),
    "a byte": (b"\1", ("PT_ERR_SELECTION_SIZE", (1, 16, 0, 0))),
    "none": (bits(0, 0, 0, 0), ("PT_ERR_SELECTION_EMPTY", (0, 0, 0, 0))),
    "row 6 of 6": (bits(63, 64, 0, 0), ("PT_ERR_SELECTION_ROW", (1, 6, 6, 0))),
    "row 31 of 4": (bits(63, 0, 0, 1 << 31), ("PT_ERR_SELECTION_ROW", (5, 31, 4, 0))),
}


@pytest.mark.parametrize("name", WRONG_BITS)
def test_wrong_bits(
    mailbox: MailboxDevice, reference: GoldenDevice, affine: Network, name: str
) -> None:
    """Neither the selection nor the method that it is in force under changes."""
    session = session_of(mailbox, reference, affine, METHODS["priot"])
    under(session, chosen(1, 2, 0, 9), METHODS["niti-static"])
    given, expected = WRONG_BITS[name]
    mailbox.write_window("IO", given)
    assert refusal(mailbox, "SET_SELECTION", [len(given)]) == expected
    assert mailbox.selection() == chosen(1, 2, 0, 9)
    session.goes_on()


def test_bits_beyond_the_window(
    mailbox: MailboxDevice, reference: GoldenDevice, affine: Network
) -> None:
    session = session_of(mailbox, reference, affine, METHODS["niti-static"])
    room = session.io_size
    for size in (room + 1, FULL):
        assert refusal(mailbox, "SET_SELECTION", [size]) == ("PT_ERR_RANGE", (0, size, room, 0))
    session.goes_on()


def test_random_bits(mailbox: MailboxDevice, affine: Network) -> None:
    """Taken exactly where golden takes them, and read back as they were."""
    random = np.random.default_rng(16)
    mailbox.load_model(affine)
    mailbox.set_method(support.INFER)
    taken = 0
    for _ in range(200):
        data = random.integers(0, 256, 16, dtype=np.uint8)
        data &= np.uint8(random.choice([0, 255], p=[0.1, 0.9]))
        if random.random() < 0.95:
            data[[i for i in range(16) if i % 4]] = 0
        data[0::4] &= np.uint8(random.choice([15, 63, 255], p=[0.5, 0.4, 0.1]))
        mailbox.write_window("IO", data.tobytes())
        rows = data.view("<u4").tolist()
        good = any(rows) and all(row >> count == 0 for row, count in zip(rows, ROWS, strict=True))
        if not good:
            name, _ = refusal(mailbox, "SET_SELECTION", [16])
            assert name in ("PT_ERR_SELECTION_ROW", "PT_ERR_SELECTION_EMPTY")
            continue
        taken += 1
        mailbox.command("SET_SELECTION", [16])
        held = b"".join(mailbox.tensor("SELECTION", index).tobytes() for index in WEIGHTED)
        assert held == data.tobytes()
        assert Selection.unpack(affine, held) == chosen(*rows)
    assert 20 < taken < 180


@pytest.mark.parametrize("name", METHOD_KINDS)
def test_a_selection_ends_the_methods_that_it_changes(
    mailbox: MailboxDevice, affine: Network, name: str
) -> None:
    mailbox.load_model(affine)
    mailbox.set_method(Method(name))  # type: ignore[arg-type]
    mailbox.write_window("IO", bits(1, 0, 0, 0))
    mailbox.command("SET_SELECTION", [16])
    if name in ("infer", "fisher", "prototype"):
        mailbox.evaluate(*images(affine, 1))
    else:
        assert refusal(mailbox, "TRAIN", [1]) == ("PT_ERR_STATE", (MODEL, READY, 0, 0))


def test_priot_s_takes_none(
    mailbox: MailboxDevice, reference: GoldenDevice, affine: Network
) -> None:
    session = session_of(mailbox, reference, affine, METHODS["niti-static"])
    mailbox.set_selection(chosen(1, 0, 0, 0))
    arguments = [4, 3, 0, 100, 1, 0, 0, 0]
    refused = ("PT_ERR_SELECTION_METHOD", (4, 0, 0, 0))
    assert refusal(mailbox, "SET_METHOD", arguments) == refused
    under(session, None, METHODS["priot-s-weight"])
    session.goes_on()


def test_a_model_begins_with_all_rows(mailbox: MailboxDevice, affine: Network) -> None:
    mailbox.load_model(affine)
    mailbox.set_selection(chosen(0, 0, 1, 0))
    for again in (lambda: mailbox.load_model(affine), lambda: mailbox.set_selection(None)):
        again()
        mailbox.set_method(METHODS["niti-static"])
        kind = mailbox.elf.enum("pt_tensor_kind")["PT_TENSOR_SELECTION"]
        refused = ("PT_ERR_TENSOR", (kind, 0, 0, 0))
        assert refusal(mailbox, "READ_TENSOR", [int(kind), 0, 0, 0]) == refused
        assert mailbox.selection() is None
        mailbox.set_selection(chosen(0, 0, 1, 0))


def test_the_power_of_two_form_gathers_nothing(session: Session) -> None:
    refused = ("PT_ERR_SPARSE_FORM", (0, 1, 0, 0))
    for kind in (5, 6):
        arguments = [kind, 0, 0, 100, 1, 0, 0, 0]
        assert refusal(session.device, "SET_METHOD", arguments) == refused
    session.begin(METHODS["niti-static"])
    session.goes_on()


def test_more_rows_than_bits(host_device: Callable[..., MailboxDevice]) -> None:
    mailbox = host_device()
    drawing = Drawing(1)
    drawing.input = (1, 1, 4096)
    for _ in range(2):
        drawing.put("depthwise", (drawing.here,), (1, 1, 4096), (1, 1), (1, 1), (0, 0))
    drawing.linear(drawing.here, 2)
    mailbox.load_model(of_layers(drawing))
    mailbox.set_method(FISHER)
    refused = ("PT_ERR_ROWS", (1028, 1024, 0, 0))
    mailbox.write_window("IO", bits(*[1] * 257))
    assert refusal(mailbox, "SET_SELECTION", [1028]) == refused
    assert refusal(mailbox, "SELECT", [GREEDY, 1, FULL, FULL, 2]) == refused
    mailbox.evaluate(*images(of_layers(drawing), 1))


# Solvers


def gathered(session: Session) -> None:
    for one in (session.reference, session.device):
        one.set_method(FISHER)
        one.train(session.pixels, session.labels)
    assert any(rows.any() for rows in session.device.fisher() if rows is not None)


WRONG_JOBS = {
    "solver": ([2, 500, 4000, 4000, 2], (0, 2, 0, 1)),
    "permille-0": ([0, 0, 4000, 4000, 2], (1, 0, 1, 1000)),
    "permille-1001": ([0, 1001, 4000, 4000, 2], (1, 1001, 1, 1000)),
    "no bytes": ([0, 500, 0, 4000, 2], (2, 0, 1, FULL)),
    "no macs": ([1, 500, 4000, 0, 2], (3, 0, 1, FULL)),
    "infer": ([1, 500, 4000, 4000, 0], (4, 0, 1, 3)),
    "priot-s": ([1, 500, 4000, 4000, 4], (4, 4, 1, 3)),
    "fisher": ([1, 500, 4000, 4000, 5], (4, 5, 1, 3)),
}


@pytest.mark.parametrize("name", WRONG_JOBS)
def test_wrong_jobs(
    mailbox: MailboxDevice, reference: GoldenDevice, affine: Network, name: str
) -> None:
    session = session_of(mailbox, reference, affine, FISHER)
    gathered(session)
    mailbox.set_selection(chosen(1, 0, 0, 0))
    job, detail = WRONG_JOBS[name]
    assert refusal(mailbox, "SELECT", job) == ("PT_ERR_ARGUMENT", detail)
    assert mailbox.selection() == chosen(1, 0, 0, 0)
    reference.set_selection(chosen(1, 0, 0, 0))
    session.goes_on()


@pytest.mark.parametrize("name", ["infer", "prototype", *METHODS])
def test_only_after_fisher(mailbox: MailboxDevice, affine: Network, name: str) -> None:
    mailbox.load_model(affine)
    method = METHODS.get(name) or Method(name)  # type: ignore[arg-type]
    mailbox.set_method(method)
    kind = int(mailbox.elf.enum("pt_method_kind")[METHOD_KINDS[method.name]])
    refused = ("PT_ERR_METHOD_NEEDED", (kind, 5, 0, 0))
    assert refusal(mailbox, "SELECT", [0, 500, FULL, FULL, 2]) == refused


@pytest.mark.parametrize("solver", ["greedy", "true-cost"])
def test_budgets_that_nothing_fits(
    mailbox: MailboxDevice, reference: GoldenDevice, affine: Network, solver: str
) -> None:
    """The least that one layer takes is told, and the selection stays."""
    session = session_of(mailbox, reference, affine, FISHER)
    gathered(session)
    mailbox.set_selection(chosen(1, 0, 0, 0))
    number = ["greedy", "true-cost"].index(solver)
    name, detail = refusal(mailbox, "SELECT", [number, 1, 1, 1, 2])
    assert (name, detail[2:]) == ("PT_ERR_BUDGET", (1, 1))
    least_bytes, least_macs = detail[:2]
    assert least_macs == 6  # a row of the last layer
    assert mailbox.selection() == chosen(1, 0, 0, 0)
    # That layer fits its own numbers and no less.
    for bytes_, macs in ((least_bytes - 1, FULL), (FULL, least_macs - 1)):
        assert refusal(mailbox, "SELECT", [number, 1, bytes_, macs, 2])[0] == "PT_ERR_BUDGET"
    found = mailbox.select(solver, 1, least_bytes, FULL, "niti-static")  # type: ignore[arg-type]
    assert found.bytes == least_bytes


def test_no_information_is_no_selection(mailbox: MailboxDevice, affine: Network) -> None:
    mailbox.load_model(affine)
    mailbox.set_method(FISHER)
    for solver in (GREEDY, TRUE_COST):
        assert refusal(mailbox, "SELECT", [solver, 500, FULL, FULL, 2])[0] == "PT_ERR_BUDGET"


def test_a_step_in_work_is_over(
    mailbox: MailboxDevice, reference: GoldenDevice, affine: Network
) -> None:
    session = session_of(mailbox, reference, affine, FISHER)
    gathered(session)
    mailbox.write_window("IO", session.pixels[0].tobytes() + b"\0")
    mailbox.command("TRACE_BEGIN")
    mailbox.trace_next()
    mailbox.select("true-cost", 500, FULL, FULL, "priot")
    assert mailbox.operation_name(mailbox.trace_next()) == "PT_DONE"
    reference.select("true-cost", 500, FULL, FULL, "priot")
    session.goes_on()


def test_too_little_room_for_a_solver(
    host_device: Callable[..., MailboxDevice], affine: Network
) -> None:
    device = host_device(8192)
    device.load_model(affine)
    device.set_method(FISHER)
    name, detail = refusal(device, "SELECT", [0, 500, FULL, FULL, 2])
    assert name == "PT_ERR_MEMORY"
    assert detail[0] > detail[1] == 8192 and detail[0] > detail[2] > 20_000
    with pytest.raises(support.CommandError, match=r"selecting rows takes 2\d,\d{3} bytes beside"):
        device.select("greedy", 500, FULL, FULL, "priot")
    device.evaluate(*images(affine, 1))
    # One byte less than it takes is too little, and so many are enough.
    for room in (detail[0] - 1, detail[0]):
        device = host_device(room)
        device.load_model(affine)
        device.set_method(FISHER)
        device.train(*images(affine, 8))
        if room < detail[0]:
            answer = refusal(device, "SELECT", [0, 500, FULL, FULL, 2])
            assert answer == ("PT_ERR_MEMORY", (detail[0], room, *detail[2:]))
        else:
            assert device.select("greedy", 500, FULL, FULL, "priot").bytes > 0


# Heads


def test_a_class_without_an_image(
    mailbox: MailboxDevice, reference: GoldenDevice, affine: Network
) -> None:
    session = session_of(mailbox, reference, affine, PROTOTYPE)
    pixels = session.pixels[:3]
    for one in (reference, mailbox):
        one.train(pixels, np.array([0, 1, 3], np.uint8))
    assert refusal(mailbox, "MAKE_HEAD") == ("PT_ERR_CLASS_EMPTY", (2, 4, 0, 0))
    session.goes_on()  # and what was counted is still there:
    for one in (reference, mailbox):
        one.train(pixels[:1], np.array([2], np.uint8))
        one.make_head()
    for one in (reference, mailbox):
        one.set_method(support.INFER)
    session.evaluate()


@pytest.mark.parametrize("name", ["infer", "fisher", *METHODS])
def test_only_after_prototype(mailbox: MailboxDevice, affine: Network, name: str) -> None:
    mailbox.load_model(affine)
    method = METHODS.get(name) or Method(name)  # type: ignore[arg-type]
    mailbox.set_method(method)
    kind = int(mailbox.elf.enum("pt_method_kind")[METHOD_KINDS[method.name]])
    assert refusal(mailbox, "MAKE_HEAD") == ("PT_ERR_METHOD_NEEDED", (kind, 6, 0, 0))


def test_heads_that_prototypes_cannot_make(mailbox: MailboxDevice) -> None:
    drawing = Drawing(2)
    drawing.input = (2, 2, 2)
    drawing.put("conv2d", (-1,), (1, 1, 3), (2, 2), (1, 1), (0, 0))
    mailbox.load_model(of_layers(drawing))
    arguments = [6, 0, 0, 100, 1, 0, 0, 0]
    assert refusal(mailbox, "SET_METHOD", arguments) == ("PT_ERR_PROTOTYPE_HEAD", (0, 0, 0, 0))
    for height, width in ((16, 256), (17, 241)):
        drawing = Drawing(3)
        drawing.input = (height, width, 1)
        drawing.linear(-1, 2)
        mailbox.load_model(of_layers(drawing))
        if height * width <= 4096:
            mailbox.command("SET_METHOD", arguments)
        else:
            refused = ("PT_ERR_PROTOTYPE_HEAD", (0, 4097, 4096, 0))
            assert refusal(mailbox, "SET_METHOD", arguments) == refused


# Weights and checkpoints


@pytest.mark.parametrize("frozen", [False, True])
def test_weights_that_do_not_learn_are_not_written(
    mailbox: MailboxDevice, affine: Network, frozen: bool
) -> None:
    mailbox.load_model(affine, frozen)
    mailbox.set_selection(chosen(0, 1, 0, 0))
    mailbox.set_method(METHODS["niti-static"])
    value = np.full(1, 3, np.int8)
    mailbox.write_tensor("WEIGHTS", 1, 0, value)
    assert mailbox.weights(1)[0] == 3
    mailbox.write_window("IO", value.tobytes())
    for layer in (0, 2, 5):
        assert refusal(mailbox, "WRITE_TENSOR", [2, layer, 0, 1]) == ("PT_ERR_AFFINE", (2, 0, 0, 0))
    mailbox.set_method(support.INFER)
    # What lies in flash was never written, and what is in the arena stays as trained.
    assert mailbox.weights(1)[0] == (affine.of(1).weights.reshape(-1)[0] if frozen else 3)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", SELECTING)
def test_checkpoints_of_a_selection(
    mailbox: MailboxDevice, affine: Network, name: str, frozen: bool
) -> None:
    """They hold the layers that learn, and go back under the same selection alone."""
    method = replace(METHODS[name], mu=4)
    pixels, labels = images(affine, 6)
    mailbox.load_model(affine, frozen)
    mailbox.set_selection(chosen(0, 5, 0, 3))
    mailbox.set_method(method)
    mailbox.train(pixels, labels)
    saved = mailbox.checkpoint()
    state = [mailbox.scores(i) if method.scored else mailbox.weights(i) for i in (1, 5)]
    assert len(saved) == 20 + sum(one.size for one in state)
    assert saved[20:] == b"".join(one.tobytes() for one in state)
    mailbox.train(pixels, labels)
    mailbox.restore(saved)
    assert mailbox.checkpoint() == saved
    if frozen or method.scored:
        # With another row of the same layers, so that the sizes agree.
        mailbox.set_selection(chosen(0, 6, 0, 3))
        mailbox.set_method(method)
        mailbox.write_window("IO", saved)
        assert refusal(mailbox, "RESTORE", [len(saved)]) == ("PT_ERR_CHECKPOINT", (2, 0, 0, 0))


@pytest.mark.parametrize("method", [FISHER, PROTOTYPE], ids=lambda method: method.name)
def test_what_learns_nothing_has_nothing_to_keep(
    mailbox: MailboxDevice, affine: Network, method: Method
) -> None:
    mailbox.load_model(affine)
    mailbox.set_method(method)
    mailbox.train(*images(affine, 4))
    saved = mailbox.checkpoint()
    assert len(saved) == 20
    mailbox.restore(saved)


def test_a_checkpoint_knows_the_head(mailbox: MailboxDevice, affine: Network) -> None:
    pixels, _ = images(affine, 4)
    saved = []
    for head in (False, True):
        mailbox.load_model(affine)
        if head:
            mailbox.set_method(PROTOTYPE)
            mailbox.train(pixels, np.arange(4, dtype=np.uint8))
            mailbox.make_head()
        mailbox.set_method(METHODS["priot"])
        saved.append(mailbox.checkpoint())
    mailbox.write_window("IO", saved[0])
    refused = ("PT_ERR_CHECKPOINT", (1, 0, 0, 0))
    assert refusal(mailbox, "RESTORE", [len(saved[0])]) == refused


# Fuzz


@pytest.mark.parametrize("seed", range(6))
def test_random_commands(mailbox: MailboxDevice, seed: int) -> None:
    """Whatever is asked in whatever order, the device answers, and serves a new model as before."""
    random = np.random.default_rng([seed, 17])
    network = trainable_network(40 + seed)
    names = ("SET_SELECTION", "SELECT", "MAKE_HEAD", "SET_METHOD", "TRAIN", "TRACE_NEXT")
    more = ("TRACE_BEGIN", "READ_TENSOR", "WRITE_TENSOR", "CHECKPOINT", "RESTORE", "EVALUATE")
    edges = (0, 1, 2, 3, 4, 5, 6, 8, 16, 100, 500, 1000, 5000, 1 << 16, 1 << 31, FULL)
    outcomes = set()
    mailbox.load_model(network, frozen=bool(seed % 2))
    mailbox.set_method(FISHER)
    for _ in range(300):
        if mailbox.window("IO")[1]:
            data = random.integers(0, 256, 64, dtype=np.uint8) * (random.random() < 0.7)
            mailbox.write_window("IO", data.astype(np.uint8).tobytes())
        name = str(random.choice([*names, *names, *more]))
        arguments = [int(random.choice(edges)) for _ in range(8)]
        if name == "SET_METHOD":
            arguments = [int(random.integers(0, 7)), 2, 0, 100, 1, 0, 0, 0]
        if name in ("TRAIN", "EVALUATE"):
            arguments[0] = 1
        if name == "SET_SELECTION":
            arguments[0] = int(random.choice([0, 4, 8, 12, 16, 20]))
        try:
            mailbox.command(name, arguments)
            outcomes.add(name)
        except support.CommandError as refused:
            outcomes.add(f"{name} {refused.name}")
    assert len(outcomes) > 20
    pixels, labels = images(network, 3)
    mailbox.load_model(network)
    mailbox.set_method(METHODS["priot"])
    expected = mailbox.train(pixels, labels).predictions
    mailbox.load_model(network)
    mailbox.set_method(METHODS["priot"])
    assert (mailbox.train(pixels, labels).predictions == expected).all()


def test_a_method_that_is_over_is_none(
    mailbox: MailboxDevice, reference: GoldenDevice, affine: Network, network: Network
) -> None:
    """To the harness too: ended by a selection, or by the refusal of another."""
    for one in (mailbox, reference):
        one.load_model(affine)
        one.set_method(METHODS["priot"])
        assert one.scores(0).size
        one.set_selection(chosen(1, 0, 0, 0))
        assert not one.scores(0).size and not one.scored_edges(0).size
        with pytest.raises(UserError, match="no method is set; set method fisher"):
            one.fisher()
        one.load_model(network, frozen=True)
        one.set_method(METHODS["priot"])
        with pytest.raises(CommandError, match="PT_ERR_FROZEN"):
            one.set_method(METHODS["niti-static"])
        with pytest.raises(UserError, match="no method is set; set method fisher"):
            one.fisher()
