"""Small .onnx models by hand, for tests: nodes one after another, weights drawn from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import onnx
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
FLOAT = TensorProto.FLOAT


class Builder:
    """Each method adds a node and gives the name of what it makes."""

    def __init__(self, shape: tuple[Any, ...], seed: int = 0, type: int = FLOAT) -> None:
        self.random = np.random.default_rng([seed, 99])
        self.inputs = [helper.make_tensor_value_info("image", type, list(shape))]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = None) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, kind: str, *reads: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(reads), [name], **attributes))
        return name

    def drawn(self, *shape: int) -> Array:
        terms = max(1, int(np.prod(shape[1:])))
        return self.random.normal(0, np.sqrt(2 / terms), shape).astype(np.float32)

    def bias(self, size: int) -> Array:
        return self.random.normal(0, 0.3, size).astype(np.float32)

    def conv(self, source: str, before: int, after: int, *kernel: int, **attributes: Any) -> str:
        group = attributes.get("group", 1)
        weights = self.constant(self.drawn(after, before // group, *kernel))
        return self.op("Conv", source, weights, self.constant(self.bias(after)), **attributes)

    def gemm(self, source: str, before: int, after: int) -> str:
        weights, bias = self.constant(self.drawn(after, before)), self.constant(self.bias(after))
        return self.op("Gemm", source, weights, bias, transB=1)

    def norm(self, source: str, channels: int) -> str:
        parts = [
            self.random.uniform(0.5, 1.5, channels),
            self.random.normal(0, 0.5, channels),
            self.random.normal(0, 0.5, channels),
            self.random.uniform(0.5, 2, channels),
        ]
        held = [self.constant(one, np.float32) for one in parts]
        return self.op("BatchNormalization", source, *held, epsilon=1e-3)

    def flat(self, source: str) -> str:
        return self.op("Flatten", source)

    # Quantised: QuantizeLinear and DequantizeLinear

    def quantised(self, source: str, scale: float, zero: int, dtype: Any = np.int8) -> str:
        both = (self.constant(scale, np.float32), self.constant(zero, dtype))
        return self.op("DequantizeLinear", self.op("QuantizeLinear", source, *both), *both)

    def weights(self, *shape: int, axis: int = 0) -> tuple[str, Array]:
        """int8 weights with a scale for each row, made real; and those scales."""
        real = self.drawn(*shape)
        others = tuple(place for place in range(real.ndim) if place != axis)
        scales = (np.abs(real).max(axis=others) / 127).astype(np.float32)
        sizes = [-1 if place == axis else 1 for place in range(real.ndim)]
        whole = np.clip(np.rint(real / scales.reshape(sizes)), -128, 127)
        held = self.constant(whole, np.int8)
        zeros = self.constant(np.zeros(len(scales)), np.int8)
        made = self.op("DequantizeLinear", held, self.constant(scales), zeros, axis=axis)
        return made, scales

    def whole_bias(self, scales: Array, source: float) -> str:
        each = (scales * np.float32(source)).astype(np.float32)
        whole = np.rint(self.bias(len(scales)) / each)
        held = self.constant(whole, np.int32)
        zeros = self.constant(np.zeros(len(scales)), np.int32)
        return self.op("DequantizeLinear", held, self.constant(each), zeros, axis=0)

    def proto(self, *ends: str, opset: int = 17) -> onnx.ModelProto:
        outputs = [helper.make_tensor_value_info(end, FLOAT, None) for end in ends]
        graph = helper.make_graph(self.nodes, "made", self.inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])

    def finish(self, *ends: str, opset: int = 17) -> bytes:
        made: bytes = self.proto(*ends, opset=opset).SerializeToString()
        return made


def residual(seed: int = 0, dtype: Any = np.int8) -> tuple[Builder, str]:
    """As quantisers write it: an activation's scale behind it, int8 weights, int32 biases."""
    zero = 128 if dtype is np.uint8 else 0
    b = Builder((1, 3, 8, 8), seed)
    x = b.quantised("image", 0.03, 5 + zero, dtype)
    w, scales = b.weights(6, 3, 3, 3)
    x = b.op("Conv", x, w, b.whole_bias(scales, 0.03), pads=[1, 1, 1, 1])
    first = b.quantised(b.op("Relu", x), 0.02, -128 + zero, dtype)
    w, scales = b.weights(6, 1, 3, 3)
    x = b.op("Conv", first, w, b.whole_bias(scales, 0.02), pads=[1, 1, 1, 1], group=6)
    x = b.quantised(x, 0.025, -7 + zero, dtype)
    x = b.quantised(b.op("Add", x, first), 0.04, -20 + zero, dtype)
    x = b.quantised(
        b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 0.04, -20 + zero, dtype
    )
    x = b.quantised(b.op("GlobalAveragePool", x), 0.015, -40 + zero, dtype)
    w, scales = b.weights(5, 6)
    x = b.op("Gemm", b.flat(x), w, b.whole_bias(scales, 0.015), transB=1)
    return b, b.quantised(x, 0.03, 3 + zero, dtype)
