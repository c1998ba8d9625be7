"""What a device has learned, apart from the network that it was learned on (docs/field.md).

A state is the tensors that learn, the static numbers that they were trained with, and how far the
training is. It says nothing of a target: the same training gives the same state on every one.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.device.given import check_method, check_network
from picotrain.device.interface import Device, Int8
from picotrain.errors import UserError
from picotrain.learn.affine_file import numbers_of
from picotrain.learn.models import NUMBERS, network_sha256
from picotrain_golden import Method, Network, Parameters

Edges = NDArray[np.int64]

_OPTIONS = {
    "name": "--method",
    "theta": "--threshold",
    "permille": "--scored",
    "select": "--select",
    "seed": "--seed",
}
"""Fields of a method that say what its scores mean, and the options that set them."""


@dataclass(frozen=True, eq=False)
class State:
    """What learned: of each layer with weights, flat, the weights of NITI or the scores of PRIOT.

    `scored` are the edges of PRIOT-S, flat and ascending. `numbers` int64 [layers, 5] and `logits`
    are the network's static numbers, of which calibration may have made others than the backbone
    has. `epochs` are done, and `images` of the next one. `run` is what `adapt` notes: what was
    shown, and what came of it; empty of a state that a program saved. `source` is what messages
    call it.
    """

    network: str
    backbone_sha256: str
    network_sha256: str
    method: Method
    numbers: NDArray[np.int64]
    logits: tuple[int, int]
    learned: tuple[Int8 | None, ...]
    scored: tuple[Edges | None, ...]
    epochs: int = 0
    images: int = 0
    run: dict[str, Any] = field(default_factory=dict)
    source: str = "the state"

    @property
    def size(self) -> int:
        """Bytes of what learned, the bits of PRIOT-S's edges not counted."""
        return sum(one.size for one in self.learned if one is not None)

    def of(self, layer: int) -> Int8:
        """What learned of a layer that has weights."""
        values = self.learned[layer]
        assert values is not None
        return values

    def network_of(self, backbone: Network) -> Network:
        """The network that it was trained as: the backbone, with the state's static numbers.

        Raises UserError where the state is of another network.
        """
        check_network(backbone)
        digest = network_sha256(backbone)
        if digest == self.network_sha256:
            network = backbone.copy()
        elif digest != self.backbone_sha256:
            raise UserError(
                f"{self.source} is of another network: of {self.network} with digest "
                f"{self.backbone_sha256[:12]}, and this {backbone.name} has {digest[:12]}; give "
                "the backbone that it was learned on"
            )
        else:
            network = self._with_numbers(backbone)
        self._check_sizes(network)
        return network

    def _check_sizes(self, network: Network) -> None:
        for index, (layer, values) in enumerate(zip(network.layers, self.learned, strict=True)):
            edges, found = self.scored[index], -1 if values is None else values.size
            wanted = layer.weight_count if edges is None else edges.size
            most = -1 if edges is None else int(edges.max(initial=-1))
            if found != (wanted if layer.has_weights else -1) or most >= layer.weight_count:
                raise UserError(f"{self.source} is damaged: layer {index} is not its network's")
            if values is not None and (values < -127).any():
                raise UserError(f"{self.source} is damaged: layer {index} holds -128")

    def _with_numbers(self, backbone: Network) -> Network:
        network = backbone.copy()
        network.parameters = tuple(
            None
            if held is None
            else Parameters(held.weights, **dict(zip(NUMBERS, map(int, row), strict=True)))
            for held, row in zip(network.parameters, self.numbers, strict=True)
        )
        if network.affine:
            network.logits_scale = self.logits
        return network

    def check_method(self, method: Method) -> None:
        """Raise UserError for a method under which its tensors mean something else."""
        drawn = method.select == "random"
        fields = ["name"]
        fields += ["theta"] if method.scored else []
        if method.name == "priot-s":
            fields += ["permille", "select", *(["seed"] if drawn else [])]
        for name in fields:
            mine, given = getattr(self.method, name), getattr(method, name)
            if mine != given:
                shown, instead = (mine, given)
                if name == "permille":
                    shown, instead = f"{mine / 1000:g}", f"{given / 1000:g}"
                raise UserError(
                    f"{self.source} is of another method: {_OPTIONS[name]} was {shown} there, and "
                    f"is {instead} here; give {_OPTIONS[name]} {shown}"
                )

    def write_to(self, device: Device, network: Network) -> None:
        """Put it into a device that holds `network_of` its backbone, under its method."""
        for index, layer in enumerate(network.layers):
            if not layer.has_weights:
                continue
            if not self.method.scored:
                device.put_weights(index, self.of(index))
                continue
            edges = self.scored[index]
            if edges is not None and not np.array_equal(edges, device.scored_edges(index)):
                raise UserError(
                    f"{self.source} scores other edges of layer {index} than {self.method.name} "
                    "does there; give the options that it was made with"
                )
            device.put_scores(index, self.of(index))

    def restore(self, device: Device, network: Network, frozen: bool = False) -> Network:
        """Load the network that it is of, set its method, and put it back: all after a boot.

        Returns the network as it then runs. `frozen` as for `Device.load_model`.
        """
        made = self.network_of(network)
        device.load_model(made, frozen=frozen)
        device.set_method(self.method)
        self.write_to(device, made)
        return made

    def effective_weights(self, network: Network, layer: int) -> Int8:
        """The weights that a forward pass uses, int8 [rows, K]: docs/numerics.md, section 6."""
        held, learned = network.of(layer).weights, self.of(layer)
        if not self.method.scored:
            return learned.reshape(held.shape)
        return pruned(held, learned, self.method.theta, self.scored[layer])

    def sha256(self, network: Network) -> str:
        """What `state_sha256` says of a device that holds it."""
        digest = hashlib.sha256()
        for index, layer in enumerate(network.layers):
            if layer.has_weights:
                if self.method.scored:
                    digest.update(network.of(index).weights.tobytes())
                digest.update(self.of(index).tobytes())
        return digest.hexdigest()


