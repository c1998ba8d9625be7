"""Networks: TOML files, initial weights, and backbone files."""

from __future__ import annotations

import hashlib
from math import log2, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain.errors import UserError
from picotrain.learn import models
from picotrain_golden import Network, validate
from picotrain_golden.calibration import RANGE_NAMES, Histograms, calibrated, observe
from picotrain_golden.generator import normal_scores
from picotrain_golden.method import Method
from picotrain_golden.trainer import Trainer
from support import described

GOOD = """
name = "small"
input = [8, 6, 2]
[[layer]]
kind = "conv2d"
channels = 4
kernel = 3
stride = 2
padding = [1, 0]
relu = true
[[layer]]
kind = "maxpool2"
[[layer]]
kind = "linear"
outputs = 5
"""


# Architectures


def test_a_file_becomes_layers(tmp_path: Path) -> None:
    net = described(tmp_path, GOOD)
    assert (net.name, net.input_shape, net.classes) == ("small", (8, 6, 2), 5)
    conv, pool, last = net.layers
    assert (conv.kind, conv.kernel, conv.stride, conv.padding) == ("conv2d", (3, 3), (2, 2), (1, 0))
    assert (conv.out_shape, conv.relu) == ((4, 2, 4), True)
    assert (pool.kind, pool.out_shape) == ("maxpool2", (2, 1, 4))
    assert (last.kind, last.out_shape, last.relu) == ("linear", (1, 1, 5), False)
    assert net.weight_count == 4 * 18 + 5 * 8


def test_left_out_keys_have_defaults(tmp_path: Path) -> None:
    net = described(tmp_path, GOOD.replace("stride = 2\npadding = [1, 0]\nrelu = true\n", ""))
    conv = net.layers[0]
    assert (conv.stride, conv.padding, conv.relu) == ((1, 1), (0, 0), False)


