"""Damaged .tflite and .onnx files: seeded mutations, and whether the importers take or refuse each.

The importers are Python, so no memory breaks; what must not come is any other end than a network or
one sentence. As a program: mutations for so many seconds, and a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np

import onnx
import tflite_builder
from onnx_builder import Builder as OnnxBuilder
from picotrain.convert.importer import import_model
from picotrain.convert.model import read as read_tflite
from picotrain.convert.onnx.file import read as read_onnx
from picotrain.convert.onnx.importer import import_floats
from picotrain.errors import UserError
from picotrain.inputs import positive_number, seed
from picotrain.quantise.quantise import quantise
from tflite_builder import Builder

_BYTES = [0, 1, 127, 128, 255]
_NOT_A_SENTENCE = re.compile(r"\n|\w(Error|Exception)\b|Traceback|struct\.")


class Broken(Exception):
    """An importer ended in another way; says how."""


def small_tflite(seed: int = 0) -> tuple[Builder, tflite_builder.Made]:
    """A network of every sort of layer, and its output."""
    b = Builder(seed)
    image = b.input((1, 6, 6, 2), scale=0.1, zero=3)
    conv = b.conv(image, 4, (3, 3), (2, 2), tflite_builder.SAME, tflite_builder.RELU6)
    both = b.add(conv, b.depthwise(conv, (3, 3)), tflite_builder.RELU)
    return b, b.softmax(b.linear(b.pool("MAX_POOL_2D", both, (3, 3), (1, 1)), 4))


def damaged_tflite(good: bytes, random: np.random.Generator, number: int) -> bytes:
    """Bytes changed or cut off, or a word of anything."""
    data = bytearray(good)
    for _ in range(int(random.integers(1, 4))):
        at = int(random.integers(8, len(data)))
        data[at] = int(random.choice([*_BYTES, int(random.integers(256))]))
    if number % 5 == 0:
        data = data[: int(random.integers(0, len(data)))]
    elif number % 5 == 1:
        at = int(random.integers(8, len(data) - 8))
        data[at : at + 4] = random.bytes(4)
    return bytes(data)


def whole_onnx() -> onnx.ModelProto:
    b = OnnxBuilder((1, 2, 6, 6))
    x = b.op("Relu", b.norm(b.conv("image", 2, 3, 3, 3, pads=[1, 1, 1, 1]), 3))
    x = b.op("Add", x, b.conv(x, 3, 3, 3, 3, pads=[1, 1, 1, 1], group=3))
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    size = b.op("Gather", b.op("Shape", x), b.constant(0, np.int64))
    size = b.op("Unsqueeze", size, b.constant([0], np.int64))
    x = b.op("Reshape", x, b.op("Concat", size, b.constant([-1], np.int64), axis=0))
    x = b.quantised(x, 0.05, -100)
    w, scales = b.weights(4, 27)
    x = b.op("Gemm", x, w, b.whole_bias(scales, 0.05), transB=1)
    return b.proto(b.op("Softmax", x), opset=13)


def damaged_onnx(proto: onnx.ModelProto, random: np.random.Generator, number: int) -> bytes:
    """Bytes changed or cut off; or, every third time, a sound file that says something else."""
    if number % 3 == 0:
        other = onnx.ModelProto()
        other.CopyFrom(proto)
        _say_otherwise(other, random)
        return bytes(other.SerializeToString())
    data = bytearray(proto.SerializeToString())
    for _ in range(int(random.integers(1, 4))):
        at = int(random.integers(0, len(data)))
        data[at] = int(random.choice([*_BYTES, int(random.integers(256))]))
    if number % 5 == 0:
        data = data[: int(random.integers(0, len(data)))]
    return bytes(data)


def _say_otherwise(proto: onnx.ModelProto, random: np.random.Generator) -> None:
    nodes, held = proto.graph.node, proto.graph.initializer
    node, tensor = nodes[int(random.integers(len(nodes)))], held[int(random.integers(len(held)))]
    odd = int(random.choice([-1, 0, 2, 3, 255, 1 << 31, -(1 << 62)]))
    kind = int(random.integers(8))
    if kind == 0 and node.attribute:
        one = node.attribute[int(random.integers(len(node.attribute)))]
        one.i = odd
        if one.ints:
            one.ints[int(random.integers(len(one.ints)))] = odd
    elif kind == 1 and node.attribute:
        node.attribute[0].type = int(random.integers(0, 12))
    elif kind == 2:
        node.op_type = str(random.choice([one.op_type for one in nodes]))
    elif kind == 3 and node.input:
        node.input[int(random.integers(len(node.input)))] = str(
            random.choice([*(one.name for one in held), "image", "", *nodes[0].output])
        )
    elif kind == 4 and tensor.dims:
        tensor.dims[int(random.integers(len(tensor.dims)))] = odd
    elif kind == 5:
        tensor.data_type = int(random.integers(0, 24))
    elif kind == 6:
        tensor.raw_data = random.bytes(len(tensor.raw_data))
    else:
        proto.graph.input[0].type.tensor_type.shape.dim[int(random.integers(4))].dim_value = odd


Damage = Callable[[np.random.Generator, int], bytes]


def _tflite() -> Damage:
    builder, end = small_tflite()
    good = builder.finish(end)
    return lambda random, number: damaged_tflite(good, random, number)


def _onnx() -> Damage:
    proto = whole_onnx()
    return lambda random, number: damaged_onnx(proto, random, number)


OF = {"tflite": _tflite, "onnx": _onnx}
"""Makes what damages files of that ending."""


def _import(path: Path) -> None:
    if path.suffix == ".tflite":
        assert import_model(read_tflite(path)).network.layers
        return
    graph = import_floats(read_onnx(path)).graph
    if prod(graph.input_shape) == 72:
        images = np.random.default_rng(1).normal(0, 1, (2, *graph.input_shape))
        quantise(graph, images)


def imported(path: Path) -> str:
    """The sentence that refuses the file; empty where it is taken. Raises Broken."""
    try:
        _import(path)
    except UserError as refusal:
        sentence = str(refusal)
        if _NOT_A_SENTENCE.search(sentence):
            raise Broken(f"no sentence: {sentence!r}") from None
        return sentence
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}") from error
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=positive_number, required=True)
    parser.add_argument("--seed", type=seed, required=True)
    parser.add_argument("--found", type=Path, required=True, help="folder for what is broken")
    args = parser.parse_args()
    args.found.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(args.seed)
    kinds = {kind: make() for kind, make in OF.items()}
    end, number, broken = time.monotonic() + args.seconds, 0, ""
    while time.monotonic() < end and not broken:
        for kind, damage in kinds.items():
            path = args.found / f"models-{args.seed}-{number}.{kind}"
            path.write_bytes(damage(random, number))
            try:
                imported(path)
            except Broken as error:
                broken = f"{path}: {error}"
                break
            path.unlink()
        number += 1
    print(json.dumps({"executions": number * len(kinds), "broken": broken}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
