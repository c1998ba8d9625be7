"""Jobs for one kernel: where their operands lie, what is seen of them, and those of the bench."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from picotrain import datasets
from picotrain.cli import main
from picotrain.datasets import Split, rotate
from picotrain.device.cycles import BlockCount
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, LinkFailure, UserError
from picotrain.learn import models
from picotrain.profile import bench_cases
from picotrain.profile.bench import Bench, Job, Layout
from picotrain_golden import Method, Trainer, conv2d, layers, linear

LAYER = linear((1, 1, 7), 3, False)
JOB = Job(
    "LINEAR_FORWARD_S32",
    {"INPUT": np.arange(7, dtype=np.int8), "WEIGHTS": np.arange(21, dtype=np.int8).reshape(3, 7)},
    {"OUTPUT": ((1, 1, 3), np.int32)},
    LAYER,
)
PRODUCT = (np.arange(21).reshape(3, 7) @ np.arange(7)).reshape(1, 1, 3)


@pytest.fixture
def device(host_device: Callable[..., MailboxDevice]) -> MailboxDevice:
    return host_device(1 << 16)


def test_result(device: MailboxDevice) -> None:
    result = Bench(device).run(JOB)
    assert (result.answer, result.strayed) == (0, [])
    assert set(result.operands) == {"INPUT", "WEIGHTS", "OUTPUT"}
    output = result.operands["OUTPUT"]
    assert output.dtype == np.int32 and (output == PRODUCT).all()
    for name in ("INPUT", "WEIGHTS"):
        assert (result.operands[name] == JOB.inputs[name]).all()
        assert result.operands[name].shape == JOB.inputs[name].shape


@pytest.mark.parametrize("guard", [0, 1, 13])
@pytest.mark.parametrize("skew", [(0,), (1, 2, 3)])
def test_layout(device: MailboxDevice, guard: int, skew: tuple[int, ...]) -> None:
    bench = Bench(device)
    image, places = bench._prepare(JOB, Layout(guard, skew))
    assert list(places) == ["INPUT", "WEIGHTS", "OUTPUT", "SCRATCH"]
    end = device.elf.dtype("pt_bench_job").itemsize
    for number, (name, (offset, size)) in enumerate(places.items()):
        aligned = name in ("OUTPUT", "SCRATCH")
        assert offset % 4 == (0 if aligned else skew[number % len(skew)])
        assert end + guard <= offset < end + guard + 8
        end = offset + size
    # Up to a multiple of 8, where the next job may begin.
    assert len(image) == -(-(end + guard) // 8) * 8
    # The list of 7 inputs and an effective row, each in whole words.
    assert {name: size for name, (_, size) in places.items()} == {
        "INPUT": 7,
        "WEIGHTS": 21,
        "OUTPUT": 12,
        "SCRATCH": 4 * 7 + 8,
    }
    _, turned = bench._prepare(JOB, Layout(guard, skew, (3, 1, 0, 2)))
    assert sorted(turned, key=lambda name: turned[name]) == [
        *("SCRATCH", "WEIGHTS", "INPUT", "OUTPUT")
    ]
    assert bench.run(JOB, Layout(guard, skew, (3, 1, 0, 2))).strayed == []


def test_stray_writes_are_seen(device: MailboxDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(device)
    _, places = bench._prepare(JOB, Layout(guard=5))
    end = sum(places["INPUT"])
    read = device.read_window

    def spoiled(name: str, count: int | None = None) -> bytes:
        data = bytearray(read(name, count))
        data[end] ^= 1
        return bytes(data)

    monkeypatch.setattr(device, "read_window", spoiled)
    assert bench.run(JOB, Layout(guard=5)).strayed == [end]


def test_what_does_not_fit(device: MailboxDevice) -> None:
    big = np.zeros(1 << 16, np.int8)
    with pytest.raises(LinkFailure, match="the window has 65536 bytes"):
        Bench(device).run(Job("MAX_ABS_S8", {"INPUT": big}, count=big.size))


def test_a_refusal_is_passed_on(device: MailboxDevice) -> None:
    bench = Bench(device)
    with pytest.raises(CommandError, match="PT_ERR_OPERAND"):
        bench.run(replace(JOB, inputs={"INPUT": JOB.inputs["INPUT"]}))
    bench.run(JOB)


def test_no_cycles_on_host(device: MailboxDevice) -> None:
    with pytest.raises(UserError, match="target host does not count cycles; use --target qemu"):
        Bench(device).cycles(JOB)


def test_cycles_are_without_the_check(
    device: MailboxDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a command that takes 1000 and of its check that takes 300."""
    spent = 0
    command = device.command

    def counted(name: str, arguments: Any = (), **more: Any) -> Any:
        nonlocal spent
        spent += 300 if list(arguments) == [1] else 1000
        return command(name, arguments, **more)

    bench = Bench(device)
    monkeypatch.setattr(device, "command", counted)
    monkeypatch.setattr(device, "blocks", lambda: [BlockCount(0, 1, 1, spent, 0)])
    assert bench.cycles(JOB) == 700


# What `picotrain bench` measures


@pytest.fixture(scope="module")
def found() -> list[bench_cases.Measurement]:
    network, images = _material()
    return list(bench_cases.measurements(network, images, 2))


