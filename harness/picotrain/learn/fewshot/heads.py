"""A backbone for a task: its last layer gets as many outputs as the task has ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from picotrain.errors import UserError, whole_number
from picotrain_golden import Network, validate
from picotrain_golden.network import MAX_TRAINED_OUTPUTS


def with_head(network: Network, ways: int) -> Network:
    """The network with `ways` outputs, 2 to 256: a linear layer of zeros, which a device fills in
    from class means.

    Scales of the logits, zero points and calibrated numbers stay; every row has the multiplier and
    shift of the old first one. Nothing of the network that was given changes with the new one.
    """
    if not 2 <= whole_number("the number of ways", ways) <= MAX_TRAINED_OUTPUTS:
        raise UserError(f"a head cannot have {ways} ways; use 2 to {MAX_TRAINED_OUTPUTS}")
    layer, held = network.layers[-1], network.parameters[-1]
    if not network.affine or layer.kind != "linear" or held is None:
        raise UserError(
            f"network {network.name} has no head that can be replaced: an affine network, its last "
            "layer linear, has one"
        )
    affine = network.affine[-1]
    made = network.copy()
    result = replace(
        made,
        layers=(*made.layers[:-1], replace(layer, out_shape=(1, 1, ways))),
        parameters=(
            *made.parameters[:-1],
            replace(held, weights=np.zeros((ways, layer.row_length), np.int8)),
        ),
        affine=(
            *made.affine[:-1],
            replace(
                affine,
                bias=np.zeros(ways, np.int32),
                multiplier=np.full(ways, affine.multiplier[0], np.int32),
                shift=np.full(ways, affine.shift[0], np.int32),
            ),
        ),
    )
    validate(result)
    return result
