"""Quantises a network of train.py with onnxruntime, imports that, and compares the outputs.

    .venv/bin/python experiments/onnx/against_onnxruntime.py build/onnx/resnet-mnist.onnx \
        build/onnx/mnist.npz

Wants onnxruntime (`pip install onnxruntime`) and the extra `convert`. A minute.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from picotrain.convert.onnx.file import read
from picotrain.convert.onnx.images import read_images, with_scale
from picotrain.convert.onnx.importer import import_floats
from picotrain.errors import told
from picotrain.quantise.quantise import quantise
from picotrain_golden.passes import forward_pass

CALIBRATION, IMAGES = 128, 500


class Reader(quantization.CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"image": image[None]}


def real(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    options = parser.parse_args(arguments)
    held = np.load(options.images)
    trying, labels = real(held["x_test"][:IMAGES]), held["y_test"][:IMAGES]
    with tempfile.TemporaryDirectory() as folder:
        plain, path = Path(folder) / "plain.onnx", Path(folder) / "quantised.onnx"
        quant_pre_process(str(options.model), str(plain))
        for kind, by_channel in (("QInt8", True), ("QUInt8", False)):
            quantization.quantize_static(
                str(plain),
                str(path),
                Reader(real(held["x"][:CALIBRATION])),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=by_channel,
                activation_type=quantization.QuantType[kind],
                weight_type=quantization.QuantType.QInt8,
            )
            compare(path, options.images, trying, labels, kind)


def compare(path: Path, images: Path, trying: np.ndarray, labels: np.ndarray, kind: str) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"image": one[None]})[0] for one in trying])
    floats = import_floats(read(path))
    # The norm at the input is not quantised by onnxruntime, so its scale is that of pixels.
    given = read_images(images, floats)
    found = quantise(with_scale(floats.graph, given), given.calibrating[:CALIBRATION])
    laid = trying.reshape(len(trying), -1)[:, floats.order]
    pixels = found.input.quantised(laid.reshape(len(trying), *floats.graph.input_shape))
    weights = [None if one is None else one.weights for one in found.network.parameters]
    logits = forward_pass(found.network, weights, pixels.view(np.uint8), dynamic=False).logits
    last = found.tensors[-1]
    apart = np.abs(np.rint(wanted / last.scale) + last.zero - logits)
    theirs, ours = (float((one.argmax(1) == labels).mean()) for one in (wanted, logits))
    print(
        f"{kind}: {(apart == 0).mean():.2%} of outputs equal, {(apart <= 1).mean():.2%} within a "
        f"step, all within {apart.max():.0f}; accuracy of onnxruntime {theirs:.3f}, here {ours:.3f}"
    )


if __name__ == "__main__":
    sys.exit(told("against_onnxruntime", main))
