"""What is imported, what is refused in one sentence, and files that are damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain.cli import main
from picotrain.convert import arithmetic
from picotrain.convert.importer import Imported, import_model
from picotrain.convert.model import read
from picotrain.errors import UserError
from picotrain.learn.architectures.graph import same_padding
from picotrain.learn.models import load_backbone, load_network, network_sha256
from picotrain.quantise.arithmetic import logits_scale, mean_multiplier, multiplier
from picotrain_golden import Method, Trainer
from support import about

pytest.importorskip("tflite", reason="tflite is not installed: pip install -e '.[convert]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[convert]'")

from fuzz import damaged
from tflite_builder import VALID, Builder, Made

MUTATIONS = int(os.environ.get("PICOTRAIN_MUTATIONS", "1000"))


@pytest.mark.parametrize(
    ("factor", "m", "s"),
    [
        (1.0, 2**30, 1),
        (0.5, 2**30, 0),
        (0.75, 3 * 2**29, 0),
        (1.0 - 2.0**-40, 2**30, 1),  # rounds up to 2^31
        (0.5 + 2.0**-32, 2**30 + 1, 0),  # a half, away from zero
        (0.5 + 2.0**-33, 2**30, 0),
        (0.0, 0, 0),
        (2.0**-32, 2**30, -31),
        (2.0**-33, 0, 0),
        (3.0, 3 * 2**29, 2),
    ],
)
def test_multipliers(factor: float, m: int, s: int) -> None:
    assert multiplier(factor) == (m, s)


@pytest.mark.parametrize(
    ("factor", "count", "m", "s"),
    [
        (1.0, 1, 2**30, 1),
        (1.0, 4, 2**30, -1),
        (1.0, 3, 2**31 // 3, 0),
        (0.5, 7, 2**32 // 7, -2),
        (2.0**-32, 9, 2**30 // 9, -31),  # nothing is left to shift
    ],
)
def test_a_mean_has_its_count_in_the_multiplier(factor: float, count: int, m: int, s: int) -> None:
    assert mean_multiplier(factor, count) == (m, s)


@pytest.mark.parametrize(
    ("scale", "mantissa", "exponent"),
    [
        (1.0, 1 << 15, 0),
        (0.5, 1 << 15, -1),
        (0.75, 3 << 14, -1),
        (0.1, 52429, -4),  # 0.8 * 2^16 = 52428.8
        (2.0 - 2.0**-20, 1 << 15, 1),  # rounds to a mantissa of 17 bits
        (2.0**-16, 1 << 15, -16),
        (511.99, 65535, 8),
    ],
)
def test_the_scale_of_the_logits(scale: float, mantissa: int, exponent: int) -> None:
    assert logits_scale(scale) == ((mantissa, exponent), "")


@pytest.mark.parametrize(("scale", "kept"), [(2.0**-18, (1 << 15, -16)), (3 * 2.0**9, (49152, 8))])
def test_a_scale_of_the_logits_that_is_bounded_is_told(scale: float, kept: tuple[int, int]) -> None:
    found, note = logits_scale(scale)
    assert found == kept
    wanted = f"{kept[0] * 2.0 ** (kept[1] - 15):.6g}"
    assert note == f"the outputs have scale {scale:.6g}, which training takes for {wanted}"


@pytest.mark.parametrize(
    ("activation", "scale", "zero", "bounds"),
    [
        (0, 0.1, -3, (-128, 127)),
        (1, 0.1, -3, (-3, 127)),
        (3, 0.1, -3, (-3, 57)),
        (3, 0.01, -128, (-128, 127)),
        (3, 4.0, 0, (0, 2)),  # 1.5, away from zero
        (2, 0.1, 5, (-5, 15)),
        (2, 0.4, 0, (-3, 3)),  # 2.5 steps, as float32
        (1, 0.1, 127, (127, 127)),
    ],
)
def test_activations_are_bounds(
    activation: int, scale: float, zero: int, bounds: tuple[int, int]
) -> None:
    assert arithmetic.bounds(activation, float(np.float32(scale)), zero) == bounds


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "outputs", "before"),
    [(6, 3, 2, 3, 0), (7, 3, 2, 4, 1), (5, 4, 1, 5, 1), (5, 1, 2, 3, 0), (49, 10, 2, 25, 4)],
)
def test_same_padding(size: int, kernel: int, stride: int, outputs: int, before: int) -> None:
    assert same_padding(size, kernel, stride) == (outputs, before)


# Models


def written(tmp_path: Path, content: bytes, name: str = "model.tflite") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def imported(tmp_path: Path, builder: Builder, end: Made) -> Imported:
    return import_model(read(written(tmp_path, builder.finish(end))))


def test_the_layers(tmp_path: Path) -> None:
    found = imported(tmp_path, *damaged.small_tflite())
    network = found.network
    assert network.name == "model"
    assert [layer.kind for layer in network.layers] == [
        *("conv2d", "depthwise", "add", "maxpool", "linear")
    ]
    conv = network.layers[0]
    assert (conv.out_shape, conv.stride, conv.padding) == ((3, 3, 4), (2, 2), (0, 0))
    assert network.layers[2].inputs == (0, 1)
    assert network.affine[0].zero_in == (3,)
    assert network.of(0).weights[0, :2].tolist() == [-128, -128]
    assert network.classes == 4
    scale = found.made()["output"]["scale"]
    mantissa, exponent = network.logits_scale
    assert mantissa * 2.0 ** (exponent - 15) == pytest.approx(scale, rel=2**-16)
    assert found.note == ""
    trainer = Trainer(network, Method("infer"))
    assert trainer.predict(np.zeros((2, 6, 6, 2), np.uint8)).shape == (2,)


def test_the_verb_writes_a_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder, end = damaged.small_tflite()
    path, out = written(tmp_path, builder.finish(end), "a b.tflite"), tmp_path / "net.npz"
    assert main(["import", str(path), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("a-b: 5 layers, 124 weights, 4 outputs, ")
    assert "absorbed   operator 5, SOFTMAX\n" in shown
    network, made = load_backbone(out)
    assert network_sha256(network) == network_sha256(import_model(read(path)).network)
    assert made["imported"]["file"] == "a b.tflite"
    assert made["imported"]["absorbed"] == ["operator 5, SOFTMAX"]
    assert made["input"] == {"scale": float(np.float32(0.1)), "zero": 3}
    assert main(["import", str(path), "--out", str(out), "--name", "other"]) == 0
    assert load_backbone(out)[0].name == "other"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "a b"], "--name is 'a b'; use 1 to 32 letters"),
        (["--out", "net.tflite"], "net.tflite is no backbone by its name"),
    ],
)
def test_wrong_options(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    builder, end = damaged.small_tflite()
    path = written(tmp_path, builder.finish(end))
    assert main(["import", str(path), "--out", "net.npz", *words]) == 2
    assert told in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["model.tflite"]


# Refusals


def told(tmp_path: Path, content: bytes, name: str = "model.tflite") -> str:
    path = written(tmp_path, content, name)
    with pytest.raises(UserError) as caught:
        import_model(read(path))
    return about(path, caught.value)


def refused(tmp_path: Path, make: Callable[[Builder], Made]) -> str:
    builder = Builder(0)
    return told(tmp_path, builder.finish(make(builder)))


def image(b: Builder) -> Made:
    return b.input((1, 6, 6, 2), scale=0.1, zero=3)


def unknown(kind: str) -> Callable[[Builder], Made]:
    def make(b: Builder) -> Made:
        source = image(b)
        return b.op(kind, [source], b.tensor(source.shape, 0.1, 0))

    return make


def other_type(kind: str) -> Callable[[Builder], Made]:
    def make(b: Builder) -> Made:
        end = b.conv(image(b), 3, (1, 1))
        for one in b.tensors:
            if not one.data:
                one.type = kind
        return end

    return make


def altered(index: int, **values: Any) -> Callable[[Builder], Made]:
    """A convolution, of whose tensors (input, weights, bias, output) one is changed."""

    def make(b: Builder) -> Made:
        end = b.conv(image(b), 3, (1, 1), per_channel=True)
        for name, value in values.items():
            setattr(b.tensors[index], name, value)
        return end

    return make


def broadcast(b: Builder) -> Made:
    source = image(b)
    mean = b.mean(source, True)
    made = b.tensor(source.shape, 0.1, 0)
    return b.op("ADD", [source, mean], made, "AddOptions", FusedActivationFunction=0)


def reshaped(b: Builder) -> Made:
    made = b.conv(image(b), 2, (3, 3))
    return b.conv(b.reshape(made, (1, 9, 4, 2)), 3, (1, 1))


def behind_input_of(kind: str) -> Callable[[Builder], Made]:
    def make(b: Builder) -> Made:
        source = b.input((1, 6, 6, 2))
        source.type = kind
        return b.conv(b.quantize(source, scale=0.1, zero=0), 3, (3, 3))

    return make


def pad_into_pool(b: Builder) -> Made:
    padded = b.pad(image(b), [[0, 0], [1, 1], [1, 1], [0, 0]])
    return b.pool("MAX_POOL_2D", padded, (2, 2), (2, 2))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (unknown("TANH"), "operator 0, TANH: it is not known here, so use ReLU or ReLU6"),
        (unknown("SPLIT"), "operator 0, SPLIT: it is not known here, so use a network without it"),
        (lambda b: b.conv(image(b), 3, (3, 3), dilation=2), "it has dilation 2x2, so use 1x1"),
        (lambda b: b.depthwise(image(b), (3, 3), multiplier=2), "depth multiplier 2, so use 1"),
        (lambda b: b.conv(image(b), 3, (3, 3), (3, 3)), "it has a stride outside 1..2"),
        (lambda b: b.conv(image(b), 3, (2, 2), activation=4), "activation 4, so use none, ReLU"),
        (lambda b: b.mean(image(b), True, (1, 3)), "it is not over height and width"),
        (broadcast, "it adds [1, 6, 6, 2] and [1, 1, 1, 2], so add tensors of one shape"),
        (reshaped, "it reads a tensor of [6, 6, 2] in the shape [9, 4, 2]"),
        (pad_into_pool, "operator 1, MAX_POOL_2D: it reads a PAD, so pad before convolutions only"),
        (
            lambda b: b.conv(b.pad(image(b), [[0, 0], [0, 0], [0, 0], [0, 1]]), 3, (1, 1)),
            "it pads the batch or the channels",
        ),
        (
            lambda b: b.conv(b.pad(image(b), [[0, 0], [1, 0], [0, 0], [0, 0]], 5), 3, (2, 2)),
            "it pads with another number than 0",
        ),
        (lambda b: b.linear(b.softmax(image(b)), 3), "it reads a SOFTMAX, so use that at the end"),
        (
            lambda b: b.conv(b.quantize(image(b), scale=0.3, zero=1), 3, (2, 2)),
            "it reads a QUANTIZE, so use that at the end only",
        ),
        (other_type("FLOAT32"), " computes with FLOAT32 (tensor 0 of operator 0, CONV_2D)"),
        (other_type("INT16"), " computes with INT16"),
        (other_type("UINT8"), " computes with UINT8"),
        (behind_input_of("INT16"), "its input is INT16; convert the network with an input of INT8"),
        (behind_input_of("BOOL"), "its input is BOOL;"),
        (lambda b: b.softmax(image(b)), " has no layer, only SOFTMAX; give a network with one of"),
        (altered(0, shape=(2, 6, 6, 2)), "is no single image"),
        (altered(0, shape=(1, 0, 6, 2)), " has a tensor of shape [1, 0, 6, 2], tensor 0, whose"),
        (altered(0, shape=(1, -1, 6, 2)), "whose size is not fixed"),
        (altered(0, shape=(1, 5, 6, 2)), "but the file says [6, 6, 3]"),
        (altered(0, scales=()), "tensor 0 has not one scale"),
        (altered(0, scales=(0.0,)), "tensor 0 has scale 0.0"),
        (altered(3, zeros=(500,)), "zero point 500"),
        (altered(1, zeros=(1, 0, 0)), "its weights have a zero point"),
        (altered(1, scales=(0.1, 0.1)), "it has 2 scales for 3 outputs"),
        (altered(1, axis=1), "it has 3 scales along axis 1 for 3 outputs"),
        (altered(1, data=b""), "tensor 1 is not constant"),
        (altered(1, data=b"12345"), "tensor 1 has not the bytes of its shape"),
        (altered(1, type="INT4"), "tensor 1 is INT4, so make it a constant of type INT8"),
        (altered(2, type="INT64"), "tensor 2 is INT64, so make it a constant of type INT32"),
        (altered(3, scales=(1e-30,)), "its scales are too far apart"),
        (
            lambda b: b.add(source := image(b), source, scale=1e-9),
            "its scales are too far apart",
        ),
        (
            lambda b: b.linear(b.conv(image(b), 32, (1, 1)), 4096),
            "more than 4194304; build the network otherwise",
        ),
    ],
)
def test_what_is_not_taken(tmp_path: Path, make: Callable[[Builder], Made], sentence: str) -> None:
    assert sentence in refused(tmp_path, make)


def test_all_operators_that_are_not_taken_are_listed(tmp_path: Path) -> None:
    def make(b: Builder) -> Made:
        source = b.conv(image(b), 3, (3, 3), dilation=2)
        source = b.op("TANH", [source], b.tensor(source.shape, 0.1, 0))
        source = b.conv(source, 3, (3, 3), (3, 1))
        return b.op("LOGISTIC", [source], b.tensor(source.shape, 1 / 256, -128))

    sentence = refused(tmp_path, make)
    assert sentence.startswith(" has 4 operators that are not taken: operator 0, CONV_2D: it has ")
    for number, kind in enumerate(("CONV_2D", "TANH", "CONV_2D", "LOGISTIC")):
        assert f"operator {number}, {kind}: " in sentence


def test_what_only_reads_a_refused_one_is_not_listed(tmp_path: Path) -> None:
    def make(b: Builder) -> Made:
        source = b.conv(image(b), 3, (3, 3))
        source = b.op("TANH", [source], b.tensor(source.shape, 0.1, 0))
        return b.softmax(b.linear(b.conv(source, 3, (3, 3)), 4))

    assert refused(tmp_path, make) == (
        " has 1 operator that is not taken: operator 1, TANH: it is not known here, so use ReLU or "
        "ReLU6"
    )


@pytest.mark.parametrize("kind", ["LOGISTIC", "TANH"])
def test_a_rising_function_at_the_end_is_left_out(tmp_path: Path, kind: str) -> None:
    def make(b: Builder) -> Made:
        source = b.linear(image(b), 4)
        end = b.op(kind, [source], b.tensor(source.shape, 1 / 256, -128))
        return b.reshape(end, (1, 4))

    assert refused(tmp_path, make) == (
        f" has 1 operator that is not taken: operator 1, {kind}: it is not known here, so end with "
        "the layer before it, whose outputs have the same order"
    )


def test_a_pad_at_the_end(tmp_path: Path) -> None:
    def make(b: Builder) -> Made:
        return b.pad(b.conv(image(b), 2, (1, 1)), [[0, 0], [1, 1], [1, 1], [0, 0]])

    assert refused(tmp_path, make) == (
        " has 1 operator that is not taken: operator 1, PAD: the output does not come from a "
        "layer, so end with one"
    )


@pytest.mark.parametrize("verb", ["import", "check"])
def test_a_backbone_is_one_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    path = tmp_path / "net.npz"
    words = ["--out", str(tmp_path / "x.npz")] if verb == "import" else []
    assert main([verb, str(path), *words]) == 2
    assert capsys.readouterr().err == (
        f"picotrain: {path} is a backbone already; give the .tflite file that it is from\n"
    )


@pytest.mark.parametrize(
    "words", [["info"], ["adapt", "--backbone"], ["adapt", "--model"], ["verify", "--backbone"]]
)
def test_a_model_where_a_backbone_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    builder, end = damaged.small_tflite()
    path = written(tmp_path, builder.finish(end))
    _is_no_backbone(path, f"{path} is a TFLite model: make it", words, capsys)
    other = written(tmp_path, b"x", "model.onnx")
    _is_no_backbone(other, f"{other} is an ONNX model: make it", words, capsys)


def _is_no_backbone(
    path: Path, begins: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = f"{begins} a backbone with `picotrain import`"
    assert main([*words, str(path)]) == 2
    assert capsys.readouterr().err == f"picotrain: {told}\n"
    with pytest.raises(UserError) as caught:
        load_network(path)
    assert str(caught.value) == told


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    builder = Builder(0)
    one, other = image(builder), image(builder)
    end = builder.add(one, other)
    assert told(tmp_path, builder.finish(end)).startswith(" has 2 inputs, not one; build")
    builder, end = damaged.small_tflite()
    assert told(tmp_path, builder.finish(end, end)).startswith(" has 2 outputs, not one; build")
    assert told(tmp_path, builder.finish()).startswith(" has 0 outputs, not one")
    assert told(tmp_path, builder.finish(end, version=2)).startswith(" has version 2 of the format")


def test_an_output_that_leaves_a_layer_unread(tmp_path: Path) -> None:
    builder = Builder(0)
    first = builder.conv(image(builder), 2, (3, 3))
    builder.conv(first, 2, (3, 3))
    assert "is not that of its last layer" in told(tmp_path, builder.finish(first))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("model.onnx", b"x", " is an ONNX model, which TFLite Micro does not run; give a .tflite"),
        ("model.pt", b"x", " has not the ending .tflite; convert the network"),
        ("model", b"x", " has not the ending .tflite"),
        ("model.tflite", b"", " is empty; give the file"),
        ("model.tflite", b"PK\3\4 and more", " is no TFLite model: its bytes 4 to 7"),
        ("model.tflite", b"\x10\0\0\0TFL3", " is damaged or cut off"),
    ],
)
def test_what_is_no_model(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    assert told(tmp_path, content, name).startswith(sentence)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.tflite"
    assert main(["import", str(missing), "--out", str(tmp_path / "x.npz")]) == 2
    assert f"cannot read {missing}: No such file" in capsys.readouterr().err


def test_damaged_files_are_told_and_write_nothing(tmp_path: Path) -> None:
    """Seeded mutations: bytes changed or cut off; each is taken, or refused in a sentence."""
    damage, random = damaged.OF["tflite"](), np.random.default_rng(2026)
    path = tmp_path / "model.tflite"
    taken, sentences = 0, set()
    for number in range(MUTATIONS):
        path.write_bytes(damage(random, number))
        sentence = damaged.imported(path)
        if sentence:
            sentences.add(sentence)
        else:
            taken += 1
    assert taken > MUTATIONS // 20
    assert len(sentences) > 100
    assert [one.name for one in tmp_path.iterdir()] == ["model.tflite"]


def test_nothing_is_half_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path, b"\x10\0\0\0TFL3"), tmp_path / "net.npz"
    out.write_bytes(b"before")
    assert main(["import", str(path), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"picotrain: {path} is damaged or cut off")
    assert out.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("module", "words", "told"),
    [
        ("tflite", ["import", "FILE", "--out", "x.npz"], "needs the package tflite: `"),
        ("tflite_micro", ["check", "FILE"], "needs the package tflite-micro"),
    ],
)
def test_a_package_that_is_missing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    words: list[str],
    told: str,
) -> None:
    builder, end = damaged.small_tflite()
    path = written(tmp_path, builder.finish(end))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    assert main([str(path) if word == "FILE" else word for word in words]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "-m pip install" in err


def test_other_verbs_load_neither_package() -> None:
    program = (
        "import sys\nfrom picotrain.cli import main\nmain(['targets'])\n"
        "assert not {'tflite', 'tflite_micro', 'flatbuffers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_valid_padding_by_the_file(tmp_path: Path) -> None:
    builder = Builder(0)
    end = builder.conv(image(builder), 3, (3, 3), (2, 2), VALID)
    layer = imported(tmp_path, builder, end).network.layers[0]
    assert (layer.out_shape, layer.padding) == ((2, 2, 3), (0, 0))
