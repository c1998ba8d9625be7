"""An .onnx file as plain data. Nothing here knows what its nodes compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain import inputs
from picotrain.errors import UserError
from picotrain.versions import to_install

SUFFIX = ".onnx"
_LEAST_OPSET, _LARGEST_OPSET = 9, 26
_DEFAULT_DOMAINS = ("", "ai.onnx")
_MOST_ELEMENTS = 1 << 26
"""Of a constant: more than any network here may have weights."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Node:
    """`inputs` may hold empty names, of what is left out. `attributes` are numbers, texts, lists
    of numbers and arrays."""

    position: int
    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        named = f" '{self.name}'" if self.name else ""
        return f"operator {self.position}, {self.kind}{named}"


@dataclass(frozen=True, eq=False)
class Model:
    """A file with one graph, one input and one output. `shape` is the input's, whose first size is
    the batch: 1 where the file leaves it open."""

    path: Path
    content: bytes
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    input: str
    shape: tuple[int, ...]
    type: str
    output: str


def damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is damaged or cut off ({why}); restore it, or export the network again"
    )


def read(path: Path) -> Model:
    """The model in a file; UserError where there is none, or one that nothing here can take."""
    content = inputs.read_bytes(path, f"give an {SUFFIX} file")
    if not content:
        raise UserError(f"{path} is empty; give the file that the export wrote")
    onnx = _package()
    try:
        return _Reader(path, content, onnx).model()
    except UserError:
        raise
    # What the file says of its own parts is followed, and what is found there may be anything.
    except Exception as error:
        raise damaged(path, "it is no ONNX model, or what it says of its parts is wrong") from error


def _package() -> Any:
    try:
        import onnx
    except ImportError:
        raise UserError(
            f"reading {SUFFIX} files needs the package onnx: `{to_install('convert')}`"
        ) from None
    return onnx


