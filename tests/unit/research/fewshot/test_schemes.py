"""Which rows the schemes of few-shot tasks take."""

from __future__ import annotations

import numpy as np
import pytest

from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.research.fewshot.schemes import Scheme, added, all_schemes, for_ways, with_other_rows
from picotrain_golden import Network, Selection


@pytest.fixture(scope="module")
def network() -> Network:
    return models.load_network("mobilenet-v2-few")


def selection_of(network: Network, counts: dict[int, int]) -> Selection:
    return Selection(
        tuple(
            np.arange(layer.rows) < counts.get(index, 0) if layer.has_weights else None
            for index, layer in enumerate(network.layers)
        )
    )


def test_every_scheme_once() -> None:
    made = all_schemes(["none", "full", "tinytrain"], ["niti-static", "priot"], [0.1, 0.5])
    assert [one.label for one in made] == [
        *("none", "full NITI", "full PRIOT", "tinytrain NITI 0.1", "tinytrain NITI 0.5"),
        *("tinytrain PRIOT 0.1", "tinytrain PRIOT 0.5"),
    ]
    assert [one.kind for one in made[1:4]] == ["full NITI", "full PRIOT", "sparse NITI"]
    assert all_schemes(["full"], ["priot"], [0.1]) == [Scheme("full", "priot")]


@pytest.mark.parametrize(
    ("names", "rules", "shares", "sentence"),
    [
        (["ful"], ["priot"], [0.1], "scheme 'ful' is none; use none, last-layer, full"),
        (["full"], ["sgd"], [0.1], "rule 'sgd' is none; use niti-static, priot"),
        (["full"], ["priot"], [0.0], "a budget is a share of full's MACs, and 0 is none"),
        (["full"], ["priot"], [1.5], "a budget is a share of full's MACs, and 1.5 is none"),
    ],
)
def test_what_is_none(
    names: list[str], rules: list[str], shares: list[float], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        all_schemes(names, rules, shares)


def test_other_rows_are_as_many(network: Network) -> None:
    like = selection_of(network, {3: 7, 21: 40, 23: 2})
    for by in ("random", "l2"):
        made = with_other_rows(network, like, by, np.random.default_rng(1))  # type: ignore[arg-type]
        made.check(network)
        assert [made.count(i) for i in range(24)] == [like.count(i) for i in range(24)]
    weights = network.of(21).weights.astype(np.int64)
    norms = (weights**2).sum(axis=1)
    chosen = with_other_rows(network, like, "l2", np.random.default_rng(1)).rows[21]
    assert chosen is not None and norms[chosen].min() >= norms[~chosen].max()
    again = [with_other_rows(network, like, "random", np.random.default_rng(n)) for n in (1, 1, 2)]
    assert again[0] == again[1] and again[0] != again[2]


def test_a_fixed_selection_for_another_head(network: Network) -> None:
    fixed = selection_of(network, {3: 7, 23: 2})
    made = for_ways(fixed, 17)
    assert made.count(3) == 7 and made.count(23) == 17 and len(made.rows) == 24
    assert for_ways(selection_of(network, {3: 7}), 17).count(23) == 0


def test_information_of_several_tasks_stops_at_its_largest() -> None:
    most = (1 << 64) - 1
    one = (np.array([5, most - 1], np.uint64), None)
    two = (np.array([7, 3], np.uint64), None)
    total = added([one, two])
    assert total[1] is None and total[0] is not None
    assert total[0].tolist() == [12, most]
