"""Memory plans: `fast`, weights in the arena, and `lean`, frozen weights in flash, used there."""

from __future__ import annotations

from dataclasses import replace

from picotrain.errors import UserError
from picotrain_golden import Method, Network, fused

NAMES = ("fast", "lean")
"""The first is the default."""

LEAN_NOTE = (
    "plan lean: weights are read from flash; emulators charge flash like SRAM, without the 40-256 "
    "cycles that a real Pico pays for each miss of its flash (XIP) cache"
)


def allows(plan: str, method: Method) -> bool:
    """Whether the method trains nothing that the plan keeps in flash."""
    return plan != "lean" or not method.changes_weights


def check(plan: str, method: Method) -> None:
    """Raise UserError where there is no such plan, or it does not allow the method."""
    if plan not in NAMES:
        raise UserError(f"unknown plan {plan!r}; use {' or '.join(NAMES)}")
    if not allows(plan, method):
        raise UserError(
            f"method {method.name} trains the weights, which --plan lean keeps in flash; use "
            "--plan fast, or priot or priot-s"
        )


def check_fused(network: Network, *methods: Method) -> None:
    """Raise UserError where --fused was asked for, and by none of the methods anything is one
    operation."""
    if not methods or not all(method.fused for method in methods):
        return
    if any(any(fused(network, method)) for method in methods):
        return
    alone = replace(methods[0], name="priot")
    if any(fused(network, alone)):
        raise UserError(
            f"{methods[0].name} needs the whole map between convolution and pool, which --fused "
            "does not keep; leave --fused out"
        )
    raise UserError(
        f"{network.name} has no convolution of the power-of-two form with ReLU and a 2x2 max-pool "
        "behind it, which --fused would make one operation; leave --fused out"
    )


def told_fused(network: Network, method: Method) -> str:
    """What follows in a sentence about a run, "" where nothing is one operation."""
    return ", convolution and pool as one" if any(fused(network, method)) else ""


def named(plan: str, method: Method, network: Network) -> str:
    """The plan with what the method adds to its name: "lean, fused"."""
    return f"{plan}, fused" if any(fused(network, method)) else plan


def note(plan: str) -> str:
    """What a reader of numbers must know about the plan; empty for `fast`."""
    return LEAN_NOTE if plan == "lean" else ""
