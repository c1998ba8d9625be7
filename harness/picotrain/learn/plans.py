"""Memory plans: `fast`, weights in the arena, and `lean`, frozen weights in flash, used there."""

from __future__ import annotations

from picotrain.errors import UserError
from picotrain_golden import Method

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


def named(plan: str, method: Method) -> str:
    """The plan with what the method adds to its name: "lean, fused"."""
    return f"{plan}, fused" if method.fused and not method.dynamic else plan


def note(plan: str) -> str:
    """What a reader of numbers must know about the plan; empty for `fast`."""
    return LEAN_NOTE if plan == "lean" else ""
