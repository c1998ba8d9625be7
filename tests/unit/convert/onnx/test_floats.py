"""The float graph of an ONNX file computes what the file does, operator by operator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[convert]'")

from onnx.reference import ReferenceEvaluator

from onnx_builder import Builder
from picotrain.convert.onnx.file import read
from picotrain.convert.onnx.importer import Floats, import_floats

Make = Callable[[Builder], str]
I64 = np.int64


def imported(tmp_path: Path, content: bytes) -> Floats:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return import_floats(read(path))


def agrees(tmp_path: Path, shape: tuple[int, ...], make: Make, opset: int = 17) -> Floats:
    """Compare on random images; the network's outputs are those of the last layer, flat."""
    builder = Builder((1, *shape))
    content = builder.finish(make(builder), opset=opset)
    floats = imported(tmp_path, content)
    images = np.random.default_rng(3).normal(0, 1, (6, *shape)).astype(np.float32)
    runner = ReferenceEvaluator(content)
    wanted = np.array([runner.run(None, {"image": one[None]})[0].reshape(-1) for one in images])
    laid = images.reshape(len(images), -1)[:, floats.order]
    found = floats.graph.outputs(laid.reshape(len(images), *floats.graph.input_shape))
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)
    assert np.abs(wanted).max() > 0
    return floats


def kinds(floats: Floats) -> list[str]:
    return [held.layer.kind for held in floats.graph.layers]


def ends(b: Builder, source: str, channels: int) -> str:
    """A mean and a Gemm, so that there are outputs in a row."""
    mean = b.op("GlobalAveragePool", source)
    return b.gemm(b.flat(mean), channels, 3)


CONV = {"kernel_shape": [3, 3]}


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 1, 2, 0], "strides": [2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "VALID", "strides": [2, 2]},
        {"group": 4, "pads": [1, 1, 1, 1]},
        {"group": 4, "strides": [2, 2], "pads": [0, 0, 1, 1]},
    ],
)
def test_convolutions_of_images(tmp_path: Path, attributes: dict[str, object]) -> None:
    floats = agrees(
        tmp_path, (4, 8, 7), lambda b: ends(b, b.conv("image", 4, 4, 3, 3, **attributes), 4)
    )
    kind = "depthwise" if "group" in attributes else "conv2d"
    assert kinds(floats) == [kind, "avgpool", "linear"]


def test_sequences_are_images_of_one_column(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        one = b.op("Relu", b.norm(b.conv("image", 3, 6, 5, pads=[2, 2], strides=[2]), 6))
        one = b.op("MaxPool", one, kernel_shape=[2], strides=[2])
        return b.gemm(b.flat(one), 24, 4)

    floats = agrees(tmp_path, (3, 16), make)
    assert floats.graph.input_shape == (16, 1, 3)
    assert floats.graph.layers[0].layer.kernel == (5, 1)
    assert kinds(floats) == ["conv2d", "maxpool", "linear"]


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [4, 4], "strides": [3, 3], "auto_pad": "SAME_UPPER"},
    ],
)
def test_pools(tmp_path: Path, kind: str, attributes: dict[str, object]) -> None:
    def make(b: Builder) -> str:
        return ends(b, b.op(kind, b.conv("image", 2, 4, 1, 1), **attributes), 4)

    assert (
        kinds(agrees(tmp_path, (2, 8, 8), make))[1]
        == kind[:-4].lower().replace("average", "avg") + "pool"
    )


def test_a_mean_that_counts_its_padding_is_depthwise(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        made = b.op(
            "AveragePool",
            b.conv("image", 2, 4, 1, 1),
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            count_include_pad=1,
        )
        return ends(b, made, 4)

    assert kinds(agrees(tmp_path, (2, 7, 8), make)) == ["conv2d", "depthwise", "avgpool", "linear"]


@pytest.mark.parametrize("kind", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pools(tmp_path: Path, kind: str) -> None:
    agrees(tmp_path, (3, 5, 6), lambda b: b.gemm(b.flat(b.op(kind, "image")), 3, 4))


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [3], [2]])
@pytest.mark.parametrize("opset", [13, 18])
def test_means_over_axes(tmp_path: Path, axes: list[int], keep: int, opset: int) -> None:
    def make(b: Builder) -> str:
        if opset < 18:
            made = b.op("ReduceMean", "image", axes=axes, keepdims=keep)
        else:
            made = b.op("ReduceMean", "image", b.constant(axes, I64), keepdims=keep)
        left = {2: 3, 1: 15 if axes == [2] else 12}[len(axes)]
        return b.gemm(b.flat(made), left, 4)

    agrees(tmp_path, (3, 4, 5), make, opset)


