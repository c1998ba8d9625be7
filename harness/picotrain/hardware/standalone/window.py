"""The second MiB of flash of a device that stands alone (firmware/examples/standalone/window.h)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from picotrain.device.blob import encode
from picotrain.device.given import check_form
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.room import need_of
from picotrain.errors import UserError
from picotrain.hardware.standalone.record import ERASED, Ring, method_bytes, record
from picotrain.image.elf import Elf
from picotrain.image.firmware import arena_bytes
from picotrain.image.uf2 import FLASH, Segment
from picotrain.learn.field.state import State
from picotrain_golden import Method, Network, validate

MOST_EVERY = 1_000_000
"""Images from one save to the next, as the line `every` takes them."""
_WIDE = 1 << 40
"""Of golden, which holds anything."""


@dataclass(frozen=True)
class Window:
    """What goes into flash: `parts` by address, for a UF2 file or an emulator; and its bytes.

    `room` is what is left behind the model, `learns` what a save of the device holds, `sectors` the
    sectors of flash that it takes; `ram` and `arena` are the SRAM that is needed and there.
    """

    parts: tuple[Segment, ...]
    model: int
    room: int
    learns: int
    sectors: int
    ram: int
    arena: int


def fill(
    backbone: Network, method: Method, elf: Elf, state: State | None = None, save_every: int = 0
) -> Window:
    """The flash of a device with a network that learns by a method, from nothing or a state.

    `elf` is the device's program. Of the method's step sizes the device has the first. With a state
    all older ones of the device go; without one its flash for them is left alone. UserError for
    what such a device refuses, or cannot hold.
    """
    numbers = elf.enum("pt_window_format")
    window = FLASH.stop - numbers["PT_WINDOW_SIZE"]
    ring = Ring(*(numbers[f"PT_WINDOW_{name}"] for name in ("SECTOR", "PAGE", "RING_SECTORS")))
    network = backbone if state is None else state.network_of(backbone)
    blob = encode(network, elf)
    most = numbers["PT_WINDOW_RING"] - numbers["PT_WINDOW_MODEL_AT"]
    if len(blob) > most:
        raise UserError(
            f"{network.name} is a model of {len(blob):,} bytes, and a device that stands alone has "
            f"{most:,} bytes of flash for it, so it is {len(blob) - most:,} bytes too large; use a "
            "smaller network"
        )
    _check_learns(network, method)
    needed, arena = _needed(network, method, elf), arena_bytes(elf.path)
    if needed > arena:
        raise UserError(
            f"{network.name} with {method.name} needs {needed:,} bytes of SRAM, and a device that "
            f"stands alone has {arena:,}, so {needed - arena:,} are missing; "
            f"{_smaller(network, method, elf, arena)}"
        )
    learns = _size_learned(network, method, elf, state)
    sectors = ring.sectors_of(learns, elf) if learns else 0
    if 2 * sectors > ring.sectors:
        raise UserError(
            f"what {network.name} learns by {method.name} takes {sectors} sectors of flash, and "
            f"twice that is more than the {ring.sectors} there are, so that no save could follow "
            "another; use priot-s, or a smaller network"
        )
    header = _header(network, method, len(blob), save_every, elf)
    parts = [Segment(window, header.ljust(numbers["PT_WINDOW_MODEL_AT"], ERASED) + blob)]
    if state is not None:
        content = record(network, method, state, ring, elf)
        # All of the ring: the boot ROM erases what it is given, and older states are behind it.
        parts.append(Segment(window + numbers["PT_WINDOW_RING"], content.ljust(ring.size, ERASED)))
    return Window(tuple(parts), len(blob), most - len(blob), learns, sectors, needed, arena)


def _header(network: Network, method: Method, size: int, save_every: int, elf: Elf) -> bytes:
    layout, numbers = elf.dtype("pt_window_header"), elf.enum("pt_window_format")
    header = np.zeros(1, layout)
    header["magic"], header["version"] = numbers["PT_WINDOW_MAGIC"], numbers["PT_WINDOW_VERSION"]
    header["model_size"], header["save_every"] = size, save_every
    header["method"] = np.frombuffer(method_bytes(method, elf), layout["method"])
    # A file's name may be any: the device says what it has of it.
    name = network.name.encode("ascii", "replace")[: numbers["PT_WINDOW_NAME"] - 1]
    header["name"][0, : len(name)] = np.frombuffer(name, header["name"].dtype)
    assert layout.fields is not None
    header["crc32"] = zlib.crc32(header.tobytes()[: layout.fields["crc32"][1]])
    return header.tobytes()


def _check_learns(network: Network, method: Method) -> None:
    """Raise UserError for a method that the network has not all that it needs for."""
    check_form(network, method)
    if method.dynamic or (network.affine and not method.trains):
        return
    try:
        validate(network)
    except ValueError as error:
        raise UserError(f"{error}; give --calibration and --dataset, or another network") from None
    if not network.calibrated:
        raise UserError(
            f"{network.name} has no static scales for {method.name}; give --calibration with the "
            "--dataset to make them from, or the --state of an adaptation, which has them"
        )


def _needed(network: Network, method: Method, elf: Elf) -> int:
    """Bytes of SRAM: weights that learn are copied into it, others stay in flash."""
    return need_of(network, method, elf, frozen=not method.changes_weights)


def _smaller(network: Network, method: Method, elf: Elf, arena: int) -> str:
    """What fits instead, by what it can learn."""
    for name in ("priot-s", "infer"):
        other = Method(name)
        if name != method.name and (needed := _needed(network, other, elf)) <= arena:
            only = "only infer fits, which learns nothing" if name == "infer" else f"use {name}"
            return f"{only} ({needed:,} bytes), or a smaller network"
    return "use a smaller network"


def _size_learned(network: Network, method: Method, elf: Elf, state: State | None) -> int:
    """Bytes of what learns. UserError for a state that the method would not have."""
    twin = GoldenDevice(elf, _WIDE)
    twin.load_model(network)
    twin.set_method(method)
    if state is not None:
        state.check_method(method)
        state.write_to(twin, network)
    if not (method.scored or method.changes_weights):
        return 0
    read = twin.scores if method.scored else twin.weights
    return sum(read(i).size for i, one in enumerate(network.layers) if one.has_weights)
