"""The memory plan: docs/numerics.md section 11."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from picotrain_golden.generator import scored_counts
from picotrain_golden.method import Method
from picotrain_golden.network import Layer, Network
from picotrain_golden.sparse.selection import Selection, learning, of_method, updated

# docs/numerics.md section 11: channels that are made together, and the errors that 16 bits hold.
LANES = 8
MOST_POOL_LANES = 2048
ERROR_BUDGET = 258

TILE_WORDS, BAND_WORDS = 2048, 1536
"""Of an affine layer: half the elements of the patches of a tile; words of a band's channel."""

FACTOR_BYTES = 12
"""Bias, multiplier and shift of a row of a head that was made."""

BufferKind = Literal["activation", "error", "scratch", "places"]
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
    """Sizes in bytes of the arena's parts, in their order; `buffers` in the order of section 11.

    Where the blob is in flash, `blob` are the copies that stand in its place.
    """

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

    @property
    def activations(self) -> int:
        """All activations and places, before buffers are overlapped."""
        return sum(b.size for b in self.buffers if b.kind in ("activation", "places"))

    def largest(self) -> Buffer:
        """The largest transient buffer, the first of equals."""
        return max(self.buffers, key=lambda buffer: buffer.size)


def plan(
    network: Network,
    method: Method,
    blob_bytes: int,
    selection: Selection | None = None,
    head: bool = False,
) -> Plan:
    """The plan of a network (valid, as `network.validate` says), a method and a selection.

    `blob_bytes` 0: the blob is in flash. `head`: prototypes made the last layer. Raises ValueError
    for a selection that is none for network and method.
    """
    selection = of_method(network, method, selection)
    buffers = _place(_activations(network, method, selection) + _rest(network, method, selection))
    score_bytes = _score_bytes(network, method, selection)
    return Plan(
        blob=_round(blob_bytes or sum(copies(network, method, selection, head)), 8),
        scores=sum(score_bytes),
        transient=max(buffer.end for buffer in buffers),
        io_minimum=_round(prod(network.input_shape) + 1) + 8,
        buffers=buffers,
        score_bytes=score_bytes,
    )


def copies(
    network: Network, method: Method, selection: Selection | None = None, head: bool = False
) -> tuple[int, ...]:
    """Bytes that each layer takes among the copies of a model in flash: a head that was made, and
    weights of which a selection trains rows."""
    selection = of_method(network, method, selection)
    changed = [False] * len(network.layers)
    if selection is not None and method.changes_weights:
        changed = list(updated(network, method, selection))
    sizes = [
        _round(layer.weight_count) if one else 0
        for layer, one in zip(network.layers, changed, strict=True)
    ]
    if head:
        made = network.layers[-1]
        sizes[-1] = _round(made.weight_count) + FACTOR_BYTES * made.rows
    return tuple(sizes)


def fused(network: Network, method: Method) -> tuple[bool, ...]:
    """Of each layer, if it is a convolution that is one operation with its pool (section 17)."""
    if not method.fused or method.dynamic or network.affine:
        return (False,) * len(network.layers)
    pools = [layer.kind == "maxpool2" for layer in network.layers[1:]]
    return tuple(
        layer.kind == "conv2d" and layer.relu and pool
        for layer, pool in zip(network.layers, [*pools, False], strict=True)
    )


