"""PT_CMD_BENCH: what is no job is refused by name, and the device serves on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import affine_kernel_cases
import support
from kernel_cases import KERNELS, case
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError
from picotrain.profile.bench import Bench, Job, Layout
from picotrain_golden import conv2d, layers, linear, maxpool2
from support import INFER, refusal

EMPTY, MODEL, READY = 0, 1, 2

LAYER = conv2d((5, 6, 3), 4, (3, 2), 1, (1, 1), False)
SPARSE = np.random.default_rng(1).random((LAYER.rows, LAYER.row_length)) < 0.3
JOB = Job(
    "CONV2D_FORWARD_S8",
    {
        "INPUT": np.arange(90, dtype=np.int8).reshape(5, 6, 3),
        "WEIGHTS": np.arange(-36, 36, dtype=np.int8),
        "BITMAP": np.packbits(SPARSE, axis=1, bitorder="little"),
        "SCORES": np.full(int(SPARSE.sum()), 5, np.int8),
    },
    {"OUTPUT": (LAYER.out_shape, np.int8)},
    LAYER,
    "SPARSE",
    shift=7,
)
UPDATE = Job(
    "UPDATE",
    {"ACCUMULATOR": np.arange(9, dtype=np.int32), "WEIGHTS": np.arange(9, dtype=np.int8)},
    {"STEPS": ((9,), np.int8)},
    count=9,
)


class Raw:
    """A good job in the device's window, to spoil word by word."""

    def __init__(self, device: MailboxDevice, job: Job) -> None:
        self.device = device
        self.bench = Bench(device)
        self.good, self.places = self.bench._prepare(job, Layout(guard=8))
        self.type = device.elf.dtype("pt_bench_job")
        names = device.elf.enum("pt_bench_operand_name")
        self.operand = {name: int(names[f"PT_BENCH_{name}"]) for name in self.places}
        self.room = device.window("MODEL")[1]

    def record(self) -> Any:
        return np.frombuffer(self.good, self.type, 1).copy()[0]

    def refused(self, record: Any) -> tuple[str, tuple[int, ...]]:
        self.device.write_window("MODEL", record.tobytes() + self.good[self.type.itemsize :])
        answer = refusal(self.device, "BENCH", [1])
        assert refusal(self.device, "BENCH", [0]) == answer
        return answer

    def goes_on(self) -> None:
        self.device.write_window("MODEL", self.good)
        self.device.command("BENCH", [0])


@pytest.fixture
def raw(mailbox: MailboxDevice) -> Iterator[Raw]:
    raw = Raw(mailbox, JOB)
    yield raw
    raw.goes_on()


def test_only_without_a_model(mailbox: MailboxDevice) -> None:
    mailbox.load_model(support.shipped("oddnet"))
    assert refusal(mailbox, "BENCH") == ("PT_ERR_STATE", (MODEL, EMPTY, 0, 0))
    mailbox.set_method(INFER)
    assert refusal(mailbox, "BENCH") == ("PT_ERR_STATE", (READY, EMPTY, 0, 0))
    Bench(mailbox).run(JOB)


def test_a_dry_run_changes_nothing(raw: Raw) -> None:
    raw.device.write_window("MODEL", raw.good)
    answer = raw.device.command("BENCH", [1])["response"][0]
    assert raw.device.read_window("MODEL", len(raw.good)) == raw.good and answer == 0
    raw.device.command("BENCH", [0])
    offset, size = raw.places["OUTPUT"]
    outputs = raw.device.read_window("MODEL", len(raw.good))[offset : offset + size]
    weights = JOB.inputs["WEIGHTS"].reshape(LAYER.rows, -1)  # no score is below the threshold
    total = layers.forward(LAYER, weights, JOB.inputs["INPUT"][np.newaxis])[0]
    expected = np.clip((total + 64) >> 7, -127, 127).astype(np.int8)
    assert outputs == expected.tobytes() and expected.any()


