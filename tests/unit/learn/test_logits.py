"""The exponent of the logits as a choice: one layer's exponent moves, and the scales follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from picotrain import datasets
from picotrain.errors import UserError
from picotrain.learn import logits, models
from picotrain.learn.adapt import AdaptOptions, configured, prepare
from picotrain_golden import Method, Network, Parameters

OPTIONS = AdaptOptions(train_samples=50, test_samples=20)


@pytest.fixture(scope="module")
def backbone() -> Network:
    return models.load_backbone(models.backbone_path("tinycnn", "digits"))[0]


@pytest.fixture(scope="module")
def at(backbone: Network) -> Callable[..., Network]:
    dataset = datasets.load("digits")

    def make(exponent: int | None, **changes: object) -> Network:
        chosen = replace(OPTIONS, logits_exponent=exponent, **changes)  # type: ignore[arg-type]
        return configured(backbone, prepare(dataset, chosen), chosen)

    return make


def held_of(network: Network) -> list[Parameters]:
    return [held for held in network.parameters if held is not None]


def test_moving_changes_one_number(backbone: Network) -> None:
    before = backbone.copy()
    moved = logits.moved(backbone, -8)
    assert (backbone.logits_exponent, moved.logits_exponent) == (-3, -8)
    *others, last = zip(held_of(backbone), held_of(moved), strict=True)
    assert last[1].exponent == last[0].exponent - 5
    for old, new in (*others, last):
        assert np.array_equal(old.weights, new.weights)
        assert old.forward_shift == new.forward_shift
    assert all(old.exponent == new.exponent for old, new in others)
    for old, new in zip(held_of(before), held_of(backbone), strict=True):
        assert old.exponent == new.exponent


def test_the_backbones_own_exponent_gives_its_own_numbers(
    backbone: Network, at: Callable[..., Network]
) -> None:
    """`fair` made them, from the same images."""
    found = at(backbone.logits_exponent)
    for old, new in zip(held_of(backbone), held_of(found), strict=True):
        assert replace(old, weights=new.weights) == new
        assert np.array_equal(old.weights, new.weights)


@pytest.mark.parametrize("exponent", [-9, -5])
def test_the_scales_follow(backbone: Network, at: Callable[..., Network], exponent: int) -> None:
    found = at(exponent)
    assert found.logits_exponent == exponent
    assert all(
        old.forward_shift == new.forward_shift
        for old, new in zip(held_of(backbone), held_of(found), strict=True)
    )
    last = backbone.of(5), found.of(5)
    old, new = [(one.error_shift, one.gradient_bits, one.score_bits) for one in last]
    assert old == (8, 14, 18) and new == {-5: (8, 13, 18), -9: (7, 14, 18)}[exponent]


def test_every_method_gets_the_same_network(at: Callable[..., Network]) -> None:
    found = [
        at(-4, method=Method(name))  # type: ignore[arg-type]
        for name in ("niti-dynamic", "niti-static", "priot", "priot-s")
    ]
    for other in found[1:]:
        for one, two in zip(held_of(found[0]), held_of(other), strict=True):
            assert replace(one, weights=two.weights) == two


def test_a_rule_that_is_named_is_used(at: Callable[..., Network]) -> None:
    fair, naive = at(-4), at(-4, calibration="naive")
    assert fair.logits_exponent == naive.logits_exponent == -4
    assert [h.error_shift for h in held_of(fair)] != [h.error_shift for h in held_of(naive)]
    assert replace(OPTIONS, logits_exponent=-4).rule == "fair"
    assert replace(OPTIONS, logits_exponent=-4, calibration="most").rule == "most"
    assert OPTIONS.rule == "shipped"


def test_forward_shifts_of_other_images_are_caught_up_with(backbone: Network) -> None:
    calls = []

    def calibrate(network: Network) -> Network:
        calls.append(network.logits_exponent)
        result = network.copy()
        result.of(0).forward_shift = 11
        return result

    found = logits.calibrated_at(backbone, -4, calibrate)
    assert found.of(0).forward_shift == 11 != backbone.of(0).forward_shift
    assert found.logits_exponent == -4
    assert calls == [-4, -4]


@pytest.mark.parametrize("exponent", [-10, 9])
def test_out_of_range(exponent: int) -> None:
    with pytest.raises(UserError, match=rf"exponent {exponent} is outside -9\.\.8; use e\.g\. -4"):
        prepare(datasets.load("digits"), replace(OPTIONS, logits_exponent=exponent))


def test_weights_that_cannot_go_so_far(backbone: Network) -> None:
    far = backbone.copy()
    last = far.of(5)
    far.of(0).exponent -= 8 - last.exponent
    last.exponent = 8
    assert far.logits_exponent == backbone.logits_exponent
    with pytest.raises(UserError, match="asks for weights with exponent 9 in the last layer"):
        logits.moved(far, far.logits_exponent + 1)
    assert logits.moved(far, far.logits_exponent - 1).of(5).exponent == 7
