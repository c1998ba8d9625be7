"""Limits on costs: what exceeds them, and whether they can be met at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from picotrain.errors import UserError
from picotrain.shrink.costs import Cost


@dataclass(frozen=True)
class Limit:
    """The most that a cost may be."""

    cost: Cost
    most: float

    @property
    def option(self) -> str:
        return f"--{self.cost.name}"

    def excess(self, counts: Sequence[int]) -> float:
        """By how much it is exceeded; 0 if it is met."""
        return max(0.0, self.cost.value(counts) - self.most)

    def guide(self, counts: Sequence[int]) -> float:
        """The same by what training goes by."""
        return max(0.0, self.cost.guide(counts) - self.most)


Limits = tuple[Limit, ...]


def met(limits: Limits, counts: Sequence[int]) -> bool:
    return not any(one.excess(counts) for one in limits)


def check(limits: Limits, name: str) -> None:
    """Raise UserError where no number of channels meets a limit. Of a cost that is only known when
    it is measured nothing is said."""
    failures = []
    for limit in limits:
        if not limit.cost.known:
            continue
        least = limit.cost.least()
        if least > limit.most:
            failures.append(
                f"{limit.option} {_number(limit.most)} cannot be met: the smallest reachable value "
                f"is {_number(least)} {limit.cost.unit}"
            )
    if failures:
        raise UserError(
            f"{'; '.join(failures)}, of {name} with one channel wherever channels can be removed; "
            "allow more, or use another network"
        )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
