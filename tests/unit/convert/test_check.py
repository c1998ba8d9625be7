"""Models made by hand, and golden against TFLite Micro: every tensor equal."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from picotrain.cli import main
from picotrain.convert.check import check, random_inputs, running
from picotrain.convert.importer import Imported, import_model
from picotrain.convert.model import read
from picotrain.convert.tflm import Reference
from picotrain.errors import UserError

pytest.importorskip("tflite", reason="tflite is not installed: pip install -e '.[convert]'")
pytest.importorskip("tflite_micro", reason="tflite-micro is not installed (extra: convert)")

import tflite_builder as tfl
from support import reference_model
from tflite_builder import RELU, RELU6, SAME, VALID, Builder, Made

Make = Callable[[Builder], Made]


def imported(tmp_path: Path, content: bytes) -> Imported:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return import_model(read(path))


def equal(one: Imported, count: int = 12) -> int:
    """How many elements were compared, all equal."""
    with running(one.network, "golden") as run:
        outcome = check(one, random_inputs(one, count, 5), run)
    assert outcome.difference is None, str(outcome.difference)
    assert (outcome.images, outcome.tensors) == (count, len(one.network.layers))
    return outcome.elements


def head(b: Builder, source: Made) -> Made:
    return b.linear(source, 5)


def image(b: Builder, *shape: int) -> Made:
    return b.input((1, *shape))


MODELS: dict[str, tuple[list[str], Make]] = {
    "conv same, even size, stride 2": (
        ["conv2d"],
        lambda b: b.conv(image(b, 6, 8, 3), 4, (3, 3), (2, 2), SAME),
    ),
    "conv same, even kernel": (
        ["conv2d"],
        lambda b: b.conv(image(b, 5, 5, 2), 3, (4, 2), (1, 2), SAME, RELU6, per_channel=True),
    ),
    "conv valid, rest unread": (
        ["conv2d"],
        lambda b: b.conv(image(b, 8, 7, 1), 3, (3, 2), (2, 2), VALID, RELU, bias=False),
    ),
    "conv of many terms": (
        ["conv2d"],
        lambda b: b.conv(image(b, 6, 6, 40), 6, (5, 5), (1, 1), VALID, per_channel=True),
    ),
    "relu between -1 and 1": (
        ["conv2d"],
        lambda b: b.conv(image(b, 4, 4, 2), 3, (1, 1), activation=tfl.RELU_N1_TO_1),
    ),
    "depthwise stride 2": (
        ["depthwise"],
        lambda b: b.depthwise(image(b, 9, 8, 5), (3, 3), stride=(2, 2), per_channel=True),
    ),
    "depthwise valid": (
        ["depthwise"],
        lambda b: b.depthwise(image(b, 7, 6, 4), (2, 5), padding=VALID, activation=RELU6),
    ),
    "depthwise of one channel": (
        ["conv2d", "linear"],
        lambda b: head(b, b.depthwise(image(b, 10, 7, 1), (10, 4), multiplier=6, stride=(2, 2))),
    ),
    "linear, one scale and many": (
        ["linear", "linear"],
        lambda b: b.linear(b.linear(image(b, 4, 3, 2), 30, RELU), 10, per_channel=True),
    ),
    "maxpool same": (
        ["maxpool"],
        lambda b: b.pool("MAX_POOL_2D", image(b, 7, 8, 3), (3, 2), (2, 2), SAME, RELU),
    ),
    "avgpool padded, not global": (
        ["avgpool"],
        lambda b: b.pool("AVERAGE_POOL_2D", image(b, 7, 8, 3), (3, 4), (2, 3), SAME),
    ),
    "avgpool valid, relu6": (
        ["avgpool"],
        lambda b: b.pool("AVERAGE_POOL_2D", image(b, 9, 9, 2), (2, 2), (2, 2), VALID, RELU6),
    ),
    "mean, dimensions kept": (["avgpool"], lambda b: b.mean(image(b, 5, 7, 6), True)),
    "mean, as negative axes": (
        ["avgpool", "linear"],
        lambda b: head(b, b.mean(image(b, 3, 3, 8), False, (-2, -3))),
    ),
    "mean with the scale of its input": (
        ["avgpool"],
        lambda b: b.mean(b.input((1, 4, 4, 6), scale=0.1, zero=3), True, scale=0.1, zero=3),
    ),
    "mean that becomes larger": (
        ["avgpool"],
        lambda b: b.mean(b.input((1, 2, 3, 6), scale=0.2), True, scale=0.01),
    ),
    "mean of one element": (["avgpool"], lambda b: b.mean(image(b, 1, 1, 6), True)),
    "pad before convolutions": (
        ["conv2d", "depthwise"],
        lambda b: b.depthwise(
            b.pad(
                b.conv(
                    b.pad(image(b, 6, 6, 2), [[0, 0], [0, 1], [1, 0], [0, 0]]),
                    *(4, (3, 3), (2, 2), VALID),
                ),
                [[0, 0], [1, 1], [1, 1], [0, 0]],
            ),
            (3, 3),
            padding=VALID,
        ),
    ),
    "pad and same": (
        ["conv2d"],
        lambda b: b.conv(
            b.pad(image(b, 5, 5, 1), [[0, 0], [1, 0], [0, 1], [0, 0]]), 3, (3, 4), (1, 1), SAME
        ),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_is_equal(tmp_path: Path, name: str) -> None:
    kinds, make = MODELS[name]
    for seed in range(4):
        builder = Builder(seed)
        one = imported(tmp_path, builder.finish(make(builder)))
        assert [layer.kind for layer in one.network.layers] == kinds
        assert equal(one) > 0


def residual(b: Builder, activation: int = RELU) -> Made:
    """Two branches, an add with scales of its own, and an add of a tensor to itself."""
    stem = b.conv(image(b, 8, 8, 3), 6, (3, 3), (2, 2), activation=RELU6, per_channel=True)
    left = b.conv(stem, 6, (3, 3), per_channel=True)
    right = b.depthwise(stem, (3, 3))
    both = b.add(left, right, activation)
    again = b.add(both, stem, scale=0.05)
    twice = b.add(again, again)
    return b.softmax(b.reshape(head(b, b.mean(twice, False)), (1, 5)))


@pytest.mark.parametrize("seed", range(6))
def test_forks_and_adds(tmp_path: Path, seed: int) -> None:
    builder = Builder(seed)
    one = imported(tmp_path, builder.finish(residual(builder)))
    network = one.network
    assert [network.reads(index) for index in range(len(network.layers))] == [
        *((-1,), (0,), (0,), (1, 2), (3, 0), (4, 4), (5,), (6,))
    ]
    assert [operator.kind for operator in one.absorbed] == ["RESHAPE", "SOFTMAX"]
    equal(one)


def test_padv2_with_the_zero_point(tmp_path: Path) -> None:
    builder = Builder(1)
    source = builder.input((1, 4, 5, 2), zero=-7)
    padded = builder.pad(source, [[0, 0], [0, 1], [0, 1], [0, 0]], value=-7)
    end = builder.conv(padded, 3, (3, 3), (2, 2), VALID)
    one = imported(tmp_path, builder.finish(end))
    assert one.network.layers[0].padding == (0, 0)
    assert one.network.layers[0].out_shape == (2, 2, 3)
    equal(one)


@pytest.mark.parametrize("type_", ["UINT8", "FLOAT32"])
def test_an_input_that_the_model_quantises(tmp_path: Path, type_: str) -> None:
    builder = Builder(2)
    if type_ == "UINT8":
        given = builder.input((1, 6, 6, 1), scale=0.1, zero=100, type="UINT8")
    else:
        given = builder.tensor((1, 6, 6, 1), type="FLOAT32")
        builder.inputs.append(given.index)
    ready = builder.quantize(given, scale=0.1, zero=-28)
    end = builder.dequantize(builder.softmax(head(builder, builder.conv(ready, 3, (3, 3)))))
    one = imported(tmp_path, builder.finish(end))
    assert (one.input.index, one.input.type) == (ready.index, "INT8")
    assert [operator.kind for operator in one.absorbed] == ["QUANTIZE", "SOFTMAX", "DEQUANTIZE"]
    equal(one)


def test_an_input_that_is_reshaped_first(tmp_path: Path) -> None:
    builder = Builder(3)
    flat = builder.input((1, 40))
    seen = builder.reshape(flat, (1, 5, 8, 1))
    end = head(builder, builder.reshape(builder.conv(seen, 2, (3, 3)), (1, 80)))
    one = imported(tmp_path, builder.finish(end))
    assert one.network.input_shape == (5, 8, 1)
    assert one.network.layers[1].in_shape == (5, 8, 2)
    equal(one)


def test_a_difference_is_named(tmp_path: Path) -> None:
    builder = Builder(0)
    one = imported(tmp_path, builder.finish(residual(builder)))
    numbers = list(one.network.affine)
    bias = numbers[1].bias.copy()
    bias[2] += 5000
    numbers[1] = replace(numbers[1], bias=bias)
    wrong = replace(one, network=replace(one.network, affine=tuple(numbers)))
    with running(wrong.network, "golden") as run:
        found = check(wrong, random_inputs(one, 3, 0), run).difference
    assert found is not None
    assert (found.layer, found.kind, found.element[2]) == (1, "conv2d", 2)
    tensor = one.tensors[1].index
    assert str(found).startswith(f"tensor {tensor}, 't{tensor}' (layer 1, conv2d), element [")
    assert str(found).endswith(f"TFLite Micro has {found.expected}, here it is {found.actual}")


# The verb


def model_file(tmp_path: Path) -> Path:
    builder = Builder(4)
    path = tmp_path / "small.tflite"
    path.write_bytes(builder.finish(residual(builder)))
    return path


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, report = model_file(tmp_path), tmp_path / "report.json"
    assert main(["check", str(path), "--random", "7", "--json", str(report)]) == 0
    elements = 7 * (5 * 4 * 4 * 6 + 4 * 4 * 6 + 6 + 5)
    assert capsys.readouterr().out == (
        f"small: 8 tensors, {elements:,} elements equal for 7 inputs: golden and TFLite Micro\n"
    )
    found = json.loads(report.read_text())
    assert found["equal"] is True
    assert found["difference"] is None
    assert (found["inputs"], found["tensors"], found["elements"]) == (7, 8, elements)


@pytest.mark.parametrize("where", ["from_bytes", "set_input", "invoke", "GetTensor"])
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (struct.error("unpack_from requires a buffer"), ""),
        (KeyError(17), ""),
        (RuntimeError("no"), "; see what it says above"),
    ],
)
def test_whatever_its_package_raises(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
    why: str,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"tflite_micro.runtime.Interpreter.{where}", fails)
    path = model_file(tmp_path)
    assert main(["check", str(path), "--random", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"picotrain: {path} is damaged or cut off (TFLite Micro does not run it{why}); restore it, "
        "or convert the network again"
    )


@pytest.mark.parametrize("words", [["--ram-kib", "64"], ["--kernels", "dense"]])
def test_what_golden_does_not_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["check", str(model_file(tmp_path)), *words]) == 2
    assert capsys.readouterr().err == (
        f"picotrain: {words[0]} is not used by target golden, which checks without a limit of "
        "memory and without kernels; leave it out\n"
    )


def test_a_damaged_file_that_import_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TFLite Micro's package parses the file itself, and stumbles over what we need not read."""
    data = bytearray(reference_model("kws_ref_model").read_bytes())
    assert data[267] == 0
    data[267] = 0o40
    path = tmp_path / "bad.tflite"
    path.write_bytes(data)
    assert main(["check", str(path), "--random", "1"]) == 2
    assert f"picotrain: {path} is damaged or cut off (TFLite Micro" in capsys.readouterr().err


