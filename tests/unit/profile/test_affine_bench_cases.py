"""The affine layers of `picotrain bench`: dense, half of what they make above their ReLU."""

from __future__ import annotations

from collections.abc import Callable

from picotrain.device.mailbox import MailboxDevice
from picotrain.profile.affine_bench_cases import affine_jobs
from picotrain.profile.bench import Bench
from picotrain_golden.operators import OPERATORS


def test_every_kernel_is_there() -> None:
    found = {(kernel, what): (unit, units) for kernel, what, unit, units, _ in affine_jobs()}
    assert {kernel.removeprefix("AFFINE_") for kernel, _ in found} == {
        *("CONV2D", "DEPTHWISE", "LINEAR", "MAXPOOL", "AVGPOOL", "MEAN", "ADD"),
    }
    pointwise = "AFFINE_CONV2D", "conv 1x1 24x24x32 to 32"
    assert found[pointwise] == ("MAC", 24 * 24 * 32 * 32)
    stride = "AFFINE_DEPTHWISE", "depthwise 3x3 stride 2 24x24x32 to 32"
    assert found[stride] == ("MAC", 12 * 12 * 32 * 9)
    assert found["AFFINE_ADD", "add 16x16x32 to 32"] == ("element", 8192)


def test_what_they_make(host_device: Callable[..., MailboxDevice]) -> None:
    bench = Bench(host_device(1 << 16))
    for _, what, _, _, job in affine_jobs():
        assert job.layer is not None and job.affine is not None
        given = [job.inputs[name][None] for name in ("INPUT", "INPUT_B") if name in job.inputs]
        weights = job.inputs.get("WEIGHTS")
        expected = OPERATORS[job.layer.kind].forward(job.layer, job.affine, weights, given)[0]
        assert (bench.run(job).operands["OUTPUT"] == expected).all(), what
        assert (job.inputs["INPUT"] == 0).mean() < 0.01
        if weights is not None:
            assert 0.35 < (expected > -128).mean() < 0.65
            assert (expected == 127).mean() < 0.05
