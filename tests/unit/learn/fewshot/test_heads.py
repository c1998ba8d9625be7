"""Heads of any number of ways, and class means."""

from __future__ import annotations

import numpy as np
import pytest

from picotrain.datasets.fewshot import Domain, Rule
from picotrain.device.given import images_for
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.fewshot.heads import with_head
from picotrain.learn.fewshot.prototypes import Interval, accuracies, features, nearest
from picotrain_golden import Method, Network, Trainer
from picotrain_golden.passes import forward_pass


@pytest.fixture(scope="module")
def few() -> Network:
    return models.initial_network(models.resolve("mobilenet-v2-few"), 0)


@pytest.mark.parametrize("ways", [2, 7, 50, 256])
def test_a_head_of_so_many_ways(few: Network, ways: int) -> None:
    before = models.network_sha256(few)
    made = with_head(few, ways)
    assert (made.classes, made.layers[-1].out_shape) == (ways, (1, 1, ways))
    assert models.network_sha256(few) == before
    head, old = made.affine[-1], few.affine[-1]
    assert made.parameters[-1] is not None
    assert made.parameters[-1].weights.shape == (ways, 96)
    assert not made.parameters[-1].weights.any() and not head.bias.any()
    assert head.multiplier.tolist() == [old.multiplier[0]] * ways
    assert head.shift.tolist() == [old.shift[0]] * ways
    assert (head.zero_in, head.zero_out, head.low, head.high) == (
        *(old.zero_in, old.zero_out, old.low, old.high),
    )
    assert made.logits_scale == few.logits_scale
    image = np.zeros((1, 32, 32, 1), np.uint8)
    # Of zeros every logit is the zero point, and the first way is named.
    assert Trainer(made, Method("infer")).predict(image).tolist() == [0]
    weights = [None if held is None else held.weights for held in made.parameters]
    last = forward_pass(made, weights, image, dynamic=False).activations[-1]
    assert last.reshape(-1).tolist() == [old.zero_out] * ways


def test_heads_that_cannot_be(few: Network) -> None:
    for ways in (1, 257):
        with pytest.raises(UserError, match=f"a head cannot have {ways} ways; use 2 to 256"):
            with_head(few, ways)
    chain = models.initial_network(models.resolve("tinycnn"), 0)
    with pytest.raises(UserError, match="network tinycnn has no head that can be replaced"):
        with_head(chain, 5)


def test_features_are_what_the_head_reads(few: Network) -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 1)).astype(np.uint8)
    found = features(few, images)
    assert found.shape == (70, 96)
    weights = [None if held is None else held.weights for held in few.parameters]
    one = forward_pass(few, weights, images_for(few, images[69:]), dynamic=False).activations[-2]
    zero = few.affine[-1].zero_in[0]
    assert (found[69] == one.reshape(-1).astype(int) - zero).all()


def test_the_nearest_mean_by_cosine() -> None:
    support = np.array([[2.0, 0.0], [4.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
    labels = np.array([0, 0, 1, 2])
    query = np.array([[9.0, 1.0], [1.0, 9.0], [1.0, 1.1], [0.2, 0.01]])
    assert nearest(support, labels, query, 3).tolist() == [0, 1, 2, 0]


def test_accuracy_over_tasks() -> None:
    labels = np.repeat(np.arange(6, dtype=np.uint8), 20)
    domain = Domain("made-up", np.zeros((120, 32, 32, 1), np.uint8), labels, "", {})
    perfect = np.eye(6)[labels]
    assert accuracies(domain, perfect, 10) == [1.0] * 10
    blind = np.ones((120, 4))
    for share in accuracies(domain, blind, 10, rule=Rule(ways=5, shots=5)):
        assert share == pytest.approx(0.2)


def test_a_confidence_interval() -> None:
    found = Interval.of([0.5, 0.7, 0.6, 0.6])
    assert found.mean == pytest.approx(0.6)
    assert found.half == pytest.approx(1.96 * 0.0816497 / 2, rel=1e-4)
    assert str(found) == "0.6000 ± 0.0800"
    assert Interval.of([0.5]).half == 0
