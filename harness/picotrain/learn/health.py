"""Whether a run is a collapse that nothing else tells of: no step fails, and the JSON is complete.

The thresholds are our choice (docs/data.md). Healthy runs stay far from them: of the shipped
networks and methods none ends more than 2 points below its best, clamps more than 10 % of its
logits, or gives one class to more images than twice those that have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from picotrain_golden import Method

FALL = 0.10
"""The last accuracy is so far below the first or the best, and by 3 standard errors."""
SAME_CLASS, SAME_LABEL = 0.99, 0.95
"""One class for so many images, where no label has more than this."""
CLAMPED = 0.5
"""Logits that were at -127 or 127, in the last epoch."""
ALIKE = 0.9
"""Images with one and the same loss that is not 0: their logits are equal."""
NEAR_CHANCE = 0.2
"""Of the way from the share of the commonest label to 1."""
LEAST_IMAGES = 20
"""Fewer say nothing."""
FLAT = 0.1
"""Logits clamped in some epoch: sums grow, because an error always remains."""
SHARP = -2
"""The exponent of the logits where an answer ahead by 28 of 254 leaves no error."""

_Ints = NDArray[np.integer]


def of_run(
    accuracies: Sequence[float],
    predictions: _Ints,
    labels: _Ints,
    loss_norms: _Ints,
    clamped: Sequence[float],
    method: Method,
    exponent: int,
) -> list[str]:
    """A sentence for each thing that is wrong, the last one with what to try.

    `accuracies`: before, and after each epoch. `predictions`, `labels`: of the last evaluation.
    `loss_norms`: of the last epoch's training images. `clamped`: the share of the logits, by epoch;
    `exponent`: what they are read with, under the static shifts.
    """
    found = [_fallen(accuracies, len(labels)), _one_class(predictions, labels, loss_norms)]
    too_flat = max(clamped) > FLAT and exponent < SHARP
    if clamped[-1] > CLAMPED:
        found.append(
            f"{clamped[-1]:.0%} of the logits were clamped at -127 or 127 in the last epoch"
        )
    return _advised(found, _advice(method, too_flat))


def of_backbone(accuracy: float, predictions: _Ints, labels: _Ints, dynamic: float) -> list[str]:
    """The same of a backbone: validation accuracy with its static scales, and with dynamic ones."""
    found = [_one_class(predictions, labels, np.zeros(0, np.int64))]
    if _is_below(accuracy, dynamic, len(labels)):
        found.append(f"static scales take accuracy on validation images to {accuracy:.4f}")
    return _advised(
        found, "try another --calibration-angle, or more --epochs and smaller steps (--mu)"
    )


def of_training(accuracy: float, labels: _Ints) -> list[str]:
    """Of validation accuracy in floating point: whether anything was learnt at all."""
    if len(labels) < LEAST_IMAGES:
        return []
    chance = _most_common(labels)[0]
    if accuracy >= chance + NEAR_CHANCE * (1 - chance):
        return []
    found = (
        f"accuracy on validation images is {accuracy:.4f}, and the commonest class alone gives "
        f"{chance:.4f}: hardly anything was learnt"
    )
    return _advised(
        [found], "try more --epochs, a --rate of a third or three times, or more channels"
    )


def _advised(found: Sequence[str], advice: str) -> list[str]:
    """What was found, and with the last of it the advice."""
    facts = [text for text in found if text]
    return [*facts[:-1], f"{facts[-1]}; {advice}"] if facts else []


def _is_below(last: float, first: float, images: int) -> bool:
    error = sqrt((last * (1 - last) + first * (1 - first)) / images) if images else 0.0
    return images >= LEAST_IMAGES and first - last > max(FALL, 3 * error)


def _fallen(accuracies: Sequence[float], images: int) -> str:
    best = int(np.argmax(accuracies))
    last, top = accuracies[-1], accuracies[best]
    if not _is_below(last, top, images):
        return ""
    when = f"after epoch {best}" if best else "before"
    return f"accuracy fell to {last:.4f}, from {top:.4f} {when}"


def _one_class(predictions: _Ints, labels: _Ints, loss_norms: _Ints) -> str:
    if len(labels) < LEAST_IMAGES:
        return ""
    share, only = _most_common(predictions)
    if share < SAME_CLASS or _most_common(labels)[0] > SAME_LABEL:
        return ""
    text = f"the network gives class {only} to {share:.0%} of the images"
    losses = loss_norms[loss_norms != 0]
    if len(losses) and _most_common(losses)[0] * len(losses) / len(loss_norms) >= ALIKE:
        text += ", and its logits are equal"
    return text


def _most_common(values: _Ints) -> tuple[float, int]:
    """The share of the value that is there most often, and that value."""
    found, counts = np.unique(values, return_counts=True)
    return float(counts.max()) / len(values), int(found[counts.argmax()])


def _advice(method: Method, too_flat: bool) -> str:
    tries = [f"a larger exponent of the logits (--logits-exponent {SHARP})"] if too_flat else []
    if method.dynamic:
        return "try " + " or ".join([*tries, "smaller steps (--mu)"])
    scales = "scales from images like the device's (`picotrain pretrain --calibration-angle`, or "
    tries += [scales + "--calibration fair here)", "smaller steps (--mu)"]
    last = "or --method niti-dynamic, which takes its scales as they come"
    return f"try {', '.join([*tries, last])}"
