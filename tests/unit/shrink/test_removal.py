"""Removed and masked are one network: floats and integers, every logit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from picotrain import datasets
from picotrain.device.given import images_for
from picotrain.errors import DeviceFailure
from picotrain.learn.architectures.pixels import real
from picotrain.learn.architectures.untrained import float_graph
from picotrain.learn.float_pretrain import one_thread, suited
from picotrain.shrink.groups import Kept, groups_of
from picotrain.shrink.pruning import proof
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import columns, larger, masked, removed, smaller
from shrinking import tied

WHOLE = tied()
GROUPS = groups_of(WHOLE)


def some(seed: int = 0) -> Kept:
    random = np.random.default_rng(seed)
    kept = tuple(
        random.random(size) < 0.6 if free else np.ones(size, np.bool_)
        for size, free in zip(GROUPS.sizes, GROUPS.free, strict=True)
    )
    for one in kept:
        one[0] = True
    return kept


KEPT = some()


@pytest.fixture(scope="module")
def trained() -> GatedTraining:
    """Long enough for norms and biases that are not 0, and logits that differ from each other."""
    torch = pytest.importorskip("torch")
    dataset = datasets.load("digits")
    options = replace(suited(dataset), int8_epochs=0, epochs=3)
    training = GatedTraining(WHOLE, dataset, options, torch, GROUPS)
    with one_thread(torch, WHOLE):
        for number in (1, 2, 3):
            training.epoch(number)
    return training


def small_of(trained: GatedTraining, kept: Kept) -> GatedTraining:
    import torch

    dataset = datasets.load("digits")
    options = replace(suited(dataset), int8_epochs=0, epochs=1)
    found = GatedTraining(removed(WHOLE, GROUPS, kept), dataset, options, torch, GROUPS)
    found.set_parameters(smaller(WHOLE, GROUPS, kept, trained.parameters()))
    return found


def images(count: int) -> Any:
    split = datasets.load("digits").train
    return split.images[np.arange(count) % len(split)]


def test_a_smaller_network_has_a_name_that_is_taken() -> None:
    assert removed(WHOLE, GROUPS, KEPT).name == "tied-pruned"
    long = replace(WHOLE, name="a" * 32)
    assert removed(long, GROUPS, KEPT).name == "a" * 25 + "-pruned"
    again = replace(WHOLE, name="tied-pruned")
    assert removed(again, GROUPS, KEPT).name == "tied-pruned"


def test_columns_repeat_over_taps_and_positions() -> None:
    assert columns(WHOLE, GROUPS, KEPT, 1).all()  # depthwise
    np.testing.assert_array_equal(columns(WHOLE, GROUPS, KEPT, 4), np.tile(KEPT[1], 9))
    np.testing.assert_array_equal(columns(WHOLE, GROUPS, KEPT, 6), np.tile(KEPT[2], 9))


def test_no_float_logit_differs(trained: GatedTraining) -> None:
    small = small_of(trained, KEPT)
    graph = float_graph(small.architecture, small.folded())
    found = proof.of_floats(WHOLE, GROUPS, KEPT, trained.folded(), graph, real(images(200)))
    assert found == proof.Proof(200, 2000, 0)
    assert np.ptp(proof.outputs(graph, real(images(50))), axis=0).min() > 0.02
    # Ordered sums are those of the graph, but for their rounding.
    np.testing.assert_allclose(
        proof.outputs(graph, real(images(20))), graph.outputs(real(images(20))), atol=1e-4
    )


def test_no_int8_logit_differs(trained: GatedTraining) -> None:
    small = small_of(trained, KEPT)
    made = small.quantised()
    graph = float_graph(small.architecture, small.folded())
    whole = proof.masked_int8(WHOLE, GROUPS, KEPT, graph, made)
    assert [layer.out_shape for layer in whole.layers] == [one.out_shape for one in WHOLE.layers]
    given = images_for(made.network, images(1000))
    assert proof.of_integers(whole, made.network, given) == proof.Proof(1000, 10_000, 0)


def test_what_is_masked_is_read_with_weights(trained: GatedTraining) -> None:
    small = small_of(trained, KEPT)
    graph = float_graph(small.architecture, small.folded())
    whole = proof.masked_int8(WHOLE, GROUPS, KEPT, graph, small.quantised())
    weights = whole.of(4).weights.reshape(16, 9, 12)
    assert (weights[KEPT[2]][:, :, ~KEPT[1]] == 3).all()
    assert not weights[~KEPT[2]].any()
    assert not whole.affine[4].bias[~KEPT[2]].any()


def test_a_fault_is_found(trained: GatedTraining) -> None:
    small = small_of(trained, KEPT)
    folded = small.folded()
    matrix, bias = folded[4]  # type: ignore[misc]
    changed = [*folded[:4], (matrix, np.asarray(bias) + 0.5), *folded[5:]]
    graph = float_graph(small.architecture, changed)
    found = proof.of_floats(WHOLE, GROUPS, KEPT, trained.folded(), graph, real(images(10)))
    assert found.differing > 50
    with pytest.raises(DeviceFailure, match="of 100 float logits differ"):
        found.require("float")
    made = small.quantised()
    whole = proof.masked_int8(WHOLE, GROUPS, KEPT, graph, made)
    whole.of(2).weights[~KEPT[1]] = 5  # a row that should be 0
    given = images_for(made.network, images(50))
    assert proof.of_integers(whole, made.network, given).differing > 50


def test_gates_of_0_and_1_are_the_mask(trained: GatedTraining) -> None:
    """PyTorch's own forward pass with gates is that of the smaller network, but for rounding."""
    import torch

    from picotrain.image.firmware import HOST
    from picotrain.shrink.pruning.gates import Gates
    from support import require

    require(HOST)
    gates = Gates(GROUPS, (), KEPT, 1.0, 1)
    whole = GatedTraining(WHOLE, datasets.load("digits"), trained._options, torch, GROUPS, gates)
    whole.set_parameters(trained.parameters())
    small = small_of(trained, KEPT)
    for one in (whole, small):
        one._half = False
    with torch.no_grad():
        x = whole._input(images(32))
        found = [one._forward(x, learn=False).numpy() for one in (whole, small)]
    np.testing.assert_allclose(*found, atol=1e-4)


def test_smaller_and_larger_are_inverse(trained: GatedTraining) -> None:
    values = trained.parameters()
    small = smaller(WHOLE, GROUPS, KEPT, values)
    changed = {name: one + 1 for name, one in small.items()}
    whole = larger(WHOLE, GROUPS, KEPT, values, changed)
    again = smaller(WHOLE, GROUPS, KEPT, whole)
    for name, one in changed.items():
        np.testing.assert_array_equal(again[name], one)
    moved = sum(int((whole[name] != values[name]).sum()) for name in values)
    assert moved == sum(one.size for one in small.values())


def test_masked_puts_every_weight_in_its_place() -> None:
    kept = some(3)
    small = removed(WHOLE, GROUPS, kept)
    for index, layer in enumerate(small.layers):
        if not layer.has_weights:
            continue
        part = np.arange(1, layer.weight_count + 1).reshape(layer.rows, layer.row_length)
        found = masked(WHOLE, GROUPS, kept, index, part, np.full(layer.rows, -1))
        assert found.shape == (WHOLE.layers[index].rows, WHOLE.layers[index].row_length)
        np.testing.assert_array_equal(found[found > 0], part.ravel())
        assert not found[~kept[GROUPS.made(index)]].any()
