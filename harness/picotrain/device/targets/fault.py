"""What a fault left, in words: `struct pt_fault` of firmware/boards/cortex_m0."""

from __future__ import annotations

import numpy as np

from picotrain.errors import CrashFailure
from picotrain.image.elf import Elf

_STACKED = ("r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr")
_HIGH = tuple(f"r{n}" for n in range(4, 12))


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
