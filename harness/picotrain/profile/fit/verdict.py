"""Whether a network fits a Pico, by inference and by each training method, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from picotrain.datasets import Split
from picotrain.device.blob import blob_size
from picotrain.device.given import check_form
from picotrain.device.meter import CLOCK_HZ
from picotrain.device.room import nearest, shortage
from picotrain.errors import UserError
from picotrain.image.elf import Elf
from picotrain.image.firmware import MODEL_FLASH
from picotrain.learn import plans
from picotrain.profile.fit.model import WORST, CostModel, Prediction
from picotrain.profile.fit.observe import observe
from picotrain_golden import Method, Network, plan

_TARGET = "rp2040js"
"""Whose images are those of a Pico, and its memory, which cannot be widened."""


@dataclass(frozen=True)
class Room:
    """A method with a plan: its bytes of the arena, and why it does not fit, or nothing."""

    plan: str
    ram: int
    flash: int
    """Of the model; the plan fast keeps none there."""
    because: str
    missing: int = 0
    """Bytes of RAM."""
    largest: str = ""
    """The buffer to make smaller where some are missing, in words."""


@dataclass(frozen=True)
class Verdict:
    """Of one method; `step` is None where the network cannot train by it, `because` says why.

    Rooms are those of the method as it is, fused or not; cycles always those of convolution and
    pool apart, which is what the cost model knows."""

    method: Method
    rooms: tuple[Room, ...]
    step: Prediction | None
    most: Prediction | None
    """With nothing left out, as no image may cost."""
    because: str

    @property
    def room(self) -> Room | None:
        """The first plan that fits."""
        return next((one for one in self.rooms if not one.because), None)

    @property
    def fits(self) -> bool:
        return self.step is not None and self.room is not None


@dataclass(frozen=True)
class Limits:
    """What a user wants it to fit; None: what a Pico has, and any time."""

    ms: float | None = None
    ram: int | None = None
    flash: int | None = None


def milliseconds(cycles: float) -> float:
    return cycles / CLOCK_HZ * 1000


def judge(
    model: CostModel,
    network: Network,
    method: Method,
    images: Split,
    elf: Elf,
    arena: int,
    limits: Limits | None = None,
) -> Verdict:
    """`arena`: bytes that the firmware leaves."""
    limits = limits or Limits()
    try:
        check_form(network, method)
    except UserError as error:
        return Verdict(method, (), None, None, str(error))
    rooms = tuple(
        _room(network, method, name, elf, arena, limits)
        for name in plans.NAMES
        if plans.allows(name, method)
    )
    apart = replace(method, fused=False)
    step = model.predict(network, apart, observe(network, apart, images))
    most = model.predict(network, apart, [[WORST] * len(network.layers)])
    verdict = Verdict(method, rooms, step, most, "")
    if verdict.room is None:
        because = rooms[-1].because + _instead(network, method, rooms[-1], elf, arena, limits)
        return Verdict(method, rooms, step, most, because)
    spent = milliseconds(step.total)
    if limits.ms is not None and spent > limits.ms:
        what = "an inference" if not method.trains else "a training step"
        took = above(spent, limits.ms)
        because = f"{what} takes {took} ms, more than the {limits.ms:.9g} of --ms"
        late = tuple(Room(one.plan, one.ram, one.flash, one.because or because) for one in rooms)
        return Verdict(method, late, step, most, because)
    return verdict


def above(spent: float, most: float) -> str:
    """Milliseconds as the table has them, or with the digits that show them to be more."""
    text = f"{spent:.1f}"
    return text if float(text) > most else f"{spent:.6g}"


def _store(lean: bool, limits: Limits) -> int | None:
    """Most bytes of the model; None: any number that SRAM holds. A limit on flash is one on every
    plan, as every model comes from there."""
    if limits.flash is not None:
        return min(MODEL_FLASH, limits.flash)
    return MODEL_FLASH if lean else None


def _room(
    network: Network, method: Method, name: str, elf: Elf, arena: int, limits: Limits
) -> Room:
    lean = name == "lean"
    size = blob_size(network, elf)
    need, flash = plan(network, method, 0 if lean else size).total, size if lean else 0
    because, missing, largest = "", 0, ""
    room = arena if limits.ram is None else min(arena, limits.ram)
    store = _store(lean, limits)
    if need > room:
        short = shortage(network, method, lean, room, elf, _TARGET)
        assert short is not None
        missing, largest = need - room, short.largest
        because = (
            f"{missing:,} bytes of RAM are missing: it needs {need:,} of {room:,}; the largest "
            f"buffer is {short.largest} with {short.numbers[2]:,}"
        )
    elif store is not None and size > store:
        because = f"{size - store:,} bytes of flash are missing: {size:,} of {store:,}"
    return Room(name, need, flash, because, missing, largest)


def _instead(
    network: Network, method: Method, last: Room, elf: Elf, arena: int, limits: Limits
) -> str:
    """The options with which there is room, where RAM alone is missing."""
    store = _store(last.plan == "lean", limits)
    if not last.missing or (store is not None and blob_size(network, elf) > store):
        return ""
    # Other firmware leaves more of a Pico's memory, and no more of a user's limit.
    room, target = (arena, _TARGET) if limits.ram is None else (min(arena, limits.ram), "")
    options, size = nearest(network, method, last.plan == "lean", room, elf, target)
    return f"; it fits with {options} {size}" if options else ""


def helps(network: Network, verdicts: Sequence[Verdict]) -> str:
    """What of all that was judged trains it, in a sentence."""
    trained = [one.method.name for one in verdicts if one.method.trains and one.fits]
    if trained:
        return f"{network.name} trains there with {', '.join(trained)}"
    infers = any(one.fits for one in verdicts)
    found = "infers there, and does not train" if infers else "does not fit"
    short = [
        (room.missing, one.method.name, room.largest)
        for one in verdicts
        for room in one.rooms[-1:]
        if room.missing and (one.method.trains or not infers)
    ]
    if not short:
        return f"{network.name} {found} by what was asked for"
    missing, name, largest = min(short)
    return (
        f"{network.name} {found}: {name} lacks the least, {missing:,} bytes; make {largest} "
        "smaller, by fewer channels or a smaller image"
    )
