"""Where the built parts are, and what to say when they are not."""

from __future__ import annotations

from pathlib import Path

from picotrain.errors import BuildFailure
from picotrain.image.elf import open_elf
from picotrain.places import BUILD, SHIPPED

HOST = BUILD / "host" / "picotrain-host"
HOST_TUNED = BUILD / "host-tuned" / "picotrain-host"
HOST_SANITIZED = BUILD / "host-sanitized" / "picotrain-host"
HOST_TUNED_SANITIZED = BUILD / "host-tuned-sanitized" / "picotrain-host"
MICROBIT = BUILD / "microbit" / "picotrain.elf"
MICROBIT_PORTABLE = BUILD / "microbit-portable" / "picotrain.elf"
MICROBIT_DENSE = BUILD / "microbit-dense" / "picotrain.elf"
MICROBIT_LARGE = BUILD / "microbit-large" / "picotrain.elf"
RP2040 = BUILD / "rp2040" / "picotrain.elf"
RP2040_ROM = BUILD / "rp2040" / "rom.bin"
"""Our model of the boot ROM (emulation/rom), for emulators of the whole chip."""
CYCLE_PLUGIN = BUILD / "qemu" / "cycles.so"

PICO_RAM = 264 * 1024
MODEL_FLASH = 1024 * 1024
"""Of a Pico's 2 MiB, the second: for a model that stays in flash."""
_ARENA_WITHOUT_MICROBIT = 240 * 1024


def require(path: Path) -> Path:
    """The path of something built. Raises BuildFailure naming the command that builds it."""
    if not path.is_file():
        goal = "sanitized" if path in (HOST_SANITIZED, HOST_TUNED_SANITIZED) else "firmware"
        raise BuildFailure(f"{path.relative_to(SHIPPED)} is not built; run `make {goal}`")
    return path


def pico_arena_bytes() -> int:
    """What code, static data and stack leave of 264 KiB: the microbit build's arena.

    Without that build (no ARM compiler) a round number below it.
    """
    if not MICROBIT.is_file():
        return _ARENA_WITHOUT_MICROBIT
    return arena_bytes(MICROBIT)


def arena_bytes(image: Path) -> int:
    """What code, static data and stack of an image leave of the SRAM that it was linked for."""
    elf = open_elf(image)
    return elf.symbol("pt_arena_end") - elf.symbol("pt_arena_start")