def _material() -> tuple[Any, Split]:
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "digits"))
    train = datasets.load("digits").train
    count = bench_cases.WARM_UP + 20
    return network, Split(rotate(train.images[:count], 30.0), train.labels[:count])


def test_every_layer_and_method_is_there(found: list[bench_cases.Measurement]) -> None:
    on_layers = [(one.kernel, one.what[0], one.method) for one in found if one.what[0].isdigit()]
    for method in bench_cases.MASKS:
        for index, kernels in {
            "0": {"CONV2D_FORWARD_S8", "UPDATE"},
            "2": {"CONV2D_FORWARD_S8", "CONV2D_ERROR", "UPDATE"},
            "4": {"LINEAR_FORWARD_S8", "LINEAR_ERROR", "LINEAR_UPDATE"},
            "5": {"LINEAR_FORWARD_S8", "LINEAR_ERROR", "LINEAR_UPDATE"},
        }.items():
            there = {k for k, at, m in on_layers if (at, m) == (index, method)}
            assert there - {"CONV2D_GRADIENT", "MASK"} == kernels
    for index in ("1", "3"):
        there = {kernel for kernel, at, _ in on_layers if at == index}
        assert there == {"MAXPOOL2_FORWARD", "MAXPOOL2_ERROR"}
    others = {one.what for one in found if not one.what[0].isdigit()}
    assert {f"conv 3x3 10x10x{n} to {n}" for n in range(5, 11)} < others
    assert {"conv 5x5 10x10x8 to 8", "conv 3x3 stride 2 14x14x8 to 8"} < others


def test_units_are_those_of_the_dense_operation(found: list[bench_cases.Measurement]) -> None:
    units = {(one.kernel, one.what): one.units for one in found}
    assert units["CONV2D_FORWARD_S8", "0 conv 3x3 28x28x1 to 8"] == 28 * 28 * 8 * 9
    assert units["CONV2D_ERROR", "2 conv 3x3 14x14x8 to 16"] == 14 * 14 * 16 * 72
    assert units["LINEAR_UPDATE", "4 linear 7x7x16 to 64"] == 784 * 64
    assert units["MAXPOOL2_ERROR", "1 maxpool2 28x28x8 to 8"] == 28 * 28 * 8
    stride = conv2d((14, 14, 8), 8, (3, 3), 2, (1, 1), True)
    assert units["CONV2D_GRADIENT", "conv 3x3 stride 2 14x14x8 to 8"] == stride.macs


def test_operands_are_those_of_training(found: list[bench_cases.Measurement]) -> None:
    """Of PRIOT, layer 5: a second run of golden, up to the first step with a loss error."""
    network, images = _material()
    trainer = Trainer(network, Method("priot", mu=4, theta=-16))
    for number, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        tensors: dict[tuple[str, int], Any] = {}

        def note(kind: str, index: int, values: Any, into: dict[Any, Any] = tensors) -> None:
            into[kind, index] = values

        scores = trainer.scores(5)
        result = trainer.train_step(image, int(label), note)
        if number >= bench_cases.WARM_UP and result.loss_norm:
            break
    (one,) = (
        one
        for one in found
        if (one.kernel, one.method, one.what[0]) == ("LINEAR_UPDATE", "priot", "5")
    )
    assert (len(one.jobs), one.samples) == (2, 2)
    job = one.jobs[0]
    assert (job.inputs["SCORES"] == scores.reshape(-1)).all() and job.inputs["SCORES"].any()
    assert (job.inputs["ERROR"] == tensors["error", 5]).all() and job.inputs["ERROR"].any()
    assert (job.inputs["INPUT"] == tensors["activation", 4]).all()
    assert (job.masks, job.threshold) == ("SCORED", -16)


def test_jobs_are_jobs(found: list[bench_cases.Measurement], device: MailboxDevice) -> None:
    """The device takes them all; the forward pass gives the activations that golden has."""
    bench = Bench(device)
    for one in found:
        if sum(values.nbytes for values in one.jobs[0].inputs.values()) > 1 << 14:
            continue
        result = bench.run(one.jobs[0])
        if one.kernel == "CONV2D_FORWARD_S8" and one.method == "niti-static":
            job = one.jobs[0]
            assert job.layer is not None
            total = layers.forward(job.layer, job.inputs["WEIGHTS"], job.inputs["INPUT"][None])
            half = 1 << job.shift >> 1
            expected = np.clip(total[0] + half >> job.shift, 0, 127)
            assert (result.operands["OUTPUT"] == expected).all() and expected.any()


def test_the_same_every_time(found: list[bench_cases.Measurement]) -> None:
    network, images = _material()
    again = list(bench_cases.measurements(network, images, 2))
    assert len(again) == len(found)
    for one, other in zip(found, again, strict=True):
        assert replace(one, jobs=()) == replace(other, jobs=())
        for job, same in zip(one.jobs, other.jobs, strict=True):
            assert {k: v.tobytes() for k, v in job.inputs.items()} == {
                k: v.tobytes() for k, v in same.inputs.items()
            }


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--kernels", "portable,fast"]) == 2
    assert capsys.readouterr().err == (
        "picotrain: target qemu has no kernels 'fast'; use one of tuned, portable, dense, large, "
        "chain, affine\n"
    )
    assert main(["bench", "--match", "transformer", "--steps", "1"]) == 2
    assert capsys.readouterr().err == (
        "picotrain: no line of the bench holds 'transformer'; leave --match out\n"
    )
