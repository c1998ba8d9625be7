"""Numbers that are given to the runners of campaigns."""

from __future__ import annotations

from argparse import ArgumentTypeError
from math import isfinite


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
