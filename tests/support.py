"""What several suites share: networks, images, methods, and comparisons with golden."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from picotrain.datasets.files import roots
from picotrain.device.interface import Device, UInt8
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import BuildFailure, CommandError
from picotrain.image import firmware
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.verify import Comparison
from picotrain.places import BUILD
from picotrain_golden import (
    LEAST_LOGITS_EXPONENT,
    Affine,
    Histograms,
    Kind,
    Layer,
    Method,
    Network,
    Parameters,
    calibrated,
    conv2d,
    linear,
    maxpool2,
    observe,
    validate,
)

METHODS = {
    "niti-dynamic": Method("niti-dynamic", mu=2),
    "niti-static": Method("niti-static", mu=2),
    "priot": Method("priot", mu=3, theta=-64, start="normal", seed=5),
    "priot-zero": Method("priot", mu=3, theta=-16, start="zero"),
    "priot-s-weight": Method("priot-s", mu=4, permille=100, select="weight", start="zero"),
    "priot-s-weight-normal": Method(
        "priot-s", mu=4, theta=-20, permille=200, select="weight", start="normal", seed=9
    ),
    "priot-s-random": Method("priot-s", mu=4, permille=200, select="random", seed=0xFFFFFFFF),
    "priot-s-random-normal": Method(
        "priot-s", mu=4, theta=7, permille=333, select="random", start="normal", seed=1234
    ),
    "niti-static-fused": Method("niti-static", mu=2, fused=True),
    "priot-fused": Method("priot", mu=3, theta=-64, start="normal", seed=5, fused=True),
    "priot-s-fused": Method("priot-s", mu=4, permille=200, fused=True),
}
"""Every training method, with both selections and both starts of the scores, and where a plan can
be fused, that too."""

INFER = Method("infer")


def described(folder: Path, text: str) -> Architecture:
    """The network of a TOML file with that text, net.toml in the folder."""
    file = folder / "net.toml"
    file.write_text(text)
    return models.load(file)


def about(path: Path, error: BaseException) -> str:
    """What an error says of a file, which is one sentence that begins with its path."""
    sentence = str(error)
    assert "\n" not in sentence
    assert sentence.startswith(str(path))
    return sentence.removeprefix(str(path))


def sanitized(path: Path) -> Path:
    """A sanitized build; of another compiler where `make clang-sanitized` says where that is."""
    other = os.environ.get("PICOTRAIN_SANITIZED")
    return require(Path(other) / path.relative_to(BUILD) if other else path)


def require(path: Path) -> Path:
    """The path of something built, or a skip that says how to build it."""
    try:
        return firmware.require(path)
    except BuildFailure as failure:
        pytest.skip(str(failure))


def reference_model(name: str) -> Path:
    """Of MLPerf Tiny."""
    found = [root / "mlperf-tiny" / "models" / f"{name}.tflite" for root in roots()]
    path = next((one for one in found if one.is_file()), None)
    if path is None:
        pytest.skip(f"{name}.tflite is not in PICOTRAIN_DATA/mlperf-tiny/models")
    return path


def with_numbers(network: Network, **numbers: int) -> Network:
    """The network with these numbers in every layer that has weights."""
    result = network.copy()
    result.parameters = tuple(
        None if held is None else replace(held, **numbers) for held in result.parameters
    )
    return result


@cache
def _shipped(name: str) -> Network:
    network = models.initial_network(models.resolve(name), seed=7)
    return with_numbers(network, forward_shift=9, error_shift=7, gradient_bits=14, score_bits=20)


def shipped(name: str) -> Network:
    """A network of models/, untrained, with static numbers that keep signals alive."""
    return _shipped(name).copy()


def build(name: str, input_shape: tuple[int, int, int], layers: Sequence[Layer]) -> Network:
    """An untrained network of these layers."""
    return models.initial_network(Architecture(name, input_shape, tuple(layers)), seed=11)


def images(network: Network, count: int, seed: int = 0) -> tuple[UInt8, UInt8]:
    """Images uint8 [N, H, W, C], one of them black and one white, and labels uint8 [N]."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, *network.input_shape), dtype=np.uint8)
    pixels[random.random(pixels.shape) < 0.4] = 0
    if count >= 4:
        pixels[1], pixels[2] = 0, 255
    return pixels, random.integers(0, network.classes, count, dtype=np.uint8)


