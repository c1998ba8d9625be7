"""The program around the USB driver, and buses with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from usb_bus import BOARD, Bus, Open, build


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("usb"), BOARD / "usb_descriptors.c")


@pytest.fixture
def open_bus(program: Path, package: Path) -> Iterator[Open]:
    """Opens a bus of its own; at the end of the test it kept the datasheet's rules."""
    opened: list[Bus] = []

    def open_(elf: Path = program, revision: int = 2) -> Bus:
        opened.append(Bus(elf, package))
        opened[-1].ask("revision", revision=revision)
        opened[-1].enumerate()
        return opened[-1]

    yield open_
    for bus in opened:
        with bus:
            state = bus.ask("state")
            assert state["faults"] == []
            assert state["aborts"] == 0
            assert "meanwhile" not in state


@pytest.fixture
def bus(open_bus: Open) -> Bus:
    return open_bus()
