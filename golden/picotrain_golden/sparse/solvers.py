"""From Fisher information and budgets to a selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.method import Method
from picotrain_golden.network import Network
from picotrain_golden.plan import operations, plan
from picotrain_golden.sparse.fisher import LARGEST, Information, error_scales, halvings
from picotrain_golden.sparse.selection import Selection

Solver = Literal["greedy", "true-cost"]
SOLVERS: tuple[Solver, ...] = get_args(Solver)

UNITS = 128
"""In which the true-cost solver counts its budget."""
MOST = (1 << 32) - 1
"""Bytes and MACs of a budget; more count as so many."""
_VALUE_BITS = 24

Number = tuple[int, int]
"""m and e of m * 2^e, m in 2^31..2^32-1; (0, 0) is 0."""
ZERO: Number = (0, 0)


def leading(x: int, exponent: int = 0) -> Number:
    """`R(x) * 2^exponent`: the leading 32 bits of an integer."""
    if not x:
        return ZERO
    drop = x.bit_length() - 32
    return (x >> drop if drop >= 0 else x << -drop), exponent + drop


def times(a: Number, b: Number) -> Number:
    return leading(a[0] * b[0], a[1] + b[1])


def over(a: Number, b: Number) -> Number:
    """b is not 0."""
    return leading((a[0] << 32) // b[0], a[1] - b[1] - 32)


def order(a: Number) -> tuple[bool, int, int]:
    """What numbers are compared by."""
    return a[0] > 0, a[1], a[0]


@dataclass(frozen=True)
class Selected:
    """A selection, and what its plan takes: bytes of copies, scores and transient buffers, and the
    MACs of a step's backward pass."""

    selection: Selection
    bytes: int
    macs: int


class BudgetError(ValueError):
    """Nothing fits; `least_bytes` and `least_macs` are the least that a layer alone would take."""

    def __init__(self, least_bytes: int, least_macs: int) -> None:
        super().__init__(
            f"no layer is worth its place within the budgets; the smallest alone takes "
            f"{least_bytes:,} bytes, and the one with the least to compute {least_macs:,} MACs"
        )
        self.least_bytes, self.least_macs = least_bytes, least_macs


def cost(
    network: Network, method: Method, selection: Selection, lean: bool, head: bool
) -> tuple[int, int]:
    """Bytes and MACs of a selection."""
    # A blob of 8 bytes stands for one that is in the arena: it is no part of the bytes.
    blob = 0 if lean else 8
    planned = plan(network, method, blob, selection, head)
    size = planned.scores + planned.transient + (planned.blob if lean else 0)
    macs = 0
    for kind, index in operations(network, method, selection):
        layer = network.layers[index]
        if kind == "error" and layer.has_weights:
            macs += layer.macs
        elif kind == "update":
            macs += layer.positions * layer.row_length * selection.count(index)
    return size, min(macs, MOST)


