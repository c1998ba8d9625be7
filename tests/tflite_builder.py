"""Small .tflite models by hand, for tests: any shapes, scales and operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

SAME, VALID = 0, 1
NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3
_BYTES = {np.int8: "INT8", np.int32: "INT32", np.int64: "INT64", np.float32: "FLOAT32"}


@dataclass
class Made:
    """A tensor of the model to come."""

    index: int
    shape: tuple[int, ...]
    type: str
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    axis: int = 0
    data: bytes = b""


@dataclass
class Builder:
    """Adds operators one by one; weights and scales are drawn from `seed`."""

    seed: int = 0
    tensors: list[Made] = field(default_factory=list)
    operators: list[tuple[str, list[int], list[int], str, dict[str, int]]] = field(
        default_factory=list
    )
    inputs: list[int] = field(default_factory=list)
    random: Any = None

    def __post_init__(self) -> None:
        self.random = np.random.default_rng([self.seed, 77])

    def tensor(
        self, shape: tuple[int, ...], scale: float | None = None, zero: int = 0, type: str = "INT8"
    ) -> Made:
        scales = () if scale is None else (float(np.float32(scale)),)
        made = Made(len(self.tensors), shape, type, scales, (zero,) * len(scales))
        self.tensors.append(made)
        return made

    def constant(self, array: NDArray[Any], **values: Any) -> Made:
        made = Made(len(self.tensors), array.shape, _BYTES[array.dtype.type], **values)
        made.data = array.tobytes()
        self.tensors.append(made)
        return made

    def input(self, shape: tuple[int, ...], **values: Any) -> Made:
        made = self.tensor(shape, **{"scale": self.scale(), "zero": self.zero(), **values})
        self.inputs.append(made.index)
        return made

    def scale(self) -> float:
        return float(self.random.uniform(0.01, 0.2))

    def zero(self) -> int:
        return int(self.random.integers(-128, 128))

    def op(
        self, kind: str, inputs: list[Made], output: Made, table: str = "", **options: int
    ) -> Made:
        reads = [one.index for one in inputs]
        self.operators.append((kind, reads, [output.index], table, options))
        return output

    def _output(self, shape: tuple[int, ...], scale: float | None, zero: int | None) -> Made:
        return self.tensor(
            shape,
            self.scale() if scale is None else scale,
            self.zero() if zero is None else zero,
        )

    def _weights(
        self, shape: tuple[int, ...], source: Made, axis: int, channels: int, terms: int
    ) -> tuple[Made, Made, float]:
        """Weights, a bias and an output scale that keeps the signal alive; `channels` scales."""
        values = self.random.integers(-128, 128, shape).astype(np.int8)
        values.reshape(-1)[:2] = -128
        scales = tuple(float(np.float32(one)) for one in self.random.uniform(0.002, 0.02, channels))
        held = self.constant(values, scales=scales, zeros=(0,) * channels, axis=axis)
        bias_scales = tuple(float(np.float32(source.scales[0] * one)) for one in scales)
        bias = self.constant(
            self.random.integers(-2000, 2000, shape[axis]).astype(np.int32),
            scales=bias_scales,
            zeros=(0,) * channels,
        )
        reach = source.scales[0] * float(np.mean(scales)) * 74 * 74 * np.sqrt(terms)
        return held, bias, float(reach / 50)

    def conv(
        self,
        source: Made,
        channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: int = SAME,
        activation: int = NONE,
        per_channel: bool = False,
        bias: bool = True,
        multiplier: int = 0,
        dilation: int = 1,
    ) -> Made:
        """CONV_2D, or with a `multiplier` DEPTHWISE_CONV_2D."""
        _, height, width, depth = source.shape
        rows = multiplier * depth or channels
        shape = (1, *kernel, rows) if multiplier else (rows, *kernel, depth)
        axis = 3 if multiplier else 0
        terms = kernel[0] * kernel[1] * (1 if multiplier else depth)
        held, added, scale = self._weights(shape, source, axis, rows if per_channel else 1, terms)
        out = [_outputs(height, kernel[0], stride[0], padding)]
        out.append(_outputs(width, kernel[1], stride[1], padding))
        options = {
            "Padding": padding,
            "StrideH": stride[0],
            "StrideW": stride[1],
            "FusedActivationFunction": activation,
            "DilationHFactor": dilation,
            "DilationWFactor": dilation,
        }
        if multiplier:
            options["DepthMultiplier"] = multiplier
        return self.op(
            "DEPTHWISE_CONV_2D" if multiplier else "CONV_2D",
            [source, held, *([added] if bias else [])],
            self._output((1, out[0], out[1], rows), scale, None),
            "DepthwiseConv2DOptions" if multiplier else "Conv2DOptions",
            **options,
        )

    def depthwise(self, source: Made, kernel: tuple[int, int], **options: Any) -> Made:
        return self.conv(source, 0, kernel, **{"multiplier": 1, **options})

    def linear(
        self, source: Made, outputs: int, activation: int = NONE, per_channel: bool = False
    ) -> Made:
        count = int(np.prod(source.shape))
        held, bias, scale = self._weights(
            (outputs, count), source, 0, outputs if per_channel else 1, count
        )
        output = self._output((1, outputs), scale, None)
        return self.op(
            *("FULLY_CONNECTED", [source, held, bias], output, "FullyConnectedOptions"),
            FusedActivationFunction=activation,
        )

    def pool(
        self,
        kind: str,
        source: Made,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: int = VALID,
        activation: int = NONE,
    ) -> Made:
        _, height, width, depth = source.shape
        out = [_outputs(height, kernel[0], stride[0], padding)]
        out.append(_outputs(width, kernel[1], stride[1], padding))
        output = self.tensor((1, out[0], out[1], depth), source.scales[0], source.zeros[0])
        return self.op(
            *(kind, [source], output, "Pool2DOptions"),
            Padding=padding,
            StrideH=stride[0],
            StrideW=stride[1],
            FilterHeight=kernel[0],
            FilterWidth=kernel[1],
            FusedActivationFunction=activation,
        )

    def add(self, one: Made, other: Made, activation: int = NONE, **output: Any) -> Made:
        scale = output.get("scale", (one.scales[0] + other.scales[0]) * 0.8)
        made = self._output(one.shape, scale, output.get("zero"))
        return self.op("ADD", [one, other], made, "AddOptions", FusedActivationFunction=activation)

    def mean(self, source: Made, keep: bool, axes: tuple[int, ...] = (1, 2), **out: Any) -> Made:
        _, _, _, depth = source.shape
        shape = (1, 1, 1, depth) if keep else (1, depth)
        made = self._output(shape, out.get("scale"), out.get("zero"))
        reduced = self.constant(np.array(axes, np.int32))
        return self.op("MEAN", [source, reduced], made, "ReducerOptions", KeepDims=int(keep))

    def reshape(self, source: Made, shape: tuple[int, ...]) -> Made:
        scale = source.scales[0] if source.scales else None
        made = self.tensor(shape, scale, source.zeros[0] if source.zeros else 0, source.type)
        return self.op("RESHAPE", [source, self.constant(np.array(shape, np.int32))], made)

    def pad(self, source: Made, amounts: list[list[int]], value: int | None = None) -> Made:
        shape = tuple(n + sum(two) for n, two in zip(source.shape, amounts, strict=True))
        made = self.tensor(shape, source.scales[0], source.zeros[0])
        reads = [source, self.constant(np.array(amounts, np.int32))]
        if value is not None:
            filled = {"scales": source.scales, "zeros": source.zeros}
            reads.append(self.constant(np.array([value], np.int8), **filled))
        return self.op("PAD" if value is None else "PADV2", reads, made)

    def softmax(self, source: Made) -> Made:
        made = self.tensor(source.shape, 1 / 256, -128)
        return self.op("SOFTMAX", [source], made, "SoftmaxOptions", Beta=1)

    def quantize(self, source: Made, **values: Any) -> Made:
        return self.op("QUANTIZE", [source], self.tensor(source.shape, **values), "QuantizeOptions")

    def dequantize(self, source: Made) -> Made:
        made = self.tensor(source.shape, type="FLOAT32")
        return self.op("DEQUANTIZE", [source], made, "DequantizeOptions")

    # The file

    def finish(self, *outputs: Made, version: int = 3) -> bytes:
        b = flatbuffers.Builder(1024)
        kinds = sorted({kind for kind, *_ in self.operators})
        codes = []
        for kind in kinds:
            number = getattr(tflite.BuiltinOperator, kind)
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
            tflite.OperatorCodeAddBuiltinCode(b, number)
            tflite.OperatorCodeAddVersion(b, 1)
            codes.append(tflite.OperatorCodeEnd(b))
        buffers = []
        for data in (b"", *(one.data for one in self.tensors)):
            held = b.CreateByteVector(data) if data else None
            tflite.BufferStart(b)
            if held is not None:
                tflite.BufferAddData(b, held)
            buffers.append(tflite.BufferEnd(b))
        tensors = [self._tensor(b, one) for one in self.tensors]
        operators = [self._operator(b, kinds, *one) for one in self.operators]
        inputs = b.CreateNumpyVector(np.array(self.inputs, np.int32))
        ends = b.CreateNumpyVector(np.array([one.index for one in outputs], np.int32))
        parts = [_vector(b, listed) for listed in (tensors, operators)]
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, parts[0])
        tflite.SubGraphAddInputs(b, inputs)
        tflite.SubGraphAddOutputs(b, ends)
        tflite.SubGraphAddOperators(b, parts[1])
        graph = tflite.SubGraphEnd(b)
        lists = [_vector(b, listed) for listed in (codes, [graph], buffers)]
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, version)
        tflite.ModelAddOperatorCodes(b, lists[0])
        tflite.ModelAddSubgraphs(b, lists[1])
        tflite.ModelAddBuffers(b, lists[2])
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())

    def _tensor(self, b: Any, one: Made) -> int:
        shape = b.CreateNumpyVector(np.array(one.shape, np.int32))
        name = b.CreateString(f"t{one.index}")
        quantised = None
        if one.scales:
            scales = b.CreateNumpyVector(np.array(one.scales, np.float32))
            zeros = b.CreateNumpyVector(np.array(one.zeros, np.int64))
            tflite.QuantizationParametersStart(b)
            tflite.QuantizationParametersAddScale(b, scales)
            tflite.QuantizationParametersAddZeroPoint(b, zeros)
            tflite.QuantizationParametersAddQuantizedDimension(b, one.axis)
            quantised = tflite.QuantizationParametersEnd(b)
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, getattr(tflite.TensorType, one.type))
        tflite.TensorAddBuffer(b, one.index + 1)
        tflite.TensorAddName(b, name)
        if quantised is not None:
            tflite.TensorAddQuantization(b, quantised)
        return int(tflite.TensorEnd(b))

    def _operator(
        self,
        b: Any,
        kinds: list[str],
        kind: str,
        reads: list[int],
        makes: list[int],
        table: str,
        options: dict[str, int],
    ) -> int:
        inputs = b.CreateNumpyVector(np.array(reads, np.int32))
        outputs = b.CreateNumpyVector(np.array(makes, np.int32))
        held = None
        if table:
            getattr(tflite, f"{table}Start")(b)
            for name, value in options.items():
                getattr(tflite, f"{table}Add{name}")(b, value)
            held = getattr(tflite, f"{table}End")(b)
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, kinds.index(kind))
        tflite.OperatorAddInputs(b, inputs)
        tflite.OperatorAddOutputs(b, outputs)
        if held is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, table))
            tflite.OperatorAddBuiltinOptions(b, held)
        return int(tflite.OperatorEnd(b))


def _outputs(size: int, kernel: int, stride: int, padding: int) -> int:
    return -(-size // stride) if padding == SAME else (size - kernel) // stride + 1


def _vector(b: Any, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for one in reversed(offsets):
        b.PrependUOffsetTRelative(one)
    return int(b.EndVector())
