"""Cycle counts per basic block and call chain: reading the QEMU plugin's file, and arithmetic.

`emulation/qemu/README.md` describes the file and what the counts mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from picotrain.errors import LinkFailure
from picotrain.image.elf import Elf


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


@dataclass(frozen=True)
class CallNode:
    """One node of the call tree: a function reached through one chain of calls.

    `parent` is an index into the list of nodes, -1 for the root; `entry` the function's first
    address, `call_site` the address of the call; `cycles` are its own, without its callees'.
    """

    parent: int
    entry: int
    call_site: int
    calls: int
    cycles: int


_MAGIC = b"PTCYCLES"
_VERSION = 4
_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "u4"),
        ("header_size", "u4"),
        ("slot_size", "u4"),
        ("capacity", "u4"),
        ("used", "u4"),
        ("dropped", "u4"),
        ("node_size", "u4"),
        ("node_capacity", "u4"),
        ("nodes", "u4"),
        ("lost_calls", "u4"),
        ("unmatched", "u8"),
        ("slots_at", "u8"),
        ("nodes_at", "u8"),
        ("last", "u8"),
        ("current", "u8"),
        ("reserved", "u8", 5),
    ]
)
_SLOT = np.dtype(
    [
        ("executions", "u8"),
        ("fell", "u8"),
        ("pc", "u4"),
        ("falls_to", "u4"),
        ("most", "u4"),
        ("flow", "u4"),
        ("hash", "u8"),
        ("fall_through", "u4"),
        ("instructions", "u4"),
        ("last", "u4"),
        ("has_uncosted", "u4"),
        ("reserved", "u8"),
    ]
)
_NODE = np.dtype(
    [
        ("calls", "u8"),
        ("cycles", "u8"),
        ("parent", "i4"),
        ("entry", "u4"),
        ("call_site", "u4"),
        ("reserved", "u4"),
    ]
)
_NOWHERE = 1

FILE_BYTES = _HEADER.itemsize + 65536 * _SLOT.itemsize + 16384 * _NODE.itemsize
"""Of the plugin's file, with the slots and nodes that it has by default."""


def read_counters(file: Path | int, at: int | None = None) -> list[BlockCount]:
    """Read all blocks that ran so far from the counter file, given by path or file descriptor.

    The device must be stopped. Blocks of one address but other code (self-modified) stay apart.
    `at`: where it stopped. Whether the last branch was taken is known when the next block begins;
    with `at` the one that led there counts already.
    """
    with _opened(file) as descriptor:
        header = _header(descriptor)
        if header["dropped"]:
            raise LinkFailure(
                f"the cycle counts are incomplete: {header['dropped']} blocks found no room beside "
                f"{header['capacity']}"
            )
        slots = _slots(descriptor, header)
        conditional = slots["falls_to"] != _NOWHERE
        taken = (slots["executions"] - slots["fell"]) * conditional
        if _undecided(slots, header, at):
            taken[_last_slot(header)] -= 1
    ran = slots["executions"] > 0
    columns = [slots["pc"], slots["instructions"], slots["most"] - conditional]
    columns += [slots["executions"], taken]
    rows = zip(*(column[ran].tolist() for column in columns), strict=True)
    return [BlockCount(*row) for row in rows]


def read_calls(file: Path | int, at: int | None = None) -> list[CallNode]:
    """Read the call tree so far, by path or file descriptor; the device must be stopped.

    Parents come before their children, and nodes keep their index from one reading to the next.
    All cycles together are those of all blocks, read with the same `at`. Raises LinkFailure where
    calls found no room.
    """
    with _opened(file) as descriptor:
        header = _header(descriptor)
        if header["lost_calls"]:
            raise LinkFailure(
                f"the call tree is incomplete: {header['lost_calls']} calls found no room beside "
                f"{header['node_capacity']} nodes, or were nested too deep"
            )
        start = _HEADER.itemsize + int(header["capacity"]) * _SLOT.itemsize
        nodes = _rows(descriptor, _NODE, int(header["nodes"]), start)
        if _undecided(_slots(descriptor, header), header, at):
            where = int(header["current"]) - int(header["nodes_at"])
            nodes["cycles"][where // _NODE.itemsize] -= 1
    columns = [nodes[name].tolist() for name in ("parent", "entry", "call_site")]
    columns += [nodes[name].tolist() for name in ("calls", "cycles")]
    return [CallNode(*row) for row in zip(*columns, strict=True)]


def unmatched_returns(file: Path | int) -> int:
    """Returns so far that went where no call came from; their cycles may be a callee's."""
    with _opened(file) as descriptor:
        return int(_header(descriptor)["unmatched"])


@contextmanager
def _opened(file: Path | int) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDONLY) if isinstance(file, Path) else file
    try:
        yield descriptor
    finally:
        if isinstance(file, Path):
            os.close(descriptor)


