"""The one small protocol behind which every backend with a memory stands.

A target moves bytes and lets the device run; it knows nothing of commands or tensors, which are
`picotrain.device.mailbox`'s business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from picotrain.device.cycles import BlockCount, CallNode


class Target(Protocol):
    """A device, wherever it is.

    `connect` starts it and leaves it idle, waiting for a command, with its start-up code done.
    `run` lets it serve what stands in the mailbox until it is idle again. All addresses are the
    device's own.
    """

    name: str
    elf: Path
    """The firmware that runs, for symbols and DWARF."""

    def connect(self) -> None:
        """Start the device. Raises FlashFailure or LinkFailure."""

    def mailbox_address(self) -> int:
        """The mailbox's address in the device's memory."""

    def read(self, address: int, size: int) -> bytes:
        """Read `size` bytes. Raises LinkFailure where there is no such memory."""

    def write(self, address: int, data: bytes) -> None:
        """Write `data`. Raises LinkFailure where there is no such memory."""

    def run(self, timeout: float) -> None:
        """Run until idle.

        Raises TimeoutFailure after `timeout` seconds, CrashFailure on a fault.
        """

    def profile(self) -> list[BlockCount] | None:
        """Counters since `connect`, cumulative; None where the target cannot count cycles."""

    def calls(self) -> list[CallNode] | None:
        """The call tree since `connect`, cumulative; None where the target cannot follow calls."""

    def close(self) -> None:
        """Stop the device and free everything; may be called twice."""
