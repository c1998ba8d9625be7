"""The memory plan: docs/numerics.md section 11."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from golden.method import Method
from golden.network import Layer, Network

BufferKind = Literal["activation", "error", "scratch"]
OperationKind = Literal["forward", "loss", "error", "update"]


@dataclass(frozen=True)
class Buffer:
    """A transient buffer: `size` bytes at `offset`, in use from operation `first` to `last`."""

    name: str
    kind: BufferKind
    layer: int
    size: int
    first: int
    last: int
    offset: int = 0

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Plan:
    """Sizes in bytes of the arena's parts, in their order; `buffers` in the order of section 11."""

    blob: int
    scores: int
    transient: int
    io_minimum: int
    buffers: tuple[Buffer, ...]
    score_bytes: tuple[int, ...]

    @property
    def total(self) -> int:
        """The least arena that can train: io for one image."""
        return self.blob + self.scores + self.transient + self.io_minimum

    def largest(self) -> Buffer:
        """The largest transient buffer, the first of equals."""
        return max(self.buffers, key=lambda buffer: buffer.size)


def plan(network: Network, method: Method, blob_bytes: int) -> Plan:
    """The plan of a network (valid, as `network.validate` says) and a method."""
    buffers = _place(_activations(network, method) + _rest(network, method))
    score_bytes = tuple(_score_bytes(layer, method) for layer in network.layers)
    return Plan(
        blob=_round(blob_bytes, 8),
        scores=sum(score_bytes),
        transient=max(buffer.end for buffer in buffers),
        io_minimum=_round(prod(network.input_shape) + 1) + 8,
        buffers=buffers,
        score_bytes=score_bytes,
    )


def _round(size: int, to: int = 4) -> int:
    return -(-size // to) * to


def _score_bytes(layer: Layer, method: Method) -> int:
    if not layer.has_weights or not method.scored:
        return 0
    if method.name == "priot":
        return _round(layer.weight_count)
    scored = max(1, layer.weight_count * method.permille // 1000)
    return _round(scored) + _round(layer.rows * _round(layer.row_length, 8) // 8)


def _operations(network: Network, method: Method) -> list[tuple[OperationKind, int]]:
    count, first = len(network.layers), network.first_weighted
    operations: list[tuple[OperationKind, int]] = [("forward", index) for index in range(count)]
    operations.append(("loss", count - 1))
    if method.trains:
        for index in range(count - 1, first - 1, -1):
            if index > first:
                operations.append(("error", index))
            if network.layers[index].has_weights:
                operations.append(("update", index))
    return operations


def _last_uses(network: Network, method: Method) -> list[int]:
    """Of each layer, the last operation that works on it: backward if there is one."""
    uses = [0] * len(network.layers)
    for number, (kind, index) in enumerate(_operations(network, method)):
        if kind != "loss":
            uses[index] = number
    return uses


def _activations(network: Network, method: Method) -> list[Buffer]:
    uses = _last_uses(network, method)
    count = len(network.layers)
    shapes = (network.input_shape, *(layer.out_shape for layer in network.layers))
    return [
        Buffer(
            f"activation[{index}]",
            "activation",
            index,
            _round(prod(shape)),
            max(index, 0),
            uses[index + 1] if index + 1 < count else count,
        )
        for index, shape in enumerate(shapes, start=-1)
    ]


def _rest(network: Network, method: Method) -> list[Buffer]:
    uses = _last_uses(network, method)
    operations = _operations(network, method)
    errors = []
    scratches = []
    for number, (kind, index) in enumerate(operations):
        # The loss makes the error of the last layer, error(l) that of layer l-1.
        made = index if kind == "loss" else index - 1
        if method.trains and kind in ("loss", "error"):
            size = _round(prod(network.layers[made].out_shape))
            errors.append(Buffer(f"error[{made}]", "error", made, size, number, uses[made]))
        size = sum(_round(part) for part in _scratch(kind, network.layers[index], method))
        if size:
            name = f"scratch {kind}({index})"
            scratches.append(Buffer(name, "scratch", index, size, number, number))
    return errors + scratches


def _scratch(operation: OperationKind, layer: Layer, method: Method) -> list[int]:
    """The parts of an operation's scratch, in bytes."""
    if operation == "loss" or not layer.has_weights:
        return []
    conv = layer.kind == "conv2d"
    row, block = layer.row_length, layer.weight_count
    parts = []
    if operation == "forward":
        if conv:
            parts.append(row)
        if method.scored:
            parts.append(block if conv else row)
        if method.dynamic:
            parts.append(4 * prod(layer.out_shape))
    elif operation == "error":
        parts.append(4 * prod(layer.in_shape))
        if method.scored:
            parts.append(row)
    else:
        parts.append(4 * (block if conv and method.dynamic else row))
        parts.append(row)
    return parts


def _place(buffers: list[Buffer]) -> tuple[Buffer, ...]:
    """Largest first, each as low as those placed before it allow."""
    offsets: dict[int, int] = {}
    # sorted() is stable: equals keep the order of section 11.
    for number in sorted(range(len(buffers)), key=lambda number: -buffers[number].size):
        buffer = buffers[number]
        taken = sorted(
            (offset, offset + buffers[other].size)
            for other, offset in offsets.items()
            if buffers[other].first <= buffer.last and buffer.first <= buffers[other].last
        )
        offset = 0
        for start, end in taken:
            if offset + buffer.size <= start:
                break
            offset = max(offset, end)
        offsets[number] = offset
    return tuple(
        Buffer(b.name, b.kind, b.layer, b.size, b.first, b.last, offsets[number])
        for number, b in enumerate(buffers)
    )
