"""What is given to the runners of campaigns: numbers, and mistakes that are told in a sentence."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from math import isfinite

from picotrain.errors import DeviceFailure, UserError


def told(name: str, main: Callable[[Sequence[str]], int]) -> int:
    """The status of `main` of the command line; 2 for a mistake of the user's, 1 for a device that
    fails."""
    try:
        return main(sys.argv[1:])
    except (UserError, DeviceFailure) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1


def count(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ArgumentTypeError(f"{text} is no whole number of 1 or more")
    return int(text)


def more_than_nothing(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not isfinite(number) or number <= 0:
        raise ArgumentTypeError(f"{text} is no number above 0")
    return number


def share(text: str) -> float:
    """Above 0, and 1 at most."""
    number = more_than_nothing(text)
    if number > 1:
        raise ArgumentTypeError(f"{text} is more than all of it: give a share above 0, up to 1")
    return number