def test_norms_are_folded(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        one = b.op("Relu", b.norm(b.conv("image", 3, 4, 3, 3), 4))
        return b.norm(b.gemm(b.flat(one), 36, 5), 5)

    floats = agrees(tmp_path, (3, 5, 5), make)
    assert kinds(floats) == ["conv2d", "linear"]
    assert floats.absorbed == {"BatchNormalization": 2, "Relu": 1, "Flatten": 1}


def test_a_norm_that_cannot_be_folded_is_depthwise(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        one = b.conv(b.norm("image", 3), 3, 4, 3, 3, pads=[1, 1, 1, 1])
        one = b.norm(b.op("Relu", one), 4)  # behind an activation
        twice = b.op("Add", one, b.norm(one, 4))  # of what is read twice
        return ends(b, twice, 4)

    assert kinds(agrees(tmp_path, (3, 5, 5), make)) == [
        *("depthwise", "conv2d", "depthwise", "depthwise", "add", "avgpool", "linear")
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda b, x: b.op("Add", x, b.constant(b.bias(4).reshape(4, 1, 1))),
        lambda b, x: b.op("Add", b.constant(b.bias(4).reshape(1, 4, 1, 1)), x),
        lambda b, x: b.op("Sub", x, b.constant(0.5, np.float32)),
        lambda b, x: b.op("Sub", b.constant(0.5, np.float32), x),
        lambda b, x: b.op("Mul", x, b.constant(b.bias(4).reshape(4, 1, 1))),
        lambda b, x: b.op("Mul", b.constant(-2, np.float32), x),
        lambda b, x: b.op("Div", x, b.constant([3], np.float32)),
    ],
)
@pytest.mark.parametrize("folds", [True, False])
def test_constants_of_channels(
    tmp_path: Path, make: Callable[[Builder, str], str], folds: bool
) -> None:
    def whole(b: Builder) -> str:
        source = b.conv("image", 2, 4, 2, 2)
        return ends(b, make(b, source if folds else b.op("Relu", source)), 4)

    floats = agrees(tmp_path, (2, 4, 4), whole)
    assert kinds(floats) == ["conv2d", *([] if folds else ["depthwise"]), "avgpool", "linear"]


@pytest.mark.parametrize("opset", [9, 17])
def test_activations_are_bounds_of_the_layer(tmp_path: Path, opset: int) -> None:
    def clip(b: Builder, source: str, low: float | None, high: float | None) -> str:
        if opset < 11:
            both = {"min": low, "max": high}
            return b.op("Clip", source, **{k: v for k, v in both.items() if v is not None})
        held = ["" if one is None else b.constant(one, np.float32) for one in (low, high)]
        return b.op("Clip", source, *held)

    def make(b: Builder) -> str:
        one = clip(b, b.conv("image", 2, 4, 2, 2), 0.0, 6.0)
        one = clip(b, b.conv(one, 4, 4, 2, 2), None, 0.5)
        one = b.op("Relu", clip(b, b.conv(one, 4, 4, 1, 1), -1.0, 1.0))
        return ends(b, one, 4)

    floats = agrees(tmp_path, (2, 5, 5), make, opset)
    found = [(held.least, held.largest) for held in floats.graph.layers]
    assert found[:3] == [(0, 6), (-np.inf, 0.5), (0, 1)]


def test_an_activation_beside_another_reader_is_a_pool_of_one(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        one = b.conv("image", 2, 4, 2, 2)
        return ends(b, b.op("Add", one, b.op("Relu", one)), 4)

    assert kinds(agrees(tmp_path, (2, 5, 5), make)) == [
        *("conv2d", "maxpool", "add", "avgpool", "linear")
    ]


def test_a_residual(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        one = b.op("Relu", b.conv("image", 3, 4, 3, 3, pads=[1, 1, 1, 1]))
        other = b.norm(b.conv(one, 4, 4, 3, 3, pads=[1, 1, 1, 1]), 4)
        return ends(b, b.op("Relu", b.op("Add", other, one)), 4)

    floats = agrees(tmp_path, (3, 6, 5), make)
    assert floats.graph.layers[2].layer.inputs == (1, 0)
    assert floats.graph.layers[2].least == 0


@pytest.mark.parametrize(
    "flat",
    [
        lambda b, x: b.op("Flatten", x),
        lambda b, x: b.op("Reshape", x, b.constant([1, -1], I64)),
        lambda b, x: b.op("Reshape", x, b.constant([0, 60], I64)),
        lambda b, x: b.op("Reshape", b.op("Transpose", x, perm=[0, 2, 3, 1]), b.constant([-1, 60])),
        lambda b, x: b.op("Reshape", b.op("Transpose", x, perm=[0, 3, 2, 1]), b.constant([1, 60])),
        lambda b, x: b.op(
            "Squeeze", b.op("Reshape", x, b.constant([1, 60, 1, 1])), b.constant([2, 3])
        ),
        lambda b, x: b.op("Flatten", b.op("Unsqueeze", x, b.constant([1, -1]))),
        lambda b, x: b.op("Dropout", b.op("Identity", b.op("Cast", b.op("Flatten", x), to=1))),
    ],
)
def test_the_columns_of_a_gemm_follow_the_order(
    tmp_path: Path, flat: Callable[[Builder, str], str]
) -> None:
    def make(b: Builder) -> str:
        return b.gemm(flat(b, b.conv("image", 2, 3, 1, 1)), 60, 7)

    assert kinds(agrees(tmp_path, (2, 4, 5), make)) == ["conv2d", "linear"]


def test_a_part_may_be_read_by_a_gemm(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        one = b.conv("image", 2, 3, 1, 1)
        held = [b.constant(value, I64) for value in ([1, 4], [3, 0], [2, 3], [1, -2])]
        return b.gemm(b.flat(b.op("Slice", one, *held)), 3 * 2 * 2, 7)

    agrees(tmp_path, (2, 4, 5), make)


def test_shapes_that_the_network_computes(tmp_path: Path) -> None:
    """As the older exporter writes x.view(x.size(0), -1)."""

    def make(b: Builder) -> str:
        one = b.conv("image", 2, 3, 1, 1)
        size = b.op("Gather", b.op("Shape", one), b.constant(0, I64), axis=0)
        sizes = [b.op("Unsqueeze", size, b.constant([0], I64)), b.constant([-1], I64)]
        return b.gemm(b.op("Reshape", one, b.op("Concat", *sizes, axis=0)), 24, 4)

    agrees(tmp_path, (2, 4, 2), make)


def test_gemm_in_all_its_forms(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        weights = b.constant(b.drawn(12, 6))
        one = b.op("Gemm", b.flat("image"), weights, b.constant(b.bias(6)), alpha=0.5, beta=2.0)
        one = b.op(
            "Relu",
            b.op("Add", b.op("MatMul", one, b.constant(b.drawn(6, 5))), b.constant(b.bias(5))),
        )
        return b.op(
            "Gemm", one, b.constant(b.drawn(4, 5)), b.constant([0.25], np.float32), transB=1
        )

    assert kinds(agrees(tmp_path, (3, 2, 2), make)) == ["linear"] * 3


@pytest.mark.parametrize("sizes", [(), (1,), (1, 1), (4,), (1, 4)])
def test_the_bias_of_a_gemm_is_one_number_or_one_for_each_output(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    def make(b: Builder) -> str:
        bias = np.arange(1, 1 + np.prod(sizes, dtype=int)).reshape(sizes)
        held = b.constant(b.drawn(9, 4)), b.constant(bias, np.float32)
        return b.op("Gemm", "image", *held)

    (layer,) = agrees(tmp_path, (9,), make).graph.layers
    assert layer.bias is not None
    assert layer.bias.tolist() == ([1, 2, 3, 4] if 4 in sizes else [1, 1, 1, 1])


def test_a_matmul_at_every_place_is_a_convolution(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        rows = b.op("Transpose", b.conv("image", 3, 4, 3), perm=[0, 2, 1])
        made = b.op("MatMul", rows, b.constant(b.drawn(4, 5)))
        made = b.op("Relu", b.op("Add", made, b.constant(b.bias(5))))
        return b.gemm(b.flat(made), 30, 4)

    assert kinds(agrees(tmp_path, (3, 8), make)) == ["conv2d", "conv2d", "linear"]


def test_pads_are_those_of_the_convolution(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        pads = b.constant([0, 0, 0, 1, 0, 0, 1, 0], I64)
        one = b.op("Pad", b.conv("image", 2, 3, 1, 1), pads, b.constant(0, np.float32))
        return ends(b, b.conv(one, 3, 4, 3, 3, pads=[1, 0, 0, 1]), 4)

    floats = agrees(tmp_path, (2, 5, 5), make)
    assert floats.graph.layers[1].layer.padding == (1, 1)
    assert kinds(floats) == ["conv2d", "conv2d", "avgpool", "linear"]


def test_an_input_with_channels_last(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        scaled = b.op("Mul", "image", b.constant([0.5, 1, 2], np.float32))
        turned = b.op("Transpose", scaled, perm=[0, 3, 1, 2])
        return ends(b, b.conv(turned, 3, 4, 2, 2), 4)

    floats = agrees(tmp_path, (5, 4, 3), make)
    assert floats.graph.input_shape == (5, 4, 3)
    assert floats.order.tolist() == list(range(60))


def test_a_row_that_becomes_an_image(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        image = b.op("Reshape", "image", b.constant([-1, 2, 4, 3], I64))
        return ends(b, b.conv(image, 2, 4, 2, 2), 4)

    assert agrees(tmp_path, (24,), make).graph.input_shape == (4, 3, 2)


def test_rows_alone(tmp_path: Path) -> None:
    floats = agrees(tmp_path, (9,), lambda b: b.gemm(b.op("Relu", b.gemm("image", 9, 5)), 5, 3))
    assert floats.graph.input_shape == (1, 1, 9)


def test_the_end_is_left_out(tmp_path: Path) -> None:
    builder = Builder((1, 4))
    end = builder.op("LogSoftmax", builder.op("Softmax", builder.gemm("image", 4, 3), axis=-1))
    floats = imported(tmp_path, builder.finish(end))
    assert floats.absorbed == {"Softmax": 1, "LogSoftmax": 1}


def test_what_leads_nowhere_is_not_read(tmp_path: Path) -> None:
    def make(b: Builder) -> str:
        b.op("Sigmoid", b.conv("image", 2, 3, 1, 1))
        return b.gemm(b.flat("image"), 8, 3)

    assert kinds(agrees(tmp_path, (2, 2, 2), make)) == ["linear"]


@pytest.mark.parametrize("batch", ["n", 0, 8])
def test_a_batch_that_is_open_or_more_than_one(tmp_path: Path, batch: object) -> None:
    builder = Builder((batch, 2, 4, 4))
    flat = builder.op(
        "Reshape",
        builder.conv("image", 2, 3, 1, 1),
        builder.constant([batch if batch == 8 else -1, 48]),
    )
    floats = imported(tmp_path, builder.finish(builder.gemm(flat, 48, 3)))
    assert floats.graph.layers[1].layer.in_shape == (4, 4, 3)


def test_weights_in_another_file(tmp_path: Path) -> None:
    import onnx

    builder = Builder((1, 2, 4, 4))
    proto = builder.proto(builder.gemm(builder.flat("image"), 32, 3))
    path = tmp_path / "apart.onnx"
    whole = imported(tmp_path, proto.SerializeToString())
    onnx.save_model(
        proto, path, save_as_external_data=True, location="apart.onnx.data", size_threshold=0
    )
    floats = import_floats(read(path))
    first, same = floats.graph.layers[0].weights, whole.graph.layers[0].weights
    assert first is not None and same is not None
    assert first.tolist() == same.tolist()
