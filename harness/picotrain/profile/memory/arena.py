"""The arena's plan over time: which buffer lives through which operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from picotrain.device.blob import blob_size
from picotrain.image.elf import Elf
from picotrain.learn import plans
from picotrain_golden import Method, MethodName, Network, Plan, operations, plan


@dataclass(frozen=True)
class BufferLife:
    """A transient buffer: bytes at an offset, alive in operations `first` to `last`."""

    name: str
    bytes: int
    offset: int
    first: int
    last: int
    operations: tuple[str, ...]


@dataclass(frozen=True)
class OperationUse:
    """The bytes of the buffers that live through an operation; `peak`: no operation has more."""

    number: int
    name: str
    in_use: int
    peak: bool


@dataclass(frozen=True)
class Timeline:
    """The arena through one training step.

    `transient` can exceed `peak`, the most bytes in use at once: buffers do not move.
    """

    blob: int
    scores: int
    transient: int
    io_minimum: int
    peak: int
    buffers: tuple[BufferLife, ...]
    operations: tuple[OperationUse, ...]

    @property
    def total(self) -> int:
        """The least arena that does this step, with io for one image."""
        return self.blob + self.scores + self.transient + self.io_minimum


@dataclass(frozen=True)
class ArenaUse:
    """The least arena of a method on a plan (fast or lean), and what is left of the image's; below
    0 it does not fit.
    """

    method: str
    plan: str
    least: int
    left: int


def default_method(name: MethodName) -> Method:
    """A method with default options."""
    return Method(name)


def arena_uses(elf: Elf, network: Network) -> tuple[ArenaUse, ...]:
    """Every method with default options, on each plan that allows it."""
    room = elf.symbol("pt_arena_end") - elf.symbol("pt_arena_start")
    uses = []
    for method in map(default_method, get_args(MethodName)):
        for name in plans.NAMES:
            if plans.allows(name, method):
                least = plan(network, method, blob_in_arena(network, elf, name)).total
                uses.append(ArenaUse(method.name, name, least, room - least))
    return tuple(uses)


def blob_in_arena(network: Network, elf: Elf, plan_name: str) -> int:
    """Bytes of the network's blob that lie in the arena: none of them with plan lean."""
    return 0 if plan_name == "lean" else blob_size(network, elf)


def timeline_of_plan(planned: Plan, network: Network, method: Method) -> Timeline:
    """The timeline of golden's plan."""
    names = _operations(network, method)
    buffers = [(b.name, b.size, b.offset, b.first, b.last) for b in planned.buffers]
    sizes = (planned.blob, planned.scores, planned.transient, planned.io_minimum)
    return _timeline(sizes, names, buffers)


def timeline_of_record(record: Any, elf: Elf) -> Timeline:
    """The timeline of a device's struct pt_plan (`MailboxDevice.plan()`), by its ELF's enums."""
    kinds, memory = elf.enum("pt_operation_kind"), elf.enum("pt_memory_kind")
    special = int(elf.enum("pt_special_layer")["PT_INPUT_LAYER"])
    operations = [
        (kinds(int(one["kind"])).name.removeprefix("PT_").lower(), int(one["layer"]))
        for one in record["operation"][: int(record["operations"])]
    ]
    names = ["loss" if kind == "loss" else f"{kind} {layer}" for kind, layer in operations]
    buffers = []
    for one in record["buffer"][: int(record["buffers"])]:
        kind = memory(int(one["kind"])).name.removeprefix("PT_MEMORY_").lower()
        first, layer = int(one["first"]), int(one["layer"])
        if kind == "scratch":
            name = f"scratch {operations[first][0]}({layer})"
        else:
            name = f"{kind}[{-1 if layer == special else layer}]"
        buffers.append((name, int(one["size"]), int(one["offset"]), first, int(one["last"])))
    blob, scores = int(record["blob_size"]), int(record["scores_size"])
    transient, io_minimum = int(record["transient_size"]), int(record["io_minimum"])
    return _timeline((blob, scores, transient, io_minimum), names, buffers)


def _operations(network: Network, method: Method) -> list[str]:
    return [
        kind if kind == "loss" else f"{kind} {layer}" for kind, layer in operations(network, method)
    ]


def _timeline(
    sizes: tuple[int, int, int, int],
    names: list[str],
    buffers: list[tuple[str, int, int, int, int]],
) -> Timeline:
    in_use = [
        sum(size for _, size, _, first, last in buffers if first <= number <= last)
        for number in range(len(names))
    ]
    peak = max(in_use)
    return Timeline(
        *sizes,
        peak,
        tuple(
            BufferLife(name, size, offset, first, last, tuple(names[first : last + 1]))
            for name, size, offset, first, last in buffers
        ),
        tuple(
            OperationUse(number, name, used, used == peak)
            for number, (name, used) in enumerate(zip(names, in_use, strict=True))
        ),
    )
