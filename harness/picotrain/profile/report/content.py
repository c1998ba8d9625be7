"""What the report shows, as numbers: the page and `--json` are made from this alone.

Cycles are those of the cycle model, means per image unless said otherwise; memory is in bytes;
accuracies and other shares are fractions of 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from picotrain.image.elf import Elf
from picotrain.image.firmware import PICO_RAM
from picotrain.profile.costs import node_names
from picotrain.profile.memory.arena import Timeline
from picotrain.profile.memory.budget import Budget
from picotrain.profile.memory.image import Section, Sections, Span
from picotrain.profile.memory.stack import StackReport
from picotrain.profile.profile import Profile, Samples, floor_ratio
from picotrain.profile.report.flame import FlameBox, flame_boxes
from picotrain.profile.report.run_file import Run
from picotrain_golden import Network

PICO_FLASH = 2 * 1024 * 1024


@dataclass(frozen=True)
class Subject:
    """What was profiled, and how: `images` were drawn by `seed` and rotated by `angle` degrees.

    `plan` is as `plans.named` says it; `plan_note` is what it asks a reader to know, if anything.
    """

    model: str
    method: str
    dataset: str
    angle: float
    seed: int
    images: int
    target: str
    command: str
    versions: dict[str, str]
    plan: str = "fast"
    plan_note: str = ""


@dataclass(frozen=True)
class Cost:
    """Mean cycles of an image, and the same at 125 MHz in milliseconds.

    `floor_ratio` is cycles per MAC over the arithmetic floor; None where there are no MACs.
    """

    cycles: float
    milliseconds: float
    cycles_per_mac: float | None = None
    floor_ratio: float | None = None


@dataclass(frozen=True)
class OperationCost:
    """One operation; `share` of all operations' cycles. `worst`: no zero is left out, if known."""

    layer: int
    kind: str
    phase: str
    cost: Cost
    worst: Cost | None
    share: float
    macs: int


@dataclass(frozen=True)
class StepCost:
    """What takes several operations, with their MACs; `worst` as in `OperationCost`."""

    cost: Cost
    worst: Cost | None
    macs: int


@dataclass(frozen=True)
class Ceiling:
    """Bytes taken of the bytes there are, or that the project allows itself."""

    name: str
    bytes: int
    limit: int
    of: str

    @property
    def share(self) -> float:
        return self.bytes / self.limit


@dataclass(frozen=True)
class MemoryUse:
    """`parts` of RAM add up to `total`; the sections are those of the linked image."""

    total: int
    limit: int
    parts: dict[str, int]
    ceilings: tuple[Ceiling, ...]
    sections: tuple[Section, ...]
    ram: tuple[Span, ...]


@dataclass(frozen=True)
class LayerName:
    index: int
    kind: str
    has_weights: bool


@dataclass(frozen=True)
class ReportContent:
    """Everything in the report. `train` is None for a method that does not train."""

    subject: Subject
    layers: tuple[LayerName, ...]
    run: Run | None
    train: StepCost | None
    infer: StepCost
    operations: tuple[OperationCost, ...]
    all_operations: StepCost
    dispatch: Cost
    flame: tuple[FlameBox, ...]
    flame_cycles: int
    """Of all images together."""
    arena: Timeline
    memory: MemoryUse
    stack: StackReport
    stack_painted: int | None


def report_content(
    subject: Subject,
    network: Network,
    run: Run | None,
    profile: Profile,
    worst: Profile | None,
    samples: Samples,
    elf: Elf,
    arena: Timeline,
    sections: Sections,
    stack: StackReport,
    budget: Budget | None,
) -> ReportContent:
    """Put together what was measured, without skipped zeros too if `worst` is given.

    `budget` holds the project's own ceilings, if known.
    """
    macs = profile.macs(train=True)

    def step(measure: Callable[[Profile], float], macs: int) -> StepCost:
        slow = None if worst is None else _cost(measure(worst), macs)
        return StepCost(_cost(measure(profile), macs), slow, macs)

    boxes = flame_boxes(samples.calls, node_names(samples.calls, elf))
    return ReportContent(
        subject=subject,
        layers=tuple(
            LayerName(index, layer.kind, layer.has_weights)
            for index, layer in enumerate(network.layers)
        ),
        run=run,
        train=None if profile.train is None else step(lambda one: one.train or 0.0, macs),
        infer=step(lambda one: one.infer, profile.macs(train=False)),
        operations=_operations(profile, worst),
        all_operations=step(lambda one: one.all_operations, macs),
        dispatch=_cost(profile.dispatch),
        flame=boxes,
        flame_cycles=sum(box.own for box in boxes),
        arena=arena,
        memory=_memory(profile.ram_bytes, arena, sections, stack, budget),
        stack=stack,
        stack_painted=profile.ram_bytes.get("stack"),
    )


def _cost(cycles: float, macs: int = 0) -> Cost:
    each = cycles / macs if macs else None
    return Cost(cycles, Profile.milliseconds(cycles), each, floor_ratio(cycles, macs))


def _operations(profile: Profile, worst: Profile | None) -> tuple[OperationCost, ...]:
    beside = profile.phases if worst is None else worst.phases
    return tuple(
        OperationCost(
            entry.layer,
            entry.kind,
            entry.phase,
            _cost(entry.cycles, entry.macs),
            None if worst is None else _cost(dense.cycles, entry.macs),
            entry.cycles / profile.all_operations,
            entry.macs,
        )
        for entry, dense in zip(profile.phases, beside, strict=True)
    )


def _memory(
    ram: dict[str, int | None],
    arena: Timeline,
    sections: Sections,
    stack: StackReport,
    budget: Budget | None,
) -> MemoryUse:
    known = {name: size for name, size in ram.items() if size is not None}
    total = known.pop("total")
    known.pop("network", None)  # the sum of parts that are shown
    bytes_of = {section.name: section.bytes for section in sections.sections}
    flash = sum(section.flash for section in sections.sections)
    room = next(span.bytes for span in sections.ram if span.name == "arena")
    ceilings = [
        Ceiling("RAM, all in", total, PICO_RAM, "the RP2040's 264 KB"),
        Ceiling("Flash", flash, PICO_FLASH, "the Pico's 2 MB"),
        Ceiling("Arena", arena.total, room, "the room between static data and stack"),
        Ceiling("Stack, worst case", stack.total, stack.reserved, "the reserved stack"),
    ]
    if budget is not None:
        code = bytes_of[".text"] + bytes_of.get(".data", 0)
        allowed = "the project's budget"
        ceilings += [
            Ceiling("Code in RAM", code, budget.code, allowed),
            Ceiling("Static data", bytes_of[".bss"], budget.static, allowed),
            Ceiling("Stack, worst case", stack.total, budget.stack, allowed),
        ]
    return MemoryUse(total, PICO_RAM, known, tuple(ceilings), sections.sections, sections.ram)
