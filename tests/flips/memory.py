"""A device's memory by what lies there, for flipping bits in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from picotrain.device.blob import word_sum
from picotrain.device.mailbox import MailboxDevice
from picotrain.image.elf import Elf

WORKED_WITH = ("target", "exponent", "operation", "row", "scored", "row_shift", "result")
"""Of struct pt_trainer: what a step has in work. So have these, which a run may count in."""
COUNTED = ("saturation", "scale")


@dataclass(frozen=True)
class Span:
    """Bytes from `address` on."""

    address: int
    size: int


def field(elf: Elf, struct: str, name: str) -> Span:
    """Of a field in its struct."""
    fields = elf.dtype(struct).fields
    assert fields is not None
    return Span(int(fields[name][1]), fields[name][0].itemsize)


class Memory:
    """Where things are in a device with a loaded network and a method. Needs a target whose memory
    is all within reach: host, or an emulator."""

    def __init__(self, device: MailboxDevice) -> None:
        self.device = device
        self.target = device._target
        self.elf = device.elf

    @property
    def on_chip(self) -> bool:
        """It has code and a stack at addresses of its own."""
        return self.target.name != "host"

    @property
    def base(self) -> int:
        """What offsets count from: of a process its mailbox, which the next one has elsewhere."""
        return 0 if self.on_chip else self.device._address

    def flip(self, address: int, bit: int) -> None:
        """One bit of the byte there."""
        (byte,) = self.target.read(address, 1)
        self.target.write(address, bytes([byte ^ 1 << bit]))

    def app(self) -> int:
        """struct pt_app."""
        if self.on_chip:
            return self.elf.symbol("app")
        return self.device._address + field(self.elf, "pt_host_memory", "app").address

    def trainer(self) -> int:
        """struct pt_trainer."""
        return self.app() + field(self.elf, "pt_app", "trainer").address

    def guard(self) -> Span:
        """struct pt_guard."""
        at = field(self.elf, "pt_app", "guard")
        return Span(self.app() + at.address, at.size)

    def board(self) -> Span:
        """What the board said of its memory: struct pt_board_memory."""
        at = field(self.elf, "pt_app", "memory")
        return Span(self.app() + at.address, at.size)

    def trainer_fields(self, names: Iterable[str]) -> list[Span]:
        """Some of its fields."""
        found = [field(self.elf, "pt_trainer", name) for name in names]
        return [Span(self.trainer() + one.address, one.size) for one in found]

    def settings(self) -> list[Span]:
        """The trainer but for what a step changes: pointers, method, plan."""
        fields = self.elf.dtype("pt_trainer").fields
        assert fields is not None
        return self.trainer_fields(n for n in fields if n not in (*WORKED_WITH, *COUNTED))

    def reseal(self) -> None:
        """Makes the guard's sum that of what a test has written over the settings."""
        whole = self.target.read(self.trainer(), self.elf.dtype("pt_trainer").itemsize)
        method, counts, weights, work = (
            field(self.elf, "pt_trainer", name).address
            for name in ("method", "saturation", "weights", "target")
        )
        found = whole[:work] + whole[method:counts] + whole[weights:]
        at = self.guard().address + field(self.elf, "pt_guard", "trainer").address
        self.target.write(at, word_sum(found, self.elf).to_bytes(4, self.elf.byte_order))

    def word(self, address: int) -> int:
        """A pointer, as the device has it."""
        size = 4 if self.on_chip else 8
        return int.from_bytes(self.target.read(address, size), "little")

    def blob(self) -> Span:
        """The model where it was loaded."""
        (model,) = self.trainer_fields(["model"])
        at = self.word(model.address + field(self.elf, "pt_model", "blob").address)
        header = np.frombuffer(self.target.read(at, 24), self.elf.dtype("pt_model_header"))[0]
        return Span(at, int(header["size"]))

    def description(self) -> Span:
        """Header and layers of the blob."""
        at = self.blob().address
        header = self.elf.dtype("pt_model_header").itemsize
        layers = int(
            np.frombuffer(self.target.read(at, header), self.elf.dtype("pt_model_header"))[0][
                "layers"
            ]
        )
        return Span(at, header + layers * self.elf.dtype("pt_model_layer").itemsize)

    def weights(self) -> list[Span]:
        """Of each layer that has some, in the blob."""
        at = self.blob().address
        table = self.description()
        head = self.elf.dtype("pt_model_header").itemsize
        data = self.target.read(table.address + head, table.size - head)
        layers = np.frombuffer(data, self.elf.dtype("pt_model_layer"))
        return [
            Span(at + int(layer["weights_offset"]), int(layer["weights_size"]))
            for layer in layers
            if layer["weights_size"]
        ]

    def arena(self) -> Span:
        """All of it."""
        address, size = self.trainer_fields(["arena", "arena_size"])
        return Span(self.word(address.address), int(self._plain(size)))

    def scores(self) -> Span:
        """Scores and their index, or what a method gathers in their place."""
        plan = self.device.plan()
        return Span(self.arena().address + int(plan["blob_size"]), int(plan["scores_size"]))

    def transient(self) -> Span:
        """Activations, errors and scratch."""
        scores, plan = self.scores(), self.device.plan()
        return Span(scores.address + scores.size, int(plan["transient_size"]))

    def batch(self, images: int) -> Span:
        """Of so many images in the io window, with labels and results."""
        given = images * (int(self.device.plan()["image_size"]) + 1)
        result = self.elf.dtype("pt_result").itemsize
        return Span(self.device.window("IO")[0], given + -given % 4 + images * result)

    def mailbox(self, *names: str) -> list[Span]:
        """Fields of struct pt_mailbox."""
        found = [field(self.elf, "pt_mailbox", name) for name in names]
        return [Span(self.device._address + one.address, one.size) for one in found]

    def code(self) -> list[Span]:
        """Instructions and constants that the image's CRCs are of: in flash, and in SRAM."""
        symbol = self.elf.symbol
        return [
            Span(symbol(f"pt_{start}"), symbol(f"pt_{end}") - symbol(f"pt_{start}"))
            for start, end in (("image_start", "image_end"), ("code_start", "text_end"))
        ]

    def stack_guard(self) -> Span:
        """The last word that the stack would reach."""
        return Span(self.elf.symbol("pt_stack_start"), 4)

    def _plain(self, span: Span) -> int:
        return int.from_bytes(self.target.read(span.address, span.size), "little")
