"""Samples that a program on a board prints, as a data set.

A line `sample PIXELS` or `sample LABEL PIXELS` is a sample: two hexadecimal digits a pixel, in the
order of the array; all other lines are something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from picotrain import inputs
from picotrain.datasets.npz import read_arrays
from picotrain.device.interface import UInt8
from picotrain.errors import UserError
from picotrain.hardware.standalone.lines import Lines, number, shown
from picotrain.learn.architectures.architecture import in_words
from picotrain.learn.models import npz_bytes
from picotrain.output import write_bytes

MOST_CLASSES = 256
LEAST_SAMPLES = 10
"""Of a file that `--dataset npz:FILE` can split."""
_LOOK_SECONDS = 0.5
_DIGITS = frozenset("0123456789abcdefABCDEF")

Shape = tuple[int, int, int]


class Unfit(Exception):
    """A sample that is not recorded, and why."""


@dataclass
class Recording:
    """Samples so far, those of the file that they are added to first; `classes` bounds labels."""

    shape: Shape
    classes: int = MOST_CLASSES
    images: list[UInt8] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def sample(self, line: str) -> tuple[int | None, UInt8] | None:
        """The label, if it has one, and pixels of a line; None of another line. Raises Unfit."""
        first, *words = line.split() or [""]
        if first != "sample":
            return None
        if not 1 <= len(words) <= 2:
            raise Unfit(f"it has {len(words)} words behind 'sample', not PIXELS or LABEL PIXELS")
        label = self.label(words[0]) if len(words) == 2 else None
        digits, wanted = words[-1], 2 * prod(self.shape)
        bad = next((one for one in digits if one not in _DIGITS), None)
        if bad is not None:
            raise Unfit(f"{shown(bad)!r} is no hexadecimal digit")
        if len(digits) != wanted:
            raise Unfit(
                f"it has {len(digits):,} digits, and {in_words(self.shape)} takes {wanted:,}"
            )
        return label, np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(self.shape)

    def label(self, word: str) -> int:
        """A label from its text. Raises Unfit."""
        label = number(word)
        if label is None or label >= self.classes:
            raise Unfit(f"{shown(word)!r} is no label, 0 to {self.classes - 1}")
        return label

    def write(self, path: Path) -> None:
        """The file that `--dataset npz:FILE` reads."""
        write_bytes(
            path,
            npz_bytes({"x": np.stack(self.images), "y": np.array(self.labels, np.int64)}),
        )


@dataclass
class Count:
    """Lines that were something else, and samples that were not recorded."""

    others: int = 0
    unfit: int = 0


def capture(
    lines: Lines,
    recording: Recording,
    wanted: int,
    label_of: Callable[[], int],
    other: Callable[[str], None],
    done: Callable[[int, int], None],
    counted: Count,
) -> None:
    """Record so many samples, however long they take.

    `label_of` gives the label of a sample whose line has none; `other` is told of each line that
    was not recorded, `done` of each sample: how many there are now, and its label. Raises what the
    port and these functions raise; what was recorded until then stays in `recording`.
    """
    found = 0
    while found < wanted:
        line = lines.next(_LOOK_SECONDS)
        if line is None:
            continue
        try:
            sample = recording.sample(line)
            if sample is None:
                counted.others += 1
                other(shown(line))
                continue
            label = label_of() if sample[0] is None else sample[0]
        except Unfit as why:
            counted.unfit += 1
            other(f"line {lines.number} was not recorded: {why}")
            continue
        recording.images.append(sample[1])
        recording.labels.append(label)
        found += 1
        done(found, label)


def recorded(path: Path, shape: Shape | None, classes: int) -> Recording:
    """What is in a file that samples are to be added to. UserError where that cannot be."""
    fix = "add to a file of `picotrain capture`, or name a new one"
    inputs.read_bytes(path, fix)
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise UserError(f"{path} cannot be added to: {error}; {fix}") from error
    if set(arrays) != {"x", "y"}:
        raise UserError(f"{path} has {', '.join(sorted(arrays)) or 'nothing'}, not x and y; {fix}")
    x, y = arrays["x"], arrays["y"]
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or y.dtype.kind not in "iu":
        raise UserError(f"{path} has x of {x.dtype} {list(x.shape)} and y of {y.dtype}; {fix}")
    if y.shape != x.shape[:1] or 0 in x.shape:
        raise UserError(f"{path} has {x.shape[0]} images and labels {list(y.shape)}; {fix}")
    height, width, *channels = map(int, x.shape[1:])
    has = (height, width, *(channels or [1]))
    held: Shape = (has[0], has[1], has[2])
    if shape is not None and shape != held:
        raise UserError(
            f"{path} has samples of {in_words(held)}, and --shape is {in_words(shape)}; name "
            "another file"
        )
    least, most = int(y.min()), int(y.max())
    if least < 0 or most >= classes:
        raise UserError(
            f"{path} has labels {least} to {most}, and --classes {classes} allows 0 to "
            f"{classes - 1}; give more classes, or another file"
        )
    pixels: UInt8 = x.reshape(len(x), *held).astype(np.uint8)
    return Recording(held, classes, list(pixels), [int(one) for one in y])
