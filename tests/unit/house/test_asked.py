"""Numbers that runners of campaigns are given: the good ones, and what is said of others."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from reliability import asked


def test_numbers() -> None:
    assert (asked.count("20"), asked.more_than_nothing("0.2"), asked.share("1")) == (20, 0.2, 1.0)


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (asked.count, ["0", "-3", "2.5", "x", ""]),
        (asked.more_than_nothing, ["0", "-1", "nan", "inf", "x"]),
        (asked.share, ["0", "2", "nan"]),
    ],
)
def test_what_is_none(read: Callable[[str], float], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ArgumentTypeError, match=f"^{text} is "):
            read(text)
