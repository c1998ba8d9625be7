"""Whether a network and a method fit a device's memory, by golden's plan; and if not, what does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol, runtime_checkable

from picotrain.device.blob import blob_size
from picotrain.device.explain import refuse_blob, words_of_buffer
from picotrain.errors import CommandError
from picotrain.image.elf import Elf
from picotrain.image.firmware import (
    MODEL_FLASH,
    ONE_FORM,
    RP2040,
    RP2040_CORES,
    arena_bytes,
    layout,
)
from picotrain_golden import Method, MethodName, Network, Selection, copies, fused, plan

_INSTEAD: tuple[MethodName, ...] = ("priot", "priot-s", "infer")
"""Methods that are proposed where another does not fit, by what they can learn."""
_WIDE = ("golden", "host")
"""Targets whose memory --ram-kib sets."""


@runtime_checkable
class Roomy(Protocol):
    """A device that says how large its arena is."""

    name: str

    @property
    def elf(self) -> Elf: ...

    @property
    def arena_bytes(self) -> int: ...


@dataclass(frozen=True)
class Linked:
    """The room that an image leaves on a target, before a device runs it."""

    name: str
    elf: Elf

    @property
    def arena_bytes(self) -> int:
        return arena_bytes(self.elf.path)


@dataclass(frozen=True)
class Shortage:
    """What is needed, what there is, and what to do; `numbers` are those of PT_ERR_MEMORY."""

    need: int
    room: int
    advice: str
    subject: str
    numbers: tuple[int, ...]
    largest: str

    @property
    def sentence(self) -> str:
        return (
            f"{self.subject} needs {self.need:,} bytes and the device has {self.room:,}, so "
            f"{self.need - self.room:,} are missing; the largest buffer is {self.largest} with "
            f"{self.numbers[2]:,} bytes; {self.advice}"
        )

    def error(self) -> CommandError:
        return CommandError("SET_METHOD", "PT_ERR_MEMORY", self.numbers, self.sentence)


def need_of(network: Network, method: Method, elf: Elf, frozen: bool) -> int:
    """The least arena; `frozen`: with the weights in flash."""
    return plan(network, method, 0 if frozen else blob_size(network, elf)).total


def fits_flash(network: Network, elf: Elf | None = None) -> bool:
    """Whether the flash that a Pico has for a model holds this one."""
    return blob_size(network, elf or layout()) <= MODEL_FLASH


def shortage(
    network: Network,
    method: Method,
    frozen: bool,
    room: int,
    elf: Elf,
    target: str,
    choice: bool = True,
    selection: Selection | None = None,
    head: bool = False,
) -> Shortage | None:
    """None where it fits. Without `choice`, method and plan are not the user's to change.

    `head`: prototypes made the last layer.
    """
    in_arena = 0 if frozen else blob_size(network, elf)
    planned = plan(network, method, in_arena, selection, head)
    if planned.total <= room:
        return None
    kinds = elf.enum("pt_memory_kind")
    candidates = [
        (buffer.size, kinds[f"PT_MEMORY_{buffer.kind.upper()}"], buffer.layer & 0xFF)
        for buffer in planned.buffers
    ]
    copied = copies(network, method, selection, head)
    for index, layer in enumerate(network.layers):
        weights = 0 if frozen and not copied[index] else layer.weight_count
        candidates.append((weights, kinds["PT_MEMORY_WEIGHTS"], index))
        candidates.append((planned.score_bytes[index], kinds["PT_MEMORY_SCORES"], index))
    size, kind, where = max(candidates, key=lambda candidate: candidate[0])
    name = int(kind) << 8 | where
    kib = -(-planned.total // 1024)
    wider = f"give it --ram-kib {kib}" if target in _WIDE else f"use --target host --ram-kib {kib}"
    ways: list[str] = []
    if choice:
        # Of a selection its budgets are what is to be changed.
        selects = selection is not None and method.selects
        way = "select fewer rows" if selects else _way(network, method, frozen, room, elf, target)
        ways = [way] if way else []
    return Shortage(
        planned.total,
        room,
        ", or ".join([*(ways or (["use a smaller network"] if choice else [])), wider]),
        f"{network.name} with {method.name}{' and plan lean' if frozen else ''}",
        (planned.total, room, size, name),
        words_of_buffer(name, elf),
    )


def one_form(network: Network, elf: Elf, target: str) -> tuple[str, int]:
    """The kernels that know networks of this form alone, and the arena that they leave; "" where
    the target has none, they are not built, or they are what runs."""
    form = "affine" if network.affine else "chain"
    image = ONE_FORM.get(target.partition(":")[0], {}).get(form)
    if image is None or image == elf.path or not image.is_file():
        return "", 0
    return form, arena_bytes(image)


def nearest(
    network: Network, method: Method, frozen: bool, room: int, elf: Elf, target: str
) -> tuple[str, str]:
    """The fewest options with which this method fits, "" where it fits as it is, and its bytes in
    words, which are "" where nothing helps."""
    pairs = replace(method, fused=True)
    fuses = not method.fused and any(fused(network, pairs))
    form, wide = one_form(network, elf, target)
    leans = not frozen and not method.changes_weights and fits_flash(network, elf)
    ways = product((False, True)[: 1 + (wide > room)], (False, True)[: 1 + leans], (False, True))
    for narrow, lean, pair in sorted(ways, key=sum):
        if pair and not fuses:
            continue
        needed = need_of(network, pairs if pair else method, elf, frozen or lean)
        if needed <= (wide if narrow else room):
            options = ("--fused" * pair, "--plan lean" * lean, f"--kernels {form}" * narrow)
            size = f"{needed:,} of {wide:,} bytes" if narrow else f"{needed:,} bytes"
            return " ".join(filter(None, options)), f"({size})"
    return "", ""


def _one_core(elf: Elf) -> int:
    """The arena of the image for one core, where an image for two is what runs; else 0."""
    two = elf.path == RP2040_CORES and RP2040.is_file()
    return arena_bytes(RP2040) if two else 0


def _way(network: Network, method: Method, frozen: bool, room: int, elf: Elf, target: str) -> str:
    """What comes nearest to what was asked for and fits: one core, options, or another method with
    them."""
    one_core = _one_core(elf)
    if need_of(network, method, elf, frozen) <= one_core:
        return f"leave out --kernels cores: one core has {one_core:,} bytes"
    options, size = nearest(network, method, frozen, room, elf, target)
    if options:
        return f"use {options} {size}"
    for name in _INSTEAD:
        other = replace(Method(name), fused=method.fused)
        options, size = nearest(network, other, False, room, elf, target)
        if size:
            how = f"{name}{' with ' * bool(options)}{options} {size}"
            only = name == "infer" and method.trains
            return f"no method trains it there and only {how} fits" if only else f"use {how}"
    return ""


def missing(
    devices: Sequence[object], network: Network, method: Method, frozen: bool, choice: bool = True
) -> Shortage | None:
    """What the one with the least room lacks, and None where all have enough. CommandError where
    the flash has too little."""
    roomy = [one for one in devices if isinstance(one, Roomy)]
    if not roomy:
        return None
    if frozen and not fits_flash(network, roomy[0].elf):
        size = blob_size(network, roomy[0].elf)
        raise refuse_blob(network, size, MODEL_FLASH, roomy[0].elf, frozen)
    least = min(one.arena_bytes for one in roomy)
    return shortage(network, method, frozen, least, roomy[0].elf, roomy[-1].name, choice)


def check_room(
    device: object, network: Network, method: Method, frozen: bool = False, choice: bool = True
) -> None:
    """Raise CommandError, as the device would, where the method does not fit: before long work, and
    with all that is needed, where the refusal of a model tells of its weights only."""
    short = missing((device,), network, method, frozen, choice)
    if short is not None:
        raise short.error()