def test_inputs_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, given = model_file(tmp_path), tmp_path / "x.npy"
    np.save(given, np.arange(2 * 8 * 8 * 3, dtype=np.int64).astype(np.int8).reshape(2, 8, 8, 3))
    assert main(["check", str(path), "--inputs", str(given)]) == 0
    assert "equal for 2 inputs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((2, 8, 8, 3), np.uint8), "holds uint8, the network takes int8"),
        (np.zeros((2, 8, 8), np.int8), "[2, 8, 8], the network takes [N, 8, 8, 3]"),
        (np.zeros((0, 8, 8, 3), np.int8), "[0, 8, 8, 3], the network takes"),
        (None, "is damaged, or no array"),
    ],
)
def test_wrong_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], array: np.ndarray | None, told: str
) -> None:
    path, given = model_file(tmp_path), tmp_path / "x.npy"
    given.write_bytes(b"\x93NUMPY")
    if array is not None:
        np.save(given, array)
    assert main(["check", str(path), "--inputs", str(given)]) == 2
    assert told in capsys.readouterr().err


def test_scales_of_a_linear_layer_are_multiplied_in_double(tmp_path: Path) -> None:
    """A product in float32 rounds these three sums, near halves, up: 32, 95 and 97."""
    scale_in, scale_w, scale_out = 0.054687656462192535, 0.14287430047988892, 8225.7734375
    weights = np.zeros((3, 4096), np.int8)
    for row, total in enumerate((130048, 390144, 398401)):
        whole, rest = divmod(total, 127)
        weights[row, :whole] = 127
        weights[row, whole] = rest
    b = Builder()
    x = b.input((1, 4096), scale=scale_in, zero=-128)
    held = b.constant(weights, scales=(scale_w,), zeros=(0,))
    output = b.tensor((1, 3), scale_out)
    b.op("FULLY_CONNECTED", [x, held], output, "FullyConnectedOptions", FusedActivationFunction=0)
    one = imported(tmp_path, b.finish(output))
    with running(one.network, "golden") as run:
        (logits,) = run(np.full(one.network.input_shape, 127, np.int8))
    assert logits.ravel().tolist() == [31, 94, 96]
    equal(one)


