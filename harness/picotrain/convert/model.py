"""A .tflite file as plain data. Nothing here knows what its operators compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from picotrain import inputs
from picotrain.errors import UserError
from picotrain.versions import to_install

SUFFIX = ".tflite"
_IDENTIFIER = b"TFL3"
_VERSION = 3

OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": (
        "Conv2DOptions",
        (
            *("Padding", "StrideH", "StrideW", "FusedActivationFunction"),
            *("DilationHFactor", "DilationWFactor"),
        ),
    ),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        (
            *("Padding", "StrideH", "StrideW", "FusedActivationFunction", "DepthMultiplier"),
            *("DilationHFactor", "DilationWFactor"),
        ),
    ),
    "FULLY_CONNECTED": (
        "FullyConnectedOptions",
        ("FusedActivationFunction", "WeightsFormat"),
    ),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    **dict.fromkeys(
        ("MAX_POOL_2D", "AVERAGE_POOL_2D"),
        (
            "Pool2DOptions",
            (
                *("Padding", "StrideH", "StrideW", "FusedActivationFunction"),
                *("FilterHeight", "FilterWidth"),
            ),
        ),
    ),
}
"""Of each operator that has options which matter: its table, and what is read from it."""


@dataclass(frozen=True)
class Tensor:
    """`scales` and `zeros` are empty where it is not quantised; `data` is None where it is made."""

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    axis: int
    data: bytes | None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def quantisation(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        return self.scales, self.zeros


@dataclass(frozen=True)
class Operator:
    """`inputs` may hold -1 for one that is left out. `options` are the numbers of the schema."""

    position: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]

    @property
    def title(self) -> str:
        return f"operator {self.position}, {self.kind}"


@dataclass(frozen=True)
class Model:
    """A file with one graph, whose one input and one output are tensors."""

    path: Path
    content: bytes
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input: Tensor
    output: Tensor

    def producer(self, tensor: int) -> Operator | None:
        return next((one for one in self.operators if tensor in one.outputs), None)

    def consumers(self, tensor: int) -> list[Operator]:
        return [one for one in self.operators if tensor in one.inputs]


def read(path: Path) -> Model:
    """The model in a file; UserError where there is none, or one that nothing here can take."""
    if path.suffix.lower() == ".npz":
        raise UserError(f"{path} is a backbone already; give the {SUFFIX} file that it is from")
    if path.suffix.lower() == ".onnx":
        raise UserError(
            f"{path} is an ONNX model, which TFLite Micro does not run; give a {SUFFIX} file"
        )
    if path.suffix.lower() != SUFFIX:
        raise UserError(
            f"{path} has not the ending {SUFFIX}; convert the network with TensorFlow Lite's "
            f"converter first, to int8, and give its {SUFFIX} file"
        )
    content = inputs.read_bytes(path, f"give a {SUFFIX} file")
    if content[4:8] != _IDENTIFIER:
        what = "empty" if not content else "no TFLite model: its bytes 4 to 7 are not TFL3"
        raise UserError(f"{path} is {what}; give the file that TensorFlow Lite's converter wrote")
    return parsed(path, content)


def parsed(path: Path, content: bytes) -> Model:
    """The model of a file's bytes; `path` is what errors name."""
    names = schema()
    try:
        return _Reader(path, content, names).model()
    except UserError:
        raise
    # The schema's classes follow any offset, and what they find there may be anything.
    except Exception as error:
        raise damaged(path, "what it says of its own parts is wrong") from error


def schema() -> Any:
    try:
        import tflite
    except ImportError:
        raise UserError(
            f"reading {SUFFIX} files needs the package tflite: `{to_install('convert')}`"
        ) from None
    return tflite


def damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is damaged or cut off ({why}); restore it, or convert the network again"
    )