def random_network(seed: int) -> Network:
    """A small network that nobody would draw: any kernel, stride, padding, order and scale."""
    random = np.random.default_rng([seed, 2024])

    def pick(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    input_shape = (pick(3, 14), pick(3, 14), pick(1, 4))
    shape = input_shape
    layers: list[Layer] = []
    for _ in range(pick(0, 4)):
        if min(shape[:2]) >= 2 and random.random() < 0.3:
            layers.append(maxpool2(shape))
        else:
            kernel, padding = [0, 0], [0, 0]
            for axis in range(2):
                kernel[axis] = pick(1, min(5, shape[axis] + 2))
                # At least what the kernel needs to fit, less than the kernel.
                least = max(0, -(-(kernel[axis] - shape[axis]) // 2))
                padding[axis] = pick(least, max(least, kernel[axis] - 1))
            layers.append(
                conv2d(
                    shape,
                    pick(1, 7),
                    (kernel[0], kernel[1]),
                    pick(1, 2),
                    (padding[0], padding[1]),
                    random.random() < 0.6,
                )
            )
        shape = layers[-1].out_shape
    for _ in range(pick(0, 2)):
        layers.append(linear(shape, pick(1, 17), random.random() < 0.6))
        shape = layers[-1].out_shape
    layers.append(linear(shape, pick(2, 12), False))
    network = models.initial_network(
        Architecture(f"random-{seed}", input_shape, tuple(layers)), seed
    )
    if seed % 2:
        return _with_loss(_random_numbers(network, random), _random_exponent(seed))
    return calibrate(network, _random_exponent(seed))


def _random_exponent(seed: int) -> int:
    """Of the logits, where they would have a lesser one: any that a loss may have."""
    return LEAST_LOGITS_EXPONENT + seed % 9


def _random_numbers(network: Network, random: np.random.Generator) -> Network:
    """Static numbers from the whole range in which something is left to compute, and beyond."""
    result = network.copy()
    result.parameters = tuple(
        None
        if held is None
        else replace(
            held,
            exponent=int(random.integers(-10, 4)),
            forward_shift=int(random.integers(0, 13)),
            error_shift=int(random.integers(0, 11)),
            gradient_bits=int(random.integers(0, 32)),
            score_bits=int(random.integers(0, 32)),
        )
        for held in result.parameters
    )
    return result


def calibrate(network: Network, least: int = -4) -> Network:
    """Static numbers from a calibration on a few random images."""
    histograms = Histograms.empty(network)
    for image, label in zip(*images(network, 8, seed=3), strict=True):
        histograms.add(observe(network, image, int(label)))
    return _with_loss(calibrated(network, histograms), least)


def _with_loss(network: Network, least: int) -> Network:
    """The network with its last exponent so high that that of the logits is `least` or more."""
    missing = least - network.logits_exponent
    if missing > 0:
        last = network.of(len(network.layers) - 1)
        last.exponent = min(last.exponent + missing, 8)
        last.forward_shift += least - network.logits_exponent
    return network


def begin(device: Device, reference: Device, network: Network, method: Method) -> Comparison:
    """Both devices with the network and method, found equal before the first step."""
    for one in (reference, device):
        one.load_model(network)
        one.set_method(method)
    comparison = Comparison(reference, device, network)
    comparison.state(0)
    return comparison


def post(device: MailboxDevice, number: int, arguments: Sequence[int] = ()) -> None:
    """Run a command by its number, even one that the firmware does not know."""
    commands = device._commands
    try:
        device._commands = {"PT_CMD_RAW": number}  # type: ignore[assignment]
        device.command("RAW", arguments)
    finally:
        device._commands = commands


def refusal(
    device: MailboxDevice, command: str | int, arguments: Sequence[int] = ()
) -> tuple[str, tuple[int, ...]]:
    """The name and the detail with which the device refuses a command."""
    with pytest.raises(CommandError) as caught:
        if isinstance(command, str):
            device.command(command, arguments)
        else:
            post(device, command, arguments)
    return caught.value.name, caught.value.detail


# A second reading of the blob format, from the comments in firmware/nn/pt_model.h alone.

HEADER = struct.Struct("<IIIIHHBbH")
ENTRY = struct.Struct("<BBbBBBB 5b 2B H 6H 6B H III")
FACTOR = struct.Struct("<iii")
KINDS: dict[int, Kind] = {
    1: "conv2d",
    2: "maxpool2",
    3: "linear",
    4: "depthwise",
    5: "maxpool",
    6: "avgpool",
    7: "add",
}
WEIGHTED = ("conv2d", "linear", "depthwise")
NETWORK_INPUT, NO_LAYER = 255, 254


def layer_entry(index: int) -> slice:
    """Where the table entry of a layer lies in a blob."""
    start = HEADER.size + index * ENTRY.size
    return slice(start, start + ENTRY.size)


def decode(blob: bytes) -> Network:
    """The network in a blob. ValueError where the format or docs/numerics.md forbid it."""

    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise ValueError(what)

    demand(len(blob) >= HEADER.size, "shorter than its header")
    magic, version, size, crc, count, classes, form, e, m = HEADER.unpack_from(blob)
    demand(magic.to_bytes(4, "little") == b"PTM1", "magic")
    demand(version == 3, "version")
    demand(size == len(blob), "size")
    demand(crc == zlib.crc32(blob[16:]), "crc")
    demand(form <= 1, "form")
    affine = form == 1
    demand(affine or (m, e) == (0, 0), "scale of the logits of the other form")
    demand(1 <= count <= (48 if affine else 24), "layers")
    demand(2 <= classes <= (4096 if affine else 256), "classes")
    at = HEADER.size + count * ENTRY.size
    demand(at <= len(blob), "table")
    layers: list[Layer] = []
    parameters: list[Parameters | None] = []
    affines: list[Affine] = []
    for index in range(count):
        entry = ENTRY.unpack_from(blob, layer_entry(index).start)
        kind, relu, exponent, *numbers = entry[:7]
        zero_a, zero_b, zero_out, low, high, *read, factors = entry[7:15]
        shape = entry[15:27]
        zero, offset, weights_size, factors_offset = entry[27:]
        demand(kind in KINDS and relu <= 1 and zero == 0, f"layer {index}")
        inputs = 2 if KINDS[kind] == "add" else 1
        demand(all(number == NO_LAYER for number in read[inputs:]), f"inputs of layer {index}")
        reads = [-1 if number == NETWORK_INPUT else number for number in read[:inputs]]
        if affine:
            demand(not any((relu, exponent, numbers[0])), f"other form in layer {index}")
            demand(KINDS[kind] in WEIGHTED or not any(numbers), f"numbers of layer {index}")
            demand(inputs == 2 or zero_b == 0, f"zero points of layer {index}")
            demand(reads[0] < index and reads[-1] < index, f"inputs of layer {index}")
        else:
            others = (zero_a, zero_b, zero_out, low, high, factors)
            demand(not any(others), f"other form in layer {index}")
            demand(reads == [index - 1], f"inputs of layer {index}")
            demand(-24 <= exponent <= 8, f"exponent of layer {index}")
        demand(all(number <= 24 for number in numbers[:2]), f"shifts of layer {index}")
        demand(all(number <= 31 for number in numbers[2:]), f"bits of layer {index}")
        layer = Layer(
            KINDS[kind],
            (shape[0], shape[1], shape[2]),
            (shape[3], shape[4], shape[5]),
            (shape[6], shape[7]),
            (shape[8], shape[9]),
            (shape[10], shape[11]),
            bool(relu),
            tuple(reads) if affine else (),
        )
        layers.append(layer)
        demand(weights_size == layer.weight_count, f"weights of layer {index}")
        demand(offset == (at if layer.has_weights else 0), f"offset of layer {index}")
        padded = -(-weights_size // 4) * 4
        demand(at + padded <= len(blob), f"end of layer {index}")
        if layer.has_weights:
            weights = np.frombuffer(blob, np.int8, weights_size, at)
            shaped = weights.reshape(layer.rows, layer.row_length).copy()
            demand(weights_size > 0, f"no weights in layer {index}")
            parameters.append(Parameters(shaped, exponent, *numbers))
        else:
            parameters.append(None)
        at += padded
        demand(factors_offset == (at if factors else 0), f"factors of layer {index}")
        end = at + factors * FACTOR.size
        demand(end <= len(blob), f"end of the factors of layer {index}")
        table = np.frombuffer(blob, np.int32, 3 * factors, at).reshape(factors, 3)
        demand(layer.has_weights or not table[:, 0].any(), f"bias of layer {index}")
        at = end
        if affine:
            bias = table[: layer.rows, 0].copy()
            zeros = (zero_a, zero_b)[:inputs]
            rest = (table[:, 1].copy(), table[:, 2].copy())
            affines.append(Affine(zeros, zero_out, low, high, bias, *rest))
    demand(at == len(blob), "bytes left over")
    network = Network(
        "decoded", layers[0].in_shape, tuple(layers), tuple(parameters), tuple(affines)
    )
    if affine:
        network.logits_scale = m, e
    demand(network.classes == classes, "classes")
    validate(network, dynamic=True)
    return network
