"""Float graphs, and the int8 networks that become of them."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from float_graphs import Drawn, residual
from picotrain.errors import UserError
from picotrain.quantise.graph import FloatGraph, TensorScale
from picotrain.quantise.quantise import Quantised, quantise
from picotrain.quantise.ranges import METHODS, Range, choose, scale_between
from picotrain_golden import validate
from picotrain_golden.numerics import Int8
from picotrain_golden.passes import forward_pass


def images_for(graph: FloatGraph, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, *graph.input_shape))


def run(found: Quantised, images: np.ndarray) -> list[Int8]:
    given = found.input.quantised(images)
    weights = [None if one is None else one.weights for one in found.network.parameters]
    return forward_pass(found.network, weights, given.view(np.uint8), dynamic=False).activations


def slow(graph: FloatGraph, image: np.ndarray) -> list[np.ndarray]:
    """Element by element, from the definitions of section 14 with real numbers."""
    tensors = [image]
    for index, held in enumerate(graph.layers):
        layer = held.layer
        inputs = [tensors[number + 1] for number in graph.reads(index)]
        made = np.zeros(layer.out_shape)
        for y, x, c in np.ndindex(*layer.out_shape):
            if layer.kind == "add":
                value = inputs[0][y, x, c] + inputs[1][y, x, c]
            elif layer.kind == "linear":
                value = held.bias[c] + held.weights[c] @ inputs[0].reshape(-1)
            else:
                seen = {}
                for ky, kx in np.ndindex(*layer.kernel):
                    iy = y * layer.stride[0] + ky - layer.padding[0]
                    ix = x * layer.stride[1] + kx - layer.padding[1]
                    if 0 <= iy < layer.in_shape[0] and 0 <= ix < layer.in_shape[1]:
                        seen[ky, kx] = inputs[0][iy, ix]
                if layer.kind == "maxpool":
                    value = max(one[c] for one in seen.values())
                elif layer.kind == "avgpool":
                    value = sum(one[c] for one in seen.values()) / len(seen)
                elif layer.kind == "depthwise":
                    taps = held.weights[c].reshape(layer.kernel)
                    value = held.bias[c] + sum(taps[at] * one[c] for at, one in seen.items())
                else:
                    taps = held.weights[c].reshape(*layer.kernel, -1)
                    value = held.bias[c] + sum(taps[at] @ one for at, one in seen.items())
            made[y, x, c] = min(max(value, held.least), held.largest)
        tensors.append(made)
    return tensors


@pytest.mark.parametrize("seed", [1, 2])
def test_the_float_forward_is_that_of_the_definitions(seed: int) -> None:
    graph = residual(seed)
    image = images_for(graph, 1, seed)
    for fast, exact in zip(graph.tensors(image), slow(graph, image[0]), strict=True):
        np.testing.assert_allclose(fast[0], exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(4))
def test_every_tensor_stays_near_its_real_values(seed: int, method: str) -> None:
    graph = residual(seed)
    images = images_for(graph, 40)
    found = quantise(graph, images, method)  # type: ignore[arg-type]
    validate(found.network)
    scales = (found.input, *found.tensors)
    for values, real, scale in zip(run(found, images), graph.tensors(images), scales, strict=True):
        error = scale.real(values) - real
        # In parts of what the tensor holds: errors add up over ten layers.
        assert np.sqrt(np.square(error).mean()) < 0.06 * np.sqrt(np.square(real).mean())


def test_pools_keep_the_scale_and_activations_are_bounds() -> None:
    graph = residual(3)
    found = quantise(graph, images_for(graph, 30))
    kinds = [layer.kind for layer in found.network.layers]
    high, mean = kinds.index("maxpool"), kinds.index("avgpool")
    assert found.tensors[high] == found.tensors[mean] == found.tensors[high - 1]
    first = found.network.affine[0]
    assert (first.zero_out, first.low) == (-128, -128)
    assert first.high == round(6 / found.tensors[0].scale) - 128 or first.high == 127
    assert found.network.affine[mean + 1].multiplier.size == 1
    weights = found.network.of(0).weights
    assert weights.min() >= -127
    assert np.abs(weights.astype(int)).max(axis=1).tolist() == [127] * 8
    assert found.made()["input"] == {"scale": found.input.scale, "zero": found.input.zero}


def test_given_scales_are_taken_as_they_are() -> None:
    net = Drawn(1, (1, 1, 4))
    net.linear(net.linear(-1, 3, least=0.0), 2)
    graph = net.graph()
    whole = np.array([[-128, 127, 0, 5], [1, 2, 3, 4], [0, 0, 0, 0]])
    rows = np.array([0.5, 0.25, 0.125])
    first = replace(
        graph.layers[0],
        weights=whole * rows[:, None],
        bias=np.array([7, -3, 100]) * rows * 0.1,
        weight_scales=rows,
        scale=TensorScale(0.3, -20),
    )
    last = replace(graph.layers[1], scale=TensorScale(0.7, 4))
    given = FloatGraph("given", graph.input_shape, (first, last), TensorScale(0.1, 11))
    found = quantise(given)
    assert found.input == TensorScale(0.1, 11)
    assert found.tensors == (TensorScale(0.3, -20), TensorScale(0.7, 4))
    assert found.network.of(0).weights.tolist() == whole.tolist()
    assert found.network.affine[0].bias.tolist() == [7, -3, 100]
    assert found.network.affine[0].zero_in == (11,)
    assert found.network.affine[0].low == -20


@pytest.mark.parametrize(
    ("least", "largest", "scale", "zero"),
    [
        (0.0, 1.0, 1 / 255, -128),
        (-1.0, 0.0, 1 / 255, 127),
        (-1.0, 1.0, 2 / 255, -1),  # the scale is a float32, a little below 2 / 255
        (0.5, 2.0, 2 / 255, -128),  # 0 must be one of the values
        (0.0, 0.0, 1.0, 0),
    ],
)
def test_the_scale_of_a_range(least: float, largest: float, scale: float, zero: int) -> None:
    assert scale_between(least, largest) == TensorScale(float(np.float32(scale)), zero)


def test_a_far_value_is_given_up_where_the_error_is_counted() -> None:
    counts = np.zeros(2048, np.int64)
    counts[:512], counts[-1] = 100_000, 1
    found = Range(0.0, 4.0, counts)
    assert choose(found, "minmax").scale == float(np.float32(4 / 255))
    for method in ("percentile", "mse"):
        assert choose(found, method).scale < 1.2 / 255  # type: ignore[arg-type]
    # Bins 0 to 511 hold all but one in 50 million.
    scale = choose(found, "percentile")
    assert (scale.scale, scale.zero) == (float(np.float32(1 / 255)), -128)


def test_weights_are_in_steps_of_a_127th_of_their_rows_largest() -> None:
    net = Drawn(1, (1, 1, 4))
    net.linear(-1, 2)
    graph = net.graph()
    steps = np.array([[127, 100, -50, 3], [-127, 126, 1, 0]])
    layer = replace(graph.layers[0], weights=steps * [[0.01], [3.0]], bias=np.zeros(2))
    graph = FloatGraph("steps", graph.input_shape, (layer,))
    assert (quantise(graph, images_for(graph, 20)).network.of(0).weights == steps).all()


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-3, 1e6, 1e20])
def test_weights_and_biases_of_any_size_are_taken(size: float) -> None:
    """The range rule holds by itself: scales give way, and golden validates."""
    net = Drawn(7, (5, 5, 2))
    first = net.windowed("conv2d", -1, (3, 3), channels=6, least=0.0)
    net.linear(net.add(first, first), 4)
    graph = net.graph()
    weights = graph.layers[0].weights
    assert weights is not None
    odd = weights * np.array([1, size, 1, 0, 1, 0])[:, None]
    bias = np.array([0, 1, size, 0, 1, 5])
    layers = (replace(graph.layers[0], weights=odd, bias=bias), *graph.layers[1:])
    graph = FloatGraph("odd", graph.input_shape, layers)
    images = images_for(graph, 20)
    found = quantise(graph, images)
    real = graph.tensors(images)[1]
    error = found.tensors[0].real(run(found, images)[1]) - real
    assert np.abs(error).max() < 0.02 * np.abs(real).max()


@pytest.mark.parametrize("bound", [6.0, 1e6, 1e10, float(np.finfo(np.float32).max)])
def test_a_bound_that_is_never_met_changes_nothing(bound: float) -> None:
    """A ReLU may be written as a clip to the largest float32."""

    def made(largest: float) -> Quantised:
        net = Drawn(3, (6, 6, 2))
        first = net.windowed("conv2d", -1, (3, 3), channels=4, least=0.0, largest=largest)
        net.linear(first, 3)
        graph = net.graph()
        images = images_for(graph, 20) / 4
        assert graph.tensors(images)[1].max() < 6
        return quantise(graph, images, "minmax")

    found, wanted = made(bound), made(inf)
    assert (found.input, found.tensors) == (wanted.input, wanted.tensors)
    assert found.tensors[0].scale < 6 / 255
    for one, other in zip(found.network.affine, wanted.network.affine, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, vars(other)[name])
    assert found.network.affine[0].high == 127


def test_bounds_far_from_a_given_scale() -> None:
    """512 times the scale is no float32; and both bounds may lie beyond the tensor."""
    net = Drawn(1, (1, 1, 4))
    net.linear(net.linear(-1, 3), 2)
    graph = net.graph()
    for scale, least, largest, ends in (
        (1e37, 0.0, 3e38, (-128, -98)),
        (0.1, 1e9, 1e12, (127, 127)),
        (0.1, -1e12, -1e9, (-128, -128)),
    ):
        first = replace(
            graph.layers[0], least=least, largest=largest, scale=TensorScale(scale, -128)
        )
        last = replace(graph.layers[1], scale=TensorScale(7 * scale, 4))
        made = quantise(FloatGraph("far", graph.input_shape, (first, last), TensorScale(0.1, 11)))
        assert made.tensors[0].scale == scale
        assert (made.network.affine[0].low, made.network.affine[0].high) == ends


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1e-44, 1e-40])
def test_outputs_below_any_scale_count_as_zero(size: float, method: str) -> None:
    net = Drawn(2, (1, 1, 4))
    net.linear(-1, 3)
    graph = net.graph()
    held = replace(graph.layers[0], weights=np.full((3, 4), size), bias=np.zeros(3))
    graph = FloatGraph("faint", graph.input_shape, (held,))
    found = quantise(graph, np.abs(images_for(graph, 8)), method)  # type: ignore[arg-type]
    assert found.tensors[0] == TensorScale(1.0, 0)
    assert not run(found, images_for(graph, 8))[-1].any()


@pytest.mark.parametrize("zero", ["weights", "images"])
def test_a_network_of_zeros(zero: str) -> None:
    graph = residual(0)
    if zero == "weights":
        layers = tuple(
            held
            if held.weights is None
            else replace(held, weights=held.weights * 0, bias=held.bias)
            for held in graph.layers
        )
        graph = FloatGraph("zeros", graph.input_shape, layers)
        images = images_for(graph, 5)
    else:
        images = np.zeros((5, *graph.input_shape))
    found = quantise(graph, images)
    logits = found.tensors[-1].real(run(found, images)[-1])
    np.testing.assert_allclose(
        logits.reshape(5, -1),
        graph.outputs(images),
        atol=0.03 * np.abs(graph.outputs(images)).max(),
    )


def test_what_is_refused() -> None:
    graph = residual(0)
    with pytest.raises(UserError, match="has no scale for its input; give representative images"):
        quantise(graph)
    images = images_for(graph, 3)
    images[1, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="drawn: the images are not all numbers up to 1e"):
        quantise(graph, images)
    bad = graph.layers[0].weights
    assert bad is not None
    broken = replace(graph.layers[0], weights=bad * inf)
    with pytest.raises(UserError, match="the weights of layer 0 are not all finite numbers"):
        quantise(FloatGraph("x", graph.input_shape, (broken, *graph.layers[1:])), images)
    with pytest.raises(UserError, match="layer 0, conv2d, has biases or needs them"):
        broken = replace(graph.layers[0], bias=None)
        quantise(FloatGraph("x", graph.input_shape, (broken, *graph.layers[1:])), images)
    pool = replace(graph.layers[4], scale=TensorScale(3.0, 0))
    with pytest.raises(UserError, match="layer 4 of network x is a pool with other scales"):
        layers = (*graph.layers[:4], pool, *graph.layers[5:])
        quantise(FloatGraph("x", graph.input_shape, layers), images_for(graph, 3))
    net = Drawn(1, (4, 4, 1))
    net.linear(-1, 1)
    with pytest.raises(UserError, match="is not taken: an affine network has 2 to 4096 outputs"):
        quantise(net.graph(), images_for(net.graph(), 3))
