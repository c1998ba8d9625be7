"""What `picotrain bench` measures: every kernel on the layers of a network, as in training.

The operands are those of training steps that golden made, with all their zeros and ranges; other
shapes get operands of the same kind from the generator of docs/numerics.md, section 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Split
from picotrain.profile.affine_bench_cases import affine_jobs
from picotrain.profile.bench import Job
from picotrain_golden import Layer, Method, Network, Trainer, conv2d, layers
from picotrain_golden.generator import words
from picotrain_golden.numerics import Int8, Int32, shift

MASKS = {"niti-static": "ALL_EDGES", "priot": "SCORED", "priot-s": "SPARSE"}
"""The masks of the edges by the method that has them."""

WARM_UP = 64
"""Training steps before those that are measured, so that scores have moved."""

_STREAM = 0xFFFFFF06
_OTHER_CHANNELS = (5, 6, 7, 8, 9, 10)


@dataclass(frozen=True)
class Measurement:
    """Jobs whose cycles are added up and divided by `samples`: one kernel on one layer.

    `units` is what it has to do for one sample: multiply-accumulates of the dense operation, edges
    or elements, whatever it leaves out.
    """

    kernel: str
    what: str
    method: str
    unit: str
    units: int
    jobs: tuple[Job, ...]
    samples: int


@dataclass(frozen=True)
class _Step:
    """One training step: the state before it, and its tensors by layer; activation -1 is input."""

    weights: dict[int, Int8]
    scores: dict[int, Int8]
    activations: dict[int, Int8]
    errors: dict[int, Int8]


@dataclass(frozen=True)
class _Steps:
    network: Network
    method: Method
    edges: dict[int, NDArray[np.int64]]
    steps: list[_Step]


def _train(network: Network, method: Method, images: Split, count: int) -> _Steps:
    """`count` steps after the warm-up that have a loss error."""
    trainer = Trainer(network, method)
    weighted = [index for index, layer in enumerate(network.layers) if layer.has_weights]
    edges = {index: trainer.scored_edges(index) for index in weighted} if method.scored else {}
    steps: list[_Step] = []
    for number, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        if number < WARM_UP:
            trainer.train_step(image, int(label))
            continue
        if len(steps) == count:
            break
        step = _Step(
            {index: trainer.weights(index) for index in weighted},
            {index: trainer.scores(index).reshape(-1) for index in weighted if method.scored},
            {},
            {},
        )

        def note(kind: str, index: int, tensor: NDArray[Any], into: _Step = step) -> None:
            if kind == "activation":
                into.activations[index] = np.array(tensor)
            elif kind == "error":
                into.errors[index] = np.array(tensor)

        if trainer.train_step(image, int(label), note).loss_norm:
            steps.append(step)
    return _Steps(network, method, edges, steps)


def measurements(network: Network, images: Split, count: int) -> Iterator[Measurement]:
    """Every kernel on every layer under each method, over `count` steps; then other shapes, and
    affine layers."""
    methods = (Method("niti-static"), Method("priot"), Method("priot-s"))
    trained = [_train(network, method, images, count) for method in methods]
    for index, layer in enumerate(network.layers):
        if layer.kind == "maxpool2":
            yield from _pool(trained[1], index)
            continue
        for run in trained:
            yield from _layer(run, index)
    yield from _elements(trained[0])
    for layer in _other_layers():
        yield from _other(layer)
    for kernel, what, unit, units, job in affine_jobs():
        yield Measurement(kernel, what, "", unit, units, (job,), 1)


def _shape(layer: Layer) -> str:
    size = "x".join(str(extent) for extent in layer.in_shape)
    if layer.kind != "conv2d":
        return f"{layer.kind} {size} to {layer.out_shape[2]}"
    stride = "" if layer.stride == (1, 1) else f" stride {layer.stride[0]}"
    return f"conv {layer.kernel[0]}x{layer.kernel[1]}{stride} {size} to {layer.rows}"


def _edges(run: _Steps, step: _Step, index: int) -> dict[str, NDArray[Any]]:
    """The operands WEIGHTS, SCORES, BITMAP of a layer."""
    layer = run.network.layers[index]
    found: dict[str, NDArray[Any]] = {"WEIGHTS": step.weights[index]}
    if run.method.scored:
        found["SCORES"] = step.scores[index]
    if run.method.name == "priot-s":
        found["BITMAP"] = _bitmap(layer, run.edges[index])
    return found


def _bitmap(layer: Layer, scored: NDArray[np.int64]) -> NDArray[np.uint8]:
    bits = np.zeros(layer.weight_count, bool)
    bits[scored] = True
    return np.packbits(bits.reshape(layer.rows, -1), axis=1, bitorder="little")


def _layer(run: _Steps, index: int) -> Iterator[Measurement]:
    layer, held, method = run.network.layers[index], run.network.of(index), run.method
    prefix, masks = layer.kind.upper(), MASKS[method.name]
    samples, what = len(run.steps), f"{index} {_shape(layer)}"
    by = shift(held.score_bits if method.scored else held.gradient_bits, method.mu)

    def measured(kernel: str, unit: str, units: int, jobs: list[Job]) -> Measurement:
        settled = [replace(job, masks=masks, threshold=method.theta) for job in jobs]
        return Measurement(kernel, what, method.name, unit, units, tuple(settled), samples)

    forward = f"{prefix}_FORWARD_S8"
    jobs = [
        Job(
            forward,
            {"INPUT": step.activations[index - 1], **_edges(run, step, index)},
            {"OUTPUT": (layer.out_shape, np.int8)},
            layer,
            shift=held.forward_shift,
            relu=layer.relu,
        )
        for step in run.steps
    ]
    yield measured(forward, "MAC", layer.macs, jobs)
    if index > run.network.first_weighted:
        error = f"{prefix}_ERROR"
        jobs = [
            Job(
                error,
                {"ERROR": step.errors[index], **_edges(run, step, index)},
                {"OUTPUT": (layer.in_shape, np.int32)},
                layer,
            )
            for step in run.steps
        ]
        yield measured(error, "MAC", layer.macs, jobs)
    if layer.kind == "linear":
        jobs = [
            Job(
                "LINEAR_UPDATE",
                {
                    "INPUT": step.activations[index - 1],
                    "ERROR": step.errors[index],
                    **_edges(run, step, index),
                },
                {},
                layer,
                shift=by,
            )
            for step in run.steps
        ]
        yield measured("LINEAR_UPDATE", "edge", layer.weight_count, jobs)
        if method.scored:
            yield measured("MASK", "edge", layer.row_length, [_mask(run, index)] * samples)
        return
    if not method.scored:
        jobs = [
            _gradient(layer, step.activations[index - 1], step.errors[index]) for step in run.steps
        ]
        yield measured("CONV2D_GRADIENT", "MAC", layer.macs, jobs)
    jobs = [job for step in run.steps for job in _row_updates(run, step, index, by)]
    yield measured("UPDATE", "edge", layer.weight_count, jobs)


def _mask(run: _Steps, index: int) -> Job:
    """The first row of effective weights, in the first step."""
    layer = run.network.layers[index]
    count, edges = layer.row_length, _edges(run, run.steps[0], index)
    scored = count
    given = {"WEIGHTS": edges["WEIGHTS"].reshape(-1)[:count]}
    if "BITMAP" in edges:
        given["BITMAP"] = edges["BITMAP"][0]
        scored = int(np.unpackbits(given["BITMAP"]).sum())
    if scored:
        given["SCORES"] = edges["SCORES"][:scored]
    return Job("MASK", given, {"OUTPUT": ((count,), np.int8)}, count=count)


def _gradient(layer: Layer, inputs: Int8, error: Int8) -> Job:
    outputs = {"OUTPUT": ((layer.rows, layer.row_length), np.int32)}
    return Job("CONV2D_GRADIENT", {"INPUT": inputs, "ERROR": error}, outputs, layer)


def _row_updates(run: _Steps, step: _Step, index: int, by: int) -> Iterator[Job]:
    layer = run.network.layers[index]
    columns = layers.columns(layer, step.activations[index - 1][np.newaxis])[0]
    gradient: Int32 = layers.gradient(layer, step.errors[index], columns)
    edges = _edges(run, step, index)
    used = 0
    for row in range(layer.rows):
        given: dict[str, NDArray[Any]] = {
            "ACCUMULATOR": gradient[row],
            "WEIGHTS": edges["WEIGHTS"].reshape(layer.rows, -1)[row],
        }
        if "BITMAP" in edges:
            given["BITMAP"] = edges["BITMAP"][row]
        if "SCORES" in edges:
            scored = layer.row_length
            if "BITMAP" in edges:
                scored = int(np.unpackbits(given["BITMAP"]).sum())
            if scored:
                given["SCORES"] = edges["SCORES"][used : used + scored]
            used += scored
        yield Job("UPDATE", given, {}, count=layer.row_length, shift=by)


def _pool(run: _Steps, index: int) -> Iterator[Measurement]:
    layer = run.network.layers[index]
    what, elements = f"{index} {_shape(layer)}", int(np.prod(layer.in_shape))
    relu = index > 0 and run.network.layers[index - 1].relu
    forward = tuple(
        Job(
            "MAXPOOL2_FORWARD",
            {"INPUT": step.activations[index - 1]},
            {"OUTPUT": (layer.out_shape, np.int8)},
            layer,
        )
        for step in run.steps
    )
    error = tuple(
        Job(
            "MAXPOOL2_ERROR",
            {"INPUT": step.activations[index - 1], "ERROR": step.errors[index]},
            {"OUTPUT": (layer.in_shape, np.int8)},
            layer,
            relu=relu,
        )
        for step in run.steps
    )
    for kernel, jobs in (("MAXPOOL2_FORWARD", forward), ("MAXPOOL2_ERROR", error)):
        yield Measurement(kernel, what, "", "element", elements, jobs, len(jobs))


def _elements(run: _Steps) -> Iterator[Measurement]:
    """The kernels that go over elements, on the largest layer that makes an error."""
    network = run.network
    candidates = range(network.first_weighted + 1, len(network.layers))
    index = max(
        (at for at in candidates if network.layers[at].has_weights),
        key=lambda at: int(np.prod(network.layers[at].in_shape)),
    )
    layer, held = network.layers[index], network.of(index)
    rows: dict[str, list[Job]] = {}
    for step in run.steps:
        inputs = step.activations[index - 1]
        total = layers.backward(layer, step.weights[index], step.errors[index]).reshape(-1)
        acc = layers.forward(layer, step.weights[index], inputs[np.newaxis]).reshape(-1)
        activation = inputs.reshape(-1)
        jobs = (
            Job(
                "REQUANTIZE",
                {"ACCUMULATOR": acc},
                {"OUTPUT": (acc.shape, np.int8)},
                count=acc.size,
                shift=held.forward_shift,
                relu=layer.relu,
            ),
            Job(
                "REQUANTIZE_ERROR",
                {"ACCUMULATOR": total, "INPUT": activation},
                {"OUTPUT": (total.shape, np.int8)},
                count=total.size,
                shift=held.error_shift,
            ),
            Job("MAX_ABS_S32", {"ACCUMULATOR": acc}, count=acc.size),
            Job("MAX_ABS_S8", {"INPUT": activation}, count=activation.size),
        )
        for job in jobs:
            rows.setdefault(job.kernel, []).append(job)
    for kernel, found in rows.items():
        count = found[0].count
        what = f"{index} {_shape(layer)}"
        yield Measurement(kernel, what, "", "element", count, tuple(found), len(found))


def _other_layers() -> list[Layer]:
    return [
        *(
            conv2d((10, 10, channels), channels, (3, 3), 1, (1, 1), True)
            for channels in _OTHER_CHANNELS
        ),
        conv2d((10, 10, 8), 8, (5, 5), 1, (2, 2), True),
        conv2d((14, 14, 8), 8, (3, 3), 2, (1, 1), True),
    ]


def _other(layer: Layer) -> Iterator[Measurement]:
    """Half of the activations are zero, and three quarters of the errors."""
    inputs = np.maximum(_noise(0, layer.in_shape), 0).astype(np.int8)
    error = _noise(1, layer.out_shape) * (_noise(2, layer.out_shape) > 63)
    weights = _noise(3, (layer.rows, layer.row_length))
    given = {"INPUT": inputs, "WEIGHTS": weights}
    jobs = (
        Job(
            "CONV2D_FORWARD_S8",
            given,
            {"OUTPUT": (layer.out_shape, np.int8)},
            layer,
            shift=10,
            relu=True,
        ),
        Job(
            "CONV2D_ERROR",
            {"ERROR": error.astype(np.int8), "WEIGHTS": weights},
            {"OUTPUT": (layer.in_shape, np.int32)},
            layer,
        ),
        _gradient(layer, inputs, error.astype(np.int8)),
    )
    for job in jobs:
        yield Measurement(job.kernel, _shape(layer), "", "MAC", layer.macs, (job,), 1)


def _noise(seed: int, shape: tuple[int, ...]) -> Int8:
    drawn = words(seed, _STREAM, int(np.prod(shape))) >> 24
    return np.clip(drawn.astype(np.int16) - 128, -127, 127).astype(np.int8).reshape(shape)
