"""What is updated on a task: the schemes that are compared, with their budgets and rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from picotrain.errors import UserError
from picotrain_golden import Information, Method, Network, Selection
from picotrain_golden.sparse.solvers import cost

Name = Literal[
    "none", "last-layer", "full", "sparse-update", "tinytrain", "true-cost", "random", "l2"
]
NAMES: tuple[Name, ...] = get_args(Name)
BUDGETED: tuple[Name, ...] = NAMES[3:]

Rule = Literal["niti-static", "priot"]
RULES: tuple[Rule, ...] = get_args(Rule)
SHORT: dict[str, str] = {"niti-static": "NITI", "priot": "PRIOT"}


@dataclass(frozen=True)
class Scheme:
    """`none` updates nothing: the head from prototypes alone, which `last-layer` updates and `full`
    does not. These have no budget; of the others `share` is their part of the MACs of full's
    backward pass, and they leave the head alone too.

    `tinytrain` takes layers in the published order, `true-cost` by dynamic programming, both the
    channels of the largest Fisher information. `random` and `l2` take the layers and the numbers of
    channels of `tinytrain`, but channels drawn, or those of the largest weights. `sparse-update`
    has one selection for all tasks, found on tasks of the domain that is tuned on.
    """

    name: Name
    rule: Rule = "niti-static"
    share: float = 0.0

    @property
    def kind(self) -> str:
        """Schemes of one kind have the same step sizes: all that have a budget are."""
        name = "sparse" if self.name in BUDGETED else self.name
        return f"{name} {SHORT[self.rule]}"

    @property
    def label(self) -> str:
        rule = "" if self.name == "none" else f" {SHORT[self.rule]}"
        return f"{self.name}{rule}" + (f" {self.share:g}" if self.share else "")


def all_schemes(
    names: Sequence[str], rules: Sequence[str], shares: Sequence[float]
) -> list[Scheme]:
    """Every scheme with every rule and budget that it has. UserError for a name that is none."""
    for what, given, known in (("scheme", names, NAMES), ("rule", rules, RULES)):
        for one in given:
            if one not in known:
                raise UserError(f"{what} {one!r} is none; use {', '.join(known)}")
    for share in shares:
        if not 0 < share <= 1:
            raise UserError(
                f"a budget is a share of full's MACs, and {share:g} is none; use 0 to 1"
            )
    made: list[Scheme] = []
    for name in NAMES:
        if name not in names:
            continue
        if name == "none":
            made.append(Scheme(name))
            continue
        for rule in RULES:
            if rule in rules:
                budgets = shares if name in BUDGETED else (0.0,)
                made += [Scheme(name, rule, share) for share in budgets]
    return list(dict.fromkeys(made))


def everything(network: Network) -> Selection:
    """What `full` updates: every layer but the head."""
    return Selection.whole(network, tuple(range(len(network.layers) - 1)))


def costs(network: Network, method: Method, selection: Selection) -> tuple[int, int]:
    """Bytes and MACs of a selection, the network in flash and its head made on the device."""
    return cost(network, method, selection, lean=True, head=True)


def budget(network: Network, method: Method, share: float) -> int:
    """MACs: a share of what `full` takes."""
    return max(1, int(share * costs(network, method, everything(network))[1]))


def with_other_rows(
    network: Network, like: Selection, by: Literal["random", "l2"], random: np.random.Generator
) -> Selection:
    """As many rows of each layer as `like` has: drawn, or those of the largest weights."""
    chosen: list[NDArray[np.bool_] | None] = []
    for index, rows in enumerate(like.rows):
        if rows is None:
            chosen.append(None)
            continue
        count = int(rows.sum())
        if by == "random":
            order = random.permutation(rows.size)
        else:
            weights = network.of(index).weights.astype(np.int64)
            order = np.argsort(-(weights * weights).sum(axis=1), kind="stable")
        made = np.zeros(rows.size, np.bool_)
        made[order[:count]] = True
        chosen.append(made)
    return Selection(tuple(chosen))


def without_head(selection: Selection) -> Selection:
    """Rows of the head stay prototypes, unless no other layer has a selected row: those that learn
    image by image drift towards the classes that came last."""
    head = selection.rows[-1]
    assert head is not None
    if not any(rows is not None and rows.any() for rows in selection.rows[:-1]):
        return selection
    return Selection((*selection.rows[:-1], np.zeros(head.size, np.bool_)))


def for_ways(fixed: Selection, ways: int) -> Selection:
    """A selection of a network with another head, for one of `ways`: all rows of a head that has a
    selected one."""
    head = fixed.rows[-1]
    assert head is not None
    return Selection((*fixed.rows[:-1], np.full(ways, bool(head.any()))))


def added(information: Sequence[Information]) -> Information:
    """The sum of what several tasks gathered for networks of one shape."""
    total = []
    for layer in zip(*information, strict=True):
        known = [one for one in layer if one is not None]
        # Half of the range is for one task alone; sums of tasks may pass it.
        total.append(
            np.minimum(sum(one.astype(object) for one in known), (1 << 64) - 1).astype(np.uint64)
            if known
            else None
        )
    return tuple(total)
