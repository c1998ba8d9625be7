"""Methods as users name them: defaults, and the command-line options that change them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import get_args

from picotrain.errors import UserError
from picotrain_golden import Method, MethodName

NAMES: tuple[str, ...] = get_args(MethodName)


@dataclass(frozen=True)
class Defaults:
    """Our choice where the papers are silent, made on validation images (docs/results.md)."""

    mu: tuple[int, ...]
    theta: int = 0
    start: str = "zero"


DEFAULTS = {
    "infer": Defaults((0,)),
    "niti-dynamic": Defaults((1,)),
    "niti-static": Defaults((1,)),
    "priot": Defaults((4, 3, 2), theta=-16),
    "priot-s": Defaults((5, 4, 3, 2)),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of one method, `--method` and `--seed` excepted."""
    group = parser.add_argument_group("method (defaults depend on --method)")
    group.add_argument(
        "--mu", metavar="N[,N...]", help="step size -8..7, or a schedule spread over the epochs"
    )
    group.add_argument("--threshold", type=int, metavar="N", help="PRIOT: prune scores below N")
    group.add_argument(
        "--scored", type=float, default=0.1, metavar="SHARE", help="PRIOT-S: share of scored edges"
    )
    group.add_argument(
        "--select", choices=("random", "weight"), default="weight", help="PRIOT-S: which edges"
    )
    group.add_argument("--start", choices=("zero", "normal"), help="PRIOT: first scores")
    group.add_argument(
        "--easy",
        type=int,
        default=0,
        metavar="N",
        help="images whose loss norm is at most N teach nothing, 0..4095 (%(default)s)",
    )


def numbers(text: str, option: str, example: str) -> tuple[int, ...]:
    """The whole numbers in "5,4,3,2", the text of an option."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"{option} {text!r} is no list of whole numbers; use e.g. {example}"
        ) from None


def schedule(text: str) -> tuple[int, ...]:
    """A mu schedule from its text, "3" or "5,4,3,2"."""
    return numbers(text, "--mu", "3 or 5,4,3,2")


def layer_mu(text: str) -> tuple[int, ...]:
    """What each layer with weights adds to mu, from its text, "0,0,1,0"; empty: nothing."""
    return numbers(text, "--layer-mu", "0,0,1,0") if text else ()


def from_options(options: argparse.Namespace, name: str) -> tuple[Method, tuple[int, ...]]:
    """The method and its mu schedule. Raises UserError for values out of range."""
    if name not in NAMES:
        raise UserError(f"unknown method {name!r}; use one of {', '.join(NAMES)}")
    defaults = DEFAULTS[name]
    mu = schedule(options.mu) if options.mu is not None else defaults.mu
    permille = round(options.scored * 1000)
    if not 0.001 <= options.scored <= 1:
        raise UserError(f"--scored {options.scored} is no share; use 0.001 to 1, e.g. 0.1 for 10 %")
    try:
        for value in mu:
            Method("priot", mu=value)
        method = Method(
            name,  # type: ignore[arg-type]
            mu=mu[0],
            theta=defaults.theta if options.threshold is None else options.threshold,
            permille=permille,
            select=options.select,
            start=options.start or defaults.start,  # type: ignore[arg-type]
            seed=options.seed,
            easy=options.easy,
        )
    except ValueError as error:
        raise UserError(f"method {name}: {error}") from None
    return method, mu
