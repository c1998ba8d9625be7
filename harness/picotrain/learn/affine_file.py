"""Affine networks in a backbone file: what their layers are, in JSON and in arrays.

architecture    JSON: form "affine", name, input, logits (M and E of section 15; of older files
                2^15 and 0), and for each layer the keys of _KEYS
numbers         int64 [layers, 3], the columns of NUMBERS (of older files 0)
weights_<l>     int8 [rows, K], for each layer l that has weights
bias_<l>        int32 [rows], and multiplier_<l>, shift_<l>: section 14 of docs/numerics.md
scales          float32 [1 + layers], of the input and each output; only where they are known
scales_<l>      float32 [1 or rows], those of the weights, with them
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.quantise.quantise import Quantised
from picotrain.text import is_name
from picotrain_golden.network import (
    AFFINE,
    MAX_AFFINE_LAYERS,
    MAX_DIMENSION,
    Affine,
    Layer,
    Network,
    Parameters,
)

FORM = "affine"

_KEYS: dict[str, int | None] = dict.fromkeys(("in_shape", "out_shape"), 3)
_KEYS |= dict.fromkeys(("kernel", "stride", "padding"), 2)
_KEYS |= dict.fromkeys(("inputs", "zero_in"))
"""Lists of whole numbers, and how long they are."""
_NUMBERS = ("zero_out", "low", "high")
NUMBERS = ("error_shift", "gradient_bits", "score_bits")
"""What calibration makes."""
_NO_LOGITS = [1 << 15, 0]
_ARRAYS = ("bias", "multiplier", "shift")

Arrays = dict[str, NDArray[Any]]
Reader = Callable[[str, type[np.generic], tuple[int | None, ...]], NDArray[Any]]


@dataclass(frozen=True)
class Scales:
    """The real scales that the integers of a network were made of, each a float32: of its input
    and of each layer's output, and of each layer's weights: one, or one for each row. Nothing is
    computed with them; other formats want them."""

    tensors: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, made: Quantised) -> Scales:
        """Those that were chosen for a float network."""
        tensors = tuple(one.scale for one in (made.input, *made.tensors))
        weights = (() if each is None else tuple(each.tolist()) for each in made.weight_scales)
        return cls(tensors, tuple(weights))


def scale_arrays(scales: Scales) -> Arrays:
    tables = {"scales": scales.tensors}
    tables |= {f"scales_{index}": each for index, each in enumerate(scales.weights) if each}
    return {name: np.array(values, np.float32) for name, values in tables.items()}


def scales_of(network: Network, read: Reader) -> Scales:
    """Those of a file that has them; `read` as for `parse`."""
    tensors = read("scales", np.float32, (1 + len(network.layers),))
    weights = []
    for index, layer in enumerate(network.layers):
        each = read(f"scales_{index}", np.float32, (None,)) if layer.has_weights else np.zeros(0)
        if layer.has_weights and each.size not in (1, layer.rows):
            raise ValueError(f"its array 'scales_{index}' has {each.size} numbers")
        weights.append(tuple(map(float, each)))
    scales = Scales(tuple(map(float, tensors)), tuple(weights))
    if not all(isfinite(one) and one > 0 for row in (scales.tensors, *weights) for one in row):
        raise ValueError("its scales are not all above 0")
    return scales


def document(network: Network) -> dict[str, Any]:
    """The JSON of an affine network."""
    tables = []
    for layer, affine in zip(network.layers, network.affine, strict=True):
        values = {**vars(layer), **vars(affine)}
        lists = {key: [int(number) for number in values[key]] for key in _KEYS}
        numbers = {key: int(values[key]) for key in _NUMBERS}
        tables.append({"kind": layer.kind, **lists, **numbers})
    return {
        "form": FORM,
        "name": network.name,
        "input": list(network.input_shape),
        "logits": [int(number) for number in network.logits_scale],
        "layer": tables,
    }


def arrays(network: Network) -> Arrays:
    """Its arrays, but for the weights; none of a network of the other form."""
    result: Arrays = {
        f"{name}_{index}": getattr(affine, name)
        for index, affine in enumerate(network.affine)
        for name in _ARRAYS
    }
    if network.affine:
        result["numbers"] = numbers_of(network, NUMBERS)
    return result


def numbers_of(network: Network, names: Sequence[str]) -> NDArray[np.int64]:
    """Static numbers int64 [layers, names]; 0 where a layer has no weights."""
    rows = [
        [0 if held is None else int(getattr(held, name)) for name in names]
        for held in network.parameters
    ]
    return np.array(rows, np.int64)


def parse(content: dict[str, Any], read: Reader, calibrated: bool) -> Network:
    """The network of a document; `read` gives an array by name, type and shape, and that of the
    calibrated numbers where there is one. ValueError for what no document says."""
    name, tables = content.get("name"), content.get("layer")
    if not is_name(name):
        raise ValueError(f"its name is {name!r}")
    if not isinstance(tables, list) or not 1 <= len(tables) <= MAX_AFFINE_LAYERS:
        raise ValueError("its layers are no list of the allowed length")
    layers, affine = zip(
        *(_layer(index, table, read) for index, table in enumerate(tables)), strict=True
    )
    numbers = np.zeros((len(layers), len(NUMBERS)), np.int64)
    if calibrated:
        numbers = read("numbers", np.int64, numbers.shape)
    parameters = tuple(
        Parameters(
            read(f"weights_{index}", np.int8, (layer.rows, layer.row_length)),
            exponent=0,
            **dict(zip(NUMBERS, map(int, numbers[index]), strict=True)),
        )
        if layer.has_weights
        else None
        for index, layer in enumerate(layers)
    )
    height, width, channels = _whole("input", content.get("input"), 3)
    mantissa, exponent = _whole("logits", content.get("logits", _NO_LOGITS), 2, 1 << 16)
    return Network(
        name, (height, width, channels), layers, parameters, affine, (mantissa, exponent)
    )


def _layer(index: int, table: Any, read: Reader) -> tuple[Layer, Affine]:
    if not isinstance(table, dict) or table.get("kind") not in AFFINE:
        raise ValueError(f"layer {index} is of no kind")
    lists = {
        key: tuple(_whole(f"{key} of layer {index}", table.get(key), length))
        for key, length in _KEYS.items()
    }
    zero_out, low, high = (
        _whole(f"{key} of layer {index}", [table.get(key)], 1)[0] for key in _NUMBERS
    )
    bias, multiplier, shift = (read(f"{key}_{index}", np.int32, (None,)) for key in _ARRAYS)
    zero_in = lists.pop("zero_in")
    layer = Layer(kind=table["kind"], relu=False, **lists)  # type: ignore[arg-type]
    return layer, Affine(zero_in, zero_out, low, high, bias, multiplier, shift)


def _whole(what: str, values: Any, length: int | None, largest: int = MAX_DIMENSION) -> list[int]:
    """A list of whole numbers, none so large that it would be no size."""
    if (
        not isinstance(values, list)
        or (length is not None and len(values) != length)
        or any(type(number) is not int or abs(number) > largest for number in values)
    ):
        raise ValueError(f"its {what} is {values!r}")
    return values


def digest_parts(network: Network) -> tuple[dict[str, Any], bytes]:
    """What `network_sha256` takes of the integers of an affine network."""
    numbers = [
        {key: value for key, value in asdict(one).items() if key not in _ARRAYS}
        for one in network.affine
    ]
    content = b"".join(
        getattr(one, name).astype("<i4").tobytes() for one in network.affine for name in _ARRAYS
    )
    logits = [int(number) for number in network.logits_scale]
    return {"affine": numbers, "logits": logits}, content
