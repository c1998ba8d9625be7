"""Networks as the bytes that a device validates: the model blob of `firmware/nn/pt_model.h`."""

from __future__ import annotations

import zlib

import numpy as np

from picotrain.errors import UserError
from picotrain.image.elf import Elf
from picotrain_golden import Network

_KINDS = {"conv2d": "PT_CONV2D", "maxpool2": "PT_MAXPOOL2", "linear": "PT_LINEAR"}


def blob_size(network: Network, elf: Elf) -> int:
    """Bytes of the network's blob."""
    table = elf.dtype("pt_model_layer").itemsize * len(network.layers)
    weights = sum(-layer.weight_count % 4 + layer.weight_count for layer in network.layers)
    return elf.dtype("pt_model_header").itemsize + table + weights


def encode(network: Network, elf: Elf) -> bytes:
    """The blob, in the layout that `elf` was compiled with; the device checks what it holds."""
    if network.affine:
        raise UserError(
            f"network {network.name} is affine, and only target golden runs such networks yet"
        )
    header = np.zeros(1, elf.dtype("pt_model_header"))
    table = np.zeros(len(network.layers), elf.dtype("pt_model_layer"))
    format_ = elf.enum("pt_model_format")
    kinds = elf.enum("pt_layer_kind")
    offset = header.nbytes + table.nbytes
    weights = b""
    for entry, layer, parameters in zip(table, network.layers, network.parameters, strict=True):
        entry["kind"] = kinds[_KINDS[layer.kind]]
        entry["relu"] = layer.relu
        shape = entry["shape"]
        shape["in_h"], shape["in_w"], shape["in_c"] = layer.in_shape
        shape["out_h"], shape["out_w"], shape["out_c"] = layer.out_shape
        shape["kernel_h"], shape["kernel_w"] = layer.kernel
        shape["padding_h"], shape["padding_w"] = layer.padding
        shape["stride"] = layer.stride[0]
        if parameters is not None:
            entry["weight_exponent"] = parameters.exponent
            entry["forward_shift"] = parameters.forward_shift
            entry["error_shift"] = parameters.error_shift
            entry["gradient_bits"] = parameters.gradient_bits
            entry["score_bits"] = parameters.score_bits
            entry["weights_offset"] = offset + len(weights)
            entry["weights_size"] = parameters.weights.size
            weights += parameters.weights.tobytes() + bytes(-parameters.weights.size % 4)
    header["magic"] = format_["PT_MODEL_MAGIC"]
    header["version"] = format_["PT_MODEL_VERSION"]
    header["size"] = offset + len(weights)
    header["layers"] = len(network.layers)
    header["classes"] = network.classes
    return seal(header.tobytes() + table.tobytes() + weights, elf)


def seal(blob: bytes, elf: Elf) -> bytes:
    """The blob with its CRC set to what its bytes ask for."""
    field = elf.dtype("pt_model_header").fields
    assert field is not None
    at = field["crc32"][1]
    crc = zlib.crc32(blob[at + 4 :])
    return blob[:at] + crc.to_bytes(4, "little") + blob[at + 4 :]
