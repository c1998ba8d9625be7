"""Fixtures of several suites. `device` and `target_name` come from `picotrain.pytest_plugin`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from building import SANITIZED, library
from picotrain.device import backends
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.base import Target
from picotrain.device.targets.host import HostTarget
from picotrain.image import firmware
from picotrain.image.elf import Elf
from support import require

WIDE_ARENA = 64 << 20
"""Bytes; more than any network here needs."""


@pytest.fixture(scope="session")
def host_elf() -> Elf:
    return Elf(require(firmware.HOST))


@pytest.fixture(scope="session")
def microbit_elf() -> Elf:
    return Elf(require(firmware.MICROBIT))


@pytest.fixture(scope="session")
def sanitized_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C library as programs of tests link it (building.SANITIZED)."""
    return library(tmp_path_factory.mktemp("sanitized"), SANITIZED)


@pytest.fixture
def reference(host_elf: Elf) -> GoldenDevice:
    """The golden device to compare with, with memory for everything."""
    return GoldenDevice(host_elf, WIDE_ARENA)


@pytest.fixture
def mailbox(device: Device) -> MailboxDevice:
    """The device of this run, for tests of the protocol; golden has none."""
    if not isinstance(device, MailboxDevice):
        pytest.skip(f"target {device.name} has no mailbox")
    return device


@pytest.fixture
def host_device(host_elf: Elf) -> Iterator[Callable[..., MailboxDevice]]:
    """Opens host processes with an arena of some bytes, of any build; closed after the test."""
    opened: list[MailboxDevice] = []

    def open_(arena_bytes: int = WIDE_ARENA, program: Path | None = None) -> MailboxDevice:
        target = HostTarget(require(program or host_elf.path), arena_bytes)
        target.connect()
        opened.append(MailboxDevice(target))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


@pytest.fixture
def connect(target_name: str) -> Iterator[Callable[[], Target]]:
    """Connects targets of their own to tests that break them; closed after the test."""
    if target_name == "golden":
        pytest.skip("target golden has no memory")
    opened: list[Target] = []

    def connect_() -> Target:
        target, kernels = backends.variant_of(target_name)
        opened.append(backends.open_target(target, kernels=kernels))
        opened[-1].connect()
        return opened[-1]

    yield connect_
    for target in opened:
        target.close()
