"""A record of what was learned as `pt_store_save` leaves it (firmware/nn/pt_store.h), once more."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from picotrain.device.blob import encode, method_numbers
from picotrain.image.elf import Elf
from picotrain.learn.field.state import State
from picotrain_golden import Method, Network

ERASED = b"\xff"
_CRC = 4


@dataclass(frozen=True)
class Ring:
    """Sectors of flash that hold states; a record may go round their end."""

    sector: int
    page: int
    sectors: int

    @property
    def size(self) -> int:
        return self.sector * self.sectors

    def sectors_of(self, state_bytes: int, elf: Elf) -> int:
        """What a record with a state of so many bytes takes."""
        pages = int(elf.enum("pt_store_format")["PT_STORE_PAGES"]) + -(-state_bytes // self.page)
        return -(-pages * self.page // self.sector)


def method_bytes(method: Method, elf: Elf) -> bytes:
    """`struct pt_method`."""
    return _method_struct(method_numbers(method, elf), elf)


def _method_struct(numbers: dict[str, int], elf: Elf) -> bytes:
    fields = np.zeros(1, elf.dtype("pt_method"))
    for name, number in numbers.items():
        fields[name] = number
    return fields.tobytes()


def record(
    network: Network, method: Method, state: State, ring: Ring, elf: Elf, sequence: int = 1
) -> bytes:
    """The first record of a ring, whole sectors from the ring's first on.

    `network` is that of the state, `method` what the device trains it by: that of the state, its
    `mu` and `easy` excepted.
    """
    learned = b"".join(values.tobytes() for values in state.learned if values is not None)
    numbers = elf.enum("pt_store_format")
    header = np.zeros(1, elf.dtype("pt_store_header"))
    header["magic"], header["version"] = numbers["PT_STORE_MAGIC"], numbers["PT_STORE_VERSION"]
    header["sequence"] = sequence
    header["sectors"] = ring.sectors_of(len(learned), elf)
    header["mu"] = method.mu
    about = header["state"]
    about["magic"] = elf.enum("pt_checkpoint_format")["PT_CHECKPOINT_MAGIC"]
    about["model_crc"] = _model_crc(network, method, elf)
    about["method"] = _method_crc(method, elf)
    about["state_crc"], about["state_size"] = zlib.crc32(learned), len(learned)
    first = header.tobytes().ljust(ring.page - _CRC, ERASED)
    first += zlib.crc32(first).to_bytes(_CRC, "little")
    committed, not_void = bytes(ring.page), ERASED * ring.page
    whole = first + committed + not_void + learned
    return whole.ljust(int(header["sectors"][0]) * ring.sector, ERASED)


def _method_crc(method: Method, elf: Elf) -> int:
    """Of the method without its step size and what it does not use, as pt_method_bare has it."""
    used = {"kind", "easy"}
    if method.scored:
        used |= {"threshold", "start"}
    if method.name == "priot-s":
        used |= {"permille", "selection"}
    starts_drawn = method.scored and method.start == "normal"
    if starts_drawn or (method.name == "priot-s" and method.select == "random"):
        used.add("seed")
    numbers = method_numbers(method, elf)
    return zlib.crc32(_method_struct({name: numbers[name] for name in used}, elf))


def _model_crc(network: Network, method: Method, elf: Elf) -> int:
    """Of the blob, as its header has it, and then layer by layer of what is no state in it."""
    blob = encode(network, elf)
    header, entry = elf.dtype("pt_model_header"), elf.dtype("pt_model_layer")
    crc = int(np.frombuffer(blob, header, 1)["crc32"][0])
    factor = elf.dtype("pt_factor").itemsize
    for one in np.frombuffer(blob, entry, len(network.layers), header.itemsize):
        if not method.changes_weights:
            at = int(one["weights_offset"])
            crc = zlib.crc32(blob[at : at + int(one["weights_size"])], crc)
        at = int(one["factors_offset"])
        crc = zlib.crc32(blob[at : at + int(one["factors"]) * factor], crc)
    return crc