def largest_rows(information: NDArray[np.uint64], permille: int) -> NDArray[np.bool_]:
    """The rows with the largest D, ties to the lower row; bool [rows]."""
    values = information.tolist()
    count = max(1, -(-len(values) * permille // 1000))
    ordered = sorted(range(len(values)), key=lambda row: -values[row])
    rows = np.zeros(len(values), np.bool_)
    rows[ordered[:count]] = True
    return rows


def check(
    method: Method, solver: Solver, permille: int, budget_bytes: int, budget_macs: int
) -> None:
    """Raise ValueError, in one sentence, for what no solver can answer."""
    if solver not in SOLVERS:
        raise ValueError(f"solver is {solver!r}, not one of {', '.join(SOLVERS)}")
    if not method.selects:
        raise ValueError(
            f"method {method.name} takes no selection, niti-dynamic, niti-static and priot do"
        )
    for what, value, low, high in (
        ("permille", permille, 1, 1000),
        ("the budget of bytes", budget_bytes, 1, MOST),
        ("the budget of MACs", budget_macs, 1, MOST),
    ):
        if not low <= value <= high:
            raise ValueError(f"{what} is {value}, outside {low}..{high}")


def select(
    network: Network,
    method: Method,
    information: Information,
    solver: Solver,
    permille: int,
    budget_bytes: int,
    budget_macs: int,
    lean: bool = False,
    head: bool = False,
) -> Selected:
    """The rows that a method is to update. ValueError for what no solver can answer, BudgetError
    where nothing fits."""
    check(method, solver, permille, budget_bytes, budget_macs)
    problem = Problem(network, method, information, permille, lean, head)
    layers = (
        problem.greedy(budget_bytes, budget_macs)
        if solver == "greedy"
        else problem.true_cost(budget_bytes, budget_macs)
    )
    if not layers:
        alone = [problem.cost((index,)) for index in problem.weighted]
        raise BudgetError(min(one[0] for one in alone), min(one[1] for one in alone))
    return Selected(problem.selection(layers), *problem.cost(layers))


class Problem:
    """What both solvers know of the layers of a network."""

    def __init__(
        self,
        network: Network,
        method: Method,
        information: Information,
        permille: int,
        lean: bool = False,
        head: bool = False,
    ) -> None:
        self._network, self._method, self._lean, self._head = network, method, lean, head
        self._information = information
        self.weighted = [i for i, layer in enumerate(network.layers) if layer.has_weights]
        self._rows = tuple(
            None if one is None else largest_rows(one, permille) for one in information
        )
        scales = error_scales(network)
        self._unit_of_error = {
            index: leading(
                scales[index][0] ** 2,
                2 * (scales[index][1] - 15) + 2 * halvings(network.layers[index]),
            )
            for index in self.weighted
        }

    def selection(self, layers: Sequence[int]) -> Selection:
        return Selection(
            tuple(
                None if rows is None else rows & (index in layers)
                for index, rows in enumerate(self._rows)
            )
        )

    def cost(self, layers: Sequence[int]) -> tuple[int, int]:
        return cost(self._network, self._method, self.selection(layers), self._lean, self._head)

    def _sum(self, index: int, chosen: bool) -> Number:
        """`R(sum D) * X`, over all rows or the chosen ones."""
        information, rows = self._information[index], self._rows[index]
        assert information is not None and rows is not None
        values = information[rows] if chosen else information
        total = min(sum(values.tolist()), LARGEST)
        return times(leading(total), self._unit_of_error[index])

    def score(self, index: int) -> Number:
        """What the paper orders layers by."""
        layer = self._network.layers[index]
        spent = leading(layer.weight_count * layer.macs)
        return over(self._sum(index, chosen=False), spent)

    def greedy(self, budget_bytes: int, budget_macs: int) -> list[int]:
        scores = {index: self.score(index) for index in self.weighted}
        # sorted() is stable also in reverse: equals keep the order of the layers.
        ordered = sorted(self.weighted, key=lambda index: order(scores[index]), reverse=True)
        taken: list[int] = []
        for index in ordered:
            if not scores[index][0]:
                continue
            size, macs = self.cost([*taken, index])
            if size <= budget_bytes and macs <= budget_macs:
                taken.append(index)
        return sorted(taken)

    def values(self) -> dict[int, int]:
        """`V` of each layer with weights."""
        sums = {index: self._sum(index, chosen=True) for index in self.weighted}
        largest = max(sums.values(), key=order)
        result = {}
        for index, (m, e) in sums.items():
            # The largest has the largest exponent, so this is a shift to the right.
            quotient = (m << 32) // largest[0] if largest[0] else 0
            result[index] = quotient >> (32 - _VALUE_BITS + largest[1] - e) if m else 0
        return result

    def errors(self, index: int) -> dict[int, int]:
        """`E` of a layer: the layers with weights whose error operation runs if rows of it alone
        are selected, with their MACs."""
        layers = self._network.layers
        steps = operations(self._network, self._method, self.selection((index,)))
        return {
            number: layers[number].macs
            for kind, number in steps
            if kind == "error" and layers[number].has_weights
        }

    def true_cost(self, budget_bytes: int, budget_macs: int) -> list[int]:
        unit = -(-budget_macs // UNITS)
        chain = _Chain(self, unit, budget_macs // unit)
        layers = chain.best()
        values = self.values()
        while layers and self.cost(layers)[0] > budget_bytes:
            layers.remove(min(layers, key=lambda index: (values[index], index)))
        return layers

    def update_macs(self, index: int) -> int:
        layer, rows = self._network.layers[index], self._rows[index]
        assert rows is not None
        return layer.positions * layer.row_length * int(np.count_nonzero(rows))


class _Chain:
    """The dynamic program: the best value of a chain of layers that begins at one, by budget."""

    def __init__(self, problem: Problem, unit: int, budget: int) -> None:
        self._budget = budget
        self._errors = {index: problem.errors(index) for index in problem.weighted}
        self._unit = unit
        self._update = {i: self._units(problem.update_macs(i)) for i in problem.weighted}
        values = problem.values()
        self._best: dict[tuple[int, int], int] = {}
        self._next: dict[tuple[int, int], int | None] = {}
        self._worthy = [index for index in problem.weighted if values[index]]
        for index in reversed(self._worthy):
            steps = self._steps(index)
            for b in range(budget + 1):
                found = self._after(steps, b - self._update[index])
                if found is not None:
                    more, following = found
                    self._best[index, b] = values[index] + more
                    self._next[index, b] = following

    def _units(self, macs: int) -> int:
        return -(-macs // self._unit)

    def _beyond(self, index: int, following: int | None) -> int:
        """`e(l, j)`, and `e(l)` without a following layer."""
        there = {} if following is None else self._errors[following]
        mine = self._errors[index].items()
        return self._units(sum(macs for number, macs in mine if number not in there))

    def _steps(self, index: int) -> list[tuple[int | None, int]]:
        """What may follow a layer, nothing first, with what its errors then take."""
        later: list[int | None] = [None, *(j for j in self._worthy if j > index)]
        return [(following, self._beyond(index, following)) for following in later]

    def _after(
        self, steps: list[tuple[int | None, int]], left: int
    ) -> tuple[int, int | None] | None:
        """The best that can follow, and its first layer; None where not even nothing fits."""
        found: tuple[int, int | None] | None = None
        for following, taken in steps:
            value: int | None
            if following is None:
                value = 0 if taken <= left else None
            else:
                value = self._best.get((following, left - taken))
            if value is not None and (found is None or value > found[0]):
                found = value, following
        return found

    def best(self) -> list[int]:
        """The layers of the best chain; empty where none fits."""
        first: int | None = None
        for index in self._worthy:
            value = self._best.get((index, self._budget), 0)
            if value > (0 if first is None else self._best[first, self._budget]):
                first = index
        layers: list[int] = []
        left, at = self._budget, first
        while at is not None:
            layers.append(at)
            following = self._next[at, left]
            if following is not None:
                left -= self._update[at] + self._beyond(at, following)
            at = following
        return layers
