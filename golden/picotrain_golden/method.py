"""What is learned and how: docs/numerics.md section 6."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from picotrain_golden.generator import Select

MethodName = Literal["infer", "niti-dynamic", "niti-static", "priot", "priot-s"]
Probe = Literal["fisher", "prototype"]
"""Methods that learn nothing and gather what a sparse update is planned from (section 16)."""
Start = Literal["zero", "normal"]

MIN_MU, MAX_MU = -8, 7
MAX_EASY = 4095

_SCHEDULES: dict[str, tuple[int, ...]] = {
    "infer": (0,),
    "niti-dynamic": (1,),
    "niti-static": (1,),
    "priot": (4, 3, 2),
    "priot-s": (5, 4, 3, 2),
    "fisher": (0,),
    "prototype": (0,),
}
_THETAS = {"priot": -16, "priot-s": -16}
"""Our choice where the papers are silent, made on validation images (docs/results.md)."""
_OF_METHOD: Any = None
"""Stands in a signature for the method's own default."""


def check_mu(mu: int) -> None:
    if not MIN_MU <= mu <= MAX_MU:
        raise ValueError(f"mu is {mu}, outside {MIN_MU}..{MAX_MU}")


def _whole(what: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{what} is {value!r}; give a whole number") from None


@dataclass(frozen=True)
class Method:
    """A training method; what is left out is the default of the method of that name.

    What a method does not use is ignored: `theta` by NITI, `permille` by PRIOT. `mu` is the step
    size that it begins with; those of `later_mu` follow, spread with it over the epochs of an
    adaptation, and a `mu` that is given stays. `easy`: an image whose loss norm is at most this
    teaches nothing. `fused`: convolution, ReLU and pooling are one operation where they follow each
    other (section 17), which changes the memory plan and nothing that is learned. Raises
    ValueError, one sentence, for values that are none.
    """

    name: MethodName | Probe
    mu: int = _OF_METHOD
    theta: int = _OF_METHOD
    permille: int = 100
    select: Select = "weight"
    start: Start = "zero"
    seed: int = 0
    easy: int = 0
    later_mu: tuple[int, ...] = _OF_METHOD
    fused: bool = False

    def __post_init__(self) -> None:
        for what, value, allowed in (
            # A probe is no choice of somebody who trains.
            ("method", self.name if not self.probes else "infer", get_args(MethodName)),
            ("select", self.select, get_args(Select)),
            ("start", self.start, get_args(Start)),
        ):
            if not isinstance(value, str) or value not in allowed:
                raise ValueError(f"{what} is {value!r}, not one of {', '.join(allowed)}")
        first, *later = _SCHEDULES[self.name]
        if self.later_mu is _OF_METHOD:
            object.__setattr__(self, "later_mu", later if self.mu is _OF_METHOD else ())
        if self.mu is _OF_METHOD:
            object.__setattr__(self, "mu", first)
        if self.theta is _OF_METHOD:
            object.__setattr__(self, "theta", _THETAS.get(self.name, 0))
        for what in ("mu", "theta", "permille", "seed", "easy"):
            object.__setattr__(self, what, _whole(what, getattr(self, what)))
        if isinstance(self.later_mu, str) or not isinstance(self.later_mu, Iterable):
            raise ValueError(f"later_mu is {self.later_mu!r}; give whole numbers, such as (3, 2)")
        if not isinstance(self.fused, bool):
            raise ValueError(f"fused is {self.fused!r}; give True or False")
        steps = tuple(_whole("a step size of later_mu", mu) for mu in self.later_mu)
        object.__setattr__(self, "later_mu", steps)
        for mu in self.schedule:
            check_mu(mu)
        if not -127 <= self.theta <= 127:
            raise ValueError(f"theta is {self.theta}, outside -127..127")
        if not 1 <= self.permille <= 1000:
            raise ValueError(f"permille is {self.permille}, outside 1..1000")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed is {self.seed}, outside 0..2^32-1")
        if not 0 <= self.easy <= MAX_EASY:
            raise ValueError(f"easy is {self.easy}, outside 0..{MAX_EASY}")

    @property
    def schedule(self) -> tuple[int, ...]:
        """The step sizes in turn."""
        return (self.mu, *self.later_mu)

    @property
    def dynamic(self) -> bool:
        """Scales from each tensor's range, not from calibration."""
        return self.name == "niti-dynamic"

    @property
    def trains(self) -> bool:
        """It is given images with labels; `fisher` and `prototype` are, too."""
        return self.name != "infer"

    @property
    def probes(self) -> bool:
        return self.name in get_args(Probe)

    @property
    def goes_back(self) -> bool:
        """A step has a loss and a backward pass."""
        return self.name not in ("infer", "prototype")

    @property
    def changes_weights(self) -> bool:
        return self.name in ("niti-dynamic", "niti-static")

    @property
    def selects(self) -> bool:
        """A selection of rows limits what it updates."""
        return self.changes_weights or self.name == "priot"

    @property
    def scored(self) -> bool:
        """Scores learn, weights do not."""
        return self.name in ("priot", "priot-s")
