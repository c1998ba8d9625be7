"""Heads from prototypes, and both solvers (section 16): by hand, and against all selections."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import sqrt

import numpy as np
import pytest

from oracles import samples
from picotrain_golden import (
    BudgetError,
    Information,
    Layer,
    Method,
    Network,
    Parameters,
    Prototypes,
    Selection,
    Trainer,
    operations,
    plan,
    select,
    validate,
    validate_training,
    with_head,
)
from picotrain_golden.sparse import solvers
from picotrain_golden.sparse.prototypes import ClassError, head
from picotrain_golden.sparse.solvers import Problem, largest_rows, leading, over, times
from slow_affine import affine
from test_golden_sparse import linears, of_rows, prepared
from trainable_affine import trainable_network

STATIC = Method("niti-static")
PLENTY = (1 << 32) - 1

# Prototypes


def test_a_head_by_hand() -> None:
    totals = np.array([[3000, 0, 0], [30, -40, 0], [0, 0, 0]], np.int32)
    counts = np.array([3, 1, 2], np.uint32)
    # Of 12 bits: 3000 has them, 30 and -40 times 2^6 are 1920 and -2560, of length 3200.
    # 127 * 3000 // 3000 is 127, and 127 * 3200 // 2560 is 158: Q is 127.
    weights, m, s = head(totals, counts)
    # 1920 * 127 / 3200 is 76.2, 2560 * 127 / 3200 is 101.6.
    assert weights.tolist() == [[127, 0, 0], [76, -102, 0], [0, 0, 0]]
    # 127 * 3000 // 3 is 127,000, far more than 30 * 76 + 40 * 102.
    assert m == (100 << 41) // 127000 and 1 << 30 <= m < 1 << 31
    assert s == 31 - 41


def test_vectors_of_more_than_twelve_bits_are_rounded() -> None:
    # 8191 has 13 bits: halves are rounded up, so to 4096, and -3 to -1; the length is 4096.
    weights, _, _ = head(np.array([[8191, -3], [0, 5]], np.int32), np.array([1, 1], np.uint32))
    assert weights.tolist() == [[127, 0], [0, 127]]
    halves = head(np.array([[-8191, 4097], [0, 5]], np.int32), np.array([1, 1], np.uint32))[0]
    v = (-4095, 2049)
    r = int(sqrt(v[0] ** 2 + v[1] ** 2))
    q = min(127 * r // 4095, 127)
    assert halves[0].tolist() == [-((4095 * q + r // 2) // r), (2049 * q + r // 2) // r]


def test_no_features_make_no_head() -> None:
    weights, m, s = head(np.zeros((2, 3), np.int32), np.ones(2, np.uint32))
    assert not weights.any()
    # 100 / 128.
    assert (m, s) == ((100 << 31) // 128, 0)


def test_means_below_zero_are_rounded_down() -> None:
    """Where no class is along its row by 128, T is 128; negative sums are no larger."""
    weights, m, s = head(np.array([[1, 0], [0, 1]], np.int32), np.array([1, 1], np.uint32))
    assert weights.tolist() == [[127, 0], [0, 127]]
    assert (m, s) == ((100 << 31) // 128, 0)
    _, m, s = head(np.array([[2, 0], [0, 1]], np.int32), np.array([1, 1], np.uint32))
    assert (m, s) == ((100 << 32) // 254, -1)


def test_every_class_needs_an_image() -> None:
    with pytest.raises(ClassError, match="class 1 has no image, and each needs one") as caught:
        head(np.ones((3, 2), np.int32), np.array([1, 0, 0], np.uint32))
    assert caught.value.label == 1


def test_what_the_last_layer_reads_is_added_up() -> None:
    network = linears(5, 4, 3)
    trainer = Trainer(network, Method("prototype"))
    twin = Trainer(network, Method("infer"))
    expected, counts = np.zeros((3, 4), np.int64), [0, 0, 0]
    given = samples(network, 8)
    for image, label in given:
        result = trainer.train_step(image, label)
        seen: list[np.ndarray] = []
        assert result.prediction == twin.trace_forward(image, lambda _, __, t: seen.append(t))  # noqa: B023
        assert (result.loss_norm, result.saturated) == (0, 0)
        expected[label] += seen[1].reshape(-1).astype(np.int64) - network.affine[1].zero_in[0]
        counts[label] += 1
    found = trainer.prototypes
    assert found is not None
    assert found.totals.tolist() == expected.tolist()
    assert found.counts.tolist() == counts
    made = with_head(network, found)
    validate(made)
    assert made.of(1).error_shift == network.of(1).error_shift
    assert not made.affine[1].bias.any()
    assert made.logits_scale == network.logits_scale
    assert np.array_equal(network.of(1).weights, linears(5, 4, 3).of(1).weights)
    for method in ("niti-dynamic", "priot", "fisher", "prototype"):
        validate_training(made, Method(method))  # type: ignore[arg-type]


def test_a_head_knows_its_classes() -> None:
    """Images of each class around a mean of their own: the largest cosine is theirs."""
    random = np.random.default_rng(1)
    layer = Layer("linear", (1, 1, 40), (1, 1, 6), (1, 1), (1, 1), (0, 0), False)
    numbers = replace(affine(layer), zero_in=(-128,), zero_out=0)
    network = Network(
        "head",
        (1, 1, 40),
        (layer,),
        (Parameters(random.integers(-127, 128, (6, 40), dtype=np.int8), 0),),
        (numbers,),
    )
    means = random.integers(0, 200, (6, 40))
    found = Prototypes(network)
    images = np.clip(means + random.integers(-40, 40, (5, 6, 40)), 0, 255).astype(np.uint8) ^ 128
    for label in range(6):
        found.add(images[0, label].view(np.int8), label)
    made = Trainer(with_head(network, found), Method("infer"))
    predicted = made.predict(images.reshape(-1, 1, 1, 40))
    assert predicted.tolist() == [*range(6)] * 5
    logits, _ = made.forward(images[0, 0].reshape(1, 1, 40))
    assert 60 < logits.max() <= 100


def test_images_beyond_the_last_that_counts() -> None:
    found = Prototypes(linears(2, 2))
    found.counts[1] = 65534
    for value in (5, 7, 9):
        found.add(np.array([value, 0], np.int8), 1)
    zero = linears(2, 2).affine[0].zero_in[0]
    assert found.counts.tolist() == [0, 65535]
    assert found.totals[1].tolist() == [5 - zero, -zero]


def test_what_prototypes_cannot_be_made_for() -> None:
    network = next(
        one for one in map(trainable_network, range(20)) if one.layers[-1].kind != "linear"
    )
    with pytest.raises(ValueError, match=r"the last layer of .* is \w+, and prototypes make a lin"):
        Trainer(network, Method("prototype"))
    conv = Layer("conv2d", (1, 1, 2), (1, 1, 4096), (1, 1), (1, 1), (0, 0), False)
    wide = linears(4096, 2)
    validate_training(wide, Method("prototype"))
    head_layer = replace(wide.layers[0], in_shape=(2, 1, 4096))
    weights = np.ones((2, 8192), np.int8)
    wide = replace(
        wide,
        input_shape=(2, 1, 2),
        layers=(replace(conv, in_shape=(2, 1, 2), out_shape=(2, 1, 4096)), head_layer),
        parameters=(Parameters(np.ones((4096, 2), np.int8), 0), Parameters(weights, 0)),
        affine=(affine(conv), affine(head_layer)),
    )
    with pytest.raises(ValueError, match="has 8192 inputs, and prototypes 4096 at most"):
        validate_training(wide, Method("prototype"))


# Numbers


def test_numbers_keep_32_bits() -> None:
    assert leading(0) == (0, 0)
    assert leading(1) == (1 << 31, -31)
    assert leading((1 << 32) - 1) == ((1 << 32) - 1, 0)
    assert leading((1 << 33) + 3) == (1 << 31, 2)
    assert leading((1 << 64) - 1) == ((1 << 32) - 1, 32)
    three, five = leading(3), leading(5)
    assert times(three, five) == leading(15)
    assert times(three, (0, 0)) == (0, 0)
    assert over(leading(15), five) == leading(3)
    assert over(five, leading(15)) == ((1 << 32) * 2 // 3, -33)
    assert over((0, 0), five) == (0, 0)
    largest = ((1 << 32) - 1, 0)
    assert times(largest, largest) == ((1 << 32) - 2, 32)
    ordered = [(0, 0), leading(1, -40), leading(1), leading(3), leading(4), leading(1, 9)]
    shuffled = ordered[::-1]
    shuffled.sort(key=solvers.order)
    assert shuffled == ordered


# Selecting


def information(network: Network, seed: int, largest: int = 1 << 40) -> Information:
    random = np.random.default_rng(seed)
    return tuple(
        random.integers(0, largest, layer.rows, dtype=np.uint64) if layer.has_weights else None
        for layer in network.layers
    )


def constant(network: Network, *values: int) -> Information:
    """The same D in all rows of a layer."""
    return tuple(
        np.full(layer.rows, value, np.uint64)
        for layer, value in zip(network.layers, values, strict=True)
    )


def test_rows_by_their_information() -> None:
    given = np.array([5, 9, 9, (1 << 64) - 1, 0], np.uint64)
    for permille, rows in (
        (1, [3]),
        (200, [3]),
        (201, [1, 3]),
        (600, [1, 2, 3]),
        (601, [0, 1, 2, 3]),
    ):
        assert np.flatnonzero(largest_rows(given, permille)).tolist() == rows
    assert largest_rows(given, 1000).all()


def test_costs_by_hand() -> None:
    network = linears(8, 12, 6, 4)
    chosen = of_rows(network, (1, 2), (1, 5))
    # The error of the last layer passes 24 weights, and two rows of 12 are updated.
    planned = plan(network, STATIC, 8, chosen)
    assert solvers.cost(network, STATIC, chosen, False, False) == (planned.transient, 24 + 24)
    lean = solvers.cost(network, STATIC, chosen, True, False)
    assert lean == (72 + planned.transient, 48)
    scored = solvers.cost(network, Method("priot"), chosen, True, False)
    assert scored == (36 + planned.transient, 48)


def test_greedy_takes_what_is_worth_most_for_its_size() -> None:
    """Scores are sum D / (N * N) of linear layers, times the square of the error's scale."""
    network = linears(4, 4, 4, 4)
    problem = Problem(network, STATIC, constant(network, 1, 1, 1), 1000)
    scales = [problem.score(index) for index in range(3)]
    # 4 over 256; the last layer's scale is 1.
    assert scales[2] == leading(1, -6)
    assert len(set(scales)) == 3
    ordered = sorted(range(3), key=lambda index: solvers.order(scales[index]), reverse=True)
    first, second, third = ordered

    def taken(macs: int, size: int = PLENTY) -> list[int]:
        return problem.greedy(size, macs)

    costs = {index: problem.cost((index,))[1] for index in range(3)}
    assert costs == {2: 16, 1: 32, 0: 48}
    assert taken(costs[first]) == [first]
    assert taken(PLENTY) == [0, 1, 2]
    # What does not fit is passed over.
    assert taken(15) == []
    assert taken(16) == [2]
    assert taken(PLENTY, problem.cost((2,))[0] - 1) == []
    # Equal scores: the earlier layer first. Layers with no information are left out.
    even = Problem(network, STATIC, constant(network, 0, 0, 9), 1000)
    assert even.greedy(PLENTY, PLENTY) == [2]
    assert second != third


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("macs", [20, 47, 80, 100, 128])
def test_true_cost_is_the_best_of_all_selections(seed: int, macs: int) -> None:
    """Of layers in a row, in units of one MAC."""
    network = linears(2, 4, 2, 3, 2, 5, 2)
    given = information(network, seed)
    problem = Problem(network, STATIC, given, 500)
    values = problem.values()
    assert max(values.values()) == 1 << 24
    best = 0
    for count in range(1, 7):
        for layers in combinations(range(6), count):
            if problem.cost(layers)[1] <= macs and all(values[one] for one in layers):
                best = max(best, sum(values[one] for one in layers))
    found = problem.true_cost(PLENTY, macs)
    assert sum(values[one] for one in found) == best
    assert problem.cost(found)[1] <= macs
    assert best > 0


