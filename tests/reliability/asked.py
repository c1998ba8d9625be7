"""Numbers that the runners of campaigns are given, beside those of `picotrain.inputs`."""

from __future__ import annotations

from argparse import ArgumentTypeError

from picotrain.inputs import positive_number, small


def jobs(text: str) -> int:
    """How many at a time; 0, as of tests, is one after another."""
    number = small(text)
    if number < 0:
        raise ArgumentTypeError(
            f"{number} is less than 0: give how many run at a time, or 0 for one after another"
        )
    return max(number, 1)


def share(text: str) -> float:
    """Above 0, and 1 at most."""
    number = positive_number(text)
    if number > 1:
        raise ArgumentTypeError(f"{text} is more than all of it: give a share above 0, up to 1")
    return number
