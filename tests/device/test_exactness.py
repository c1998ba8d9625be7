"""The device computes what golden computes: every tensor of a step, every result, every weight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import support
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.errors import CommandError
from picotrain.learn.verify import verify
from picotrain_golden import Method, Network, conv2d, fused, linear, maxpool2
from support import INFER, METHODS, begin, images

RANDOM_NETWORKS = 60
STEPS = 3


def tensors_of_a_step(network: Network, method: Method) -> int:
    """The input, an output per layer, an error per output that has one, and two per update. A
    convolution that is one with its pool has places for an output, and no error of its own."""
    first = network.first_weighted
    weighted = sum(layer.has_weights for layer in network.layers)
    errors = len(network.layers) - first - fused(network, method).count(True)
    return 1 + len(network.layers) + errors + 2 * weighted


def learned(device: Device, network: Network, method: Method) -> np.ndarray:
    of = device.scores if method.scored else device.weights
    return np.concatenate(
        [of(index) for index, layer in enumerate(network.layers) if layer.has_weights]
    )


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("name", ["tinycnn", "oddnet"])
def test_training(device: Device, reference: GoldenDevice, name: str, method: Method) -> None:
    network = support.shipped(name)
    comparison = begin(device, reference, network, method)
    before = learned(device, network, method)
    at_start = comparison.report.tensors

    pixels, labels = images(network, 6)
    comparison.traced_step(0, pixels[0], int(labels[0]))
    # Besides the tensors of the step, the saturation counts.
    assert comparison.report.tensors - at_start == tensors_of_a_step(network, method) + 1

    report = verify(comparison, pixels, labels, STEPS, train=True)
    assert (report.steps, report.batches) == (1 + STEPS, 2)
    assert np.count_nonzero(learned(device, network, method) != before) > before.size // 100


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_easy_images_teach_nothing(device: Device, reference: GoldenDevice, method: Method) -> None:
    network = support.shipped("oddnet")
    pixels, labels = images(network, 12)
    reference.load_model(network)
    reference.set_method(method)
    norm = int(reference.train(pixels[:1], labels[:1]).loss_norms[0])
    assert norm > 0
    for easy in (norm - 1, norm, 4095):
        comparison = begin(device, reference, network, replace(method, easy=easy))
        before = learned(device, network, method)
        at_start = comparison.report.tensors
        comparison.traced_step(0, pixels[0], int(labels[0]))
        assert comparison.report.tensors - at_start == tensors_of_a_step(network, method) + 1
        comparison.state(0)
        kept = np.array_equal(learned(device, network, method), before)
        assert kept == (norm <= easy)
        verify(comparison, pixels, labels, STEPS, train=True)
        # What the image was like is said all the same.
        assert device.train(pixels[:1], labels[:1]).loss_norms[0] > 0
    assert np.array_equal(learned(device, network, method), before)


@pytest.mark.parametrize("name", ["tinycnn", "oddnet"])
def test_inference(device: Device, reference: GoldenDevice, name: str) -> None:
    network = support.shipped(name)
    comparison = begin(device, reference, network, INFER)
    pixels, labels = images(network, 20)
    report = verify(comparison, pixels, labels, 2, train=False)
    assert (report.steps, report.batches) == (2, 1)
    assert len(set(device.evaluate(pixels, labels).predictions.tolist())) > 1
    # A traced step of a method that does not train is the forward pass.
    before = report.tensors
    comparison.traced_step(9, pixels[0], int(labels[0]))
    assert report.tensors - before == 1 + len(network.layers) + 1


@pytest.mark.parametrize("seed", range(RANDOM_NETWORKS))
def test_random_network(device: Device, reference: GoldenDevice, seed: int) -> None:
    network = support.random_network(seed)
    method = list(METHODS.values())[seed % len(METHODS)]
    comparison = begin(device, reference, network, replace(method, mu=seed % 9 - 1))
    pixels, labels = images(network, 5, seed)
    report = verify(comparison, pixels, labels, 4, train=True)
    assert (report.steps, report.batches) == (4, 2)


def test_random_networks_cover_what_they_should() -> None:
    networks = [support.random_network(seed) for seed in range(RANDOM_NETWORKS)]
    layers = [layer for network in networks for layer in network.layers]
    convolutions = [layer for layer in layers if layer.kind == "conv2d"]
    pools = [layer for layer in layers if layer.kind == "maxpool2"]
    assert {layer.kernel[0] for layer in convolutions} == {1, 2, 3, 4, 5}
    assert {layer.kernel[1] for layer in convolutions} == {1, 2, 3, 4, 5}
    assert {layer.stride[0] for layer in convolutions} == {1, 2}
    assert {layer.padding[0] for layer in convolutions} >= {0, 1, 2, 3}
    assert {layer.relu for layer in convolutions} == {False, True}
    assert sum(layer.kernel[0] != layer.kernel[1] for layer in convolutions) > 20
    assert sum(layer.in_shape[0] % 2 or layer.in_shape[1] % 2 for layer in pools) > 5
    assert sum(network.first_weighted > 0 for network in networks) > 2
    assert sum(len(network.layers) == 1 for network in networks) >= 1
    assert max(len(network.layers) for network in networks) >= 6


def chain(method_names: list[str]) -> Iterator[Method]:
    return (METHODS[name] for name in method_names)


@pytest.mark.parametrize(
    "names",
    [
        ["niti-static", "priot"],
        ["niti-dynamic", "priot-s-weight", "niti-static"],
        ["priot-s-random-normal", "niti-dynamic", "priot-zero"],
    ],
    ids="+".join,
)
def test_weights_stay_trained_across_methods(
    device: Device, reference: GoldenDevice, names: list[str]
) -> None:
    network = support.shipped("oddnet")
    untrained = network.copy()
    comparison = begin(device, reference, network, METHODS[names[0]])
    pixels, labels = images(network, 6)
    for number, method in enumerate(chain(names)):
        if number:
            reference.set_method(method)
            device.set_method(method)
            comparison.state(number)
        comparison.batch(number, pixels, labels, train=True)
        comparison.traced_step(number, pixels[3], int(labels[3]))
        comparison.batch(number, pixels, labels, train=False)
    last = len(network.layers) - 1
    assert (device.weights(last) != untrained.of(last).weights.reshape(-1)).any()
    # A model loaded again forgets them.
    device.load_model(network)
    device.set_method(INFER)
    assert (device.weights(last) == untrained.of(last).weights.reshape(-1)).all()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_step_size_and_evaluation_between_training(
    device: Device, reference: GoldenDevice, method: Method
) -> None:
    network = support.shipped("oddnet")
    comparison = begin(device, reference, network, method)
    pixels, labels = images(network, 5, seed=1)
    for step, mu in enumerate((7, 0, -8, 5)):
        for one in (reference, device):
            one.set_mu(mu)
        comparison.traced_step(step, pixels[step], int(labels[step]))
        comparison.batch(step, pixels, labels, train=True)
        comparison.batch(step, pixels, labels, train=False)
        if step == 1:
            for one in (reference, device):
                one.clear_saturation()
            assert not device.saturation().any()


def test_a_smaller_step_changes_less(device: Device) -> None:
    """`set_mu` reaches the update: at the least mu nothing moves, at the largest much."""
    network = support.shipped("oddnet")
    pixels, labels = images(network, 4, seed=2)
    changed = []
    for mu in (-8, 7):
        device.load_model(network)
        device.set_method(replace(METHODS["niti-static"], mu=0))
        before = learned(device, network, METHODS["niti-static"])
        device.set_mu(mu)
        device.train(pixels, labels)
        after = learned(device, network, METHODS["niti-static"])
        changed.append(int(np.count_nonzero(before != after)))
    assert changed[0] * 2 < changed[1]


@pytest.mark.parametrize(
    ("plane", "halvings"),
    [((1048, 1), 0), ((1049, 1), 1), ((33, 32), 1), ((2096, 1), 1), ((2097, 1), 2), ((46, 47), 2)],
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
@pytest.mark.parametrize("method", ["priot", "priot-s-random"])
def test_gradient_of_a_large_plane_is_halved(
    device: Device, reference: GoldenDevice, plane: tuple[int, int], halvings: int, method: str
) -> None:
    """So often that it times a weight stays in int32; each halving rounds."""
    shape = (*plane, 1)
    wide = min(plane[1], 3)
    layers = [conv2d(shape, 2, (3, wide), 1, (1, wide // 2), True)]
    layers += [conv2d(layers[0].out_shape, 3, (2, 1), 2, (0, 0), True)]
    layers += [linear(layers[1].out_shape, 5, False)]
    assert 1048 << halvings >= layers[0].positions > (1048 << halvings) // 2
    network = support.with_numbers(
        support.build("plane", shape, layers),
        forward_shift=8,
        error_shift=8,
        gradient_bits=14,
        score_bits=14,
    )
    comparison = begin(device, reference, network, replace(METHODS[method], permille=700))
    before = device.scores(0)
    pixels, labels = images(network, 4)
    verify(comparison, pixels, labels, 4, train=True)
    assert (device.scores(0) != before).any()


@pytest.mark.parametrize("classes", [2, 256])
def test_fewest_and_most_classes(device: Device, reference: GoldenDevice, classes: int) -> None:
    shape = (3, 3, 2)
    network = support.calibrate(support.build("classes", shape, [linear(shape, classes, False)]))
    comparison = begin(device, reference, network, METHODS["niti-static"])
    pixels, labels = images(network, 8)
    labels[3] = classes - 1
    verify(comparison, pixels, labels, 8, train=True)


def test_most_layers(device: Device, reference: GoldenDevice) -> None:
    shape = (5, 6, 3)
    layers = [conv2d(shape, 3, (3, 2), 1, (1, 0), True)]
    for number in range(1, 21):
        below = layers[-1].out_shape
        layers.append(conv2d(below, 3, (3, 2), 1, (1, number % 2), number % 7 == 0))
    layers.append(maxpool2(layers[-1].out_shape))
    layers += [linear(layers[-1].out_shape, 3, True), linear((1, 1, 3), 2, False)]
    assert len(layers) == 24
    network = support.with_numbers(
        support.build("deep", shape, layers),
        forward_shift=7,
        error_shift=6,
        gradient_bits=10,
        score_bits=14,
    )
    for method in ("niti-dynamic", "priot-s-weight"):
        comparison = begin(device, reference, network, METHODS[method])
        before = device.weights(0)
        pixels, labels = images(network, 4)
        verify(comparison, pixels, labels, 2, train=True)
        # Dynamic scales carry the error all the way down.
        assert (device.weights(0) != before).any() == (method == "niti-dynamic")


@pytest.mark.parametrize("exponent", [*range(-24, -8), -4, 8])
def test_logits_that_the_loss_cannot_take_are_refused(
    device: Device, reference: GoldenDevice, exponent: int
) -> None:
    network = support.shipped("oddnet")
    for held in network.parameters:
        if held is not None:
            missing = exponent - network.logits_exponent
            held.exponent = min(max(held.exponent + missing, -24), 8)
    assert network.logits_exponent == exponent
    device.load_model(network)
    for method in (INFER, METHODS["niti-static"], METHODS["priot"], METHODS["priot-s-weight"]):
        if exponent >= -9:
            device.set_method(method)
            continue
        with pytest.raises(CommandError) as caught:
            device.set_method(method)
        assert caught.value.name == "PT_ERR_EXPONENT"
        assert caught.value.detail == (exponent & 0xFFFFFFFF, -9 & 0xFFFFFFFF, 0, 0)
        assert f"exponent {exponent}, and the loss needs -9 or more" in caught.value.hint
    comparison = begin(device, reference, network, METHODS["niti-dynamic"])
    pixels, labels = images(network, 3)
    verify(comparison, pixels, labels, 2, train=True)
