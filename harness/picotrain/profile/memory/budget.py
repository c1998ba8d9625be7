"""Ceilings on memory, and what exceeds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from picotrain import places
from picotrain.device.blob import blob_size
from picotrain.errors import UserError
from picotrain.inputs import read_json
from picotrain.learn import models
from picotrain.profile.memory.arena import default_method
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.stack import worst_stack
from picotrain_golden import MethodName, Network, plan

BUDGET = places.SHIPPED / "tests" / "baselines" / "memory.json"


@dataclass(frozen=True)
class MethodBudget:
    """Bytes of the arena for one method; `total` is the least arena, io for one image included."""

    transient: int
    scores: int
    total: int


@dataclass(frozen=True)
class Budget:
    """Ceilings, or what there is now, in bytes.

    `code` is what start-up copies to SRAM without the alignment after it, which would hide growth
    of up to 1 KiB; `static` is .bss and what outlives a reset; `stack` the static worst case,
    interrupt and exception included.
    """

    code: int
    static: int
    stack: int
    methods: dict[str, MethodBudget]


def read_budget(path: Path = BUDGET) -> Budget:
    """The ceilings in a file. Raises UserError where it is missing or no budget."""
    what = f"{path} is no memory budget"
    fix = "name one such as tests/baselines/memory.json"
    content = read_json(path, fix)
    try:
        kept = {name: MethodBudget(**one) for name, one in content["methods"].items()}
        found = Budget(content["code"], content["static"], content["stack"], kept)
    except KeyError as error:
        raise UserError(f"{what}: it has no {error.args[0]!r}; {fix}") from error
    except (TypeError, AttributeError) as error:
        raise UserError(f"{what}: its parts differ; {fix}") from error
    for part in (found, *kept.values()):
        for name, value in vars(part).items():
            if name != "methods" and type(value) is not int:
                raise UserError(f"{what}: its {name} {value!r} is no whole number; {fix}")
    return found


def present(image: Image, network: Network | None = None) -> Budget:
    """What the image takes now, and each method on `network` (tinycnn), with default options."""
    network = network or models.initial_network(models.resolve(models.DEFAULT), seed=0)
    sections = {section.name: section.bytes for section in image.sections().sections}
    planned = {}
    for name in get_args(MethodName):
        one = plan(network, default_method(name), blob_size(network, image.symbols))
        planned[name] = MethodBudget(one.transient, one.scores, one.total)
    code = sections[".text"] + sections.get(".data", 0)
    static = sections[".bss"] + sections.get(".kept", 0)
    return Budget(code, static, worst_stack(image).total, planned)


def check_budget(budget: Budget, now: Budget) -> list[str]:
    """One sentence for each ceiling that is exceeded, and for each method without one."""
    sentences = []

    def compare(what: str, ceiling: int, size: int) -> None:
        if size > ceiling:
            sentences.append(
                f"{what}: {size:,} bytes, {size - ceiling:,} more than the {ceiling:,} allowed"
            )

    for what in ("code", "static", "stack"):
        compare(what, getattr(budget, what), getattr(now, what))
    for name, sizes in now.methods.items():
        if name not in budget.methods:
            sentences.append(f"{name}: no ceiling; add one to the budget")
            continue
        for part, size in asdict(sizes).items():
            compare(f"{name} {part}", getattr(budget.methods[name], part), size)
    return sentences
