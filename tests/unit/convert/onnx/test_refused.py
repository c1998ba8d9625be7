"""What is refused of ONNX files, in one sentence, and files that are damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[convert]'")

import onnx
from fuzz import damaged
from onnx import TensorProto, helper
from onnx_builder import Builder
from picotrain.convert.onnx.file import read
from picotrain.convert.onnx.importer import import_floats
from picotrain.errors import UserError
from support import about

Make = Callable[[Builder], str]
I64 = np.int64
MUTATIONS = int(os.environ.get("PICOTRAIN_MUTATIONS", "1000"))


def told(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        import_floats(read(path))
    return about(path, caught.value)


def refused(tmp_path: Path, make: Make, opset: int = 17, shape: Any = (1, 2, 6, 6)) -> str:
    builder = Builder(shape)
    return told(tmp_path, builder.finish(make(builder), opset=opset))


def behind(kind: str, **attributes: Any) -> Make:
    """A node between two that are taken."""

    def make(b: Builder) -> str:
        made = b.op(kind, b.conv("image", 2, 3, 1, 1), **attributes)
        return b.gemm(b.flat(b.op("GlobalAveragePool", made)), 3, 4)

    return make


def of_two(kind: str) -> Make:
    def make(b: Builder) -> str:
        return b.op(kind, b.conv("image", 2, 3, 1, 1), b.conv("image", 2, 3, 1, 1))

    return make


def with_constant(kind: str, values: Any, dtype: Any = np.float32) -> Make:
    return lambda b: b.op(kind, b.conv("image", 2, 3, 1, 1), b.constant(values, dtype))


def quantised_as(dtype: Any, size: int = 1) -> Make:
    def make(b: Builder) -> str:
        scale = b.constant(np.full(size, 0.1), np.float32)
        zero = b.constant(np.zeros(size), dtype)
        return b.op("QuantizeLinear", b.conv("image", 2, 3, 1, 1), scale, zero, axis=1)

    return make


def gemm_with_bias(*sizes: int) -> Make:
    def make(b: Builder) -> str:
        return b.op(
            "Gemm", b.flat("image"), b.constant(b.drawn(72, 3)), b.constant(b.drawn(*sizes))
        )

    return make


def norm_of_the_batch(b: Builder) -> str:
    held = [b.constant(np.ones(2), np.float32) for _ in range(4)]
    return b.op("BatchNormalization", "image", *held, training_mode=1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (behind("Sigmoid"), "operator 1, Sigmoid: it is not known here, so use ReLU or ReLU6"),
        (behind("LeakyRelu"), "operator 1, LeakyRelu: it is not known here, so use ReLU or ReLU6"),
        (behind("Foo"), "operator 1, Foo: it is not known here, so use a network without it"),
        (
            behind("Gelu", domain="com.microsoft"),
            "operator 1, com.microsoft.Gelu: it is not known here",
        ),
        (of_two("Concat"), "operator 2, Concat: it is not known here, so use Add of two layers"),
        (of_two("Mul"), "it multiplies two tensors, so use Add"),
        (of_two("Sub"), "it subtracts two tensors, so use Add"),
        (of_two("MatMul"), "it reads a computed tensor as its parameter, so make that a constant"),
        (
            lambda b: b.op("QLinearConv", "image"),
            "so use QuantizeLinear and DequantizeLinear (QuantFormat.QDQ)",
        ),
        (lambda b: b.conv("image", 2, 3, 3, 3, dilations=[2, 2]), "dilation [2, 2], so use 1"),
        (lambda b: b.conv("image", 2, 3, 3, 3, strides=[3, 3]), "it has a stride outside 1..2"),
        (lambda b: b.conv("image", 2, 3, 3, 3, pads=[3, 3, 3, 3]), "padding that is not less than"),
        (lambda b: b.conv("image", 2, 3, 3, 3, pads=[-1, 0, 0, 0]), "its pads are [-1, 0, 0, 0]"),
        (lambda b: b.conv("image", 2, 4, 1, 1, group=2), "it has 2 groups of 2 channels and makes"),
        (lambda b: b.conv("image", 3, 4, 1, 1), "its weights are [4, 3, 1, 1] for 2 channels"),
        (lambda b: b.conv("image", 2, 4, 7, 7), "its kernel 7 is larger than its input"),
        (lambda b: b.conv("image", 2, 4, 3, 3, 3), "its weights are [4, 2, 3, 3, 3]"),
        (lambda b: b.gemm("image", 6, 3), "it reads no row of numbers, so flatten before it"),
        (lambda b: b.gemm(b.flat("image"), 5, 3), "its weights are [3, 5] for 72 inputs"),
        (
            lambda b: b.op("Gemm", b.flat("image"), b.constant(b.drawn(72, 3)), transA=1),
            "it transposes its input, so leave that out",
        ),
        (
            behind(
                "AveragePool",
                kernel_shape=[4, 4],
                strides=[3, 3],
                pads=[1] * 4,
                count_include_pad=1,
            ),
            "it counts its padding in its mean, so use count_include_pad=False",
        ),
        (lambda b: b.op("ReduceMean", "image", axes=[1]), "it is not over height and width"),
        (lambda b: b.op("ReduceMean", "image"), "it is over all axes, so use a global pool"),
        (norm_of_the_batch, "it normalises by the batch, so export the network with model.eval()"),
        (with_constant("Add", np.arange(36).reshape(6, 6)), "that differs within a channel"),
        (with_constant("Add", np.zeros((3, 5))), "it adds a constant of [3, 5] and a tensor of"),
        (with_constant("Div", 0.0), "that differs within a channel, or is not finite"),
        (with_constant("Clip", [1, 2]), "it clips to more than one number, so use one"),
        (behind("Clip", min=2.0, max=1.0), "it clips to 2..1, which leaves nothing"),
        (
            behind("Softmax", axis=1),
            "operator 1, Softmax: it is over axis 1 of [1, 3, 6, 6], so use it at the end",
        ),
        (
            lambda b: b.gemm(b.op("Softmax", b.gemm(b.flat("image"), 72, 3)), 3, 4),
            "it reads a Softmax, so use that at the end only",
        ),
        (
            lambda b: b.op("Softmax", b.gemm(b.flat("image"), 72, 3), axis=0),
            "it is over axis 0 of [1, 3], so use it at the end, over all outputs",
        ),
        (
            lambda b: b.op("LogSoftmax", b.gemm(b.flat("image"), 72, 3), axis=2),
            "its axis is 2 of 2, so export the network again",
        ),
        (
            lambda b: b.op("Softmax", b.conv("image", 2, 3, 6, 6)),
            "it is over axis -1 of [1, 3, 1, 1], so use it at the end, over all outputs",
        ),
        (gemm_with_bias(3, 1), "its bias is [3, 1] for 3 outputs, so use one number, or one for"),
        (gemm_with_bias(2, 3), "its bias is [2, 3] for 3 outputs"),
        (gemm_with_bias(2), "its bias is [2] for 3 outputs"),
        (with_constant("Reshape", [-1, 3, 3], I64), "which mixes the batch in, so keep the first"),
        (with_constant("Reshape", [1, 7, -1], I64), "so export the network with fixed sizes"),
        (behind("Transpose", perm=[1, 0, 2, 3]), "so leave the batch first"),
        (
            lambda b: b.conv(
                b.op("Transpose", b.conv("image", 2, 2, 1, 1), perm=[0, 1, 3, 2]), 2, 3, 1, 1
            ),
            "it reads elements in another order or shape than they are made in",
        ),
        (
            lambda b: b.op("Pad", "image", b.constant([0, 1, 0, 0, 0, 0, 0, 0], I64)),
            "it pads the batch or channels",
        ),
        (
            lambda b: b.op("Pad", "image", b.constant([0] * 8, I64), b.constant(1, np.float32)),
            "it pads with another number than 0",
        ),
        (
            lambda b: b.op("Pad", "image", b.constant([0] * 8, I64), mode="reflect"),
            "it pads by reflect, so pad with 0",
        ),
        (
            lambda b: b.op("Relu", b.op("Pad", "image", b.constant([0, 0, 1, 0, 0, 0, 0, 0], I64))),
            "it reads a Pad, so pad before convolutions only",
        ),
        (quantised_as(np.int16), "it makes int16, so quantise tensors to int8 or uint8"),
        (
            quantised_as(np.int8, 3),
            "it has 3 scales, so quantise tensors to int8 or uint8 with one",
        ),
        (
            lambda b: b.op("Cast", "image", to=TensorProto.INT64),
            "it makes other numbers than FLOAT",
        ),
    ],
)
def test_what_is_not_taken(tmp_path: Path, make: Make, sentence: str) -> None:
    opset = 11 if "axes" in str(make) else 17
    assert sentence in refused(tmp_path, make, opset)


def test_before_opset_13_a_softmax_is_over_all_behind_its_axis(tmp_path: Path) -> None:
    def make(b: Builder, **attributes: Any) -> str:
        return b.op("Softmax", b.conv("image", 2, 3, 6, 6), **attributes)

    def taken(opset: int, **attributes: Any) -> dict[str, int]:
        path, builder = tmp_path / "model.onnx", Builder((1, 2, 6, 6))
        path.write_bytes(builder.finish(make(builder, **attributes), opset=opset))
        return import_floats(read(path)).absorbed

    assert taken(12) == taken(12, axis=-4) == taken(13, axis=1) == {"Softmax": 1}
    sentence = "it is over axis {} of [1, 3, 1, 1], so use it at the end, over all outputs"
    assert sentence.format(2) in refused(tmp_path, lambda b: make(b, axis=2), 12)
    assert sentence.format(-1) in refused(tmp_path, make, 13)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda b: b.op("Relu", b.op("Identity", "image")), " has no layer"),
        (lambda b: b.conv("image", 2, 3, 1, 1), ": its output is not that of its last layer, in"),
        (
            lambda b: b.op("Identity", b.constant([1.0])),
            ": its output does not depend on its input",
        ),
    ],
)
def test_outputs_that_are_none(tmp_path: Path, make: Make, sentence: str) -> None:
    if "no layer" in sentence:
        builder = Builder((1, 4))
        end = builder.op("Softmax", builder.op("Identity", "image"))
        assert told(tmp_path, builder.finish(end)).startswith(sentence)
    else:
        assert refused(tmp_path, make).startswith(sentence)


def test_all_that_is_not_taken_is_listed_once(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        one = b.op("Tanh", b.conv("image", 2, 3, 3, 3, dilations=[2, 2]), name="act")
        one = b.op("Relu", b.op("LeakyRelu", b.norm(one, 3)))
        return b.gemm(b.flat(b.op("GlobalAveragePool", one)), 3, 4)

    assert refused(tmp_path, make) == (
        " has 3 operators that are not taken: operator 0, Conv: it has dilation [2, 2], so use 1; "
        "operator 1, Tanh 'act': it is not known here, so use ReLU or ReLU6; operator 3, "
        "LeakyRelu: it is not known here, so use ReLU or ReLU6"
    )


def inputs_of(*shapes: Any, type: int = TensorProto.FLOAT) -> bytes:
    builder = Builder(shapes[0], type=type)
    builder.inputs += [
        helper.make_tensor_value_info(f"more{number}", type, shape)
        for number, shape in enumerate(shapes[1:])
    ]
    return builder.finish(builder.gemm(builder.flat("image"), 8, 3))


def outputs_of(count: int) -> bytes:
    builder = Builder((1, 4))
    return builder.finish(*(builder.gemm("image", 4, 3) for _ in range(count)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda: b"", " is empty; give the file that the export wrote"),
        (lambda: b"PK\3\4 and more", " is damaged or cut off (it is no ONNX model"),
        (lambda: outputs_of(1)[:-40], " is damaged or cut off ("),
        (lambda: inputs_of((1, 8), (1, 8)), " has 2 inputs, not one; export"),
        (lambda: outputs_of(2), " has 2 outputs, not one; export"),
        (lambda: inputs_of((1, 2, "h", 4)), " has an input of shape [1, 2, ?, 4]; export the"),
        (lambda: inputs_of((8,)), " has an input of shape [8]; export the network with 2 to 4"),
        (lambda: inputs_of((1, 8), type=TensorProto.INT16), " has an input of type INT16; export"),
        (
            lambda: inputs_of((1, 8), type=TensorProto.DOUBLE),
            " has an input of type DOUBLE; export",
        ),
        (lambda: inputs_of((1, 8), type=TensorProto.FLOAT16), " has an input of type FLOAT16;"),
        (lambda: inputs_of((1, 9000, 9000)), " is not taken: its input is [9000, 9000], so use a"),
    ],
)
def test_what_is_no_model(tmp_path: Path, content: Callable[[], bytes], sentence: str) -> None:
    assert told(tmp_path, content()).startswith(sentence)


@pytest.mark.parametrize("opset", [7, 40])
def test_an_opset_that_is_not_known(tmp_path: Path, opset: int) -> None:
    builder = Builder((1, 4))
    content = builder.finish(builder.gemm("image", 4, 3), opset=opset)
    assert told(tmp_path, content) == f" has opset {opset}; export it with opset 9 to 26"


def test_weights_whose_file_is_not_there_or_cut_off(tmp_path: Path) -> None:
    builder = Builder((1, 2, 4, 4))
    proto = builder.proto(builder.gemm(builder.flat("image"), 32, 3))
    place = tmp_path / "apart.data"
    onnx.save_model(
        proto,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="apart.data",
        size_threshold=0,
    )
    content = (tmp_path / "model.onnx").read_bytes()
    whole = place.read_bytes()
    place.write_bytes(whole[:50])
    with pytest.raises(UserError, match=r"apart.data is cut off: it has not the 384 bytes"):
        import_floats(read(tmp_path / "model.onnx"))
    place.unlink()
    assert f"has its weights in another file, {place}, which is not there" in told(
        tmp_path, content
    )


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", ""])
def test_weights_are_never_read_from_elsewhere(tmp_path: Path, location: str) -> None:
    builder = Builder((1, 2))
    proto = builder.proto(builder.gemm("image", 2, 3))
    held = proto.graph.initializer[0]
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value=location)
    assert "is damaged or cut off (constant 'c0' lies in" in told(
        tmp_path, proto.SerializeToString()
    )


def test_constants_of_other_types(tmp_path: Path) -> None:
    builder = Builder((1, 2))
    proto = builder.proto(builder.gemm("image", 2, 3))
    proto.graph.initializer[0].CopyFrom(
        helper.make_tensor("c0", TensorProto.BFLOAT16, [3, 2], np.zeros(6))
    )
    assert told(tmp_path, proto.SerializeToString()) == (
        " has constant 'c0' of type BFLOAT16; export the network with weights of FLOAT, or INT8 if "
        "it is quantised"
    )


# Damaged files


def test_damaged_files_are_told_and_write_nothing(tmp_path: Path) -> None:
    """Seeded mutations (PICOTRAIN_MUTATIONS of them): each is taken, or refused in a sentence."""
    damage, random = damaged.OF["onnx"](), np.random.default_rng(2026)
    path = tmp_path / "model.onnx"
    taken, sentences = 0, set()
    for number in range(MUTATIONS):
        path.write_bytes(damage(random, number))
        sentence = damaged.imported(path)
        if sentence:
            sentences.add(sentence)
        else:
            taken += 1
    assert taken > MUTATIONS // 20
    assert len(sentences) > MUTATIONS // 20
    assert [one.name for one in tmp_path.iterdir()] == ["model.onnx"]


def test_a_name_that_breaks_lines_is_told_in_one(tmp_path: Path) -> None:
    """Found by the fuzzer."""
    sentence = refused(tmp_path, behind("Sof\ntmax"))
    assert "operator 1, Sof?tmax: it is not known here" in sentence
    assert "\n" not in sentence