@pytest.mark.parametrize(
    ("name", "word", "values", "least", "most"),
    [
        ("kernel", 0, (27, 0xFFFFFFFF), 0, 26),
        ("masks", 1, (3, 0x80000000), 0, 2),
        ("count", 2, ((1 << 22) + 1, 0xFFFFFFFF), 0, 1 << 22),
        ("shift", 3, (25, 0xFFFFFFFF), 0, 24),
        ("gradient_shift", 4, (25, 0xFFFFFFFF), 0, 24),
        ("relu", 5, (2, 0xFFFFFFFF), 0, 1),
        ("threshold", 6, (-128, 128, -(1 << 31)), -127 & 0xFFFFFFFF, 127),
    ],
)
def test_numbers(
    raw: Raw, name: str, word: int, values: tuple[int, ...], least: int, most: int
) -> None:
    for value in values:
        record = raw.record()
        record[name] = value
        expected = (word, value & 0xFFFFFFFF, least, most)
        assert raw.refused(record) == ("PT_ERR_ARGUMENT", expected)


def test_numbers_that_depend_on_the_kernel(mailbox: MailboxDevice) -> None:
    raw = Raw(mailbox, UPDATE)
    for name, word, value, least, most in (("shift", 3, 32, 0, 31), ("count", 2, 0, 1, 1 << 22)):
        record = raw.record()
        record[name] = value
        assert raw.refused(record) == ("PT_ERR_ARGUMENT", (word, value, least, most))
    record = raw.record()
    record["kernel"] = mailbox.elf.enum("pt_bench_kernel")["PT_BENCH_MASK"]
    assert raw.refused(record) == ("PT_ERR_ARGUMENT", (1, 0, 1, 2))
    raw.goes_on()


def test_numbers_of_affine_layers(mailbox: MailboxDevice) -> None:
    raw = Raw(mailbox, affine_kernel_cases.case("AFFINE_ADD", 0).job)
    for word, (name, index) in enumerate(
        [("zero_in", 0), ("zero_in", 1), ("zero_out", None), ("low", None), ("high", None)], 7
    ):
        for value in (-129, 128):
            record = raw.record()
            if index is None:
                record[name] = value
            else:
                record[name][index] = value
            expected = (word, value & 0xFFFFFFFF, -128 & 0xFFFFFFFF, 127)
            assert raw.refused(record) == ("PT_ERR_ARGUMENT", expected)
    offset = raw.places["FACTORS"][0]
    spoiled = bytearray(raw.good)
    spoiled[offset + 8 : offset + 12] = (1).to_bytes(4, "little")
    multiplier = int.from_bytes(raw.good[offset + 4 : offset + 8], "little")
    raw.device.write_window("MODEL", bytes(spoiled))
    assert refusal(raw.device, "BENCH") == ("PT_ERR_FACTOR", (0, 0, multiplier, 1))
    raw.goes_on()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("in_h", value) for value in (0, 1, 6, 4097, 65535)),
        *(("out_w", value) for value in (0, 6, 8, 65535)),
        *(("in_c", value) for value in (0, 65535)),
        *(("out_c", value) for value in (0, 65535)),
        *(("kernel_h", value) for value in (0, 16, 255)),
        *((f"stride_{axis}", value) for axis in "hw" for value in (0, 2, 3, 255)),
        *(("padding_w", value) for value in (2, 255)),
    ],
)
def test_shape(raw: Raw, field: str, value: int) -> None:
    record = raw.record()
    record["shape"][field] = value
    assert raw.refused(record) == ("PT_ERR_LAYER_SHAPE", (0, 0, 0, 0))


def test_sums_that_could_overflow(raw: Raw) -> None:
    record = raw.record()
    record["kernel"] = raw.device.elf.enum("pt_bench_kernel")["PT_BENCH_LINEAR_ERROR"]
    shape = record["shape"]
    for name, value in zip(
        shape.dtype.names, (33, 1, 4096, 1, 1, 2, 1, 1, 1, 1, 0, 0), strict=True
    ):
        shape[name] = value
    assert raw.refused(record) == ("PT_ERR_LAYER_TERMS", (0, 33 * 4096, 1 << 17, 0))


