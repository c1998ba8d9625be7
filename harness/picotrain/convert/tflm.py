"""TensorFlow Lite for Microcontrollers as a reference: every tensor that it makes of an input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.convert.importer import Imported
from picotrain.convert.model import damaged
from picotrain.convert.operators import quantised
from picotrain.errors import UserError
from picotrain.versions import to_install
from picotrain_golden.numerics import Int8

_MORE_BYTES = 1 << 20
"""Of its arena, beside the tensors: its own tables. A guess on the safe side."""


class Reference:
    """TFLite Micro with a model. Its own int8 input is what golden is given."""

    def __init__(self, imported: Imported) -> None:
        runtime = _runtime()
        self._imported = imported
        model = imported.model
        made = sum(tensor.elements for tensor in model.tensors if tensor.data is None)
        try:
            self._interpreter = runtime.Interpreter.from_bytes(
                model.content,
                arena_size=4 * made + 2 * len(model.content) + _MORE_BYTES,
                intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
            )
        # The package parses the file itself, and what it finds there may be anything.
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> UserError:
        # Where it is TFLite Micro itself that refuses, it has printed why.
        why = "; see what it says above" if isinstance(error, RuntimeError) else ""
        return damaged(self._imported.model.path, f"TFLite Micro does not run it{why}")

    def run(self, image: Int8) -> list[Int8]:
        """int8 [H, W, C], as the network takes it -> that, and the tensor of each layer, flat."""
        imported = self._imported
        try:
            self._interpreter.set_input(self._given(image), 0)
            self._interpreter.invoke()
            return [
                np.asarray(self._interpreter.GetTensor(tensor.index, 0)["tensor_data"]).reshape(-1)
                for tensor in (imported.input, *imported.tensors)
            ]
        except Exception as error:
            raise self._refusal(error) from error

    def _given(self, image: Int8) -> NDArray[Any]:
        """In the type and shape of the model's own input, which it may bring to int8 itself."""
        wanted = self._imported.model.input
        scale, zero = quantised(self._imported.input)
        shaped = image.reshape(wanted.shape)
        if wanted.type == "FLOAT32":
            real = (shaped.astype(np.float64) - zero) * scale
            return real.astype(np.float32)
        if wanted.type == "UINT8":
            return (shaped.astype(np.int16) + 128).astype(np.uint8)
        return np.ascontiguousarray(shaped)


def _runtime() -> Any:
    try:
        from tflite_micro import runtime
    except ImportError:
        raise UserError(
            "comparing with TFLite Micro needs the package tflite-micro, which there is for Linux "
            f"on x86-64: `{to_install('convert')}`"
        ) from None
    return runtime
