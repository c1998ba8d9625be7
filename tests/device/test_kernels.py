"""Every kernel alone, on thousands of small operands: what it writes, what it returns, no more.

`kernel_cases.py` makes the operands, and says what must come of them.
"""

from __future__ import annotations

import numpy as np
import pytest

from kernel_cases import KERNELS, STYLES, Case, case
from picotrain.device.mailbox import MailboxDevice
from picotrain.profile.bench import Bench, Result

CASES = {"host": 2000, "qemu": 250, "renode": 250}
FEW = 50
"""By where the device runs: QEMU takes 3 ms for what a process does in 60 us."""


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


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel(bench: Bench, target_name: str, kernel: str) -> None:
    for number in range(CASES.get(target_name.split("-")[0], FEW)):
        wanted = case(kernel, number)
        found = differences(wanted, bench.run(wanted.job, wanted.layout))
        if found:
            job = {key: value for key, value in vars(wanted.job).items() if key != "inputs"}
            pytest.fail(f"case({kernel!r}, {number}): {'; '.join(found)}\n{job}\n{wanted.layout}")


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
    inputs = [c.job.inputs["INPUT"].astype(int) for c in cases["CONV2D_GRADIENT"]]
    assert sum(bool((np.abs(values) == 127).all()) for values in inputs) > 30
    assert sum(not values.any() for values in inputs) > 5
    assert sum(np.count_nonzero(values) == 1 for values in inputs) > 5
    assert len(STYLES) == 11
    assert {c.layout.skew == (0,) for c in cases["UPDATE"]} == {False, True}
