"""Which channels go: limits are met exactly, and what still fits comes back."""

from __future__ import annotations

import numpy as np
import pytest

from picotrain.image.firmware import HOST
from picotrain.learn import models
from picotrain.learn.architectures.untrained import float_graph
from picotrain.shrink.costs import Flash, Macs, Ram
from picotrain.shrink.cycles import Milliseconds
from picotrain.shrink.groups import Kept, counts_of, groups_of
from picotrain.shrink.limits import Limit, Limits, met
from picotrain.shrink.pruning.baselines import by_magnitude, magnitudes, uniform
from picotrain.shrink.pruning.settling import settled
from picotrain_golden import Method
from shrinking import tied
from support import require

ARCHITECTURE = tied()
GROUPS = groups_of(ARCHITECTURE)


@pytest.fixture(autouse=True)
def _built() -> None:
    require(HOST)


def limits(share: float, *names: str) -> Limits:
    costs = (
        Flash(ARCHITECTURE, GROUPS),
        Macs(ARCHITECTURE, GROUPS),
        Ram(ARCHITECTURE, GROUPS, Method("infer"), True),
    )
    return tuple(
        Limit(cost, share * cost.value(GROUPS.sizes)) for cost in costs if cost.name in names
    )


def worth(seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.random(size) for size in GROUPS.sizes]


def tight(found: Kept, wanted: Limits) -> bool:
    """No channel could come back."""
    for number in GROUPS.free_numbers:
        if found[number].all():
            continue
        more = list(counts_of(found))
        more[number] += 1
        if met(wanted, more):
            return False
    return True


@pytest.mark.parametrize("priced", [False, True])
@pytest.mark.parametrize("names", [("flash",), ("macs",), ("ram",), ("flash", "macs", "ram")])
def test_limits_are_met_and_nothing_more_fits(names: tuple[str, ...], priced: bool) -> None:
    wanted = limits(0.7, *names)
    found = settled(ARCHITECTURE, GROUPS, wanted, GROUPS.all(), worth(), priced)
    assert met(wanted, counts_of(found))
    assert tight(found, wanted)
    assert found[0].all() and found[-1].all()


def test_the_least_limits_leave_one_channel_everywhere() -> None:
    flash = Flash(ARCHITECTURE, GROUPS)
    found = settled(
        ARCHITECTURE, GROUPS, (Limit(flash, flash.least()),), GROUPS.all(), worth(), False
    )
    assert counts_of(found) == GROUPS.least()


def test_ram_is_met_where_one_channel_less_takes_more() -> None:
    """Of DS-CNN, whose plan is best where its layers have one width."""
    architecture = models.resolve("ds-cnn")
    groups = groups_of(architecture)
    ram = Ram(architecture, groups, Method("infer"), True)
    values = [np.random.default_rng(7).random(size) for size in groups.sizes]
    wanted = (Limit(ram, 21_000),)
    found = counts_of(settled(architecture, groups, wanted, groups.all(), values, False))
    assert 19_000 < ram.value(found) <= 21_000
    assert min(found[1:6]) > 35


def test_time_is_met_at_multiples_of_what_kernels_take() -> None:
    time = Milliseconds(ARCHITECTURE, GROUPS)
    for share in (0.9, 0.7, 0.5):
        wanted = (Limit(time, share * time.value(GROUPS.sizes)),)
        found = counts_of(settled(ARCHITECTURE, GROUPS, wanted, GROUPS.all(), worth(), True))
        assert 0.9 * wanted[0].most < time.value(found) <= wanted[0].most


def test_of_a_group_the_worst_channels_go() -> None:
    values = worth(1)
    found = settled(ARCHITECTURE, GROUPS, limits(0.6, "flash"), GROUPS.all(), values, True)
    for number in GROUPS.free_numbers:
        there, gone = values[number][found[number]], values[number][~found[number]]
        assert not gone.size or there.min() > gone.max()


def test_only_groups_that_help_lose_channels() -> None:
    found = settled(ARCHITECTURE, GROUPS, limits(0.85, "ram"), GROUPS.all(), worth(2), False)
    counts = counts_of(found)
    assert counts[1] < GROUPS.sizes[1]
    assert counts[3] == GROUPS.sizes[3]


def test_dear_channels_go_first_where_the_price_counts() -> None:
    equal = [np.ones(size) for size in GROUPS.sizes]
    wanted = limits(0.8, "macs")
    priced = counts_of(settled(ARCHITECTURE, GROUPS, wanted, GROUPS.all(), equal, True))
    # A channel of the stem costs most MACs, one of the hidden linear layer next to none.
    assert priced[1] < GROUPS.sizes[1]
    assert priced[3] == GROUPS.sizes[3]


def test_uniform_takes_one_share_of_every_group() -> None:
    wanted = limits(0.5, "flash")
    values = worth(4)
    found = uniform(GROUPS, wanted, values)
    assert met(wanted, counts_of(found))
    shares = [counts_of(found)[number] / GROUPS.sizes[number] for number in GROUPS.free_numbers]
    assert max(shares) - min(shares) < 0.08
    for number in GROUPS.free_numbers:
        there, gone = values[number][found[number]], values[number][~found[number]]
        assert there.min() > gone.max()


def test_magnitudes_are_shares_of_their_layers_and_means_over_the_tied() -> None:
    weights = []
    for layer in ARCHITECTURE.layers:
        if not layer.has_weights:
            weights.append(None)
            continue
        row = np.arange(1, layer.rows + 1, dtype=np.float64)
        matrix = np.repeat(row[:, None], layer.row_length, axis=1)
        weights.append((matrix, np.zeros(layer.rows)))
    # Ten times as large a layer counts as much as before.
    stem, bias = weights[0]
    weights[0] = (10 * stem[::-1], bias)
    float_graph(ARCHITECTURE, weights)
    found = magnitudes(ARCHITECTURE, GROUPS, weights)
    np.testing.assert_allclose(found[1], np.ones(12))
    np.testing.assert_allclose(found[2], np.arange(1, 17) / 8.5)
    kept = by_magnitude(ARCHITECTURE, GROUPS, limits(0.8, "flash"), found)
    assert not kept[3][0] and kept[3][-1]
