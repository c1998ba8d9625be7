"""Targets on Renode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from picotrain.device.targets.renode import RenodeTarget
from renode_machine import Open, pico


@pytest.fixture
def open_renode() -> Iterator[Open]:
    """Start targets; they are closed when the test ends."""
    targets: list[RenodeTarget] = []

    def open_(*arguments: Any, **keywords: Any) -> RenodeTarget:
        targets.append(pico(*arguments, **keywords))
        targets[-1].connect()
        return targets[-1]

    yield open_
    for target in targets:
        target.close()
