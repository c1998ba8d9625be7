"""Limits on costs: what exceeds them, and whether they can be met at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from picotrain.errors import UserError
from picotrain.shrink.costs import Cost
from picotrain.shrink.groups import Groups


@dataclass(frozen=True)
class Limit:
    """The most that a cost may be; `given`, or all that the device has."""

    cost: Cost
    most: float
    given: bool = True

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


def check(limits: Limits, name: str, measured: bool = False) -> None:
    """Raise UserError where no number of channels meets a limit. Of a cost that is only known when
    it is measured nothing is said before it is."""
    known = [one for one in limits if measured or one.cost.known]
    unmet = [one for one in known if one.cost.least() > one.most]
    if unmet:
        groups = unmet[0].cost.groups
        raise UserError(
            f"{'; '.join(_refusal(one) for one in unmet)}, of {name}{_how_small(groups)}; "
            + ("allow more, or " if any(one.given for one in unmet) else "")
            + "use another network"
        )


def _refusal(limit: Limit) -> str:
    what = f"{limit.option} {_number(limit.most)} cannot be met"
    if not limit.given:
        unit, name = limit.cost.unit, limit.cost.name.replace("ram", "RAM")
        what = f"the {_number(limit.most)} {unit} of {name} that the device has are not enough"
    # Rounded up, so that what is said can be given.
    least = _number(math.ceil(1000 * (1 + limit.cost.varies) * limit.cost.least()) / 1000)
    return f"{what}: the smallest reachable value is {least} {limit.cost.unit}"


def _how_small(groups: Groups) -> str:
    if not any(groups.free):
        return ", of which no channel can be removed"
    return " with one channel wherever channels can be removed"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.9g}"
