"""Cycle counts per basic block: reading the counter file of the QEMU plugin, and arithmetic on it.

`emulation/qemu/README.md` describes the file and what the counts mean.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import LinkFailure


@dataclass(frozen=True)
class BlockCount:
    """One executed basic block: its first address, size, cycles for one pass, and how often it ran.

    `taken` counts the passes that left through a taken conditional branch (one cycle more each).
    """

    pc: int
    instructions: int
    cycles: int
    executions: int
    taken: int

    @property
    def total_cycles(self) -> int:
        return self.executions * self.cycles + self.taken


_MAGIC = b"PTCYCLES"
_VERSION = 1
_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "u4"),
        ("header_size", "u4"),
        ("slot_size", "u4"),
        ("capacity", "u4"),
        ("used", "u4"),
        ("dropped", "u4"),
        ("reserved", "V32"),
    ]
)
_SLOT = np.dtype(
    [
        ("executions", "u8"),
        ("taken", "u8"),
        ("hash", "u8"),
        ("pc", "u4"),
        ("fall_through", "u4"),
        ("instructions", "u4"),
        ("cycles", "u4"),
        ("flags", "u4"),
        ("reserved", "u4"),
    ]
)


def read_counters(file: Path | int) -> list[BlockCount]:
    """Read all blocks that ran so far from the counter file, given by path or file descriptor.

    The device must be stopped. Blocks of one address but other code (self-modified) stay apart.
    """
    descriptor = os.open(file, os.O_RDONLY) if isinstance(file, Path) else file
    try:
        if os.fstat(descriptor).st_size < _HEADER.itemsize:
            raise LinkFailure("the cycle counter file is too short: the plugin did not start")
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
            return _blocks(content[:])
    finally:
        if isinstance(file, Path):
            os.close(descriptor)


def _blocks(content: bytes) -> list[BlockCount]:
    header = np.frombuffer(content, _HEADER, 1)[0]
    if (
        header["magic"] != _MAGIC
        or header["version"] != _VERSION
        or header["header_size"] != _HEADER.itemsize
        or header["slot_size"] != _SLOT.itemsize
    ):
        raise LinkFailure("the cycle counter file is not of this version: build the plugin again")
    if header["dropped"]:
        raise LinkFailure(
            f"the cycle counts are incomplete: {header['dropped']} blocks found no room beside "
            f"{header['capacity']}"
        )
    slots = np.frombuffer(content, _SLOT, int(header["used"]), _HEADER.itemsize)
    slots = slots[slots["executions"] > 0]
    columns = [slots[name].tolist() for name in ("pc", "instructions", "cycles")]
    columns += [slots[name].tolist() for name in ("executions", "taken")]
    return [BlockCount(*row) for row in zip(*columns, strict=True)]


def difference(after: Iterable[BlockCount], before: Iterable[BlockCount]) -> list[BlockCount]:
    """What ran between two readings of the same run, by address.

    Blocks that did not run are left out; blocks that agree in address, length and cycles are
    added up, which changes no total.
    """
    counts: dict[tuple[int, int, int], tuple[int, int]] = {}
    for sign, blocks in ((1, after), (-1, before)):
        for block in blocks:
            key = (block.pc, block.instructions, block.cycles)
            executions, taken = counts.get(key, (0, 0))
            counts[key] = (executions + sign * block.executions, taken + sign * block.taken)
    for (pc, _, _), (executions, taken) in counts.items():
        if executions < 0 or taken < 0:
            raise ValueError(f"the block at {pc:#010x} ran less often after than before")
    return [
        BlockCount(*key, executions, taken)
        for key, (executions, taken) in sorted(counts.items())
        if executions or taken
    ]


def total(blocks: Iterable[BlockCount], exclude: Sequence[tuple[int, int]] = ()) -> int:
    """Cycles of all blocks that do not start in one of the ranges `exclude` (first, end)."""
    return sum(
        block.total_cycles
        for block in blocks
        if not any(low <= block.pc < high for low, high in exclude)
    )
