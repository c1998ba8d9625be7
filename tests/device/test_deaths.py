"""Each way to die is told apart from the others, once; `make deaths` does it often."""

from __future__ import annotations

import re

import numpy as np
import pytest

import dying
from picotrain.device import backends
from picotrain.device.mailbox import MailboxDevice

FAILURES = {
    **dict.fromkeys(("watchdog", "endless loop", "stopped"), "TIMEOUT"),
    "killed": "LINK",
}
"""The class of a kind, where it is not a CRASH; of a host process one that is killed is one."""
IN_CODE = {"killed", "stopped", "sent signal", "lockup"}
"""Of which no operation can be told."""
OFTEN = ["undefined instruction", "bad address", "stack overflow", "unaligned access"]
OFTEN += ["unexpected exception", "sent signal", "killed", "lockup", "bad arithmetic"]
"""Without those that are told apart by the same words of a record, and those that take seconds."""


@pytest.mark.parametrize("kind", OFTEN)
def test_a_death_is_told(target_name: str, kind: str) -> None:
    name, kernels = backends.variant_of(target_name)
    if name not in ("host", "qemu", "rp2040js"):
        pytest.skip("no process of ours that can be made to die")
    if kind not in dying.kinds(name):
        pytest.skip(f"{name} has no such death")
    target = backends.open_target(name, kernels=kernels)
    target.connect()
    assert isinstance(target, dying.Mortal)
    with MailboxDevice(target) as device:
        told = dying.die(target, device, kind, np.random.default_rng(3), 2.0)
    wanted = dying.wanted(kind, name)
    assert told.kind == wanted, told.text
    crash = name == "host" and kind == "killed"
    assert told.failure_class == ("CRASH" if crash else FAILURES.get(wanted, "CRASH"))
    assert "this was in TRAIN" in told.text
    if kind not in IN_CODE | {"stack overflow"}:
        assert re.search(r"in pt_loss_error_s8\+0x[0-9] \(nn/pt_loss\.c:10[0-9]\)", told.text)
        assert told.text.endswith("; this was in TRAIN, operation 6 of 14: loss of layer 4")


@pytest.mark.parametrize("sp", [0x10000000, 0x30000000])
def test_a_stack_that_is_nowhere_leaves_a_record(
    target_name: str, sp: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the stack and above it; rp2040js locks up at once, as the exception writes there."""
    if target_name != "qemu":
        pytest.skip("qemu alone enters the exception without its stack")
    monkeypatch.setitem(dying.ARM_CODE, "stack overflow", lambda at, *_: dying.moved_stack(at, sp))
    target = backends.open_target(target_name)
    target.connect()
    assert isinstance(target, dying.Mortal)
    with MailboxDevice(target) as device:
        told = dying.die(target, device, "stack overflow", np.random.default_rng(3), 2.0)
    assert f"stack overflow: sp is 0x{sp:08x}, and the stack 0x" in told.text
    assert told.text.endswith("; this was in TRAIN, operation 6 of 14: loss of layer 4")
