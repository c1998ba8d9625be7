"""Networks as the bytes that a device validates: the model blob of `firmware/nn/pt_model.h`.

And methods in its numbers, and the sum of any bytes, as the device makes it."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.image.elf import Elf
from picotrain_golden import Affine, Kind, Method, Network

_KINDS: dict[Kind, str] = {
    "conv2d": "PT_CONV2D",
    "maxpool2": "PT_MAXPOOL2",
    "linear": "PT_LINEAR",
    "depthwise": "PT_DEPTHWISE",
    "maxpool": "PT_MAXPOOL",
    "avgpool": "PT_AVGPOOL",
    "add": "PT_ADD",
}

METHOD_KINDS = {
    "infer": "PT_INFER",
    "niti-dynamic": "PT_NITI_DYNAMIC",
    "niti-static": "PT_NITI_STATIC",
    "priot": "PT_PRIOT",
    "priot-s": "PT_PRIOT_S",
    "fisher": "PT_FISHER",
    "prototype": "PT_PROTOTYPE",
}
_SELECTIONS = {"random": "PT_SELECT_RANDOM", "weight": "PT_SELECT_WEIGHT"}
_STARTS = {"zero": "PT_START_ZERO", "normal": "PT_START_NORMAL"}


def method_numbers(method: Method, elf: Elf) -> dict[str, int]:
    """The fields of `struct pt_method`, in its order."""
    return {
        "kind": int(elf.enum("pt_method_kind")[METHOD_KINDS[method.name]]),
        "mu": method.mu,
        "threshold": method.theta,
        "permille": method.permille,
        "selection": int(elf.enum("pt_selection")[_SELECTIONS[method.select]]),
        "start": int(elf.enum("pt_start")[_STARTS[method.start]]),
        "seed": method.seed,
        "easy": method.easy,
    }


def blob_size(network: Network, elf: Elf) -> int:
    """Bytes of the network's blob."""
    table = elf.dtype("pt_model_layer").itemsize * len(network.layers)
    weights = sum(-layer.weight_count % 4 + layer.weight_count for layer in network.layers)
    factors = sum(affine.multiplier.size for affine in network.affine)
    return (
        elf.dtype("pt_model_header").itemsize
        + table
        + weights
        + factors * elf.dtype("pt_factor").itemsize
    )


def encode(network: Network, elf: Elf) -> bytes:
    """The blob, in the layout that `elf` was compiled with; the device checks what it holds."""
    header = np.zeros(1, elf.dtype("pt_model_header"))
    table = np.zeros(len(network.layers), elf.dtype("pt_model_layer"))
    format_ = elf.enum("pt_model_format")
    forms = elf.enum("pt_model_form")
    kinds = elf.enum("pt_layer_kind")
    special = elf.enum("pt_special_layer")
    at = header.nbytes + table.nbytes
    data = b""
    for index, (entry, layer) in enumerate(zip(table, network.layers, strict=True)):
        entry["kind"] = kinds[_KINDS[layer.kind]]
        entry["relu"] = layer.relu
        entry["input"] = int(special["PT_NO_LAYER"])
        for place, number in enumerate(network.reads(index)):
            entry["input"][place] = special["PT_INPUT_LAYER"] if number == -1 else number
        shape = entry["shape"]
        shape["in_h"], shape["in_w"], shape["in_c"] = layer.in_shape
        shape["out_h"], shape["out_w"], shape["out_c"] = layer.out_shape
        shape["kernel_h"], shape["kernel_w"] = layer.kernel
        shape["stride_h"], shape["stride_w"] = layer.stride
        shape["padding_h"], shape["padding_w"] = layer.padding
        parameters = network.parameters[index]
        if parameters is not None:
            entry["weight_exponent"] = parameters.exponent
            entry["forward_shift"] = parameters.forward_shift
            entry["error_shift"] = parameters.error_shift
            entry["gradient_bits"] = parameters.gradient_bits
            entry["score_bits"] = parameters.score_bits
            entry["weights_offset"] = at + len(data)
            entry["weights_size"] = parameters.weights.size
            data += parameters.weights.tobytes() + bytes(-parameters.weights.size % 4)
        if network.affine:
            data += _put_affine(entry, network.affine[index], at + len(data), elf)
    header["magic"] = format_["PT_MODEL_MAGIC"]
    header["version"] = format_["PT_MODEL_VERSION"]
    header["size"] = at + len(data)
    header["layers"] = len(network.layers)
    # Too many for the field are too many for the device, which says so.
    header["classes"] = min(network.classes, 0xFFFF)
    header["form"] = forms["PT_AFFINE" if network.affine else "PT_POWER_OF_TWO"]
    if network.affine:
        header["logits_multiplier"], header["logits_exponent"] = network.logits_scale
    return seal(header.tobytes() + table.tobytes() + data, elf)


def _put_affine(entry: Any, affine: Affine, offset: int, elf: Elf) -> bytes:
    """Fills the entry of an affine layer. Returns its factors, which lie at `offset`."""
    entry["zero_in"][: len(affine.zero_in)] = affine.zero_in
    entry["zero_out"], entry["low"], entry["high"] = affine.zero_out, affine.low, affine.high
    factors = np.zeros(affine.multiplier.size, elf.dtype("pt_factor"))
    factors["bias"][: affine.bias.size] = affine.bias
    factors["multiplier"], factors["shift"] = affine.multiplier, affine.shift
    entry["factors"] = factors.size
    entry["factors_offset"] = offset if factors.size else 0
    return factors.tobytes()


def seal(blob: bytes, elf: Elf) -> bytes:
    """The blob with its CRC set to what its bytes ask for."""
    field = elf.dtype("pt_model_header").fields
    assert field is not None
    at = field["crc32"][1]
    crc = zlib.crc32(blob[at + 4 :])
    return blob[:at] + crc.to_bytes(4, elf.byte_order) + blob[at + 4 :]


def word_sum(data: bytes | bytearray, elf: Elf) -> int:
    """pt_sum of firmware/nn/pt_sum.h, on a device that runs this."""
    words = np.frombuffer(data + bytes(-len(data) % 4), f"{elf.order}u4")
    factor = int(elf.enum("pt_sum_format")["PT_SUM_FACTOR"])
    powers = _powers(factor, max(words.size - 1, 0).bit_length())[: words.size]
    return int((words[::-1] * powers).sum(dtype=np.uint32))


@cache
def _powers(factor: int, bits: int) -> NDArray[np.uint32]:
    """2^bits powers of the factor, from 0 on."""
    factors = np.full(1 << bits, factor, np.uint32)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint32)
