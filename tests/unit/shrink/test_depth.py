"""Cuts, heads, the step size, and what is chosen: without training."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.architectures import graph, reader
from picotrain.learn.architectures.writer import toml_of
from picotrain.shrink.depth.cell import counted
from picotrain.shrink.depth.cuts import Cut, chosen, cuts
from picotrain.shrink.depth.heads import attached, trunk
from picotrain.shrink.depth.pareto import pareto
from picotrain.shrink.depth.table import choice, front, told
from picotrain.shrink.depth.training import factor
from shrinking import tied

PLACES = {
    "resnet8": {"in16": 0, "sum16": 3, "sum32": 7},
    "ds-cnn": {"layer0": 0, "layer2": 2, "layer4": 4, "layer6": 6},
    "motion": {"layer0": 0, "layer2": 2, "layer4": 4},
    # Neither within an inverted residual, nor where its sum is still to come.
    "mobilenet-v2-pico": {
        "stem": 0,
        "narrow1": 3,
        "sum2": 7,
        "narrow3": 10,
        "sum4": 14,
        "narrow5": 17,
        "sum6": 21,
    },
}


@pytest.mark.parametrize("name", PLACES)
def test_cuts_are_behind_blocks_whose_one_tensor_goes_on(name: str) -> None:
    found = cuts(models.resolve(name))
    assert {one.name: one.index for one in found} == PLACES[name]


def test_mobilenet_is_cut_behind_each_separable_convolution() -> None:
    found = cuts(models.resolve("mobilenet-v1-025"))
    assert [one.index for one in found] == list(range(0, 25, 2))


def test_cuts_are_taken_by_name_in_the_order_of_the_network() -> None:
    assert chosen(tied(), ["all"]) == (Cut("stem", 0), Cut("layer3", 3))
    assert chosen(models.resolve("resnet8"), ["sum32", "in16"]) == (Cut("in16", 0), Cut("sum32", 7))
    with pytest.raises(UserError) as caught:
        chosen(tied(), ["stem", "layer4"])
    assert str(caught.value) == "network tied has no cut 'layer4'; use all, or of stem, layer3"


def test_a_network_without_blocks_says_so() -> None:
    only = """form = "affine"
