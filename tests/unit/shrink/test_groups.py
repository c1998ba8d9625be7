"""Channels that go together, and networks with fewer of them."""

from __future__ import annotations

import pytest

from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.untrained import untrained
from picotrain.shrink.groups import fewer, groups_of, outline, resized
from picotrain_golden.operators import OPERATORS
from shrinking import tied

AFFINE = [name for name in models.shipped() if models.resolve(name).affine]


def test_a_depthwise_layer_an_add_and_a_pool_tie_channels() -> None:
    groups = groups_of(tied())
    assert groups.of == (0, 1, 1, 1, 1, 2, 2, 3, 4)
    assert groups.sizes == (1, 12, 16, 20, 10)
    assert groups.free == (False, True, True, True, False)
    assert groups.least() == (1, 1, 1, 1, 10)


def test_the_blocks_of_a_residual_network_are_tied_by_their_sums() -> None:
    groups = groups_of(models.resolve("resnet8"))
    sums = {"in16": 0, "main16": 2, "sum16": 3, "main32": 5, "short32": 6, "sum32": 7}
    of = {name: groups.made(index) for name, index in sums.items()}
    assert of["in16"] == of["main16"] == of["sum16"]
    assert of["main32"] == of["short32"] == of["sum32"] != of["sum16"]
    assert groups.sizes == (3, 16, 16, 32, 32, 64, 64, 10)


def test_a_network_that_ends_in_a_sum_keeps_the_channels_of_both() -> None:
    architecture = tied()
    ended = Architecture("ended", (28, 28, 1), architecture.layers[:4], architecture.steps[:4])
    assert groups_of(ended).free == (False, False)


@pytest.mark.parametrize("name", AFFINE)
def test_a_resized_network_has_shapes_that_every_layer_takes(name: str) -> None:
    architecture = models.resolve(name)
    groups = groups_of(architecture)
    counts = tuple(
        max(1, size // 3) if free else size
        for size, free in zip(groups.sizes, groups.free, strict=True)
    )
    small = resized(architecture, groups, counts)
    shapes = {-1: small.input_shape}
    for index, layer in enumerate(small.layers):
        for number in layer.inputs or (index - 1,):
            assert shapes[number] == layer.in_shape
        assert OPERATORS[layer.kind].shape_error(layer) == ""
        shapes[index] = layer.out_shape
    assert small.classes == architecture.classes
    assert small.weight_count < architecture.weight_count
    assert resized(architecture, groups, groups.sizes) == architecture


@pytest.mark.parametrize("name", AFFINE)
def test_an_outline_has_as_many_integers_as_the_network(name: str) -> None:
    architecture = models.resolve(name)
    real, bare = untrained(architecture, 0).network, outline(architecture)
    for one, other in zip(real.affine, bare.affine, strict=True):
        assert one.multiplier.size == other.multiplier.size
        assert one.bias.size == other.bias.size


def test_a_quarter_less_is_a_channel_at_the_least_and_leaves_one() -> None:
    groups = groups_of(tied())
    assert fewer(groups, (1, 12, 16, 20, 10), 2) == (1, 12, 12, 20, 10)
    assert fewer(groups, (1, 3, 16, 20, 10), 1) == (1, 2, 16, 20, 10)
    assert fewer(groups, (1, 1, 16, 20, 10), 1) == (1, 1, 16, 20, 10)