def _rows(descriptor: int, kind: np.dtype[Any], count: int, start: int) -> Any:
    """What is used of the file: the rest of it is room, of megabytes."""
    held = os.pread(descriptor, count * kind.itemsize, start)
    return np.frombuffer(bytearray(held), kind, count)


def _header(descriptor: int) -> Any:
    if os.fstat(descriptor).st_size < _HEADER.itemsize:
        raise LinkFailure("the cycle counter file is too short: the plugin did not start")
    header = _rows(descriptor, _HEADER, 1, 0)[0]
    if (
        header["magic"] != _MAGIC
        or header["version"] != _VERSION
        or header["header_size"] != _HEADER.itemsize
        or header["slot_size"] != _SLOT.itemsize
        or header["node_size"] != _NODE.itemsize
    ):
        raise LinkFailure(
            "the cycle counter is of another version of picotrain; run `make firmware`"
        )
    return header


def _slots(descriptor: int, header: Any) -> Any:
    return _rows(descriptor, _SLOT, int(header["used"]), _HEADER.itemsize)


def _last_slot(header: Any) -> int:
    """Number of the slot of the block that ran last, negative before any."""
    # Both are addresses in QEMU; before any block, that of something else.
    number, rest = divmod(int(header["last"]) - int(header["slots_at"]), _SLOT.itemsize)
    return number if rest == 0 and number < header["used"] else -1


def _undecided(slots: Any, header: Any, at: int | None) -> bool:
    """Whether the plugin counts the last block as left by its branch, but it was not, as far as
    known: it fell through to `at`, or nobody knows."""
    number = _last_slot(header)
    if number < 0 or slots["falls_to"][number] == _NOWHERE:
        return False
    return at is None or int(slots["falls_to"][number]) == at


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


def call_difference(after: Sequence[CallNode], before: Sequence[CallNode]) -> list[CallNode]:
    """What ran between two readings of the same run: the nodes of `after`, at their indices."""
    if len(after) < len(before):
        raise ValueError(f"{len(before)} nodes before, but only {len(after)} after")
    nodes = list(after)
    for index, (now, then) in enumerate(zip(after, before, strict=False)):
        same = (now.parent, now.entry, now.call_site) == (then.parent, then.entry, then.call_site)
        if not same or now.calls < then.calls or now.cycles < then.cycles:
            raise ValueError(f"node {index} is not a later reading of the same run's")
        nodes[index] = replace(now, calls=now.calls - then.calls, cycles=now.cycles - then.cycles)
    return nodes


class Counted:
    """What counts of a firmware: not where it waits, nor where it sums its memory around a command.

    None, of a target that counts nothing, stays None.
    """

    def __init__(self, elf: Elf) -> None:
        self._elf = elf

    @cached_property
    def _outside(self) -> list[range]:
        at = self._elf.symbol
        return [range(at(f"pt_{x}_start"), at(f"pt_{x}_end")) for x in ("idle", "guard")]

    def _there(self, pc: int) -> bool:
        return not any(pc in part for part in self._outside)

    def blocks(self, found: list[BlockCount] | None) -> list[BlockCount] | None:
        return None if found is None else [one for one in found if self._there(one.pc)]

    def calls(self, found: list[CallNode] | None) -> list[CallNode] | None:
        if found is None:
            return None
        return [node if self._there(node.entry) else replace(node, cycles=0) for node in found]


def total(blocks: Iterable[BlockCount], exclude: Sequence[tuple[int, int]] = ()) -> int:
    """Cycles of all blocks that do not start in one of the ranges `exclude` (first, end)."""
    return sum(
        block.total_cycles
        for block in blocks
        if not any(low <= block.pc < high for low, high in exclude)
    )
