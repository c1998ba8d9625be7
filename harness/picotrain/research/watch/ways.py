"""The ways to adapt, and what may be chosen of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from picotrain_golden import Method, MethodName, Network, Selection
from picotrain_golden.sparse.solvers import MOST, Solver, cost

SOLVER: Solver = "true-cost"
SHARES = (7, 3)
"""A TinyTrain's backward pass has at most the full one's MACs over this."""
BYTES = MOST
"""Its budget of memory: as much as there is."""


Rows = Literal["fisher", "random", "l2", "fixed"]


@dataclass(frozen=True)
class Search:
    """Rows are selected on the device by their Fisher information on the support windows, at most
    `permille` of each layer's, within the full backward pass's MACs over `share`.

    "random" and "l2" keep the layers and numbers of rows of this, but draw the rows, or take those
    of the largest weights. "fixed" rows are the same for everyone whom a network meets: those that
    the information of the validating people selects.
    """

    share: int
    permille: int
    rows: Rows = "fisher"


@dataclass(frozen=True)
class Way:
    """One setting of one method, whose schedule is spread over the epochs. Of what `learns` the
    rows do: those of "all" layers, of the "last" one, or those that a search finds."""

    method: Method
    epochs: int
    learns: str | Search = "all"

    @property
    def permille(self) -> int | None:
        return self.learns.permille if isinstance(self.learns, Search) else None


EPOCHS = (5, 20)
_NITI = ((4, 3, 2), (3, 2, 1), (2, 1, 0), (0, -1, -2))
_PRIOT = ((7, 6, 5, 4), (5, 4, 3, 2), (4, 3, 2, 1), (3, 2, 1, 0))
_THETA = -64
_PERMILLE = (500, 1000)
_RULES: dict[str, MethodName] = {"NITI": "niti-static", "PRIOT": "priot"}


def _ways(
    name: MethodName, learns: Sequence[str | Search] = ("all",), permille: int = 100
) -> tuple[Way, ...]:
    schedules = _NITI if name == "niti-static" else _PRIOT
    return tuple(
        Way(Method(name, mu=mu[0], later_mu=mu[1:], theta=_THETA, permille=permille), epochs, rows)
        for rows in learns
        for mu in schedules
        for epochs in EPOCHS
    )


def _tiny(name: MethodName, share: int, rows: Rows = "fisher") -> tuple[Way, ...]:
    return _ways(name, [Search(share, permille, rows) for permille in _PERMILLE])


_OTHER_ROWS: dict[str, Rows] = {"sparse-update": "fixed", "random": "random", "l2": "l2"}


CANDIDATES: dict[str, tuple[Way, ...]] = {
    "last layer": _ways("niti-static", ["last"]),
    "NITI static": _ways("niti-static"),
    "PRIOT": _ways("priot"),
    "PRIOT-S 10 %": _ways("priot-s"),
    "PRIOT-S 20 %": _ways("priot-s", permille=200),
    **{
        f"TinyTrain 1/{share}, {rule}": _tiny(name, share)
        for share in SHARES
        for rule, name in _RULES.items()
    },
    **{
        f"{label} 1/{SHARES[0]}, NITI": _tiny("niti-static", SHARES[0], rows)
        for label, rows in _OTHER_ROWS.items()
    },
}
"""Of which validating people choose: step sizes, epochs and, where a search is made, rows of a
layer."""


def last_rows(network: Network) -> Selection:
    return Selection.whole(network, (len(network.layers) - 1,))


def backward_macs(network: Network, selection: Selection | None) -> int:
    """Of a step with an error: error and update operations, no zero left out."""
    every = Selection.whole(network, tuple(range(len(network.layers))))
    rows = every if selection is None else selection
    return cost(network, Method("niti-static"), rows, lean=True, head=False)[1]
