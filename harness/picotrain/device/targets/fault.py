"""What a fault left, in words: `struct pt_fault` of firmware/boards/cortex_m0. And whether the
process of a device was stopped, which leaves nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from picotrain.errors import CrashFailure, TimeoutFailure
from picotrain.image.elf import Elf

_STACKED = ("r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr")
_HIGH = tuple(f"r{n}" for n in range(4, 12))


LOOK_SECONDS = 0.5
"""From one look at a device's process to the next."""
_STOPPED_LOOKS = 6


class Watch:
    """Looks at the process of a device that is waited for: one that SIGSTOP stopped would be waited
    for as long as its work might take. Where processes show no state it sees nothing."""

    def __init__(self, pid: int, what: str) -> None:
        self._state = Path(f"/proc/{pid}/stat")
        self._what = f"{what} (process {pid})"
        self._stopped = 0

    def look(self) -> None:
        """Raise TimeoutFailure where it is stopped, and was at the looks before."""
        try:
            said = self._state.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        state = said.rpartition(")")[2].split()[0]
        # By looks, not by the clock: Ctrl-Z stops us too, and we go on together.
        self._stopped = self._stopped + 1 if state == "T" else 0
        if self._stopped == _STOPPED_LOOKS:
            raise TimeoutFailure(f"{self._what} was stopped by a signal and does not go on")


def read_fault(data: bytes, elf: Elf) -> CrashFailure | None:
    """The crash that the record `data` tells of, with the places in the code; None: it tells none.

    Raises BuildFailure where the firmware keeps no such record.
    """
    layout = elf.dtype("pt_fault")
    if len(data) < layout.itemsize:
        return None
    fault = np.frombuffer(data, layout, count=1)[0]
    if fault["magic"] != elf.enum("pt_fault_format")["PT_FAULT_MAGIC"]:
        return None
    registers = {name: int(value) for name, value in zip(_STACKED, fault["stacked"], strict=True)}
    registers |= {name: int(value) for name, value in zip(_HIGH, fault["high"], strict=True)}
    registers["sp"] = int(fault["sp"])
    place = elf.symbolise(registers["pc"])
    message = (
        f"the device faulted in {place} (pc {registers['pc']:#010x}), "
        f"lr in {elf.symbolise(registers['lr'])}, sp {registers['sp']:#010x}"
    )
    return CrashFailure(message, registers, place)
