"""One progress bar, on standard error, so that standard output stays the result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(label: str, total: int, unit: str = "img") -> Iterator[Callable[[int], None]]:
    """A bar of `total` units; yields the function that advances it.

    On a terminal it is redrawn and then cleared; in a log it prints a line now and then.
    """
    pause = 0.2 if sys.stderr.isatty() else 5.0
    with tqdm(
        total=total, desc=label, unit=unit, leave=False, mininterval=pause, dynamic_ncols=True
    ) as bar:
        yield lambda count: bar.update(count) and None