def state_of(
    device: Device,
    network: Network,
    method: Method,
    backbone_sha256: str | None = None,
    epochs: int = 0,
    images: int = 0,
    run: dict[str, Any] | None = None,
) -> State:
    """What a device has learned, that holds the network and trains it by the method.

    `backbone_sha256` is the digest of the network before it was calibrated, if it was. Raises
    DamageFailure where memory of the device is damaged: no state comes of that.
    """
    check_network(network)
    check_method(method)
    if not (method.changes_weights or method.scored):
        raise UserError(
            f"method {method.name} learns nothing that could be saved; train by another"
        )
    if device.has_made_head or (method.selects and device.selection() is not None):
        raise UserError(
            "a state is of all rows of the network that was loaded, without a selection and "
            "without a head made on the device; keep `selection()` and `weights()` yourself"
        )
    learned: list[Int8 | None] = []
    scored: list[Edges | None] = []
    for index, layer in enumerate(network.layers):
        values, edges = None, None
        if layer.has_weights:
            values = device.scores(index) if method.scored else device.weights(index)
            edges = device.scored_edges(index) if method.name == "priot-s" else None
        learned.append(values)
        scored.append(edges)
    device.check_memory()  # of what was read
    digest = network_sha256(network)
    return State(
        network.name,
        backbone_sha256 or digest,
        digest,
        method,
        numbers_of(network, NUMBERS),
        (int(network.logits_scale[0]), int(network.logits_scale[1])),
        tuple(learned),
        tuple(scored),
        epochs,
        images,
        run or {},
    )


def pruned(weights: Int8, scores: Int8, theta: int, edges: Edges | None) -> Int8:
    """Weights with 0 where a score is below the threshold; `edges` are the flat indices of the
    scores, None where each weight has one."""
    kept, dropped = weights.reshape(-1).copy(), scores < theta
    kept[dropped if edges is None else edges[dropped]] = 0
    return kept.reshape(weights.shape)


def method_fields(method: Method) -> dict[str, Any]:
    """The arguments that make it, as JSON values."""
    return {**asdict(method), "later_mu": list(method.later_mu)}
