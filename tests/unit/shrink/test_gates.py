"""Gates shut where a channel costs more than it is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from picotrain.image.firmware import HOST
from picotrain.shrink.costs import Flash, Macs
from picotrain.shrink.groups import counts_of, groups_of
from picotrain.shrink.limits import Limit, Limits
from picotrain.shrink.pruning.gates import Gates
from shrinking import tied
from support import require

ARCHITECTURE = tied()
GROUPS = groups_of(ARCHITECTURE)
IMAGES = 16


@pytest.fixture(autouse=True)
def _built() -> None:
    require(HOST)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def limits(share: float) -> Limits:
    macs = Macs(ARCHITECTURE, GROUPS)
    return (Limit(macs, share * macs.value(GROUPS.sizes)),)


def batch(gates: Gates, torch: Any, worth: list[np.ndarray], random: np.random.Generator) -> None:
    """A batch whose gradients have mean 0 and the Fisher information that `worth` says."""
    gates.leaves(torch, IMAGES)
    for number in GROUPS.free_numbers:
        leaf = gates.of(number, counts=True)
        signs = random.choice([-1.0, 1.0], (IMAGES, GROUPS.sizes[number]))
        # The loss is a mean over the images.
        each = signs * np.sqrt(2 * worth[number]) / IMAGES
        leaf.backward(torch.from_numpy(each.astype(np.float32)))
    gates.learn()


def run(gates: Gates, torch: Any, worth: list[np.ndarray], steps: int, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for _ in range(steps):
        batch(gates, torch, worth, random)


def values(scale: float) -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [scale * random.random(size) + scale / 100 for size in GROUPS.sizes]


def test_without_a_limit_that_is_exceeded_all_gates_stay_open(torch: Any) -> None:
    gates = Gates(GROUPS, limits(1.0), GROUPS.all(), 1.0, 200)
    run(gates, torch, values(0.1), 200)
    assert counts_of(gates.kept) == GROUPS.sizes
    assert gates.penalty() == 0


def test_a_worth_is_the_fisher_information_of_an_image(torch: Any) -> None:
    gates = Gates(GROUPS, limits(1.0), GROUPS.all(), 1.0, 50)
    wanted = values(0.1)
    run(gates, torch, wanted, 50)
    for number in GROUPS.free_numbers:
        np.testing.assert_allclose(gates.worth[number], wanted[number], rtol=1e-4)


def test_gates_come_to_rest_near_the_limit_and_the_least_are_shut(torch: Any) -> None:
    wanted = values(0.01)
    found = limits(0.5)
    gates = Gates(GROUPS, found, GROUPS.all(), 1.0, 600)
    run(gates, torch, wanted, 600)
    kept = gates.kept
    assert found[0].guide(counts_of(kept)) <= 0.08 * found[0].most
    for number in GROUPS.free_numbers:
        shut, open_ = wanted[number][~kept[number]], wanted[number][kept[number]]
        assert not shut.size or shut.max() < 2 * np.median(open_)
    # A hidden channel of the linear layers costs few MACs, and so stays.
    assert kept[3].mean() > kept[1].mean()


def test_a_penalty_begins_at_the_loss_over_the_excess_and_is_ramped_up(torch: Any) -> None:
    flash = Flash(ARCHITECTURE, GROUPS)
    most = 0.6 * flash.value(GROUPS.sizes)
    gates = Gates(GROUPS, (Limit(flash, most),), GROUPS.all(), 2.5, 100)
    excess = flash.value(GROUPS.sizes) - most
    assert gates.penalties[0].strength == pytest.approx(2.5 / excess)
    assert gates.penalty() == 0
    large = values(1e6)
    run(gates, torch, large, 25)
    assert gates.penalty() == pytest.approx(2.5 / 2)
    run(gates, torch, large, 25)
    assert gates.penalty() == pytest.approx(2.5)
    # All gates are worth too much to shut: the penalty grows.
    run(gates, torch, large, 50)
    assert gates.penalty() > 100


def test_one_gate_of_a_group_is_always_open(torch: Any) -> None:
    gates = Gates(GROUPS, limits(0.05), GROUPS.all(), 1e6, 40)
    run(gates, torch, values(1e-6), 100)
    assert min(counts_of(gates.kept)) == 1
    assert all(one.any() for one in gates.kept)


def test_a_shut_gate_keeps_its_worth_and_opens_when_the_gradient_wants_it(torch: Any) -> None:
    gates = Gates(GROUPS, limits(1.0), GROUPS.all(), 1.0, 100)
    wanted = values(0.1)
    run(gates, torch, wanted, 20)
    gates.values[2][3] = 0.0
    before = float(gates.worth[2][3])
    batch(gates, torch, values(5.0), np.random.default_rng(1))
    assert gates.worth[2][3] == before
    run(gates, torch, wanted, 30)
    assert gates.kept[2][3]


def test_what_was_not_kept_at_the_beginning_stays_shut(torch: Any) -> None:
    kept = GROUPS.all()
    kept[2][4] = False
    gates = Gates(GROUPS, limits(1.0), kept, 1.0, 50)
    run(gates, torch, values(0.1), 50)
    assert not gates.kept[2][4]
    assert counts_of(gates.kept)[2] == 15


def test_gates_go_on_from_a_state_as_if_nothing_had_been(torch: Any) -> None:
    wanted, found = values(0.01), limits(0.5)
    whole = Gates(GROUPS, found, GROUPS.all(), 1.0, 80)
    random = np.random.default_rng(2)
    for _ in range(40):
        batch(whole, torch, wanted, random)
    state = whole.state()
    other = Gates(GROUPS, found, GROUPS.all(), 1.0, 80)
    other.restore(state)
    again = np.random.default_rng(3)
    run(whole, torch, wanted, 40, seed=3)
    for _ in range(40):
        batch(other, torch, wanted, again)
    assert whole.state() == other.state()
