"""The steps of `picotrain hw-test`, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from picotrain.device.link.port import SerialPort
from picotrain.device.link.ports import choose_port
from picotrain.hardware import cycle_steps, device_steps, link_steps
from picotrain.hardware.cycle_steps import Case
from picotrain.hardware.device_steps import Material
from picotrain.hardware.flash import Flasher, How, System
from picotrain.hardware.rig import DeviceRig
from picotrain.hardware.suite import Finding, Say, Step
from picotrain_golden import Method

FLASH = "flash"
"""The step that --no-flash leaves out."""
FIND = "find"
THROUGHPUT = "link.throughput"
CYCLES = "cycles"


@dataclass(frozen=True)
class Plan:
    """What shall be tested, and how thoroughly."""

    elf: Path
    wanted: str
    baud: int
    how: How
    material: Material
    methods: Sequence[tuple[str, Method, bool]]
    """Label, method, and whether the weights stay in flash."""
    cases: Callable[[], Sequence[Case]]
    """For the cycles; made when they are needed, because golden trains for them."""
    exact: bool
    throughput_bytes: int


def verify_step(label: str) -> str:
    """The step that compares a method with golden."""
    return f"verify.{label}"


def steps(plan: Plan, rig: DeviceRig, system: System, say: Say) -> list[Step]:
    """All steps. Those that talk to the device need `identity`."""

    def flash() -> Finding:
        flasher = Flasher(plan.elf, plan.wanted, plan.baud, say, system)
        rig.port = flasher.flash(plan.how)
        return Finding(f"{plan.elf.name} written; the device is at {rig.port}")

    def find() -> Finding:
        # Known after flashing.
        if rig.port is None:
            found = [] if "://" in plan.wanted else system.ports()
            rig.port = choose_port(plan.wanted, found)
        # A port that was named may be anything, or nothing.
        SerialPort(rig.port.url, plan.baud).close()
        what = rig.port.what if rig.port.kind != "other" else "as named"
        return Finding(f"{rig.port}, {what}; it opens", {"port": rig.port.url})

    known = ("identity",)
    listed = [
        Step(FLASH, "put the firmware on the device", flash),
        Step(FIND, "find the device, and open its port", find, (FLASH,)),
        Step("identity", "who answers", lambda: device_steps.identity(rig), (FIND,)),
        Step("link.echo", "payloads of every length", lambda: link_steps.echo(rig), known),
        Step("link.refusals", "what may not be touched", lambda: link_steps.refusals(rig), known),
        Step("link.garbage", "requests behind garbage", lambda: link_steps.garbage(rig), known),
        Step("link.duplicates", "a request sent twice", lambda: link_steps.duplicates(rig), known),
        Step(
            THROUGHPUT,
            "bytes per second",
            lambda: link_steps.throughput(rig, plan.throughput_bytes),
            known,
        ),
    ]
    for label, method, frozen in plan.methods:

        def compare(method: Method = method, frozen: bool = frozen) -> Finding:
            return device_steps.compare(rig, plan.material, method, frozen)

        listed.append(Step(verify_step(label), "every tensor against golden", compare, known))
    return [
        *listed,
        Step(
            CYCLES,
            "the chip's clock against the cycle model",
            lambda: cycle_steps.cycles(rig, plan.cases(), plan.exact, say),
            known,
        ),
        Step("crash", "a fault, its registers, and on", lambda: device_steps.crash(rig), known),
        Step("watchdog", "a hang, the reset, and on", lambda: device_steps.watchdog(rig), known),
    ]
