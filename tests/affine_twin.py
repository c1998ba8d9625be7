"""A network of the power-of-two form as an affine one that computes nearly the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from picotrain_golden import Affine, Network


def affine_twin(network: Network) -> Network:
    """Of one whose last layer is linear. Pixels are twice as large: nothing is halved."""
    layers, numbers, parameters = [], [], []
    for index, layer in enumerate(network.layers):
        held = network.parameters[index]
        count = layer.rows
        # Outputs are 0..127 behind ReLU, and that is kept; the image has its zero point at -128.
        zero = -128 if index == 0 else 0
        low = 0 if layer.relu else -128
        shift = np.zeros(count, np.int32)
        if held is not None:
            shift -= np.int32(held.forward_shift + (index == 0) - 1)
        numbers.append(
            Affine(
                (zero,),
                zero if layer.kind == "maxpool2" else 0,
                low,
                127,
                np.zeros(count, np.int32),
                np.full(count, 1 << 30, np.int32),
                shift,
            )
        )
        kind = "maxpool" if layer.kind == "maxpool2" else layer.kind
        layers.append(replace(layer, kind=kind, relu=False))
        bare = {"exponent": 0, "forward_shift": 0, "error_shift": 0}
        parameters.append(
            None if held is None else replace(held, **bare, gradient_bits=0, score_bits=0)
        )
    return Network(
        f"{network.name}-affine",
        network.input_shape,
        tuple(layers),
        tuple(parameters),
        tuple(numbers),
        (1 << 15, network.logits_exponent),
    )
