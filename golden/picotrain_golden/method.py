"""What is learned and how: docs/numerics.md section 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from picotrain_golden.generator import Select

MethodName = Literal["infer", "niti-dynamic", "niti-static", "priot", "priot-s"]
Start = Literal["zero", "normal"]

MIN_MU, MAX_MU = -8, 7
MAX_EASY = 4095


def check_mu(mu: int) -> None:
    if not MIN_MU <= mu <= MAX_MU:
        raise ValueError(f"mu is {mu}, outside {MIN_MU}..{MAX_MU}")


@dataclass(frozen=True)
class Method:
    """A training method. What it does not use is ignored: `theta` by NITI, `permille` by PRIOT.

    `easy`: an image whose loss norm is at most this teaches nothing.
    """

    name: MethodName
    mu: int = 3
    theta: int = 0
    permille: int = 100
    select: Select = "weight"
    start: Start = "zero"
    seed: int = 0
    easy: int = 0

    def __post_init__(self) -> None:
        for what, value, allowed in (
            ("method", self.name, get_args(MethodName)),
            ("select", self.select, get_args(Select)),
            ("start", self.start, get_args(Start)),
        ):
            if value not in allowed:
                raise ValueError(f"{what} is {value!r}, not one of {', '.join(allowed)}")
        check_mu(self.mu)
        if not -127 <= self.theta <= 127:
            raise ValueError(f"theta is {self.theta}, outside -127..127")
        if not 1 <= self.permille <= 1000:
            raise ValueError(f"permille is {self.permille}, outside 1..1000")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed is {self.seed}, outside 0..2^32-1")
        if not 0 <= self.easy <= MAX_EASY:
            raise ValueError(f"easy is {self.easy}, outside 0..{MAX_EASY}")

    @property
    def dynamic(self) -> bool:
        """Scales from each tensor's range, not from calibration."""
        return self.name == "niti-dynamic"

    @property
    def trains(self) -> bool:
        return self.name != "infer"

    @property
    def scored(self) -> bool:
        """Scores learn, weights do not."""
        return self.name in ("priot", "priot-s")
