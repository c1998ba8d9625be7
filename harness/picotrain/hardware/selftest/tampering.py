"""What stands between harness and device while a fault is planted: nothing on the device's side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.interface import BatchResult, Progress, TraceTensor, UInt8
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.base import Target

Write = Callable[[int, bytes], bytes | None]
"""Given address and bytes: what arrives there; None: nothing."""
Read = Callable[[int, int], int]
"""Given address and size: from where it is really read."""


class TamperedTarget:
    """A connected `Target`, on the way to which bytes may change. It does not close the target."""

    def __init__(self, inner: Target, elf: Path | None = None, moved: int = 0) -> None:
        """`elf`: what is taken for the firmware; `moved`: by so much its mailbox is missed."""
        self._inner = inner
        self.name = inner.name
        self.elf = elf or inner.elf
        self._moved = moved
        self.write_as: Write | None = None
        self.read_at: Read | None = None

    def connect(self) -> None:
        """It is connected."""

    def mailbox_address(self) -> int:
        return self._inner.mailbox_address() + self._moved

    def read(self, address: int, size: int) -> bytes:
        at = address if self.read_at is None else self.read_at(address, size)
        return self._inner.read(at, size)

    def write(self, address: int, data: bytes) -> None:
        given = data if self.write_as is None else self.write_as(address, data)
        if given is not None:
            self._inner.write(address, given)

    def run(self, timeout: float) -> None:
        self._inner.run(timeout)

    def profile(self) -> list[BlockCount] | None:
        return self._inner.profile()

    def calls(self) -> list[CallNode] | None:
        return self._inner.calls()

    def close(self) -> None:
        """Whoever opened the target closes it."""


Batch = tuple[UInt8, UInt8]
Post = tuple[str, Sequence[int]]


@dataclass
class Meddling:
    """What becomes of what a device is given; by default nothing."""

    batch: Callable[[UInt8, UInt8], Batch] = lambda images, labels: (images, labels)
    """Of a batch to train on."""
    command: Callable[[str, Sequence[int]], Post | None] = lambda name, words: (name, words)
    """What is posted instead of a command, if anything."""
    label: Callable[[int], int] = lambda label: label
    """Of a traced step."""
    undone: int | None = None
    """A layer whose weights are put back after a batch, as if it had not learned."""


class MeddledDevice(MailboxDevice):
    """The device at a target, which is given other things than the harness gave it."""

    def __init__(self, target: Target, meddling: Meddling) -> None:
        self.meddling = Meddling()
        super().__init__(target)
        self.meddling = meddling

    def command(self, name: str, arguments: Sequence[int] = (), timeout: float = 30.0) -> Any:
        post = self.meddling.command(name, arguments)
        return self._mailbox() if post is None else super().command(*post, timeout)

    def trace(self, image: UInt8, label: int) -> Iterator[TraceTensor]:
        return super().trace(image, self.meddling.label(label))

    def train(self, images: UInt8, labels: UInt8, progress: Progress | None = None) -> BatchResult:
        layer = self.meddling.undone
        before = None if layer is None else self.weights(layer)
        result = super().train(*self.meddling.batch(images, labels), progress)
        if layer is not None and before is not None:
            self.put_weights(layer, before)
        return result
