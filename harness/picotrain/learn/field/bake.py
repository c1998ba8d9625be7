"""What was learned becomes weights: a plain network for inference, with the same logits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from picotrain.device.blob import blob_size
from picotrain.device.room import need_of
from picotrain.errors import must_be
from picotrain.image.firmware import layout
from picotrain.learn.field.state import State
from picotrain_golden import Method, Network


def bake(network: Network, state: State) -> Network:
    """The backbone with what was learned in its weights: docs/numerics.md, section 6.

    Of scores, the edges below the threshold become 0, and all others stay; of NITI the weights are
    those it trained. Biases, multipliers and zero points stay: zero points come off the inputs, so
    an edge of weight 0 adds nothing.
    """
    must_be("what to bake", state, State, 'give what load_state("state.npz") returns')
    made = state.network_of(network)
    made.parameters = tuple(
        None if held is None else replace(held, weights=state.effective_weights(made, index))
        for index, held in enumerate(made.parameters)
    )
    return made


def zeros(network: Network) -> list[int]:
    """How many weights of each layer are 0."""
    return [
        0 if held is None else int(held.weights.size - np.count_nonzero(held.weights))
        for held in network.parameters
    ]


def sizes(network: Network, method: Method, learned: int = 0) -> dict[str, int | None]:
    """Bytes of a network that runs by a method, with `learned` bytes beside it in flash.

    `ram` has the weights in SRAM, `ram_lean` in flash, which is None where the method writes them.
    """
    elf = layout()
    return {
        "flash": blob_size(network, elf) + learned,
        "ram": need_of(network, method, elf, frozen=False),
        "ram_lean": None if method.changes_weights else need_of(network, method, elf, frozen=True),
    }
