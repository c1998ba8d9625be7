"""The exponent of the logits as a choice: docs/numerics.md, sections 4 and 15."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from picotrain.errors import UserError
from picotrain_golden import LEAST_LOGITS_EXPONENT, Network
from picotrain_golden.network import MAX_EXPONENT, MIN_EXPONENT

GREATEST = MAX_EXPONENT
"""From 4 up all logits but the largest count as nothing."""


def check(exponent: int) -> None:
    """Raise UserError for what no network may have, or for which there is no use."""
    if not LEAST_LOGITS_EXPONENT <= exponent <= GREATEST:
        raise UserError(
            f"logits exponent {exponent} is outside {LEAST_LOGITS_EXPONENT}..{GREATEST}; use e.g. "
            "-4 (docs/numerics.md, section 4)"
        )


def moved(network: Network, exponent: int) -> Network:
    """A copy whose logits have that exponent, by the last layer's weight exponent alone, or of an
    affine network by the scale of its logits: 2^exponent then.

    Raises UserError where that would leave its range.
    """
    check(exponent)
    if network.affine:
        return replace(network.copy(), logits_scale=(1 << 15, exponent))
    result = network.copy()
    last = result.of(len(result.layers) - 1)
    last.exponent += exponent - network.logits_exponent
    if not MIN_EXPONENT <= last.exponent <= MAX_EXPONENT:
        raise UserError(
            f"logits exponent {exponent} asks for weights with exponent {last.exponent} in the "
            f"last layer of {network.name}, outside {MIN_EXPONENT}..{MAX_EXPONENT}; "
            f"that of the logits is {network.logits_exponent} now, use one that is nearer"
        )
    return result


def calibrated_at(
    network: Network, exponent: int, calibrate: Callable[[Network], Network]
) -> Network:
    """A copy with that exponent, and the static numbers that `calibrate` then gives.

    Forward shifts do not depend on exponents. So if the new ones are not the network's own, which
    other images made, moving it a second time is enough.
    """
    result = calibrate(moved(network, exponent))
    if result.logits_exponent != exponent:
        result = calibrate(moved(result, exponent))
    return result
