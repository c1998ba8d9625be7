"""Which rows of which layers learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.method import Method
from picotrain_golden.network import Layer, Network

MAX_BYTES = 1024
"""Of a selection's bits."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Of each layer a bool array [rows]; None where it has no weights."""

    rows: tuple[NDArray[np.bool_] | None, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selection) or len(self.rows) != len(other.rows):
            return NotImplemented if not isinstance(other, Selection) else False
        return all(
            np.array_equal(one, two) if one is not None and two is not None else one is two
            for one, two in zip(self.rows, other.rows, strict=True)
        )

    def count(self, layer: int) -> int:
        """How many rows of a layer are selected."""
        rows = self.rows[layer]
        return 0 if rows is None else int(np.count_nonzero(rows))

    def check(self, network: Network) -> None:
        """Raise ValueError, in one sentence, where it is none for the network."""
        layers = network.layers
        if len(self.rows) != len(layers):
            raise ValueError(
                f"a selection of {len(self.rows)} layers is none for {network.name}, which has "
                f"{len(layers)}"
            )
        for index, (layer, rows) in enumerate(zip(layers, self.rows, strict=True)):
            _check_layer(index, layer, rows)
        if not any(self.count(index) for index in range(len(layers))):
            raise ValueError("a selection has one row at least, and this one has none")
        size = bit_bytes(network)
        if size > MAX_BYTES:
            raise ValueError(
                f"a selection of {network.name} takes {size} bytes, {MAX_BYTES} are the most"
            )

    def pack(self) -> bytes:
        """Bit `o % 8` of byte `o // 8` of each layer with weights, rounded up to 4 bytes."""
        return b"".join(
            np.packbits(rows, bitorder="little").tobytes() + bytes(-_bytes(rows.size) % 4)
            for rows in self.rows
            if rows is not None
        )

    @classmethod
    def unpack(cls, network: Network, data: bytes) -> Selection:
        """The selection that `pack` made these bytes of; ValueError where they are none."""
        size = bit_bytes(network)
        if len(data) != size:
            raise ValueError(
                f"a selection of {network.name} takes {size} bytes, and {len(data)} are given"
            )
        found: list[NDArray[np.bool_] | None] = []
        at = 0
        for layer in network.layers:
            if not layer.has_weights:
                found.append(None)
                continue
            end = at + _round4(_bytes(layer.rows))
            bits = np.unpackbits(np.frombuffer(data[at:end], np.uint8), bitorder="little")
            found.append(bits[: layer.rows].astype(np.bool_))
            at = end
        return cls(tuple(found))

    @classmethod
    def whole(cls, network: Network, layers: tuple[int, ...]) -> Selection:
        """All rows of these layers, and no others."""
        return cls(
            tuple(
                np.full(layer.rows, index in layers) if layer.has_weights else None
                for index, layer in enumerate(network.layers)
            )
        )


def _check_layer(index: int, layer: Layer, rows: NDArray[np.bool_] | None) -> None:
    if (rows is not None) != layer.has_weights:
        raise ValueError(
            f"layer {index}, {layer.kind}, has selected rows where it must not, or none"
        )
    if rows is not None and (rows.dtype != np.bool_ or rows.shape != (layer.rows,)):
        raise ValueError(
            f"the selection of layer {index} is bool of shape {(layer.rows,)}, "
            f"not {rows.dtype} of {rows.shape}"
        )


def _bytes(rows: int) -> int:
    return -(-rows // 8)


def _round4(size: int) -> int:
    return -(-size // 4) * 4


def bit_bytes(network: Network) -> int:
    """Bytes of a selection for the network."""
    return sum(_round4(_bytes(layer.rows)) for layer in network.layers if layer.has_weights)


def of_method(network: Network, method: Method, selection: Selection | None) -> Selection | None:
    """What is left of the selection under a method, checked: those that update nothing ignore it.

    Raises ValueError where it is none for the network, or the method takes none.
    """
    if selection is None:
        return None
    selection.check(network)
    if method.name == "priot-s":
        raise ValueError("priot-s has edges of its own choice, and takes no selection of rows")
    return selection if method.selects else None


def updated(network: Network, method: Method, selection: Selection | None) -> tuple[bool, ...]:
    """Of each layer, if a step of the method changes something of it."""
    if not method.goes_back or method.probes:
        return (False,) * len(network.layers)
    if selection is None:
        return tuple(layer.has_weights for layer in network.layers)
    return tuple(selection.count(index) > 0 for index in range(len(network.layers)))


def learning(network: Network, selection: Selection | None) -> tuple[bool, ...]:
    """Of each layer, if it learns: a row of it is selected, or it reads a layer that learns."""
    if selection is None:
        return network.learning
    return network.learning_from([selection.count(i) > 0 for i in range(len(network.layers))])
