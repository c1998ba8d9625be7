"""What a sweep came to: a table, the front, and the cell that validation images choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from picotrain.shrink.depth.kept import Outcome
from picotrain.text import table

COSTS = ("ms", "flash", "ram")
LOSS = 0.01
"""Of validation accuracy, that the chosen cell may lose."""
_HEADER = (
    *("cut", "head", "tail", "parameters", "MACs", "flash", "RAM", "ms", "faster", "smaller"),
    *("float", "int8", "test", "front"),
)


def cost(outcome: Outcome, name: str) -> float | None:
    """Of a cell; None where it was not measured."""
    taken = outcome["taken"]
    found: float | None = None if taken is None else taken[name]
    return found


def front(outcomes: Sequence[Outcome], name: str) -> list[Outcome]:
    """Those that no other one beats: cheaper by this cost, and as often right on validation images;
    the cheapest first."""
    measured = sorted(
        (one for one in outcomes if cost(one, name) is not None),
        key=lambda one: (cost(one, name) or 0, -one["validation"]),
    )
    found: list[Outcome] = []
    for one in measured:
        if not found or one["validation"] > found[-1]["validation"]:
            found.append(one)
    return found


def choice(outcomes: Sequence[Outcome], whole: Outcome, loss: float = LOSS) -> Outcome:
    """Of the cells that lose at most `loss` on validation images the fastest one, or where no time
    was measured the smallest; if there is none, that with the highest accuracy there. Of cells that
    the target has no room for none is chosen, unless there is no other."""
    able = [one for one in outcomes if one["taken"] is not None] or list(outcomes)
    near = [one for one in able if one["validation"] >= whole["validation"] - loss]
    for name in COSTS:
        if near and all(cost(one, name) is not None for one in near):
            return front(near, name)[0]
    return max(able, key=lambda one: one["validation"])


def rows(outcomes: Sequence[Outcome], whole: Outcome) -> list[list[str]]:
    """The whole network, then the cells; `faster` and `smaller` (in flash) are ratios to it."""
    best = {one["name"] for name in ("ms", "flash") for one in front([whole, *outcomes], name)}
    return [_row(one, whole, one["name"] in best) for one in (whole, *outcomes)]


def told(outcomes: Sequence[Outcome], whole: Outcome) -> str:
    return table(rows(outcomes, whole), _HEADER)


def _row(one: Outcome, whole: Outcome, best: bool) -> list[str]:
    def number(name: str, form: Callable[[float], str]) -> str:
        found = cost(one, name)
        return "" if found is None else form(found)

    def ratio(name: str) -> str:
        mine, whole_one = cost(one, name), cost(whole, name)
        return "" if not mine or whole_one is None else f"{whole_one / mine:.2f}"

    return [
        one["cut"] or "-",
        one["head"] or "-",
        one["tail"],
        f"{one['parameters']:,}",
        f"{one['macs']:,}",
        number("flash", lambda value: f"{value:,.0f}"),
        number("ram", lambda value: f"{value:,.0f}"),
        number("ms", lambda value: f"{value:.2f}"),
        ratio("ms"),
        ratio("flash"),
        f"{one['float_validation']:.4f}",
        f"{one['validation']:.4f}",
        f"{one['test']:.4f}",
        "*" if best else "",
    ]
