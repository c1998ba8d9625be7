"""Around a run of pruning: the limits that it is asked for, and what is said of what it made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from picotrain.datasets import Dataset
from picotrain.device.given import check_trains
from picotrain.device.interface import Device
from picotrain.device.room import Roomy
from picotrain.errors import UserError
from picotrain.image.firmware import MODEL_FLASH, pico_arena_bytes
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.calibration import SAMPLES, calibrate
from picotrain.learn.turning import calibration_angle_of
from picotrain.shrink.costs import Cost, Flash, Macs, Ram
from picotrain.shrink.cycles import Milliseconds
from picotrain.shrink.groups import Groups, counts_of
from picotrain.shrink.limits import Limit, Limits
from picotrain.shrink.measured import accuracies
from picotrain.shrink.pruning.prune import Pruned, PruneOptions
from picotrain.shrink.removal import told
from picotrain_golden import Network, calibrated

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """Bytes of flash and of RAM, milliseconds and multiply-accumulates of an inference: the most
    that each may be, None for what may be anything."""

    flash: int | None = None
    ram: int | None = None
    ms: float | None = None
    macs: int | None = None

    @property
    def nothing(self) -> bool:
        return self == Asked()


def limits_of(
    asked: Asked,
    architecture: Architecture,
    groups: Groups,
    options: PruneOptions,
    device: Device | None = None,
) -> Limits:
    """Those that are asked for, and what a Pico, and the device, have of flash and RAM."""
    room = pico_arena_bytes()
    if isinstance(device, Roomy):  # what measures may have more than a Pico, as QEMU has
        room = min(room, device.arena_bytes)
    ram = Ram(architecture, groups, options.ram_method, options.lean)
    known: list[tuple[Cost, float | None, float | None]] = [
        (Flash(architecture, groups), asked.flash, MODEL_FLASH),
        (ram, asked.ram, room),
        (Macs(architecture, groups), asked.macs, None),
        (Milliseconds(architecture, groups), asked.ms, None),
    ]
    limits = []
    for cost, given, there in known:
        most = min((one for one in (given, there) if one is not None), default=None)
        if most is not None:
            limits.append(Limit(cost, most, given=given == most))
    return tuple(limits)


def finished(
    pruned: Pruned, dataset: Dataset, seed: int, say: Say
) -> tuple[Network, dict[str, float]]:
    """The network, calibrated if it can train, and how often the integers are right."""
    network = pruned.quantised.network
    right = accuracies("int8", network, dataset)
    say(
        f"accuracy   validation {pruned.float_accuracy['pruned']:.4f} in float, "
        f"{right['validation']:.4f} in int8; test {right['test']:.4f} in int8"
    )
    try:
        check_trains(network)
    except UserError as why:
        say(f"not calibrated: {why}")
    else:
        angle = calibration_angle_of(dataset, None)
        network = calibrated(network, calibrate(network, dataset, SAMPLES, angle, seed))
    return network, {f"{name}_accuracy": value for name, value in right.items()}


def found_of(groups: Groups, limits: Limits, pruned: Pruned, say: Say) -> dict[str, Any]:
    """What a report holds of a run."""
    counts = counts_of(pruned.kept)
    measured = {"flash": pruned.taken.flash, "ram": pruned.taken.ram, "ms": pruned.taken.ms}
    table = {}
    for limit in limits:
        name = limit.cost.name
        table[name] = {
            "unit": limit.cost.unit,
            "limit": limit.most,
            "given": limit.given,
            "whole": limit.cost.value(groups.sizes),
            "planned": limit.cost.value(counts),
            "measured": measured.get(name, limit.cost.value(counts)),
        }
        say(_told_limit(name, table[name]))
    for name, proof in pruned.proofs.items():
        say(
            f"masked == removed, {name}: {proof.differing} of {proof.logits:,} logits of "
            f"{proof.images:,} images differ"
        )
    return {
        "limits": table,
        "groups": told(groups, pruned.kept),
        "proofs": {name: asdict(one) for name, one in pruned.proofs.items()},
        "taken": asdict(pruned.taken),
        "cycle_model_factor": pruned.factor,
        "rounds": pruned.rounds,
        "float_accuracy": pruned.float_accuracy,
        **pruned.quantised.made(),
    }


def _told_limit(name: str, row: dict[str, Any]) -> str:
    def number(value: float) -> str:
        return f"{value:,.2f}" if name == "ms" else f"{value:,.0f}"

    return (
        f"{name:10} {number(row['measured'])} of {number(row['limit'])} {row['unit']}, "
        f"{number(row['whole'])} before"
    )
