"""Plain data as a .tflite file: the way back of `picotrain.convert.model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from picotrain.convert.model import OPTIONS, Operator, Tensor, schema
from picotrain.errors import UserError
from picotrain.versions import to_install

_VERSION = 3
_ALIGNMENT = 16
"""Of constants, as the schema demands."""
_TABLES = {kind: table for kind, (table, _) in OPTIONS.items()} | {"MEAN": "ReducerOptions"}
_VERSIONS = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), 3),
    "FULLY_CONNECTED": 4,
    **dict.fromkeys(("ADD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "PAD"), 2),
}
"""Of each operator, the first version that takes int8."""


def content(
    tensors: Sequence[Tensor], operators: Sequence[Operator], input_: int, output: int
) -> bytes:
    """The bytes of the file. `options` of an operator are by name, as the schema calls them."""
    return _Writer(schema(), _builder()).file(tensors, operators, input_, output)


def _builder() -> Any:
    try:
        import flatbuffers
    except ImportError:
        raise UserError(
            f"writing .tflite files needs the package flatbuffers: `{to_install('convert')}`"
        ) from None
    return flatbuffers.Builder(1 << 16)


class _Writer:
    def __init__(self, names: Any, builder: Any) -> None:
        self._names, self._b = names, builder

    def _vector(self, offsets: Sequence[int]) -> int:
        self._b.StartVector(4, len(offsets), 4)
        for one in reversed(offsets):
            self._b.PrependUOffsetTRelative(one)
        return int(self._b.EndVector())

    def _table(self, name: str, **values: Any) -> int:
        """A table with those fields; None is left out."""
        getattr(self._names, f"{name}Start")(self._b)
        for field, value in values.items():
            if value is not None:
                getattr(self._names, f"{name}Add{field}")(self._b, value)
        return int(getattr(self._names, f"{name}End")(self._b))

    def _numbers(self, values: Sequence[float], dtype: type[np.generic]) -> int:
        return int(self._b.CreateNumpyVector(np.array(values, dtype)))

    def file(
        self, tensors: Sequence[Tensor], operators: Sequence[Operator], input_: int, output: int
    ) -> bytes:
        b, names = self._b, self._names
        kinds = sorted({one.kind for one in operators})
        codes = []
        for kind in kinds:
            number = getattr(names.BuiltinOperator, kind)
            codes.append(
                self._table(
                    "OperatorCode",
                    DeprecatedBuiltinCode=min(number, 127),
                    BuiltinCode=number,
                    Version=_VERSIONS[kind],
                )
            )
        buffers = []
        for data in (None, *(one.data for one in tensors)):
            buffers.append(self._table("Buffer", Data=self._bytes(data) if data else None))
        made = [self._tensor(one) for one in tensors]
        run = [self._operator(kinds, one) for one in operators]
        ends = [self._numbers([one], np.int32) for one in (input_, output)]
        lists = [self._vector(one) for one in (made, run)]
        graph = self._table(
            "SubGraph", Tensors=lists[0], Inputs=ends[0], Outputs=ends[1], Operators=lists[1]
        )
        text = b.CreateString("picotrain export")
        lists = [self._vector(one) for one in (codes, [graph], buffers)]
        root = self._table(
            "Model",
            Version=_VERSION,
            OperatorCodes=lists[0],
            Subgraphs=lists[1],
            Description=text,
            Buffers=lists[2],
        )
        b.Finish(root, b"TFL3")
        return bytes(b.Output())

    def _bytes(self, data: bytes) -> int:
        """As the builder's own CreateByteVector, but aligned: runtimes read it in place."""
        b = self._b
        b.StartVector(1, len(data), _ALIGNMENT)
        b.head -= len(data)
        b.Bytes[b.head : b.head + len(data)] = data
        return int(b.EndVector())

    def _tensor(self, one: Tensor) -> int:
        quantisation = self._quantisation(one) if one.scales else None
        shape = self._numbers(one.shape, np.int32)
        name = self._b.CreateString(one.name)
        return self._table(
            "Tensor",
            Shape=shape,
            Type=getattr(self._names.TensorType, one.type),
            Buffer=one.index + 1,
            Name=name,
            Quantization=quantisation,
        )

    def _quantisation(self, one: Tensor) -> int:
        scales, zeros = self._numbers(one.scales, np.float32), self._numbers(one.zeros, np.int64)
        return self._table(
            "QuantizationParameters",
            Scale=scales,
            ZeroPoint=zeros,
            QuantizedDimension=one.axis,
        )

    def _operator(self, kinds: list[str], one: Operator) -> int:
        reads, makes = self._numbers(one.inputs, np.int32), self._numbers(one.outputs, np.int32)
        table = _TABLES.get(one.kind)
        options = None if table is None else self._table(table, **one.options)
        return self._table(
            "Operator",
            OpcodeIndex=kinds.index(one.kind),
            Inputs=reads,
            Outputs=makes,
            BuiltinOptionsType=None
            if table is None
            else getattr(self._names.BuiltinOptions, table),
            BuiltinOptions=options,
        )