class _Reader:
    def __init__(self, path: Path, content: bytes, onnx: Any) -> None:
        self._path, self._content, self._onnx = path, content, onnx
        self._beside: dict[Path, bytes] = {}

    def _refuse(self, what: str, fix: str) -> UserError:
        return UserError(f"{self._path} {what}; {fix}")

    def model(self) -> Model:
        proto = self._onnx.load_model_from_string(self._content)
        opset = max(
            (one.version for one in proto.opset_import if one.domain in _DEFAULT_DOMAINS),
            default=0,
        )
        graph = proto.graph
        if not graph.node or not opset:
            raise damaged(self._path, "it has no operators, or no version of them")
        if not _LEAST_OPSET <= opset <= _LARGEST_OPSET:
            raise self._refuse(
                f"has opset {opset}", f"export it with opset {_LEAST_OPSET} to {_LARGEST_OPSET}"
            )
        if proto.functions:
            inline = self._onnx.inliner.inline_local_functions
            graph = inline(proto).graph
        constants = {one.name: self._array(one, one.name) for one in graph.initializer}
        if graph.sparse_initializer:
            raise self._refuse("has sparse weights", "export the network without them")
        name, shape, kind = self._input(graph, constants)
        if len(graph.output) != 1:
            raise self._refuse(
                f"has {len(graph.output)} outputs, not one", "export the network with one output"
            )
        nodes = tuple(self._nodes(graph, {name, *constants}))
        output = graph.output[0].name
        if output not in {one for node in nodes for one in node.outputs}:
            raise damaged(self._path, "its output is made by no operator")
        return Model(self._path, self._content, opset, nodes, constants, name, shape, kind, output)

    def _input(
        self, graph: Any, constants: Mapping[str, Array]
    ) -> tuple[str, tuple[int, ...], str]:
        # Old files list their constants as inputs too.
        found = [one for one in graph.input if one.name not in constants]
        if len(found) != 1:
            raise self._refuse(
                f"has {len(found)} inputs, not one", "export the network with one input"
            )
        tensor = found[0].type.tensor_type
        kind = self._type(tensor.elem_type)
        if kind not in ("FLOAT", "INT8", "UINT8"):
            raise self._refuse(
                f"has an input of type {kind}",
                "export the network with an input of FLOAT, or INT8 or UINT8 if it is quantised",
            )
        if not tensor.HasField("shape"):
            raise self._refuse(
                "has an input without a shape", "export the network with fixed sizes"
            )
        sizes = [
            one.dim_value if one.HasField("dim_value") and one.dim_value > 0 else None
            for one in tensor.shape.dim
        ]
        if not 2 <= len(sizes) <= 4 or None in sizes[1:]:
            shown = ", ".join("?" if one is None else str(one) for one in sizes)
            raise self._refuse(
                f"has an input of shape [{shown}]",
                "export the network with 2 to 4 dimensions, all but the first (the batch) fixed",
            )
        batch = sizes[0] or 1
        return found[0].name, (batch, *(one or 0 for one in sizes[1:])), kind

    def _nodes(self, graph: Any, known: set[str]) -> Iterator[Node]:
        made = set(known)
        for position, node in enumerate(graph.node):
            if any(name and name not in made for name in node.input):
                raise damaged(self._path, f"operator {position} reads what nothing has made")
            outputs = [name for name in node.output if name]
            if not outputs or made & set(outputs):
                raise damaged(self._path, f"operator {position} makes nothing, or something twice")
            made |= set(outputs)
            kind = node.op_type
            if node.domain not in _DEFAULT_DOMAINS:
                kind = f"{node.domain}.{node.op_type}"
            attributes = {one.name: self._attribute(one) for one in node.attribute}
            yield Node(position, kind, node.name, tuple(node.input), tuple(node.output), attributes)

    def _attribute(self, one: Any) -> Any:
        kinds = self._onnx.AttributeProto
        if one.type in (kinds.INT, kinds.FLOAT):
            return one.i if one.type == kinds.INT else one.f
        if one.type == kinds.STRING:
            return one.s.decode("utf-8", "replace")
        if one.type in (kinds.INTS, kinds.FLOATS):
            return list(one.ints if one.type == kinds.INTS else one.floats)
        if one.type == kinds.TENSOR:
            return self._array(one.t, one.name)
        # Graphs of conditions and loops among them: whoever has one is not taken anyway.
        return None

    def _type(self, number: int) -> str:
        try:
            return str(self._onnx.TensorProto.DataType.Name(number))
        except ValueError:
            return f"number {number}"

    def _array(self, tensor: Any, name: str) -> Array:
        if any(size < 0 for size in tensor.dims) or prod(tensor.dims) > _MOST_ELEMENTS:
            raise damaged(self._path, f"constant '{name}' has shape {list(tensor.dims)}")
        if tensor.data_location == self._onnx.TensorProto.EXTERNAL:
            kind = self._onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            data = self._external(tensor, name, prod(tensor.dims) * kind.itemsize)
            return np.frombuffer(data, kind.newbyteorder("<")).astype(kind).reshape(tensor.dims)
        array: Array = self._onnx.numpy_helper.to_array(tensor)
        if array.dtype.kind not in "fiub":
            raise self._refuse(
                f"has constant '{name}' of type {self._type(tensor.data_type)}",
                "export the network with weights of FLOAT, or INT8 if it is quantised",
            )
        return array

    def _external(self, tensor: Any, name: str, size: int) -> bytes:
        entries = {one.key: one.value for one in tensor.external_data}
        location = Path(entries.get("location", ""))
        # A file beside it, and never one that it leads us to elsewhere.
        if location.is_absolute() or ".." in location.parts or not location.name:
            raise damaged(self._path, f"constant '{name}' lies in '{location}'")
        place = self._path.parent / location
        if not inputs.is_file(place):
            raise UserError(
                f"{self._path} has its weights in another file, {place}, which is not there; put "
                "it beside the model, or export with external_data=False"
            )
        if place not in self._beside:
            fix = "put the file that was exported with the model there"
            self._beside[place] = inputs.read_bytes(place, fix)
        content = self._beside[place]
        start = int(entries.get("offset", 0))
        data = content[start : start + size]
        if start < 0 or len(data) != size or int(entries.get("length", size)) != size:
            raise UserError(
                f"{place} is cut off: it has not the {size} bytes of constant '{name}' of "
                f"{self._path}; export the network again"
            )
        return data
