"""Where the built parts are, and what to do when they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

from picotrain.errors import BuildFailure
from picotrain.image import making
from picotrain.image.elf import Elf, open_elf
from picotrain.places import BUILD, IN_CHECKOUT, NO_ROOM, SHIPPED, comes_built

HOST = BUILD / "host" / "picotrain-host"
HOST_TUNED = BUILD / "host-tuned" / "picotrain-host"
HOST_CORES = BUILD / "host-cores" / "picotrain-host"
HOST_CORES_THREADS = BUILD / "host-cores-threads" / "picotrain-host"
HOST_SANITIZED = BUILD / "host-sanitized" / "picotrain-host"
HOST_TUNED_SANITIZED = BUILD / "host-tuned-sanitized" / "picotrain-host"
MICROBIT = comes_built("microbit/picotrain.elf")
MICROBIT_PORTABLE = comes_built("microbit-portable/picotrain.elf")
MICROBIT_DENSE = comes_built("microbit-dense/picotrain.elf")
MICROBIT_LARGE = comes_built("microbit-large/picotrain.elf")
MICROBIT_CHAIN = comes_built("microbit-chain/picotrain.elf")
MICROBIT_AFFINE = comes_built("microbit-affine/picotrain.elf")
RP2040 = comes_built("rp2040/picotrain.elf")
RP2040_CORES = comes_built("rp2040-cores/picotrain.elf")
RP2040_CHAIN = comes_built("rp2040-chain/picotrain.elf")
RP2040_AFFINE = comes_built("rp2040-affine/picotrain.elf")
STANDALONE = comes_built("standalone/picotrain.elf")
"""The program of a device that stands alone (firmware/examples/standalone)."""
RP2040_ROM = comes_built("rp2040/rom.bin")
"""Our model of the boot ROM (emulation/rom), for emulators of the whole chip."""
CYCLE_PLUGIN = BUILD / "qemu" / "cycles.so"

_RP2040_ONE_FORM = {"chain": RP2040_CHAIN, "affine": RP2040_AFFINE}
FORMS = tuple(_RP2040_ONE_FORM)
"""The kernels that know networks of one form alone, as `--kernels` names them."""
ONE_FORM = {
    "qemu": {"chain": MICROBIT_CHAIN, "affine": MICROBIT_AFFINE},
    "rp2040js": _RP2040_ONE_FORM,
    "serial": _RP2040_ONE_FORM,
}
"""By backend: what knows networks of one form alone, for less RAM, as `--kernels` names it."""

_BOARDS = (
    *(MICROBIT, MICROBIT_PORTABLE, MICROBIT_DENSE, MICROBIT_LARGE),
    *(MICROBIT_CHAIN, MICROBIT_AFFINE, RP2040, RP2040_CORES, RP2040_CHAIN, RP2040_AFFINE),
    STANDALONE,
)

_SANITIZED = (HOST_SANITIZED, HOST_TUNED_SANITIZED, HOST_CORES_THREADS)

PICO_RAM = 264 * 1024
MODEL_FLASH = 1024 * 1024
"""Of a Pico's 2 MiB, the second: for a model that stays in flash."""
_ARENA_WITHOUT_RP2040 = 200 * 1024


def require(path: Path) -> Path:
    """The path of something built; an installed picotrain builds it now if need be.

    Raises BuildFailure naming the command that builds it, or what that wants.
    """
    if path.is_file():
        return path
    if IN_CHECKOUT:
        goal = "sanitized" if path in _SANITIZED else "firmware"
        raise BuildFailure(f"{path.relative_to(SHIPPED)} is not built; run `make {goal}`")
    recipe = making.recipe_of(path)
    if recipe is None:
        raise BuildFailure(f"there is no {path}; install picotrain again")
    return making.make(path, recipe)


def missing(*paths: Path | None) -> str:
    """What to do before `require` gives these; empty where it does."""
    absent = [path for path in paths if path is None or not path.is_file()]
    if not absent:
        return ""
    if IN_CHECKOUT:
        cross = any(path is not None and path in (*_BOARDS, RP2040_ROM) for path in absent)
        lacks = cross and shutil.which("arm-none-eabi-gcc") is None
        first = "install the package gcc-arm-none-eabi, then " if lacks else ""
        return f"{first}run `make firmware`"
    packages: list[str] = []
    for path in absent:
        recipe = None if path is None else making.recipe_of(path)
        if recipe is None:
            return "install picotrain again"
        packages += [one for one in making.lacking(recipe) if one not in packages]
    return making.install(packages) if packages else NO_ROOM


def layout() -> Elf:
    """An image to read the layout of blobs from, which is one for all machines: preferably that
    of the host, but nothing is compiled for it where another is there."""
    shipped = not IN_CHECKOUT and not HOST.is_file() and MICROBIT.is_file()
    return open_elf(MICROBIT if shipped else require(HOST))


def pico_arena_bytes() -> int:
    """What code, static data and stack leave of a Pico's 264 KiB: the arena of its image `rp2040`,
    whole and of one core. QEMU's, which has no clocks, USB and flash to drive, leaves some KB more.

    Without that build (no ARM compiler) a round number below it.
    """
    return _ARENA_WITHOUT_RP2040 if missing(RP2040) else arena_bytes(require(RP2040))


def arena_bytes(image: Path) -> int:
    """What code, static data and stack of an image leave of the SRAM that it was linked for."""
    elf = open_elf(image)
    return elf.symbol("pt_arena_end") - elf.symbol("pt_arena_start")
