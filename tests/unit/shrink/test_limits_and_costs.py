"""Costs are those of the real network, and a slope says what a channel saves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from picotrain.device.blob import blob_size, encode
from picotrain.errors import UserError
from picotrain.image.firmware import HOST, layout
from picotrain.learn import models
from picotrain.learn.architectures.untrained import untrained
from picotrain.shrink.costs import Cost, Flash, Macs, Ram
from picotrain.shrink.cycles import Milliseconds
from picotrain.shrink.groups import groups_of, resized
from picotrain.shrink.limits import Limit, check, met
from picotrain_golden import Method, plan
from shrinking import tied
from support import require

COUNTS = (1, 7, 5, 9, 10)


@pytest.fixture(autouse=True)
def _built() -> None:
    require(HOST)


def costs(method: str = "infer", lean: bool = True) -> dict[str, Cost]:
    architecture = tied()
    groups = groups_of(architecture)
    made = (
        Flash(architecture, groups),
        Ram(architecture, groups, Method(method), lean),  # type: ignore[arg-type]
        Macs(architecture, groups),
        Milliseconds(architecture, groups),
    )
    return {cost.name: cost for cost in made}


def test_values_are_those_of_the_network_itself() -> None:
    architecture = tied()
    small = resized(architecture, groups_of(architecture), COUNTS)
    network = untrained(small, 0).network
    found = costs()
    assert found["flash"].value(COUNTS) == len(encode(network, layout()))
    assert found["ram"].value(COUNTS) == plan(network, Method("infer"), 0).total
    assert found["macs"].value(COUNTS) == sum(layer.macs for layer in network.layers)


@pytest.mark.parametrize("method", ["infer", "priot", "niti-static"])
def test_ram_is_that_of_the_method_and_the_place_of_the_weights(method: str) -> None:
    architecture = tied()
    network = untrained(resized(architecture, groups_of(architecture), COUNTS), 0).network
    blob = blob_size(network, layout())
    wanted = plan(network, Method(method), blob).total  # type: ignore[arg-type]
    assert costs(method, lean=False)["ram"].value(COUNTS) == wanted


def test_the_slope_of_macs_is_what_a_channel_multiplies() -> None:
    slope = costs()["macs"].slope((1, 12, 16, 20, 10))
    # 3x3 of the stem, 3x3 of the depthwise layer, its column and row of the point: 196 positions.
    point = 196 * (12 * 12 - 9 * 9) / 3
    assert slope[1] == 196 * 9 + 196 * 9 + point + 49 * 9 * 16
    assert slope[2] == 49 * 9 * 12 + 9 * 20
    assert slope[3] == 16 * 9 + 10
    assert slope[0] == slope[4] == 0


def test_the_slope_of_ram_is_that_of_the_peak() -> None:
    found = costs()["ram"]
    whole = (1, 12, 16, 20, 10)
    slope = found.slope(whole)
    # The tied tensors of 14 * 14 lie on each other; the second convolution reads one of them.
    exact = (found.value(whole) - found.value((1, 9, 16, 20, 10))) / 3
    assert exact > 2 * 196
    assert exact / 2 < slope[1] <= exact / 2 + 196
    assert slope[2] < 0.2 * slope[1]
    assert slope[3] < 1e-6
    assert found.value((1, 12, 16, 19, 10)) == found.value(whole)


def test_one_channel_less_may_take_more_ram_but_not_more_that_is_in_use() -> None:
    architecture = models.resolve("ds-cnn")
    groups = groups_of(architecture)
    ram = Ram(architecture, groups, Method("infer"), True)
    whole = groups.sizes
    less = (*whole[:2], whole[2] - 8, *whole[3:])
    assert ram.value(less) > ram.value(whole)
    assert ram.guide(less) <= ram.guide(whole) <= ram.value(whole)


def test_the_slope_of_ram_sees_all_operations_at_the_peak() -> None:
    architecture = models.resolve("ds-cnn")
    groups = groups_of(architecture)
    slope = Ram(architecture, groups, Method("infer"), True).slope(groups.sizes)
    assert min(slope[1:6]) > 10


def test_weights_in_the_arena_have_a_slope_of_their_own() -> None:
    counts = (1, 12, 16, 20, 10)
    lean, fast = costs()["ram"], costs(lean=False)["ram"]
    flash = costs()["flash"].slope(counts)
    np.testing.assert_allclose(fast.slope(counts) - lean.slope(counts), flash, atol=4)


def test_milliseconds_follow_what_was_measured() -> None:
    architecture = tied()
    found = Milliseconds(architecture, groups_of(architecture))
    found.correct(architecture, 2_500_000)
    assert found.value((1, 12, 16, 20, 10)) == pytest.approx(20)
    less = found.value(COUNTS)
    assert 0 < less < 20
    small = resized(architecture, groups_of(architecture), COUNTS)
    found.correct(small, 625_000)
    assert found.value(COUNTS) == pytest.approx(5)


def test_time_is_guided_without_the_steps_of_kernels() -> None:
    """Kernels take words of four channels: fewer channels may take longer, but guide as less."""
    architecture = tied()
    groups = groups_of(architecture)
    found = Milliseconds(architecture, groups)
    sizes = [(1, 12, count, 20, 10) for count in range(16, 7, -1)]
    exact, guide = ([of(one) for one in sizes] for of in (found.value, found.guide))
    assert any(one < other for one, other in itertools.pairwise(exact))
    assert all(one > other for one, other in itertools.pairwise(guide))
    assert guide[0] == pytest.approx(exact[0])
    slope = found.slope(groups.sizes)
    assert slope[1] > slope[2] > slope[3] > 0


def test_limits_that_cannot_be_met_say_which_and_what_can_be() -> None:
    found = costs()
    limits = (Limit(found["flash"], 100), Limit(found["ram"], 100_000), Limit(found["macs"], 50))
    with pytest.raises(UserError) as caught:
        check(limits, "tied")
    flash, macs = (int(found[name].least()) for name in ("flash", "macs"))
    assert str(caught.value) == (
        f"--flash 100 cannot be met: the smallest reachable value is {flash:,} bytes; --macs 50 "
        f"cannot be met: the smallest reachable value is {macs:,} MACs, of tied with one channel "
        "wherever channels can be removed; allow more, or use another network"
    )
    check((Limit(found["flash"], flash), Limit(found["macs"], macs)), "tied")


def test_the_fewest_channels_cost_the_least() -> None:
    """What `check` calls the smallest reachable value: no network of those at hand costs less."""
    for name in ("resnet8", "ds-cnn"):
        architecture = models.resolve(name)
        groups = groups_of(architecture)
        random = np.random.default_rng(3)
        for cost in (Flash(architecture, groups), Ram(architecture, groups, Method("infer"), True)):
            for _ in range(50):
                counts = tuple(
                    int(random.integers(1, size + 1)) if free else size
                    for size, free in zip(groups.sizes, groups.free, strict=True)
                )
                assert cost.value(counts) >= cost.least()


def test_met_is_exact() -> None:
    macs = costs()["macs"]
    value = macs.value(COUNTS)
    assert met((Limit(macs, value),), COUNTS)
    assert not met((Limit(macs, value - 1),), COUNTS)
    assert Limit(macs, value - 1).excess(COUNTS) == 1