@pytest.mark.parametrize("axes", [(5, 6), (1, 6), (-6, 2)])
def test_a_mean_over_axes_that_are_not_there_is_refused(
    tmp_path: Path, axes: tuple[int, int]
) -> None:
    b = Builder()
    x = image(b, 4, 4, 3)
    output = b.tensor((1, 3), x.scales[0], x.zeros[0])
    b.op("MEAN", [x, b.constant(np.array(axes, np.int32))], output, "ReducerOptions", KeepDims=0)
    with pytest.raises(UserError, match="it is not over height and width"):
        imported(tmp_path, b.finish(output))


@pytest.mark.parametrize("scale", [1e-9, 1e-40])
def test_bounds_beyond_32_bits_are_refused(tmp_path: Path, scale: float) -> None:
    b = Builder()
    x = b.input((1, 4, 4, 3), scale=scale, zero=0)
    b.pool("MAX_POOL_2D", x, (2, 2), (2, 2), activation=RELU6)
    with pytest.raises(UserError, match="bound is more than 32 bits of its scale"):
        imported(tmp_path, b.finish(b.tensors[-1]))


def test_operators_that_read_or_make_nothing_are_damage(tmp_path: Path) -> None:
    for reads, makes in (([], [1]), ([0], [])):
        b = Builder()
        x = image(b, 4, 4, 3)
        output = b.conv(x, 4, (3, 3), (1, 1), SAME)
        b.operators.append(("QUANTIZE", reads, makes, "QuantizeOptions", {}))
        with pytest.raises(UserError, match="operator 1 reads or makes nothing"):
            imported(tmp_path, b.finish(output))