def test_operand_sizes_and_places(raw: Raw) -> None:
    for name, (offset, size) in raw.places.items():
        number = raw.operand[name]
        for at, given in (
            (offset, size - 1),
            (offset, size + 1),
            (offset, 0),
            (offset, 0xFFFFFFFF),
            (raw.type.itemsize - 4, size),
            (0, size),
            (raw.room - size + 4, size),
            (raw.room, size),
            (0xFFFFFFFC, size),
        ):
            record = raw.record()
            record["operand"][number]["offset"] = at
            record["operand"][number]["size"] = given
            expected = ("PT_ERR_OPERAND", (number, at, given, size))
            assert raw.refused(record) == expected, name


def test_alignment(raw: Raw) -> None:
    for name in ("SCRATCH",):
        number, (offset, _) = raw.operand[name], raw.places[name]
        for off in (1, 2, 3):
            record = raw.record()
            record["operand"][number]["offset"] = offset + off
            expected = ("PT_ERR_ALIGNMENT", (number, offset + off, 4, 0))
            assert raw.refused(record) == expected


@pytest.mark.parametrize("kernel", ["CONV2D_ERROR", "CONV2D_GRADIENT", "UPDATE", "REQUANTIZE"])
def test_alignment_of_int32(mailbox: MailboxDevice, kernel: str) -> None:
    job = case(kernel, 0).job
    raw = Raw(mailbox, job)
    name = "ACCUMULATOR" if "ACCUMULATOR" in raw.places else "OUTPUT"
    record = raw.record()
    record["operand"][raw.operand[name]]["offset"] += 2
    offset = raw.places[name][0] + 2
    assert raw.refused(record) == ("PT_ERR_ALIGNMENT", (raw.operand[name], offset, 4, 0))
    raw.goes_on()


def test_overlap(mailbox: MailboxDevice) -> None:
    """Each pair, by as little as can be."""
    weights = np.zeros(LAYER.weight_count, np.int8)
    given = {"INPUT": JOB.inputs["INPUT"], "WEIGHTS": weights, "SCORES": weights}
    raw = Raw(mailbox, Job(**{**vars(JOB), "inputs": given, "masks": "SCORED"}))
    names = sorted(raw.places, key=lambda name: raw.operand[name])
    for first, one in enumerate(names):
        for other in names[first + 1 :]:
            record = raw.record()
            moved, pair = record["operand"], (raw.operand[one], raw.operand[other], 0, 0)
            # One after the other, far behind all others, either first; then a step back.
            for before, after in ((one, other), (other, one)):
                _, size = raw.places[before]
                at = 8192 + (-size % 4 if before != "SCRATCH" else 0)
                step = 4 if "SCRATCH" in (one, other) else 1
                moved[raw.operand[before]]["offset"] = at
                moved[raw.operand[after]]["offset"] = at + size
                raw.device.write_window("MODEL", record.tobytes())
                raw.device.command("BENCH", [1])
                moved[raw.operand[after]]["offset"] = at + size - step
                assert raw.refused(record) == ("PT_ERR_OVERLAP", pair)
    raw.goes_on()


