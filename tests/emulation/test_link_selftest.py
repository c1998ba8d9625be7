"""`picotrain selftest` over the link, where two faults of the wire come to the others."""

from __future__ import annotations

from link_programs import listening
from picotrain.cli.material import random_material
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.serial import SerialTarget
from picotrain.hardware.selftest.faults import Bench
from picotrain.hardware.selftest.running import selftest
from picotrain.image.elf import Elf


def test_over_the_link_there_are_two_more(host_elf: Elf) -> None:
    network, split = random_material("oddnet", 1, 6)
    with listening(host_elf.path) as (_, url):
        target = SerialTarget(host_elf.path, url)
        target.connect()
        bench = Bench(target, network, split.images, split.labels)
        found = selftest(bench, lambda _: None)
        assert [outcome for outcome in found.outcomes if not outcome.named] == []
        assert (found.passed, found.named) == (True, 22)
        # The device works on.
        MailboxDevice(target).command("INFO")
        target.close()