def change(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


LINEAR = '[[layer]]\nkind = "linear"\noutputs = 5\n'


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name = ", "is not a TOML file: Invalid value"),
        (change("input", "inputs"), "unknown key 'inputs'; use form, input, layer, name"),
        (change('name = "small"', ""), "name is missing"),
        (change('"small"', '"a/b"'), "name is 'a/b'; use 1 to 32 letters"),
        (change("[8, 6, 2]", "[8, 6]"), r"input is \[8, 6\]; use \[height, width, channels\]"),
        (change("[8, 6, 2]", "[8, 6, 0]"), r"input is \[8, 6, 0\]; .* from 1 to 4096"),
        (change("[8, 6, 2]", "[8, 6, true]"), "input is"),
        (change("[8, 6, 2]", "8"), "input is 8"),
        ('name = "a"\ninput = [8, 6, 2]\n', "layer is missing"),
        ('name = "a"\ninput = [8, 6, 2]\nlayer = 3\n', r"begin each layer with \[\[layer\]\]"),
        ('name = "a"\ninput = [8, 6, 2]\nlayer = []\n', "there are 0 layers; use 1 to 24"),
        (GOOD + LINEAR * 22, "there are 25 layers; use 1 to 24"),
        (change('kind = "maxpool2"', ""), "layer 1: kind is missing"),
        (
            change('"maxpool2"', '"avgpool"'),
            'layer 1 has kind avgpool, which is of the affine form; write form = "affine" at the',
        ),
        (
            change("relu = true", 'activation = "relu"'),
            'layer 0 has activation, which is of the affine form; write form = "affine" at the',
        ),
        (
            change("name", 'fomr = "affine"\nname'),
            "unknown key 'fomr'; use form, input, layer, name",
        ),
        (
            change("maxpool2", "avgpool2"),
            "layer 1: unknown kind 'avgpool2'; use one of conv2d, maxpool2, linear",
        ),
        (
            change("channels", "filters"),
            r"layer 0 \(conv2d\): unknown key 'filters'; use channels, kernel, kind, padding, relu",
        ),
        (change('"maxpool2"', '"maxpool2"\nrelu = true'), "layer 1 .*unknown key 'relu'; use kind"),
        (change("channels = 4\n", ""), "layer 0 .*channels is missing"),
        (
            change("channels = 4", "channels = 0"),
            "channels is 0; use a whole number from 1 to 4096",
        ),
        (change("channels = 4", "channels = 4.0"), r"channels is 4\.0; use a whole number"),
        (change("channels = 4", "channels = true"), "channels is True; use a whole number"),
        (change("kernel = 3", "kernel = 16"), "kernel is 16; use a whole number from 1 to 15"),
        (change("kernel = 3", "kernel = [3, 3, 3]"), r"kernel is \[3, 3, 3\]; .* \[down, across\]"),
        (change("kernel = 3", "kernel = [3, 9]"), r"kernel 9 is larger than its input 8x6x2"),
        (change("kernel = 3", 'kernel = "3"'), "kernel is '3'"),
        (change("stride = 2", "stride = 3"), "stride is 3; use a whole number from 1 to 2"),
        (change("[1, 0]", "[3, 0]"), r"padding 3 is not less than the kernel 3 \(height\); .* 2"),
        (change("[1, 0]", "-1"), "padding is -1; use a whole number from 0"),
        (change("relu = true", "relu = 1"), "relu is 1; use true or false"),
        (GOOD.replace('"linear"', '"maxpool2"').replace("outputs = 5", ""), "layer 2 .*2x1x4, too"),
        (GOOD + "relu = true\n", "layer 2, the last one, is linear with ReLU; end the network"),
        (GOOD.replace(LINEAR, ""), "layer 1, the last one, is maxpool2; end the network"),
        (change("outputs = 5", "outputs = 257"), "layer 2: outputs is 257, .* use 2 to 256"),
        (change("outputs = 5", "outputs = 1"), "layer 2: outputs is 1, .* use 2 to 256"),
        (change("outputs = 5", "outputs = 5000"), "outputs is 5000; .* from 1 to 4096"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_fix(
    tmp_path: Path, text: str, match: str
) -> None:
    with pytest.raises(UserError, match=match) as caught:
        described(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "net.toml"))


@pytest.mark.parametrize(
    ("shape", "layer", "match"),
    [
        ([4096, 4096, 1], 'kind = "conv2d"\nchannels = 1\nkernel = 1', "adds up 16,777,216"),
        ([4096, 64, 1], 'kind = "linear"\noutputs = 2', "adds up 262,144 products"),
        ([128, 128, 1], 'kind = "linear"\noutputs = 512', "has 8,388,608 weights; use fewer"),
        ([8, 8, 600], 'kind = "conv2d"\nchannels = 4096\nkernel = 3', "22,118,400 weights"),
        (
            [1, 4096, 1],
            'kind = "conv2d"\nchannels = 1\nkernel = 3\npadding = 2',
            "use less padding",
        ),
    ],
)
def test_limits_of_the_numerics(tmp_path: Path, shape: list[int], layer: str, match: str) -> None:
    text = f'name = "big"\ninput = {shape}\n[[layer]]\n{layer}\n' + LINEAR
    with pytest.raises(UserError, match=f"layer 0 .*{match}"):
        described(tmp_path, text)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*Is a directory"):
        models.load(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is no text in UTF-8: byte 0xff at 0"):
        models.load(tmp_path / "bytes.toml")


def test_resolve_knows_names_and_paths(tmp_path: Path) -> None:
    described(tmp_path, GOOD)
    assert models.resolve("tinycnn").name == "tinycnn"
    assert models.resolve(str(tmp_path / "net.toml")).name == "small"
    with pytest.raises(UserError, match=r"unknown network 'resnet': .* oddnet, .*resnet8, tinycnn"):
        models.resolve("resnet")


@pytest.mark.parametrize("name", models.shipped())
def test_shipped_networks_bear_the_name_of_their_file(name: str) -> None:
    assert models.resolve(name).name == name


def test_tinycnn_is_as_designed() -> None:
    net = models.resolve("tinycnn")
    shapes = [layer.out_shape for layer in net.layers]
    assert shapes == [(28, 28, 8), (14, 14, 8), (14, 14, 16), (7, 7, 16), (1, 1, 64), (1, 1, 10)]
    assert net.weight_count == 52_040
    assert sum(layer.macs for layer in net.layers) == 333_056


def test_vgg11_is_as_designed() -> None:
    net = models.resolve("vgg11")
    assert net.input_shape == (32, 32, 3)
    channels = [layer.rows for layer in net.layers if layer.kind == "conv2d"]
    assert channels == [64, 128, 256, 256, 512, 512, 512, 512]
    assert net.layers[-1].in_shape == (1, 1, 512)
    assert net.weight_count == 9_222_848


def test_oddnet_is_odd() -> None:
    net = models.resolve("oddnet")
    assert net.input_shape == (21, 19, 3)
    assert net.classes == 7
    assert net.layers[0].kernel == (5, 5)
    assert net.layers[0].stride == (2, 2)
    assert net.layers[2].kernel == (3, 2)


# Initial weights


def test_initial_weights_come_from_the_generator() -> None:
    architecture = models.resolve("oddnet")
    net = models.initial_network(architecture, seed=7)
    assert [held is not None for held in net.parameters] == [True, False, True, True, True]
    for index in (0, 2, 3, 4):
        held, layer = net.of(index), net.layers[index]
        drawn = normal_scores(7, 4 * index + 2, layer.weight_count)
        assert (held.weights == drawn.reshape(layer.rows, layer.row_length)).all()
        assert abs(held.exponent - log2(sqrt(2 / layer.row_length) / 32)) <= 0.5
        numbers = (held.forward_shift, held.error_shift, held.gradient_bits, held.score_bits)
        assert numbers == (0, 0, 0, 0)
    other = models.initial_network(architecture, seed=8)
    assert (other.of(0).weights != net.of(0).weights).any()


@pytest.mark.parametrize(
    ("fan_in", "exponent"), [(1, -4), (2, -5), (4, -5), (5, -6), (16, -6), (64, -7), (65, -8)]
)
def test_initial_exponent_rounds_half_up(tmp_path: Path, fan_in: int, exponent: int) -> None:
    text = f'name = "row"\ninput = [1, 1, {fan_in}]\n' + LINEAR
    assert models.initial_network(described(tmp_path, text), seed=0).of(0).exponent == exponent


# Backbones


@pytest.fixture(scope="module")
def histograms() -> Histograms:
    net = models.initial_network(models.resolve("oddnet"), seed=1)
    result = Histograms.empty(net)
    images = np.random.default_rng(0).integers(0, 256, (10, 21, 19, 3)).astype(np.uint8)
    for number, image in enumerate(images):
        result.add(observe(net, image, number % 7))
    return result


@pytest.fixture
def network(histograms: Histograms) -> Network:
    return calibrated(models.initial_network(models.resolve("oddnet"), seed=1), histograms)


INFO: dict[str, Any] = {"command": "pretrain", "seed": 1, "accuracy": [0.5, 0.75]}


def same(one: Network, other: Network) -> bool:
    return (
        (one.name, one.input_shape, one.layers) == (other.name, other.input_shape, other.layers)
        and len(one.parameters) == len(other.parameters)
        and all(
            (a is None and b is None)
            or (
                a is not None
                and b is not None
                and (a.weights == b.weights).all()
                and {**vars(a), "weights": 0} == {**vars(b), "weights": 0}
            )
            for a, b in zip(one.parameters, other.parameters, strict=True)
        )
    )


def test_a_backbone_comes_back_as_it_was(
    tmp_path: Path, network: Network, histograms: Histograms
) -> None:
    path = tmp_path / "new" / "oddnet-own.npz"
    models.save_backbone(path, network, INFO, histograms)
    loaded, info = models.load_backbone(path)
    assert same(loaded, network)
    assert info == INFO
    assert any(held is not None and held.forward_shift for held in loaded.parameters)
    kept = models.load_histograms(path)
    assert kept is not None
    for one, other in zip(kept.layers, histograms.layers, strict=True):
        assert all((one[name] == other[name]).all() for name in RANGE_NAMES)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_backbone_need_not_be_calibrated(tmp_path: Path) -> None:
    path = tmp_path / "raw.npz"
    net = models.initial_network(models.resolve("tinycnn"), seed=3)
    models.save_backbone(path, net, {})
    assert same(models.load_backbone(path)[0], net)
    assert models.load_histograms(path) is None


def test_a_backbone_is_the_same_bytes_each_time(
    tmp_path: Path, network: Network, histograms: Histograms
) -> None:
    digests = set()
    for name in ("one", "two"):
        models.save_backbone(tmp_path / f"{name}.npz", network, INFO, histograms)
        digests.add(hashlib.sha256((tmp_path / f"{name}.npz").read_bytes()).hexdigest())
    assert len(digests) == 1
    with np.load(tmp_path / "one.npz", allow_pickle=False) as archive:
        assert int(archive["version"]) == 1


def test_a_loaded_backbone_trains(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "oddnet.npz"
    models.save_backbone(path, network, INFO)
    loaded, _ = models.load_backbone(path)
    validate(loaded, dynamic=True)
    assert loaded.of(0).weights.flags.writeable
    assert Trainer(loaded, Method("niti-dynamic")).network.classes == 7


def test_a_backbone_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "new.npz"
    np.savez(path, version=np.int64(3))
    with pytest.raises(UserError, match="version 3, but this program reads versions 1 and 2"):
        models.load_backbone(path)


def test_a_missing_backbone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no backbone at .*gone\.npz; make it with"):
        models.load_backbone(tmp_path / "gone.npz")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("weights_0", None, "it has no array 'weights_0'"),
        ("weights_0", np.zeros((5, 74), np.int8), r"'weights_0' is int8 \[5, 74\]"),
        ("weights_0", np.zeros((5, 75)), "'weights_0' is float64"),
        ("weights_0", np.full((5, 75), -128, np.int8), "layer 0 has a weight of -128"),
        ("numbers", np.full((5, 5), 99), "outside"),
        ("numbers", np.zeros((4, 5), np.int64), r"'numbers' is int64 \[4, 5\]"),
        ("architecture", np.array("{"), "damaged, or no backbone"),
        ("architecture", np.array("[]"), "architecture is not a JSON object"),
        ("architecture", np.array('{"layer": 1}'), "name is missing"),
        ("info", np.array(3), "it has no string 'info'"),
        ("info", np.array("3"), "info is not a JSON object"),
        ("version", None, "it has no array 'version'"),
    ],
)
def test_a_foreign_backbone(
    tmp_path: Path, network: Network, name: str, value: Any, match: str
) -> None:
    path = tmp_path / "oddnet.npz"
    models.save_backbone(path, network, INFO)
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    del arrays[name]
    if value is not None:
        arrays[name] = value
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=match) as caught:
        models.load_backbone(path)
    assert str(path) in str(caught.value)


def test_a_damaged_backbone_is_never_a_traceback(
    tmp_path: Path, network: Network, histograms: Histograms
) -> None:
    path = tmp_path / "oddnet.npz"
    models.save_backbone(path, network, INFO, histograms)
    good = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for turn in range(300):
        bad = bytearray(good)
        at = int(random.integers(len(bad)))
        if turn % 3 == 0:
            bad = bad[:at]
        else:
            bad[at] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        try:
            loaded, info = models.load_backbone(path)
        except UserError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            # Some bits of a zip file mean nothing, such as its time stamps.
            assert same(loaded, network)
            assert info == INFO
    assert refused > 200


def test_backbones_have_their_place() -> None:
    path = models.backbone_path("tinycnn", "mnist")
    assert path == models.MODELS / "backbones" / "tinycnn-mnist.npz"


@pytest.mark.parametrize("path", sorted(models.BACKBONES.glob("*.npz")), ids=lambda p: p.stem)
def test_shipped_backbones_load(path: Path) -> None:
    network, info = models.load_backbone(path)
    validate(network)
    assert info
    assert models.load_histograms(path) is not None
