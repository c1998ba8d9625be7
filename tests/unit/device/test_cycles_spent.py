"""Cycles of a device: those of all its blocks, or a sentence where nothing counts them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from picotrain.device.cycles import BlockCount
from picotrain.device.interface import cycles_spent
from picotrain.errors import UserError


def device(blocks: list[BlockCount] | None) -> Any:
    return SimpleNamespace(name="host", blocks=lambda: blocks)


def test_cycles_are_those_of_all_blocks() -> None:
    # 5 passes of 7 cycles, 2 of them through a taken branch; 1 pass of 3.
    assert cycles_spent(device([BlockCount(0, 4, 7, 5, 2), BlockCount(8, 2, 3, 1, 0)])) == 40
    assert cycles_spent(device([])) == 0


def test_a_target_that_counts_none_says_so() -> None:
    with pytest.raises(UserError, match="target host does not count cycles; use --target qemu"):
        cycles_spent(device(None))
