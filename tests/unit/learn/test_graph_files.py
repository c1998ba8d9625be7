"""TOML files with `form = "affine"`: graphs of layers, and the networks that are shipped so."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import pytest

from picotrain.cli import main
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.architectures import graph
from picotrain.learn.architectures.architecture import Step
from picotrain.learn.architectures.pixels import PIXELS, as_int8, real
from picotrain.learn.architectures.untrained import float_graph
from picotrain.quantise.quantise import quantise
from picotrain_golden import Method, Network, Trainer, validate
from picotrain_golden.numerics import Int8, UInt8
from picotrain_golden.passes import forward_pass
from support import described

GOOD = """
form = "affine"
name = "fork"
input = [9, 8, 3]
[[layer]]
kind = "conv2d"
name = "stem"
channels = 4
kernel = [3, 2]
stride = [2, 1]
padding = "same"
activation = "relu6"
[[layer]]
kind = "depthwise"
kernel = 3
padding = 1
bias = false
[[layer]]
kind = "add"
name = "sum"
inputs = ["stem", "stem"]
activation = "relu"
[[layer]]
kind = "conv2d"
inputs = ["sum"]
channels = 4
kernel = 1
[[layer]]
kind = "maxpool"
kernel = [3, 2]
"""
END = """
[[layer]]
kind = "avgpool"
global = true
[[layer]]
kind = "linear"
outputs = 5
"""
# The depthwise layer is read, too.
WHOLE = (
    GOOD.replace('["stem", "stem"]', '["deep", "stem"]').replace(
        'kind = "depthwise"', 'kind = "depthwise"\nname = "deep"'
    )
    + END
)


def test_a_file_becomes_a_graph(tmp_path: Path) -> None:
    net = described(tmp_path, WHOLE)
    assert (net.name, net.input_shape, net.classes, net.affine) == ("fork", (9, 8, 3), 5, True)
    stem, deep, both, point, high, mean, last = net.layers
    assert (stem.kernel, stem.stride, stem.padding) == ((3, 2), (2, 1), (1, 0))
    assert (stem.out_shape, stem.inputs) == ((5, 8, 4), ())
    assert (deep.kind, deep.out_shape, deep.padding) == ("depthwise", (5, 8, 4), (1, 1))
    assert (both.kind, both.inputs) == ("add", (1, 0))
    assert (point.inputs, point.out_shape) == ((), (5, 8, 4))
    assert (high.stride, high.out_shape) == ((3, 2), (1, 4, 4))  # as far as its windows
    assert (mean.kernel, mean.out_shape) == ((1, 4), (1, 1, 4))
    assert (last.kind, last.out_shape, last.relu) == ("linear", (1, 1, 5), False)
    assert net.steps[:3] == (
        Step("stem", True, "relu6"),
        Step("deep", False, "none"),
        Step("sum", False, "relu"),
    )
    assert net.weight_count == 4 * 18 + 4 * 9 + 4 * 4 + 5 * 4


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "out", "before"),
    [(6, 3, 2, 3, 0), (7, 3, 2, 4, 1), (5, 4, 1, 5, 1), (5, 1, 2, 3, 0), (49, 10, 2, 25, 4)],
)
def test_same_is_the_rule_of_tflite(
    tmp_path: Path, size: int, kernel: int, stride: int, out: int, before: int
) -> None:
    text = f"""form = "affine"