def _round(size: int, to: int = 4) -> int:
    return -(-size // to) * to


def _score_bytes(network: Network, method: Method, selection: Selection | None) -> tuple[int, ...]:
    layers = network.layers
    edges = [layer.weight_count for layer in layers]
    if method.name == "fisher":
        return tuple(8 * layer.rows for layer in layers)
    if method.name == "prototype":
        head = layers[-1]
        return (*(0 for _ in layers[:-1]), 4 * head.weight_count + 4 * head.rows)
    if not method.scored:
        return (0,) * len(edges)
    if selection is not None:
        chosen = [selection.count(i) * layer.row_length for i, layer in enumerate(layers)]
        return tuple(map(_chosen_bytes, layers, chosen))
    if method.name == "priot":
        return tuple(_round(n) for n in edges)
    return tuple(map(_chosen_bytes, layers, scored_counts(edges, method.permille)))


def _chosen_bytes(layer: Layer, scored: int) -> int:
    """Scores of some edges of a layer, and the bitmap that says of which."""
    bitmap = _round(layer.rows * _round(layer.row_length, 8) // 8)
    return _round(scored) + bitmap if scored else 0


def operations(
    network: Network, method: Method, selection: Selection | None = None
) -> list[tuple[OperationKind, int]]:
    """What a step does, in order: each operation's kind and layer."""
    selection = of_method(network, method, selection)
    count = len(network.layers)
    # A pool that is one operation with the convolution before it has none of its own.
    pooled = (False, *fused(network, method)[:-1])
    listed: list[tuple[OperationKind, int]] = [
        ("forward", index) for index in range(count) if not pooled[index]
    ]
    listed.append(("loss", count - 1))
    if method.goes_back:
        learns = learning(network, selection)
        updates = updated(network, method, selection)
        for index in range(count - 1, -1, -1):
            if learns[index] and network.learning_inputs(index, learns) and not pooled[index]:
                listed.append(("error", index))
            if updates[index]:
                listed.append(("update", index))
    return listed


def _last_uses(network: Network, method: Method, selection: Selection | None) -> list[int]:
    """Of each layer, the last operation that works on it: backward if there is one. A pool that is
    one operation with the convolution before it has that one's."""
    uses = [0] * len(network.layers)
    for number, (kind, index) in enumerate(operations(network, method, selection)):
        if kind != "loss":
            uses[index] = number
    for index, one in enumerate(fused(network, method)):
        if one:
            uses[index + 1] = uses[index]
    return uses


def _activations(network: Network, method: Method, selection: Selection | None) -> list[Buffer]:
    count = len(network.layers)
    steps = operations(network, method, selection)
    uses = _last_uses(network, method, selection)
    pairs = fused(network, method)
    # The loss, or the prediction, is the last to read the logits.
    ends = {count - 1: steps.index(("loss", count - 1))}
    for reader in range(count):
        for index in network.reads(reader):
            ends[index] = max(ends.get(index, 0), uses[reader])
    starts = {-1: 0}
    buffers = []
    kind: BufferKind
    for index in range(-1, count):
        after_pair = index > 0 and pairs[index - 1]
        if index >= 0:
            starts[index] = starts[index - 1] if after_pair else steps.index(("forward", index))
        if index >= 0 and pairs[index]:
            name, kind = f"places[{index}]", "places"
            size = -(-prod(network.layers[index + 1].out_shape) // 4)
        else:
            name, kind = f"activation[{index}]", "activation"
            size = prod(network.shape_of(index))
        buffers.append(Buffer(name, kind, index, _round(size), starts[index], ends[index]))
    return buffers


def _rest(network: Network, method: Method, selection: Selection | None) -> list[Buffer]:
    steps = operations(network, method, selection)
    uses = _last_uses(network, method, selection)
    learns = learning(network, selection)
    pairs = fused(network, method)
    scratches = []
    # The loss makes the error of the last layer, the last layer that reads a tensor that of others.
    starts: dict[int, int] = {}
    finished: dict[int, int] = {}
    for number, (kind, index) in enumerate(steps):
        layer = network.layers[index]
        if kind == "loss" and method.goes_back:
            starts[index] = finished[index] = number
        elif kind == "error":
            for made in network.learning_inputs(index, learns):
                starts.setdefault(made, number)
                finished[made] = number
        if pairs[index]:
            parts = _pooled_scratch(kind, layer)
        else:
            scratch = _affine_scratch if network.affine else _scratch
            parts = scratch(kind, layer, method)
        size = sum(_round(part) for part in parts)
        if size:
            name = f"scratch {kind}({index})"
            scratches.append(Buffer(name, "scratch", index, size, number, number))
    # Where nothing is done with an error (section 16, fisher), it ends with what finishes it.
    errors = [
        Buffer(
            f"error[{index}]",
            "error",
            index,
            _round(prod(network.layers[index].out_shape)),
            starts[index],
            max(uses[index], finished[index]),
        )
        for index in sorted(starts, reverse=True)
    ]
    return errors + scratches


def _scratch(operation: OperationKind, layer: Layer, method: Method) -> list[int]:
    """The parts of an operation's scratch, in bytes."""
    if operation == "loss" or not layer.has_weights:
        return []
    row, outputs, inputs = layer.row_length, prod(layer.out_shape), prod(layer.in_shape)
    convolution = layer.kind == "conv2d"
    if operation == "forward":
        whole = 4 * outputs if method.dynamic else 0
        if not convolution:
            return [whole, 4 * row, row]
        return [whole, *_conv2d_lists(layer, layer.in_shape, layer.padding[1], layer.out_shape[1])]
    if operation == "error":
        if not convolution:
            return [4 * inputs, row]
        padding = layer.kernel[1] - 1 - layer.padding[1]
        return [
            4 * inputs,
            *_conv2d_lists(layer, layer.out_shape, padding, layer.in_shape[1]),
        ]
    if not convolution:
        return [row, 4 * row + 4]
    gradient = 4 * (layer.weight_count if method.dynamic else row)
    return [gradient, row, 4 * _pairs(layer), 32, 8 * layer.positions, 8 * ERROR_BUDGET + 4]


def _pooled_scratch(operation: OperationKind, layer: Layer) -> list[int]:
    """The same of a convolution that is one operation with its pool (section 17)."""
    row, (height, width, rows) = layer.row_length, layer.out_shape
    in_width, in_channels = layer.in_shape[1:]
    lanes = 2 * LANES * layer.kernel[0] * layer.kernel[1]
    if operation == "forward":
        lists = _lists(layer, layer.in_shape, layer.padding[1], in_width * in_channels)
        lanes *= in_channels
        blocks = 2 if rows > LANES and lanes <= MOST_POOL_LANES else 1
        return [lists, blocks * lanes, 4 * LANES * width, blocks * 2 * LANES * width, row]
    if operation == "error":
        padding = layer.kernel[1] - 1 - layer.padding[1]
        lists = _lists(layer, layer.out_shape, padding, width // 2 * rows)
        return [lists, lanes * rows, 4 * in_width * max(in_channels, LANES), row]
    positions = (height // 2) * (width // 2)
    parts = [4 * row, row, 4 * _pairs(layer), 32, 8 * positions]
    return [*parts, 8 * min(positions, ERROR_BUDGET) + 4]


def _affine_scratch(operation: OperationKind, layer: Layer, _: Method) -> list[int]:
    """The same of an affine layer (sections 11 and 15), whatever the method."""
    if operation == "loss" or not layer.has_weights:
        return []
    row = layer.row_length
    if operation == "forward":
        return _affine_forward_scratch(layer)
    if operation == "error":
        return [4 * prod(layer.in_shape), row]
    return [4 * row, row]


def _affine_forward_scratch(layer: Layer) -> list[int]:
    row = _round(layer.row_length)
    positions = _round(layer.positions, 2)
    tile = min(positions, max(4, min(128, TILE_WORDS // row * 2)))
    parts = [row, 2 * row, 2 * row, 4 * tile, 2 * row * tile]
    if layer.kind != "depthwise" or layer.kernel != (3, 3):
        return parts
    height, width, _ = layer.out_shape
    down, across = layer.stride
    pitch = across * _round(width, 2) + 3 - across
    fit = (BAND_WORDS - pitch * (3 - down)) // (pitch * down + width)
    band = min(height, max(1, fit))
    return max(parts, [12, 4 * pitch * ((band - 1) * down + 3), 4 * (band * width + 1)], key=sum)


def _conv2d_lists(
    layer: Layer, source: tuple[int, ...], padding: int, target_width: int
) -> list[int]:
    """Lists of kernel-height rows of `source` [H, W, C], lanes, a row of accumulators, a row."""
    _, width, channels = source
    return [
        _lists(layer, source, padding, width * channels),
        2 * LANES * layer.kernel[0] * layer.kernel[1] * channels,
        4 * LANES * target_width,
        layer.row_length,
    ]


def _lists(layer: Layer, source: tuple[int, ...], padding: int, most: int) -> int:
    """Lists of kernel-height rows of `source`, of up to `most` values each."""
    return 4 * layer.kernel[0] * (2 * most + source[1] + 2 * padding + 2)


def _pairs(layer: Layer) -> int:
    """Words of the padded input: pairs of two elements, or one for each where channels are odd."""
    height, width, channels = layer.in_shape
    padded = (height + 2 * layer.padding[0]) * (width + 2 * layer.padding[1]) * channels
    return padded if channels % 2 else padded // 2


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
