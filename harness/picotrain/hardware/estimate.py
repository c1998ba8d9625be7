"""How long the comparison with golden and the cycles will take over a link of known speed.

What the host asks of a device is the same whatever the link is, so it is counted on the host
process, where a step takes a moment.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from picotrain.device.backends import open_device, open_target
from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.base import Target
from picotrain.hardware.cycle_steps import REPEATS, Case
from picotrain.hardware.device_steps import Material
from picotrain.hardware.plan import CYCLES, Plan, verify_step
from picotrain.image.elf import open_elf
from picotrain.learn.verify import Comparison, verify
from picotrain_golden import Method

LONG_SECONDS = 300.0
"""From here on it is said how to make it shorter."""
SHORTER = "--steps 5, --model oddnet or --method priot make it shorter"


@dataclass(frozen=True)
class Traffic:
    """What the host asks for: requests, and bytes of memory that it reads and writes."""

    requests: int = 0
    read: int = 0
    written: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.requests + other.requests, self.read + other.read, self.written + other.written
        )

    def __sub__(self, other: Traffic) -> Traffic:
        return self + other.times(-1)

    def times(self, count: int) -> Traffic:
        return Traffic(count * self.requests, count * self.read, count * self.written)

    @property
    def bytes(self) -> int:
        return self.read + self.written


@dataclass(frozen=True)
class Speed:
    """Of a link: seconds of a request without its bytes, and seconds of a byte each way."""

    request: float
    read: float
    written: float

    @classmethod
    def measured(cls, echo: float, peek_rate: float, poke_rate: float, payload: int) -> Speed:
        """From the step `link.throughput`: seconds of an echo, bytes per second in requests of
        `payload` bytes."""
        return cls(
            echo,
            max(0.0, 1 / peek_rate - echo / payload),
            max(0.0, 1 / poke_rate - echo / payload),
        )

    def seconds(self, traffic: Traffic) -> float:
        return (
            traffic.requests * self.request
            + traffic.read * self.read
            + traffic.written * self.written
        )


class Counted:
    """A target that counts what a serial link would have to move for it."""

    def __init__(self, target: Target, payload: int, mailbox: int) -> None:
        self._target = target
        self._payload = payload
        self._mailbox = mailbox
        self.elf = target.elf
        self.name = target.name
        self.traffic = Traffic()

    def connect(self) -> None:
        self._target.connect()

    def mailbox_address(self) -> int:
        return self._target.mailbox_address()

    def read(self, address: int, size: int) -> bytes:
        self.traffic += Traffic(-(-size // self._payload), size, 0)
        return self._target.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        self.traffic += Traffic(-(-len(data) // self._payload), 0, len(data))
        self._target.write(address, data)

    def run(self, timeout: float) -> None:
        # Over a link the mailbox is read until the command is served; once, if that is quick.
        self.traffic += Traffic(1, self._mailbox, 0)
        self._target.run(timeout)

    def profile(self) -> list[BlockCount] | None:
        return self._target.profile()

    def calls(self) -> list[CallNode] | None:
        return self._target.calls()

    def close(self) -> None:
        self._target.close()


def of_comparison(
    material: Material, method: Method, frozen: bool, payload: int, mailbox: int
) -> tuple[Traffic, Traffic]:
    """What one traced step moves, and what a comparison of `material.steps` steps moves.

    Raises DeviceFailure where the host process is not built.
    """
    counted = Counted(open_target("host"), payload, mailbox)
    counted.connect()
    device = MailboxDevice(counted)
    try:
        golden = open_device("golden")
        before = counted.traffic
        for side in (golden, device):
            side.load_model(material.network, frozen=frozen)
            side.set_method(method)
        loaded = counted.traffic
        comparison = Comparison(golden, device, material.network)
        stepped: list[Traffic] = []
        images = material.images
        verify(
            comparison,
            images.images,
            images.labels,
            1,
            method.trains,
            lambda _: stepped.append(counted.traffic),
        )
        step = stepped[0] - loaded
        rest = counted.traffic - before - step
        return step, rest + step.times(material.steps)
    finally:
        device.close()


def of_cycles(cases: Sequence[Case], exact: bool, payload: int) -> Traffic:
    """What the cycles of all cases move: nearly all of it operands, written for every run."""
    total = Traffic()
    for case in cases:
        size = sum(values.nbytes for values in case.job.inputs.values())
        # Once more to ask for the scratch that the kernel needs.
        total += Traffic(-(-size // payload), 0, size).times(2 if exact else 1 + REPEATS)
    return total


def forecast(plan: Plan, throughput: dict[str, Any], to_come: Collection[str]) -> str:
    """A sentence on how long the steps of the names `to_come` will take; empty where it is nothing.

    `throughput`: the details of the step `link.throughput`. The time that the device computes is
    not in it: on a chip little, on an emulator a part. Raises DeviceFailure as `of_comparison`.
    """
    elf = open_elf(plan.elf)
    payload = int(elf.enum("pt_link_protocol")["PT_LINK_PAYLOAD"])
    mailbox = elf.dtype("pt_mailbox").itemsize
    speed = Speed.measured(
        throughput["echo_seconds"],
        throughput["peek_bytes_per_second"],
        throughput["poke_bytes_per_second"],
        payload,
    )
    total, longest, runs = Traffic(), Traffic(), 0
    for label, method, frozen in plan.methods:
        if verify_step(label) in to_come:
            step, whole = of_comparison(plan.material, method, frozen, payload, mailbox)
            total, longest, runs = total + whole, max(longest, step, key=speed.seconds), runs + 1
    parts = []
    if runs:
        parts.append(
            f"{runs} x {plan.material.steps} steps with up to {longest.bytes:,} bytes a step"
        )
    if CYCLES in to_come:
        total += of_cycles(plan.cases(), plan.exact, payload)
        parts.append("the cycles")
    if not parts:
        return ""
    seconds = speed.seconds(total)
    text = (
        f"still to come: about {duration(seconds)} at this speed, for {' and '.join(parts)}, "
        f"{total.bytes / 1e6:.1f} MB in all"
    )
    return f"{text}; {SHORTER}" if seconds > LONG_SECONDS and runs else text


def duration(seconds: float) -> str:
    """For people: 40 s, 12 min, 1 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
