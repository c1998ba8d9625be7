"""QDQ models: the scales of the file are taken as they are, and every number with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[convert]'")

from onnx.reference import ReferenceEvaluator

import onnx
from onnx_builder import Builder, residual
from picotrain.convert.onnx.file import read
from picotrain.convert.onnx.importer import Floats, import_floats
from picotrain.errors import UserError
from picotrain.quantise.graph import TensorScale
from picotrain.quantise.quantise import Quantised, quantise
from picotrain_golden.numerics import Int8
from picotrain_golden.passes import forward_pass


def imported(tmp_path: Path, content: bytes) -> Floats:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return import_floats(read(path))


def run(found: Quantised, images: Int8) -> Int8:
    weights = [None if one is None else one.weights for one in found.network.parameters]
    done = forward_pass(found.network, weights, images.view(np.uint8), dynamic=False)
    return done.activations[-1].reshape(len(images), -1)


def largest_difference(content: bytes, floats: Floats, found: Quantised, runner: Any) -> int:
    """In steps of the output, between golden and a runner of the file, over random images."""
    images = np.random.default_rng(7).integers(-128, 128, (20, *floats.graph.input_shape))
    images = images.astype(np.int8)
    real = found.input.real(images).transpose(0, 3, 1, 2)
    wanted = np.array([runner.run(None, {"image": one[None]})[0].reshape(-1) for one in real])
    steps = np.rint(wanted / found.tensors[-1].scale) + found.tensors[-1].zero
    return int(np.abs(steps - run(found, images)).max())


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("seed", range(3))
def test_outputs_are_within_one_step(tmp_path: Path, seed: int, dtype: Any) -> None:
    """The file computes in floating point between its scales, we in integers: halves may differ,
    and what differs by a step in between is at most a step or two at the end."""
    builder, end = residual(seed, dtype)
    content = builder.finish(end, opset=19)
    floats = imported(tmp_path, content)
    found = quantise(floats.graph)
    assert largest_difference(content, floats, found, ReferenceEvaluator(content)) <= 1


def test_outputs_are_near_those_of_onnxruntime(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    builder, end = residual(1, np.uint8)
    content = builder.finish(end, opset=19)
    floats = imported(tmp_path, content)
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert largest_difference(content, floats, quantise(floats.graph), session) <= 1


def test_the_scales_and_integers_are_those_of_the_file(tmp_path: Path) -> None:
    builder, end = residual()
    content = builder.finish(end, opset=19)
    floats = imported(tmp_path, content)
    found = quantise(floats.graph)
    assert [layer.kind for layer in found.network.layers] == [
        *("conv2d", "depthwise", "add", "maxpool", "avgpool", "linear")
    ]
    single = [float(np.float32(one)) for one in (0.02, 0.025, 0.04, 0.04, 0.015, 0.03)]
    zeros = [-128, -7, -20, -20, -40, 3]
    assert list(found.tensors) == list(map(TensorScale, single, zeros))
    assert found.input == TensorScale(float(np.float32(0.03)), 5)
    held = {one.name: onnx.numpy_helper.to_array(one) for one in builder.constants}
    whole = [one for one in held.values() if one.dtype == np.int8 and one.ndim > 1]
    conv = whole[0].transpose(0, 2, 3, 1).reshape(6, -1)
    assert found.network.of(0).weights.tolist() == conv.tolist()
    assert found.network.of(5).weights.tolist() == whole[2].tolist()
    biases = [one for one in held.values() if one.dtype == np.int32 and one.any()]
    assert found.network.affine[0].bias.tolist() == biases[0].tolist()


def test_a_second_scale_is_a_layer_that_rescales(tmp_path: Path) -> None:
    b = Builder((1, 2, 4, 4))
    x = b.quantised("image", 0.02, 0)
    x = b.op("MaxPool", x, kernel_shape=[2, 2])
    x = b.quantised(x, 0.05, 9)
    w, scales = b.weights(3, 18)
    x = b.op("Gemm", b.flat(x), w, b.whole_bias(scales, 0.05), transB=1)
    content = b.finish(b.quantised(x, 0.1, 0), opset=19)
    floats = imported(tmp_path, content)
    found = quantise(floats.graph)
    assert [layer.kind for layer in found.network.layers] == ["maxpool", "depthwise", "linear"]
    assert found.network.of(1).weights.tolist() == [[127], [127]]
    assert largest_difference(content, floats, found, ReferenceEvaluator(content)) <= 1


def test_integers_at_the_input(tmp_path: Path) -> None:
    b = Builder((1, 6), type=onnx.TensorProto.UINT8)
    x = b.op("DequantizeLinear", "image", b.constant(0.5, np.float32), b.constant(130, np.uint8))
    w, scales = b.weights(3, 6)
    x = b.op("Gemm", x, w, b.whole_bias(scales, 0.5), transB=1)
    floats = imported(tmp_path, b.finish(b.quantised(x, 1.0, 0)))
    assert quantise(floats.graph).input == TensorScale(0.5, 2)


def test_weights_that_are_quantised_in_the_graph(tmp_path: Path) -> None:
    """As quantisation-aware training exports them: real, then QuantizeLinear."""
    b = Builder((1, 4))
    x = b.quantised("image", 0.05, 0)
    w = b.quantised(b.constant(b.drawn(3, 4)), 0.01, 0)
    content = b.finish(b.quantised(b.op("Gemm", x, w, transB=1), 0.1, 0))
    floats = imported(tmp_path, content)
    weights = floats.graph.layers[0].weights
    assert weights is not None
    found = quantise(floats.graph)
    np.testing.assert_allclose(
        found.network.of(0).weights * float(np.float32(0.01)), weights, rtol=1e-6
    )
    assert found.weight_scales[0] is not None
    assert set(found.weight_scales[0].tolist()) == {float(np.float32(0.01))}


def test_weights_with_a_zero_point_are_quantised_anew(tmp_path: Path) -> None:
    b = Builder((1, 4))
    x = b.quantised("image", 0.05, 0)
    held = b.constant(np.arange(12).reshape(3, 4) * 20, np.uint8)
    both = (b.constant(0.01, np.float32), b.constant(7, np.uint8))
    w = b.op("DequantizeLinear", held, *both)
    content = b.finish(b.quantised(b.op("Gemm", x, w, transB=1), 0.1, 0))
    floats = imported(tmp_path, content)
    assert floats.graph.layers[0].weight_scales is None
    found = quantise(floats.graph)
    assert np.abs(found.network.of(0).weights.astype(int)).max() == 127


def test_a_scale_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    b = Builder((1, 4))
    end = b.gemm(b.quantised("image", 0.05, 0), 4, 3)
    graph = imported(tmp_path, b.finish(end)).graph
    with pytest.raises(UserError, match="no scale for the output of layer 0; give representative"):
        quantise(graph)
    images = np.random.default_rng(0).normal(0, 2, (9, *graph.input_shape))
    assert quantise(graph, images).input == TensorScale(float(np.float32(0.05)), 0)