name = "one"
input = [{size}, {size}, 1]
[[layer]]
kind = "conv2d"
channels = 2
kernel = {kernel}
stride = {stride}
padding = "same"
"""
    (layer,) = described(tmp_path, text).layers
    assert (layer.out_shape[:2], layer.padding) == ((out, out), (before, before))


def change(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (change('"affine"', '"float"'), "form is 'float'; use one of affine"),
        (change('name = "fork"', 'nam = "fork"'), "unknown key 'nam'; use form, input, layer, na"),
        (change("[9, 8, 3]", "[9, 8]"), r"input is \[9, 8\]; use \[height, width, channels\]"),
        (change('"depthwise"', '"deepwise"'), "layer 1: unknown kind 'deepwise'; use one of conv2"),
        (
            change("bias = false", "relu = true"),
            r"layer 1 \(depthwise, 'deep'\): unknown key 'relu'; use activation, bias, inputs, ke",
        ),
        (change("bias = false", "bias = 0"), "layer 1 .*bias is 0; use true or false"),
        (change('"relu6"', '"relu7"'), "layer 0 .*activation is 'relu7'; use one of none, relu, r"),
        (change('"same"', '"valid"'), "layer 0 .*padding is 'valid'; use \"same\", a whole number"),
        (change("padding = 1", "padding = 3"), r"layer 1 .*padding 3 is not less than the kernel"),
        (change("kernel = [3, 2]", "kernel = 16"), "layer 0 .*kernel is 16; use a whole number fr"),
        (change("stride = [2, 1]", "stride = 3"), "layer 0 .*stride is 3; use a whole number from"),
        (change("kernel = [3, 2]\n\n", "kernel = 9\n\n"), r"layer 4 .*kernel 9 is larger than it"),
        (change('["deep", "stem"]', '["deep"]'), r"layer 2 .*inputs is \['deep'\]; name two layer"),
        (change('inputs = ["deep", "stem"]\n', ""), "layer 2 .*inputs is missing; name two layers"),
        (
            change('["deep", "stem"]', '["deep", "late"]'),
            "layer 2 .*inputs names 'late', which is no layer before it; name two layers before",
        ),
        (change('["deep", "stem"]', '["deep", "sum"]'), "names 'sum', which is no layer before i"),
        (change('["deep", "stem"]', '["deep", 0]'), "inputs names 0, which is no layer before it"),
        (change('["deep", "stem"]', '["deep", "input"]'), "layer 2 .*it reads 5x8x4 and 9x8x3; n"),
        (change('inputs = ["sum"]', 'inputs = "sum"'), "inputs is 'sum'; name one layer before it"),
        (change('["sum"]', '["stem"]'), r"layer 2 \(add, 'sum'\): its output is read by no layer"),
        (change('"sum"\n', '"stem"\n'), "layer 2 .*name 'stem' is that of layer 0; use another"),
        (change('"sum"\n', '"input"\n'), "name 'input' is that of the network's input; use anoth"),
        (change('"sum"\n', '"a b"\n'), "layer 2 .*name is 'a b'; use 1 to 32 letters"),
        (change('"sum"\n', "3\n"), "layer 2 .*name is 3; use 1 to 32 letters"),
        (change("global = true", "global = true\nkernel = 2"), "has global = true and kernel; le"),
        (change("global = true", "global = 1"), "layer 5 .*global is 1; use true or false"),
        (change("global = true", ""), "layer 5 .*kernel is missing; add it"),
        (change("outputs = 5", "outputs = 1"), "layer 6 .*the network's, has 1 elements; use 2 to"),
        (change("outputs = 5", "outputs = 5000"), "outputs is 5000; use a whole number from 1 to"),
        (change("channels = 4", "channels = 5000"), "channels is 5000; use a whole number from 1"),
        (GOOD.split("[[layer]]")[0], "layer is missing; add it"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_fix(
    tmp_path: Path, text: str, match: str
) -> None:
    with pytest.raises(UserError, match=match) as caught:
        described(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "net.toml"))


def chain(shape: list[int], layers: str) -> str:
    return f'form = "affine"\nname = "big"\ninput = {shape}\n{layers}'


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            chain([8, 8, 1], '[[layer]]\nkind = "linear"\noutputs = 4\n' * 49),
            "there are 49 layers; use 1 to 48",
        ),
        (
            chain([4096, 64, 1], '[[layer]]\nkind = "linear"\noutputs = 2\n'),
            "adds up 262,144 products",
        ),
        (
            chain([128, 128, 1], '[[layer]]\nkind = "linear"\noutputs = 512\n'),
            "has 8,388,608 weights",
        ),
        (
            chain([4096, 4096, 1], '[[layer]]\nkind = "conv2d"\nchannels = 1\nkernel = 1\n'),
            "its output 4096x4096x1 has more than 4,194,304 elements",
        ),
        (
            chain([256, 8, 1], '[[layer]]\nkind = "avgpool"\nglobal = true\n'),
            "its input 256x8x1 is larger than 255; make it smaller before",
        ),
        (
            chain([64, 65, 1], '[[layer]]\nkind = "maxpool"\nkernel = 1\n'),
            "the network's, has 4,160 elements; use 2 to 4,096",
        ),
    ],
)
def test_limits_of_the_numerics(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        described(tmp_path, text)


# Shipped ones

SHIPPED = [name for name in models.shipped() if models.resolve(name).affine]


def test_which_are_shipped() -> None:
    mobilenets = [f"mobilenet-{one}" for one in ("v1-025", "v1-32", "v2-few", "v2-pico")]
    assert ["ds-cnn", *mobilenets, "motion", "proxyless-few", "resnet8"] == SHIPPED


def test_they_are_those_of_mlperf_tiny() -> None:
    """As https://github.com/mlcommons/tiny has them; ours keep no softmax."""
    net = models.resolve("resnet8")
    assert net.weight_count == 432 + 2 * 2304 + 4608 + 9216 + 512 + 18432 + 36864 + 2048 + 640
    assert [net.layers[n].inputs for n in (3, 6, 7, 10, 11)] == [
        *((2, 0), (3,), (5, 6), (7,), (9, 10))
    ]
    assert net.classes == 10
    net = models.resolve("mobilenet-v1-025")
    assert (net.weight_count, len(net.layers), net.classes) == (208_112, 29, 2)
    assert net.layers[26].out_shape == (3, 3, 256)
    net = models.resolve("ds-cnn")
    assert (net.weight_count, len(net.layers), net.classes) == (22_016, 11, 12)
    assert (net.layers[0].out_shape, net.layers[0].padding) == ((25, 5, 64), (4, 1))


