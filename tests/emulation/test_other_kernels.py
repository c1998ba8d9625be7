"""Sets of kernels on QEMU that no whole suite runs on: `dense`, which leaves out no zero and so
walks what the tuned ones skip, and `portable`."""

from __future__ import annotations

import pytest

from exact_cases import FEW, compare
from picotrain import open_device
from picotrain.device import backends
from picotrain.device.mailbox import MailboxDevice


@pytest.mark.parametrize("kernels", ["dense", "portable"])
def test_methods_of_both_forms_make_the_tensors_of_golden(kernels: str) -> None:
    if problem := backends.problem(f"qemu-{kernels}"):
        pytest.skip(problem)
    with open_device("qemu", kernels=kernels) as device:
        assert isinstance(device, MailboxDevice)
        tensors, elements, _ = compare(device, FEW, graphs=1)
    assert (tensors, elements) == (971, 88749)