class _Reader:
    def __init__(self, path: Path, content: bytes, schema: Any) -> None:
        self._path, self._content, self._schema = path, content, schema
        self._kinds = _names(schema.BuiltinOperator)
        self._types = _names(schema.TensorType)

    def _error(self, why: str) -> UserError:
        return damaged(self._path, why)

    def _refuse(self, what: str, fix: str) -> UserError:
        return UserError(f"{self._path} {what}; {fix}")

    def _count(self, length: int) -> int:
        """Of a vector: no more than the file has bytes, whatever it says."""
        if not 0 <= length <= len(self._content):
            raise self._error(f"a list of {length} entries")
        return length

    def _numbers(self, get: Callable[[int], Any], length: int) -> tuple[Any, ...]:
        return tuple(get(index) for index in range(self._count(length)))

    def model(self) -> Model:
        root = self._schema.Model.GetRootAs(self._content, 0)
        if root.Version() != _VERSION:
            raise self._refuse(
                f"has version {root.Version()} of the format, not {_VERSION}",
                "convert the network again",
            )
        if root.SubgraphsLength() != 1:
            raise self._refuse(
                f"has {root.SubgraphsLength()} graphs, not one",
                "build the network without loops and conditions",
            )
        graph = root.Subgraphs(0)
        tensors = tuple(self._tensors(root, graph))
        operators = tuple(self._operators(root, graph, len(tensors)))
        ends = []
        for what, get, length in (
            ("input", graph.Inputs, graph.InputsLength()),
            ("output", graph.Outputs, graph.OutputsLength()),
        ):
            found = self._numbers(get, length)
            if len(found) != 1:
                raise self._refuse(
                    f"has {len(found)} {what}s, not one", f"build the network with one {what}"
                )
            if not 0 <= found[0] < len(tensors):
                raise self._error(f"its {what} is tensor {found[0]}")
            ends.append(tensors[found[0]])
        if not operators:
            raise self._refuse("has no operators", "convert the network again")
        self._check_order(tensors, operators)
        return Model(self._path, self._content, tensors, operators, ends[0], ends[1])

    def _tensors(self, root: Any, graph: Any) -> Iterator[Tensor]:
        for index in range(self._count(graph.TensorsLength())):
            tensor = graph.Tensors(index)
            shape = self._numbers(tensor.Shape, tensor.ShapeLength())
            if any(size < 1 for size in shape):
                raise self._refuse(
                    f"has a tensor of shape {list(shape)}, tensor {index}, whose size is not fixed",
                    "convert the network with fixed shapes",
                )
            scales: tuple[float, ...] = ()
            zeros: tuple[int, ...] = ()
            axis = 0
            held = tensor.Quantization()
            if held is not None:
                scales = self._numbers(held.Scale, held.ScaleLength())
                zeros = self._numbers(held.ZeroPoint, held.ZeroPointLength())
                axis = held.QuantizedDimension()
            if tensor.IsVariable() or tensor.Sparsity() is not None:
                what = "a state that is kept" if tensor.IsVariable() else "sparse weights"
                raise self._refuse(f"has {what}, tensor {index}", "build the network without it")
            yield Tensor(
                index,
                (tensor.Name() or b"").decode("utf-8", "replace"),
                shape,
                self._types.get(tensor.Type(), f"type {tensor.Type()}"),
                *(scales, zeros or (0,) * len(scales), axis),
                self._data(root, tensor.Buffer()),
            )

    def _data(self, root: Any, number: int) -> bytes | None:
        if not 0 <= number < self._count(root.BuffersLength()):
            raise self._error(f"there is no buffer {number}")
        buffer = root.Buffers(number)
        length = self._count(buffer.DataLength())
        if not length:
            return None
        data = bytes(buffer.DataAsNumpy())
        if len(data) != length:
            raise self._error(f"buffer {number} has {len(data)} bytes of {length}")
        return data

    def _operators(self, root: Any, graph: Any, tensors: int) -> Iterator[Operator]:
        for position in range(self._count(graph.OperatorsLength())):
            entry = graph.Operators(position)
            number = entry.OpcodeIndex()
            if not 0 <= number < self._count(root.OperatorCodesLength()):
                raise self._error(f"operator {position} has no kind")
            code = root.OperatorCodes(number)
            # Below 127 the older field holds it too; above, only the newer one.
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            kind = self._kinds.get(builtin, f"number {builtin}")
            if kind == "CUSTOM":
                kind = (code.CustomCode() or b"CUSTOM").decode("utf-8", "replace")
            reads = self._numbers(entry.Inputs, entry.InputsLength())
            makes = self._numbers(entry.Outputs, entry.OutputsLength())
            if any(not -1 <= one < tensors for one in reads) or any(
                not 0 <= one < tensors for one in makes
            ):
                raise self._error(f"operator {position} names a tensor that is not there")
            if not reads or not makes:
                raise self._error(f"operator {position} reads or makes nothing")
            yield Operator(position, kind, reads, makes, self._options(entry, kind))

    def _options(self, entry: Any, kind: str) -> dict[str, int]:
        if kind not in OPTIONS:
            return {}
        table, names = OPTIONS[kind]
        union = entry.BuiltinOptions()
        if union is None or entry.BuiltinOptionsType() != getattr(
            self._schema.BuiltinOptions, table
        ):
            raise self._error(f"a {kind} has no {table}")
        options = getattr(self._schema, table)()
        options.Init(union.Bytes, union.Pos)
        return {name: int(getattr(options, name)()) for name in names}

    def _check_order(self, tensors: tuple[Tensor, ...], operators: tuple[Operator, ...]) -> None:
        """Every tensor is made once, before it is read."""
        made: set[int] = set()
        for operator in operators:
            for index in operator.outputs:
                if index in made or tensors[index].data is not None:
                    raise self._error(f"tensor {index} is made twice")
            made |= set(operator.outputs)
        later = set(made)
        for operator in operators:
            if later & set(operator.inputs):
                raise self._error(f"{operator.title} reads what is made later")
            later -= set(operator.outputs)


def _names(enumeration: Any) -> dict[int, str]:
    return {
        value: name
        for name, value in vars(enumeration).items()
        if isinstance(value, int) and not name.startswith("_")
    }