name = "only"
input = [4, 4, 1]
[[layer]]
kind = "conv2d"
channels = 3
kernel = 3
[[layer]]
kind = "linear"
outputs = 2
"""
    architecture = reader.parse(tomllib.loads(only), "only.toml")
    with pytest.raises(UserError, match="network only has no place to be cut: behind no layer"):
        chosen(architecture, ["all"])


def test_more_layers_than_a_network_may_have_are_told() -> None:
    layer = '[[layer]]\nkind = "conv2d"\nchannels = 4\nkernel = 1\n'
    text = 'form = "affine"\nname = "deep"\ninput = [4, 4, 1]\n' + 48 * layer
    architecture = reader.parse(tomllib.loads(text), "deep.toml")
    assert len(attached(architecture, Cut("layer41", 41), "dscnn").layers) == 48
    with pytest.raises(UserError) as caught:
        attached(architecture, Cut("layer42", 42), "dscnn")
    assert str(caught.value) == (
        "cut layer42 with head dscnn has 49 layers, of which 48 are the most; name earlier ones "
        "with --cuts, or another head"
    )


HEADS: dict[str, Any] = {
    "dscnn": [
        ("depthwise", (14, 14, 12), "relu"),
        ("conv2d", (14, 14, 32), "relu"),
        ("depthwise", (14, 14, 32), "relu"),
        ("conv2d", (14, 14, 16), "relu"),
        ("avgpool", (1, 1, 16), "none"),
        ("linear", (1, 1, 10), "none"),
    ],
    "baseline": [
        ("avgpool", (1, 1, 12), "none"),
        ("linear", (1, 1, 64), "relu"),
        ("linear", (1, 1, 32), "relu"),
        ("linear", (1, 1, 10), "none"),
    ],
}


@pytest.mark.parametrize("head", HEADS)
def test_heads(head: str) -> None:
    whole = tied()
    made = attached(whole, Cut("layer3", 3), head)
    assert made.layers[:4] == whole.layers[:4] and made.steps[:4] == whole.steps[:4]
    found = [
        (layer.kind, layer.out_shape, step.activation)
        for layer, step in zip(made.layers[4:], made.steps[4:], strict=True)
    ]
    assert found == HEADS[head]
    assert made.name == f"tied-layer3-{head}"
    again = reader.parse(tomllib.loads(toml_of(made)), "made.toml")
    assert graph.document(again) == graph.document(made)


def test_what_a_cut_network_has() -> None:
    made = attached(tied(), Cut("stem", 0), "baseline")
    # 12 x 9 + 12; 12 x 64 + 64; 64 x 32 + 32; 32 x 10 + 10.
    assert counted(made) == {"parameters": 3362, "macs": 14 * 14 * 12 * 9 + 768 + 2048 + 320}


def test_a_long_name_gives_way_to_the_layer() -> None:
    made = attached(models.resolve("mobilenet-v1-025"), Cut("layer12", 12), "baseline")
    assert made.name == "mobilenet-v1-025-12-baseline"


def test_the_trunk_ends_at_the_cut() -> None:
    names = ["weights_0", "gain_0", "weights_3", "mean_12", "bias_4"]
    assert trunk(names, Cut("x", 3)) == ["weights_0", "gain_0", "weights_3"]


def test_step_sizes_of_the_paper_and_of_shorter_runs() -> None:
    parts = [factor(epoch, 50) for epoch in range(50)]
    assert parts == [1.0] * 20 + [0.5] * 10 + [0.25] * 20
    assert [factor(epoch, 5) for epoch in range(5)] == [1.0, 1.0, 0.5, 0.25, 0.25]
    assert factor(0, 1) == 0.5


def outcome(name: str, validation: float, ms: float | None, flash: int = 100) -> dict[str, Any]:
    return {
        "name": name,
        "cut": name,
        "head": "dscnn",
        "tail": "frozen",
        "parameters": 10,
        "macs": 1000,
        "float_validation": validation,
        "validation": validation,
        "test": validation - 0.01,
        "unfit": "",
        "taken": {"ms": ms, "flash": flash, "ram": 50},
    }


WHOLE = outcome("whole", 0.90, 10.0, 400)


def test_the_fastest_cell_near_the_whole_network_is_chosen() -> None:
    cells = [outcome("a", 0.80, 1), outcome("b", 0.895, 5), outcome("c", 0.92, 8)]
    assert choice(cells, WHOLE)["name"] == "b"
    assert choice(cells, WHOLE, loss=0.2)["name"] == "a"
    assert choice(cells[:1], WHOLE)["name"] == "a"
    # Where none is near, the one that is right most often.
    assert choice([outcome("a", 0.1, 1), outcome("b", 0.2, 2)], WHOLE)["name"] == "b"
    # Without time, the smallest.
    untimed = [outcome("a", 0.9, None, 300), outcome("b", 0.9, None, 200)]
    assert choice(untimed, WHOLE)["name"] == "b"


def test_the_front_is_cheaper_or_better() -> None:
    cells = [outcome("a", 0.5, 2), outcome("b", 0.4, 3), outcome("c", 0.6, 4), outcome("d", 0.6, 9)]
    cells.append(outcome("unfit", 0.99, 1) | {"taken": None})
    assert [one["name"] for one in front(cells, "ms")] == ["a", "c"]


def test_table_and_figure_show_ratios_and_what_has_no_room() -> None:
    cells = [outcome("a", 0.895, 4), outcome("b", 0.99, 3) | {"taken": None}]
    lines = told(cells, WHOLE).splitlines()
    costs, right = "10 1,000 100 50 4.00 2.50 4.00", "0.8950 0.8950 0.8850"
    assert " ".join(lines[3].split()) == f"a dscnn frozen {costs} {right} *"
    assert " ".join(lines[4].split()) == "b dscnn frozen 10 1,000 0.9900 0.9900 0.9800"
    figure = pareto(cells, WHOLE)
    assert figure == pareto(cells, WHOLE)
    assert "milliseconds of an inference" in figure and "dscnn, frozen" in figure
    without = pareto([outcome("a", 0.5, None)], outcome("whole", 0.9, None))
    assert "milliseconds" not in without and "bytes of flash" in without
