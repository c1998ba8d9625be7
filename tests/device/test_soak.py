"""Many commands on one device leak nothing, and the same ones give the same every time: a tenth of
what `make soak` sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from picotrain.device.interface import BatchResult, Progress, UInt8
from picotrain.device.targets.base import Target
from picotrain.device.targets.host import HostTarget
from reliability.stress import COMMANDS, CountedDevice, Drift, churn, soak

FEWER = COMMANDS // 10


def test_many_commands(connect: Callable[[], Target]) -> None:
    target = connect()
    found = soak(CountedDevice(target), FEWER)
    assert found.commands >= FEWER
    assert found.commands % found.rounds == 0
    assert (found.cycles > 0) == (target.name == "qemu")


def test_many_devices(target_name: str) -> None:
    if target_name == "golden" or target_name.startswith("serial:"):
        pytest.skip("nothing is started for it")
    devices = 8 if target_name.startswith("host") else 4
    assert churn(target_name, devices) > 2


class ForgetfulDevice(CountedDevice):
    """Leaves a file open for every batch."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.open: list[IO[bytes]] = []

    def train(self, images: UInt8, labels: UInt8, progress: Progress | None = None) -> BatchResult:
        self.open.append(Path("/dev/null").open("rb"))  # noqa: SIM115 (that is the leak)
        return super().train(images, labels, progress)


class DriftingDevice(CountedDevice):
    """Trains with another step size after 500 commands."""

    def command(self, name: str, arguments: Sequence[int] = (), timeout: float = 30.0) -> Any:
        if name == "TRAIN" and self.commands > 500:
            super().command("SET_MU", [6])
        return super().command(name, arguments, timeout)


class GrowingDevice(CountedDevice):
    """Keeps 400 kB of each batch."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.kept: list[bytearray] = []

    def train(self, images: UInt8, labels: UInt8, progress: Progress | None = None) -> BatchResult:
        self.kept.append(bytearray(b"x" * 400_000))
        return super().train(images, labels, progress)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (ForgetfulDevice, r"round 2: files \d+, in the first round \d+"),
        (DriftingDevice, r"round 4: (commands|digest) \w+, in the first round \w+"),
        (GrowingDevice, r"the harness grew by [\d,]+ bytes in \d+ rounds"),
    ],
)
def test_what_leaks_or_drifts_is_told(
    connect: Callable[[], Target],
    target_name: str,
    kind: Callable[[Target], CountedDevice],
    said: str,
) -> None:
    target = connect()
    if target_name != "host" or not isinstance(target, HostTarget):
        pytest.skip("what looks for it is the same")
    with pytest.raises(Drift, match=said):
        soak(kind(target), FEWER)
