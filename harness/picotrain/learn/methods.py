"""Methods as users name them: the command-line options that change their defaults."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from picotrain.errors import UserError
from picotrain_golden import Method, MethodName
from picotrain_golden.generator import Select
from picotrain_golden.method import Start

NAMES: tuple[str, ...] = get_args(MethodName)
DEFAULT = Method("priot")
"""Where no method is named."""
_OF_SCORES = ("priot", "priot-s")
_USED_BY = {
    "threshold": _OF_SCORES,
    "start": _OF_SCORES,
    "scored": ("priot-s",),
    "select": ("priot-s",),
}
"""Options that other methods do not have."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of one method, `--method` and `--seed` excepted."""
    group = parser.add_argument_group("method (without a default here: it depends on --method)")
    group.add_argument(
        "--mu", metavar="N[,N...]", help="step size -8..7, or a schedule spread over the epochs"
    )
    group.add_argument("--threshold", type=int, metavar="N", help="PRIOT: prune scores below N")
    group.add_argument(
        "--scored",
        type=float,
        metavar="SHARE",
        help=f"PRIOT-S: share of the edges that are scored (default: {Method.permille / 1000:g})",
    )
    group.add_argument(
        "--select",
        choices=get_args(Select),
        help=f"PRIOT-S: which edges (default: {Method.select})",
    )
    group.add_argument(
        "--start", choices=get_args(Start), help=f"PRIOT: first scores (default: {Method.start})"
    )
    group.add_argument(
        "--easy",
        type=int,
        metavar="N",
        help=f"images whose loss norm is at most N teach nothing, 0..4095 (default: {Method.easy})",
    )


def add_fused(parser: argparse.ArgumentParser) -> None:
    """The option of what chooses a memory plan."""
    parser.add_argument(
        "--fused",
        action="store_true",
        help="convolution, ReLU and pooling as one operation where they follow each other: less "
        "memory, the same results (chains of the power-of-two form; all methods but niti-dynamic)",
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


def check_used(options: argparse.Namespace, *names: str) -> None:
    """Raise UserError for an option that was given and is of none of these methods."""
    for option, users in _USED_BY.items():
        if getattr(options, option) is not None and not {*users} & {*names}:
            raise UserError(
                f"--{option} is an option of {' and '.join(users)}, not of {', '.join(names)}; "
                "omit it"
            )


def from_options(options: argparse.Namespace, name: str) -> Method:
    """The method with the options that were given. Raises UserError for values out of range."""
    given: dict[str, Any] = {"theta": options.threshold, "seed": options.seed}
    given |= {key: getattr(options, key) for key in ("select", "start", "easy")}
    given["fused"] = getattr(options, "fused", False)
    if options.mu is not None:
        given["mu"], *later = schedule(options.mu)
        given["later_mu"] = tuple(later)
    if options.scored is not None:
        if not 0.001 <= options.scored <= 1:
            raise UserError(
                f"--scored {options.scored} is no share; use 0.001 to 1, e.g. 0.1 for 10 %"
            )
        given["permille"] = round(options.scored * 1000)
    return make(name, **{key: value for key, value in given.items() if value is not None})


def make(name: str, **given: Any) -> Method:
    """`Method`, with UserError for a name that is none and for values out of range."""
    if name not in NAMES:
        raise UserError(f"unknown method {name!r}; use one of {', '.join(NAMES)}")
    try:
        return Method(name, **given)  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(f"method {name}: {error}") from None