@pytest.mark.parametrize("seed", range(20))
def test_both_keep_their_budgets(seed: int) -> None:
    network = prepared(seed)
    given = information(network, seed)
    method = Method(("niti-static", "niti-dynamic", "priot")[seed % 3])  # type: ignore[arg-type]
    weighted = tuple(index for index, layer in enumerate(network.layers) if layer.has_weights)
    whole = solvers.cost(network, method, Selection.whole(network, weighted), bool(seed % 2), False)
    for solver in solvers.SOLVERS:
        for share in (2, 3, 6):
            budgets = whole[0] - (whole[0] // 5 if share > 2 else 0), max(whole[1] // share, 1)
            try:
                found = select(network, method, given, solver, 400, *budgets, bool(seed % 2))
            except BudgetError as error:
                assert error.least_bytes > budgets[0] or error.least_macs > budgets[1] or share > 2
                continue
            assert (found.bytes, found.macs) == solvers.cost(
                network, method, found.selection, bool(seed % 2), False
            )
            assert found.bytes <= budgets[0] and found.macs <= budgets[1]
            found.selection.check(network)
            Trainer(network, method, found.selection)


def test_budgets_above_the_units_are_kept_too() -> None:
    """129 MACs are 64 units of 2, so no more than 128 are spent."""
    network = linears(1, 43, 1, 1, 2)
    given = constant(network, 0, 1 << 40, 1, 1)
    problem = Problem(network, STATIC, given, 1000)
    for macs in range(40, 140):
        found = problem.true_cost(PLENTY, macs)
        assert not found or problem.cost(found)[1] <= macs


def test_true_cost_gives_bytes_back_by_value() -> None:
    network = linears(6, 6, 6, 6)
    problem = Problem(network, STATIC, information(network, 3), 1000, lean=True)
    values = problem.values()
    every = problem.true_cost(PLENTY, PLENTY)
    assert every == [0, 1, 2]
    size = problem.cost(every)[0]
    least = min(every, key=lambda index: values[index])
    assert problem.true_cost(size, PLENTY) == every
    assert problem.true_cost(size - 1, PLENTY) == [one for one in every if one != least]
    assert problem.true_cost(1, PLENTY) == []


def test_equal_values_go_to_the_earlier_answer() -> None:
    """Of two layers apart from each other that are worth the same, one is within the budget."""
    network = linears(2, 2, 2)
    problem = Problem(network, STATIC, constant(network, 1, 1), 1000)
    values = problem.values()
    assert max(values.values()) == 1 << 24
    # Layer 0 takes 4 and the error of layer 1, layer 1 takes 4.
    assert problem.true_cost(PLENTY, 4) == [1]
    assert problem.true_cost(PLENTY, 7) == [1]
    assert problem.true_cost(PLENTY, 8) == [0 if values[0] >= values[1] else 1]
    assert problem.true_cost(PLENTY, 12) == [0, 1]


def test_of_equal_values_the_earlier_is_given_back() -> None:
    network = linears(2, 2, 2)
    problem = Problem(network, STATIC, constant(network, 16, 1), 1000, lean=True)
    assert len(set(problem.values().values())) == 1
    both = problem.cost((0, 1))[0]
    assert problem.true_cost(both, PLENTY) == [0, 1]
    assert problem.true_cost(both - 1, PLENTY) == [1]


def test_errors_that_a_layer_needs() -> None:
    network = linears(4, 4, 4, 4)
    problem = Problem(network, STATIC, constant(network, 1, 1, 1), 1000)
    assert [problem.errors(index) for index in range(3)] == [{1: 16, 2: 16}, {2: 16}, {}]
    assert operations(network, STATIC, problem.selection((2,)))[4:] == [("update", 2)]


def test_nothing_fits() -> None:
    network = linears(8, 12, 6, 4)
    given = information(network, 1)
    alone = [Problem(network, STATIC, given, 250).cost((index,)) for index in range(3)]
    least = min(one[0] for one in alone), min(one[1] for one in alone)
    for solver in solvers.SOLVERS:
        for budgets in ((1, PLENTY), (PLENTY, 1)):
            with pytest.raises(BudgetError, match="no layer is worth its place") as caught:
                select(network, STATIC, given, solver, 250, *budgets)
            assert (caught.value.least_bytes, caught.value.least_macs) == least
        # Nothing was seen, so nothing is worth anything.
        with pytest.raises(BudgetError):
            select(network, STATIC, constant(network, 0, 0, 0), solver, 250, PLENTY, PLENTY)


def test_what_no_solver_answers() -> None:
    network = linears(3, 2)
    given = information(network, 0)
    for arguments, sentence in (
        ((STATIC, "best", 1, 1, 1), "solver is 'best', not one of greedy, true-cost"),
        ((Method("priot-s"), "greedy", 1, 1, 1), "method priot-s takes no selection, niti-dyn"),
        ((STATIC, "greedy", 0, 1, 1), "permille is 0, outside 1..1000"),
        ((STATIC, "greedy", 1, 0, 1), "the budget of bytes is 0, outside 1..4294967295"),
        ((STATIC, "true-cost", 1, 1, 1 << 32), "the budget of MACs is 4294967296, outside"),
    ):
        method, *rest = arguments
        with pytest.raises(ValueError, match=sentence):
            select(network, method, given, *rest)  # type: ignore[arg-type]
