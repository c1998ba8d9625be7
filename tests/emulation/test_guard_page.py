"""docs/device-protocol.md says what the sums around a command cost, as QEMU counts it."""

from __future__ import annotations

import pytest

import support
from picotrain.device import backends
from picotrain.device.cycles import total
from picotrain.device.mailbox import MailboxDevice
from picotrain.places import SHIPPED
from support import METHODS, images

IMAGES = 64


def test_the_page_says_what_sums_cost() -> None:
    if missing := backends.problem("qemu"):
        pytest.skip(missing)
    network = support.shipped("tinycnn")
    with backends.open_device("qemu") as device:
        assert isinstance(device, MailboxDevice)

        def counted() -> tuple[int, int]:
            """All cycles so far, and those without sums and waiting."""
            every, commands = device._target.profile(), device.blocks()
            assert every is not None and commands is not None
            return total(every), total(commands)

        device.load_model(network)
        device.set_method(METHODS["priot"])
        pixels, labels = images(network, IMAGES)
        start = counted()
        result = device.train(pixels, labels)
        assert (result.loss_norms > 0).all()
        trained = counted()
        device.check_memory()
        checked = counted()
    step = trained[1] - start[1]
    sums = trained[0] - start[0] - step
    page = " ".join((SHIPPED / "docs" / "device-protocol.md").read_text(encoding="utf-8").split())
    assert (
        f"and {IMAGES} images they take {sums:,} cycles of the cycle model beside {step:,}" in page
    )
    assert f"have an error, {100 * sums / step:.2f} %" in page
    check = checked[0] - trained[0]
    assert f"a CHECK takes {check:,}, {check / 125_000:.1f} ms at 125 MHz" in page