def test_the_small_mobilenet_is_as_designed() -> None:
    net = models.resolve("mobilenet-v2-pico")
    assert (net.input_shape, net.classes, net.weight_count) == ((32, 32, 3), 10, 47_112)
    assert len(net.layers) == 25
    linear = [n for n, step in enumerate(net.steps) if step.name.startswith("narrow")]
    assert {net.steps[n].activation for n in linear} == {"none"}
    assert sum(layer.kind == "add" for layer in net.layers) == 3


@pytest.mark.parametrize(
    ("name", "weights", "macs", "kernels"),
    [
        ("mobilenet-v2-few", 33_476, 1_055_168, [3, 3, 3, 3, 3, 3]),
        ("proxyless-few", 41_464, 1_317_184, [3, 5, 7, 3, 7, 5]),
    ],
)
def test_those_of_few_samples_are_as_designed(
    name: str, weights: int, macs: int, kernels: list[int]
) -> None:
    net = models.resolve(name)
    assert (net.input_shape, net.classes, net.weight_count) == ((32, 32, 1), 10, weights)
    assert sum(layer.macs for layer in net.layers) == macs
    assert len(net.layers) == 24
    assert sum(layer.has_weights for layer in net.layers) == 20
    assert [layer.kernel[0] for layer in net.layers if layer.kind == "depthwise"] == kernels
    assert sum(layer.kind == "add" for layer in net.layers) == 3
    assert net.layers[-2].out_shape == (1, 1, 96)


# Untrained networks


def tensors_of(network: Network, images: UInt8) -> list[Int8]:
    weights = [None if held is None else held.weights for held in network.parameters]
    return forward_pass(network, weights, images, dynamic=False).activations