def test_bits_behind_the_last_edge(raw: Raw) -> None:
    offset, _ = raw.places["BITMAP"]
    row_size = -(-LAYER.row_length // 8)
    assert LAYER.row_length == 18
    for row in range(LAYER.rows):
        for bit in range(2, 8):
            spoiled = bytearray(raw.good)
            spoiled[offset + row * row_size + row_size - 1] |= 1 << bit
            raw.device.write_window("MODEL", bytes(spoiled))
            assert refusal(raw.device, "BENCH") == ("PT_ERR_BITMAP", (row, 0, 0, 0))


def test_the_bitmap_says_how_many_scores(raw: Raw) -> None:
    offset, _ = raw.places["BITMAP"]
    scores, count = raw.places["SCORES"]
    spoiled = bytearray(raw.good)
    spoiled[offset] ^= 1
    needed = count + (1 if spoiled[offset] & 1 else -1)
    raw.device.write_window("MODEL", bytes(spoiled))
    expected = ("PT_ERR_OPERAND", (raw.operand["SCORES"], scores, count, needed))
    assert refusal(raw.device, "BENCH") == expected


@pytest.mark.parametrize(
    "layer", [linear((3, 2, 5), 4, False), maxpool2((4, 6, 2))], ids=["linear", "maxpool2"]
)
def test_a_layer_of_another_kind(mailbox: MailboxDevice, layer: Any) -> None:
    job = Job(**{**vars(JOB), "layer": layer})
    with pytest.raises(CommandError, match=r"PT_ERR_(LAYER_SHAPE|OPERAND)"):
        Bench(mailbox).run(job)


@pytest.mark.parametrize("seed", range(8))
def test_spoiled_jobs(mailbox: MailboxDevice, seed: int) -> None:
    """Whatever stands in a job: it runs or is refused, inside the window."""
    random = np.random.default_rng([seed, 77])
    ran = refused = 0
    kernels = [*KERNELS, *affine_kernel_cases.KERNELS]
    for number in range(80):
        kernel = kernels[(seed + number) % len(kernels)]
        make = case if kernel in KERNELS else affine_kernel_cases.case
        raw = Raw(mailbox, make(kernel, 500 + number).job)
        words = np.frombuffer(raw.good[: raw.type.itemsize], np.uint32).copy()
        for _ in range(int(random.integers(1, 3))):
            word = int(random.integers(len(words)))
            change = int(random.integers(4))
            words[word] = (
                words[word] ^ np.uint32(1 << int(random.integers(32)))
                if change == 0
                else random.integers(0, 1 << 32)
                if change == 1
                else random.integers(0, 30)
                if change == 2
                else words[int(random.integers(len(words)))]
            )
        mailbox.write_window("MODEL", words.tobytes() + raw.good[raw.type.itemsize :])
        try:
            mailbox.command("BENCH", [0])
            ran += 1
        except CommandError:
            refused += 1
    assert ran > 5 and refused > 5
    Bench(mailbox).run(JOB)


def test_one_command_runs_many_jobs(mailbox: MailboxDevice) -> None:
    """Where one is refused, those before it have run, and the device says how many."""
    bench = Bench(mailbox)
    cases = [case("UPDATE", number) for number in range(20)]
    together = bench.run_all([(one.job, Layout(8)) for one in cases])
    alone = [bench.run(one.job, Layout(8)) for one in cases]
    assert [one.answer for one in together] == [one.answer for one in cases]
    for one, other in zip(together, alone, strict=True):
        assert one.strayed == other.strayed == []
        for name, values in one.operands.items():
            assert (values == other.operands[name]).all()
    wrong = Job(**{**vars(cases[2].job), "shift": 32})
    with pytest.raises(CommandError) as refused:
        bench.run_all([(job, Layout()) for job in (cases[0].job, cases[1].job, wrong)])
    assert (refused.value.name, refused.value.detail) == ("PT_ERR_ARGUMENT", (3, 32, 0, 31))
    assert mailbox._mailbox()["response"].tolist()[:2] == [cases[1].answer, 2]


def test_where_no_next_job_can_be(raw: Raw) -> None:
    size = raw.type.itemsize
    for value in (1, 4, 12, raw.room + 8, 0xFFFFFFF8, 0xFFFFFFFF):
        record = raw.record()
        record["next"] = value
        assert raw.refused(record) == ("PT_ERR_RANGE", (value, size, raw.room, 0))
    record = raw.record()
    record["next"] = raw.room  # a job that ends behind the window
    assert raw.refused(record) == ("PT_ERR_RANGE", (0, size, 0, 0))


def test_a_mode_that_is_none(raw: Raw) -> None:
    raw.device.write_window("MODEL", raw.good)
    for mode in (3, 0xFFFFFFFF):
        assert refusal(raw.device, "BENCH", [mode]) == ("PT_ERR_ARGUMENT", (0, mode, 0, 2))
