"""A network as its costs are asked for: with weights, and with the numbers that training needs."""

from __future__ import annotations

from picotrain.datasets import Split
from picotrain.learn.calibration import of_images
from picotrain_golden import Method, Network, validate_training

INFER = Method("infer")
_LOGITS_EXPONENT = -4
"""Without training the logits of a chain may be too small for a loss error."""


def trains(network: Network, method: Method) -> bool:
    """Whether the device would let it."""
    try:
        validate_training(network, method, None)
    except ValueError:
        return False
    return True


def calibrated(network: Network, split: Split) -> Network:
    """With static numbers for these images, unless it has some or cannot train."""
    if network.calibrated or not trains(network, INFER):
        return network
    network = of_images(network, split)
    if not network.affine:
        head = network.of(len(network.layers) - 1)
        head.exponent += max(0, _LOGITS_EXPONENT - network.logits_exponent)
    return network
