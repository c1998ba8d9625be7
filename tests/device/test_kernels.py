"""Every kernel alone, on thousands of small operands: what it writes, what it returns, no more.

`kernel_cases.py` and `affine_kernel_cases.py` make the operands, and say what must come of them.
"""

from __future__ import annotations

import numpy as np
import pytest

import affine_kernel_cases
from kernel_cases import EDGE, KERNELS, STYLES, Case, case
from picotrain.device.mailbox import MailboxDevice
from picotrain.profile.bench import Bench, Result
from picotrain_golden.layers import unpacked
from picotrain_golden.numerics import rhu

CASES = {"host": 2000, "qemu": 2000, "renode": 250}
FEW = 50
"""By where the device runs."""
AT_ONCE = 50


@pytest.fixture
def bench(mailbox: MailboxDevice) -> Bench:
    return Bench(mailbox)


def differences(wanted: Case, result: Result) -> list[str]:
    """Everything that is not as it must be, in words."""
    found = []
    if result.answer != wanted.answer:
        found.append(f"returned {result.answer}, expected {wanted.answer}")
    for name, values in result.operands.items():
        expected = wanted.changed.get(name, wanted.job.inputs.get(name))
        assert expected is not None and expected.shape == values.shape, name
        different = np.argwhere(values != expected)
        if len(different):
            at = tuple(different[0].tolist())
            found.append(
                f"{len(different)} of {values.size} elements of {name} differ, first {list(at)}: "
                f"{values[at]}, expected {expected[at]}"
            )
    assert set(wanted.changed) <= set(result.operands)
    if result.strayed:
        found.append(f"wrote outside its operands, at offsets {result.strayed[:8]} of the window")
    return found


@pytest.mark.parametrize("kernel", [*KERNELS, *affine_kernel_cases.KERNELS])
def test_kernel(bench: Bench, target_name: str, kernel: str) -> None:
    make = case if kernel in KERNELS else affine_kernel_cases.case
    for start in range(0, CASES.get(target_name.split("-")[0], FEW), AT_ONCE):
        cases = [make(kernel, number) for number in range(start, start + AT_ONCE)]
        results = bench.run_all([(wanted.job, wanted.layout) for wanted in cases])
        for number, (wanted, result) in enumerate(zip(cases, results, strict=True), start):
            found = differences(wanted, result)
            if found:
                job = {key: value for key, value in vars(wanted.job).items() if key != "inputs"}
                what = f"case({kernel!r}, {number}): {'; '.join(found)}"
                pytest.fail(f"{what}\n{job}\n{wanted.layout}")


def test_cases_cover_what_they_should() -> None:
    cases = {kernel: [case(kernel, number) for number in range(250)] for kernel in KERNELS}
    convolutions = [c.job.layer for c in cases["CONV2D_FORWARD_S8"] if c.job.layer]
    assert {layer.kernel[0] for layer in convolutions} >= {1, 2, 3, 4, 5}
    assert max(layer.kernel[1] for layer in convolutions) > 8
    assert {layer.stride[0] for layer in convolutions} == {1, 2}
    assert {layer.padding[1] for layer in convolutions} >= {0, 1, 2, 3, 4}
    for channels in (
        {layer.in_shape[2] for layer in convolutions},
        {layer.rows for layer in convolutions},
    ):
        assert channels >= set(range(1, 10)) and max(channels) > 16
    assert {layer.row_length % 4 for layer in convolutions} == {0, 1, 2, 3}
    for kernel in ("CONV2D_FORWARD_S8", "CONV2D_ERROR", "LINEAR_FORWARD_S8", "UPDATE"):
        jobs = [c.job for c in cases[kernel]]
        assert {job.masks for job in jobs} == {"ALL_EDGES", "SCORED", "SPARSE"}
    for kernel, most in (("CONV2D_FORWARD_S8", 24), ("LINEAR_FORWARD_S8", 24), ("UPDATE", 31)):
        assert {0, 1, most} <= {c.job.shift for c in cases[kernel]}
    for kernel in ("CONV2D_FORWARD_S8", "CONV2D_ERROR", "LINEAR_ERROR", "MASK"):
        assert {-127, 0, 127} <= {c.job.threshold for c in cases[kernel]}
    for kernel in ("CONV2D_FORWARD_S8", "LINEAR_UPDATE", "UPDATE", "REQUANTIZE_ERROR"):
        assert sum(c.answer > 0 for c in cases[kernel]) > 20
    ends = [case("REQUANTIZE", number).job for number in range(CASES["host"])]
    rounded = [rhu(job.inputs["ACCUMULATOR"], job.shift) for job in ends]
    for magnitude in EDGE:
        assert sum(bool((np.abs(values) == magnitude).any()) for values in rounded) > 40
    inputs = [c.job.inputs["INPUT"].astype(int) for c in cases["CONV2D_GRADIENT"]]
    assert sum(bool((np.abs(values) == 127).all()) for values in inputs) > 30
    assert sum(not values.any() for values in inputs) > 5
    assert sum(np.count_nonzero(values) == 1 for values in inputs) > 5
    pooled = cases["CONV2D_POOL_FORWARD"]
    assert sum(c.answer > 0 for c in pooled) > 20
    found = [np.bincount(unpacked(c.changed["PLACES"], c.changed["OUTPUT"].size)) for c in pooled]
    assert sum(len(counts) == 4 and (counts > 0).all() for counts in found) > 50
    shapes = [c.job.layer.out_shape for c in pooled if c.job.layer]
    for axis in range(2):
        assert {shape[axis] % 2 for shape in shapes} == {0, 1}
    assert len(STYLES) == 12
    assert {c.layout.skew == (0,) for c in cases["UPDATE"]} == {False, True}


def test_affine_cases_cover_what_they_should() -> None:
    cases = {
        kernel: [affine_kernel_cases.case(kernel, number) for number in range(250)]
        for kernel in affine_kernel_cases.KERNELS
    }
    for kernel in ("AFFINE_CONV2D", "AFFINE_DEPTHWISE"):
        drawn = [c.job.layer for c in cases[kernel] if c.job.layer]
        assert {layer.kernel[0] for layer in drawn} >= {1, 2, 3, 4, 5}
        assert max(layer.kernel[1] for layer in drawn) > 8
        assert {layer.stride for layer in drawn} == {(1, 1), (1, 2), (2, 1), (2, 2)}
        assert {layer.padding[1] for layer in drawn} >= {0, 1, 2, 3, 4}
        assert {layer.rows for layer in drawn} >= set(range(1, 10))
        assert {layer.row_length % 4 for layer in drawn} == {0, 1, 2, 3}
    for kernel in ("AFFINE_CONV2D", "AFFINE_DEPTHWISE", "AFFINE_LINEAR"):
        jobs = [c.job for c in cases[kernel]]
        assert {job.masks for job in jobs} == {"ALL_EDGES", "SCORED", "SPARSE"}
        assert sum(bool((job.inputs["WEIGHTS"] == -128).all()) for job in jobs) > 10
        numbers = [job.affine for job in jobs if job.affine]
        assert {-128, 127} <= {one.zero_in[0] for one in numbers}
        shifts = np.concatenate([one.shift for one in numbers])
        assert {-31, -8, -1, 0, 1} <= set(shifts.tolist())
        assert max(abs(int(one.bias.min())) for one in numbers) > 2**30
        values = np.concatenate([c.changed["OUTPUT"].reshape(-1) for c in cases[kernel]])
        assert len(np.unique(values)) > 200
        assert np.isin(values, (-128, 127)).mean() < 0.6