def test_more_made_up_images_than_memory_is_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(model_file(tmp_path)), "--random", "2147483647"]) == 2
    assert "made-up images of 192 bytes are more than" in capsys.readouterr().err


def test_a_pipe_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pipe.tflite"
    os.mkfifo(path)
    assert main(["import", str(path), "--out", str(tmp_path / "x.npz")]) == 2
    assert "it is a pipe or a device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "layers", "count"), [("kws_ref_model", 11, 200), ("vww_96_int8", 29, 6)]
)
def test_reference_models(name: str, layers: int, count: int) -> None:
    """Of MLPerf Tiny; `picotrain check` was run with 200 inputs and more of both."""
    one = import_model(read(reference_model(name)))
    assert len(one.network.layers) == layers
    equal(one, count)


def test_the_example_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/networks.md: with the numbers that `info` shows, and the largest output as it is."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "networks.md").read_text("utf-8")
    program = page.partition("## Networks from TFLite")[2].split("```python\n")[1].split("```")[0]
    model = reference_model("kws_ref_model")
    monkeypatch.chdir(tmp_path)
    assert main(["import", str(model), "--out", "kws.npz"]) == 0
    assert main(["info", "kws.npz"]) == 0
    assert "input      int8, scale 0.584702909, zero point 83\n" in capsys.readouterr().out
    assert "sound / 0.584702909 + 83)" in program
    exec(compile(program, "networks.md", "exec"), {})
    last = Reference(import_model(read(model))).run(np.full((49, 10, 1), 83, np.int8))[-1]
    assert capsys.readouterr().out == f"[{last.argmax()} {last.argmax()}]\n"


def test_an_archive_is_no_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = Builder(1)
    model, images = tmp_path / "model.tflite", tmp_path / "images.npz"
    model.write_bytes(builder.finish(head(builder, image(builder, 5, 8, 1))))
    np.savez(images, x=np.zeros((2, 5, 8, 1), np.int8), y=np.zeros(2))
    assert main(["check", str(model), "--inputs", str(images)]) == 2
    assert (
        f"{images} is an archive of arrays (x, y); give one array, a .npy file of numpy.save"
        in capsys.readouterr().err
    )
