"""An imported network on a target, and TFLite Micro with the file that it is from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import numpy as np

from picotrain.convert.importer import Imported
from picotrain.convert.operators import quantised
from picotrain.convert.tflm import Reference
from picotrain.device.backends import open_device
from picotrain.errors import UserError
from picotrain_golden import Method, Network
from picotrain_golden.numerics import Int8
from picotrain_golden.passes import forward_pass

GOLDEN = "golden"
_MOST_BYTES = 1 << 30
"""Of made-up images."""

Run = Callable[[Int8], list[Int8]]
"""One image int8 [H, W, C] -> the output of each layer, flat."""


@dataclass(frozen=True)
class Difference:
    """The first element that differs, in the order of computation."""

    image: int
    layer: int
    kind: str
    tensor: int
    name: str
    element: tuple[int, ...]
    expected: int
    actual: int

    def __str__(self) -> str:
        return (
            f"tensor {self.tensor}, {self.name!r} (layer {self.layer}, {self.kind}), element "
            f"{list(self.element)} for input {self.image}: TFLite Micro has {self.expected}, "
            f"here it is {self.actual}"
        )


@dataclass(frozen=True)
class Outcome:
    """`tensors` of each input, and all `elements` of all inputs, that were compared."""

    images: int
    tensors: int
    elements: int
    difference: Difference | None


def random_inputs(imported: Imported, count: int, seed: int) -> Int8:
    """int8 [N, H, W, C]: three constant images that reach furthest, then noise of three kinds."""
    random = np.random.default_rng(seed)
    shape = imported.network.input_shape
    if count * prod(shape) > _MOST_BYTES:
        raise UserError(
            f"{count:,} made-up images of {prod(shape):,} bytes are more than {_MOST_BYTES:,} "
            "bytes; use a smaller --random"
        )
    zero = quantised(imported.input)[1]
    images = random.integers(-128, 128, (count, *shape), np.int8)
    for number, image in enumerate(images):
        if number % 3 == 1:  # faint
            image[...] = np.clip(np.rint(random.normal(zero, 20, shape)), -128, 127)
        elif number % 3 == 2:  # sparse
            image[random.random(shape) < 0.8] = zero
    for number, value in enumerate((-128, 127, zero)[:count]):
        images[number] = value
    return images


def check(
    imported: Imported, images: Int8, run: Run, progress: Callable[[int], None] | None = None
) -> Outcome:
    """Compare every tensor of every image [N, H, W, C], until one differs."""
    reference = Reference(imported)
    elements = 0
    for number, image in enumerate(images):
        given, *expected = reference.run(image)
        shown = given.reshape(imported.network.input_shape)
        for layer, (want, have) in enumerate(zip(expected, run(shown), strict=True)):
            wrong = np.flatnonzero(want != have)
            if wrong.size:
                found = _difference(imported, number, layer, int(wrong[0]), want, have)
                return Outcome(number + 1, len(expected), elements, found)
            elements += want.size
        if progress is not None:
            progress(1)
    return Outcome(len(images), len(imported.tensors), elements, None)


def _difference(
    imported: Imported, image: int, layer: int, at: int, want: Int8, have: Int8
) -> Difference:
    made, tensor = imported.network.layers[layer], imported.tensors[layer]
    place = tuple(int(one) for one in np.unravel_index(at, made.out_shape))
    return Difference(
        *(image, layer, made.kind, tensor.index, tensor.name, place, int(want[at]), int(have[at]))
    )


@contextmanager
def running(
    network: Network, target: str, arena_bytes: int | None = None, kernels: str | None = None
) -> Iterator[Run]:
    """The network on a target, a name as `picotrain targets` lists them."""
    if target == GOLDEN:
        # As it stands: golden needs neither a firmware's layout nor a limit of memory here.
        yield lambda image: _golden(network, image)
        return
    with open_device(target, arena_bytes, kernels) as device:
        # Nothing learns, so the weights stay where they would on a Pico: in flash.
        device.load_model(network, frozen=True)
        device.set_method(Method("infer"))

        def traced(image: Int8) -> list[Int8]:
            tensors = device.trace(image.view(np.uint8), 0)
            return [one.values for one in tensors if one.kind == "activation" and one.layer >= 0]

        yield traced


def _golden(network: Network, image: Int8) -> list[Int8]:
    weights = [None if held is None else held.weights for held in network.parameters]
    pixels = np.ascontiguousarray(image).view(np.uint8)[np.newaxis]
    done = forward_pass(network, weights, pixels, dynamic=False)
    return [tensor.reshape(-1) for tensor in done.activations[1:]]