@pytest.mark.parametrize("name", SHIPPED)
def test_an_untrained_network_is_valid_and_alive(name: str) -> None:
    net = models.initial_network(models.resolve(name), 1)
    validate(net)
    again, other = (models.initial_network(models.resolve(name), seed) for seed in (1, 2))
    assert models.network_sha256(net) == models.network_sha256(again)
    assert models.network_sha256(net) != models.network_sha256(other)
    images = np.random.default_rng(0).integers(0, 256, (6, *net.input_shape), np.uint8)
    tensors = tensors_of(net, images)
    for index, tensor in enumerate(tensors[1:]):
        assert len(np.unique(tensor)) > 2, index
    assert len(np.unique(tensors[-1].reshape(6, -1), axis=0)) == 6
    assert Trainer(net, Method("infer")).predict(images).shape == (6,)


def test_it_computes_what_its_real_weights_do(tmp_path: Path) -> None:
    architecture, random = described(tmp_path, WHOLE), np.random.default_rng(4)
    weights = [
        (
            random.normal(0, layer.row_length**-0.5, (layer.rows, layer.row_length)),
            random.normal(0, 0.1, layer.rows),
        )
        if layer.has_weights
        else None
        for layer in architecture.layers
    ]
    net = float_graph(architecture, weights)
    assert [(one.least, one.largest) for one in net.layers[:3]] == [
        *((0.0, 6.0), (-inf, inf), (0.0, inf))
    ]
    images = random.integers(0, 256, (40, 9, 8, 3), np.uint8)
    made = quantise(net, real(images))
    assert made.input == PIXELS
    found = tensors_of(made.network, as_int8(images))[-1]
    wanted = net.outputs(real(images))
    distance = np.abs(made.tensors[-1].real(found.reshape(40, -1)) - wanted)
    assert distance.max() < 0.05 * (wanted.max() - wanted.min())


def test_pixels_are_int8_less_128() -> None:
    assert PIXELS.zero == -128
    pixels = np.array([0, 128, 255], np.uint8)
    assert as_int8(pixels).view(np.int8).tolist() == [-128, 0, 127]
    assert real(pixels).tolist() == [0.0, *map(pytest.approx, (128 / 255, 1.0))]


def test_a_backbone_is_of_the_network_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    architecture = models.resolve("resnet8")
    network = models.initial_network(architecture, 1)
    models.save_backbone(path, network, {})
    models.check_same(architecture, models.load_backbone(path)[0], path)
    with pytest.raises(UserError, match="it takes images of 32x32x3, not 49x10x1"):
        models.check_same(models.resolve("ds-cnn"), network, path)
    with pytest.raises(UserError, match="out_shape of its layer 0 is"):
        models.check_same(models.resolve("mobilenet-v2-pico"), network, path)
    with pytest.raises(UserError, match="its form is affine, not power of two"):
        models.check_same(models.resolve("vgg11"), network, path)


@pytest.mark.parametrize("name", ["mobilenet-v2-pico", "resnet8"])
def test_verify_needs_no_backbone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--model", name, "--steps", "2", "--method", "infer"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{name}, untrained, on random images: host (portable kernels) again")
    assert "elements, 0 differences" in shown


def test_info_shows_a_network_without_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described(tmp_path, WHOLE)
    assert main(["info", str(tmp_path / "net.toml")]) == 0
    first, _, _, *lines = capsys.readouterr().out.splitlines()
    macs = 5 * 8 * (4 * 18 + 4 * 9 + 16) + 20
    assert first == (
        f"fork: images of 9x8x3, 5 outputs, 144 weights, {macs:,} multiplications an image; affine"
    )
    shown = [line.split(maxsplit=1) for line in lines]
    assert " ".join(shown[2][1].split()) == "sum add to 5x8x4, relu 1, 0 0"
    assert main(["info", "oddnet"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("an image; power of two")


def test_every_kind_has_a_row() -> None:
    assert set(graph.KINDS) == {"conv2d", "depthwise", "linear", "maxpool", "avgpool", "add"}
