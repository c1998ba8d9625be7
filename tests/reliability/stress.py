"""Many commands on one device, and many devices one after another: nothing may leak or drift.

cd tests && python3 -m reliability.stress --minutes 1 host qemu
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import support
from picotrain.device import backends
from picotrain.device.cycles import total
from picotrain.device.interface import state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, told
from picotrain.inputs import positive_number
from reliability import page

COMMANDS, DEVICES = 10_000, 50
_GROWTH = 2 << 20
"""Bytes that a process may grow by, of what it had when a tenth was done: its own caches."""
_WARM = 0.1


class CountedDevice(MailboxDevice):
    """A device that counts its commands, those that it refuses too."""

    commands = 0

    def command(self, name: str, arguments: Sequence[int] = (), timeout: float = 30.0) -> Any:
        self.commands += 1
        return super().command(name, arguments, timeout)


@dataclass(frozen=True)
class Sample:
    """After a round: what must be as after every other one, and the memory of the processes."""

    commands: int
    """Of the round."""
    digest: str
    """Of all that the device answered and learned."""
    cycles: int
    """Of the round, waiting excluded; 0 where nothing counts them."""
    files: int
    """That the harness has open."""
    harness: int
    """Bytes in memory, and of all processes that it started."""
    device: int


@dataclass(frozen=True)
class Soak:
    """What came of many rounds on one device."""

    target: str
    rounds: int
    commands: int
    cycles: int
    digest: str
    files: int
    harness_growth: int
    device_growth: int
    seconds: float


class Drift(Exception):
    """A round was not as the one before, or something grows."""


def one_round(device: CountedDevice) -> Sample:
    """The same commands every time: a network, a method, a batch, a traced step, a checkpoint, and
    commands that are refused."""
    network = support.shipped("oddnet")
    images, labels = support.images(network, 4)
    before, begun = device.commands, _cycles(device)
    digest = hashlib.sha256()
    for method in (support.METHODS["priot"], support.METHODS["niti-dynamic"]):
        device.load_model(network)
        device.set_method(method)
        for found in (device.train(images, labels), device.evaluate(images, labels)):
            digest.update(np.stack([found.predictions, found.loss_norms]).tobytes())
        for tensor in device.trace(images[0], int(labels[0])):
            digest.update(tensor.values.tobytes())
        kept = device.checkpoint()
        device.train(images, labels)
        device.restore(kept)
        with suppress(CommandError):
            device.command("TRAIN", [0])
        with suppress(CommandError):
            device.command("LOAD_MODEL", [12, 0])
        digest.update(device.saturation().tobytes())
        digest.update(state_sha256(device, network).encode())
    spent = _cycles(device) - begun
    _give_back()
    files = _files()
    own = os.getpid()
    children = sum(_bytes(pid) for pid in children_of(own))
    commands = device.commands - before
    return Sample(commands, digest.hexdigest(), spent, files, _bytes(own), children)


def soak(device: CountedDevice, commands: int, minutes: float = 0.0) -> Soak:
    """Rounds until there were so many commands, and so many minutes. Raises Drift."""
    begun = time.monotonic()
    samples: list[Sample] = []
    _set_aside()
    while device.commands < commands or time.monotonic() - begun < 60 * minutes:
        samples.append(one_round(device))
        check(samples[0], samples[-1], len(samples))
    # The first rounds fill caches: imports, the emulator's translations, pages of the arena.
    warm = samples[int(_WARM * len(samples))]
    last = samples[-1]
    growth = last.harness - warm.harness, last.device - warm.device
    for what, bytes_ in zip(("harness", "device"), growth, strict=True):
        if bytes_ > _GROWTH:
            raise Drift(f"the {what} grew by {bytes_:,} bytes in {len(samples)} rounds")
    return Soak(
        *(device.name, len(samples), device.commands, last.cycles, last.digest, last.files),
        *growth,
        time.monotonic() - begun,
    )


def check(first: Sample, now: Sample, rounds: int) -> None:
    """Raise Drift where a round is not as the first one."""
    for what in ("commands", "digest", "cycles", "files"):
        one, other = getattr(first, what), getattr(now, what)
        if one != other:
            raise Drift(f"round {rounds}: {what} {other}, in the first round {one}")


def churn(name: str, devices: int) -> int:
    """Open and close so many devices. Returns the files that are open at the end, and raises Drift
    where one more is than after the first device, or where a process is left."""
    opened: list[int] = []
    _set_aside()
    before = children_of(os.getpid())
    for _ in range(devices):
        target, kernels = backends.variant_of(name)
        with backends.open_device(target, kernels=kernels) as device:
            assert isinstance(device, MailboxDevice)
            device.command("INFO")
        gc.collect()
        opened.append(_files())
    if opened[-1] != opened[0]:
        raise Drift(f"{opened[0]} files are open after the first device, {opened[-1]} at the end")
    if (after := children_of(os.getpid())) != before:
        raise Drift(f"processes are left: {sorted(set(after) - set(before))}")
    return opened[-1]


def children_of(process: int) -> list[int]:
    """Processes that it started and that are still there, and theirs."""
    found: list[int] = []
    for thread in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):
            for child in map(int, (thread / "children").read_text().split()):
                found += [child, *children_of(child)]
    return found


def _set_aside() -> None:
    """What is there already is no leak: within a suite, looking at all of it after every round took
    a hundred times as long as the round."""
    gc.collect()
    gc.freeze()


def _give_back() -> None:
    """What is free, to the system: pages that were freed count as memory until then."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _files() -> int:
    """That this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _bytes(process: int) -> int:
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def _cycles(device: MailboxDevice) -> int:
    blocks = device.blocks()
    return 0 if blocks is None else total(blocks)


def main(arguments: Sequence[str]) -> int:
    """Soak each target, show and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="+")
    parser.add_argument(
        "--minutes", type=positive_number, default=0.0, help="on each target, at least"
    )
    options = parser.parse_args(arguments)
    variants = [(name, *backends.variant_of(name)) for name in options.targets]
    # All of them before the first is soaked, for minutes.
    opened = [(backends.open_target(kind, kernels=own), own) for _, kind, own in variants]
    soaks, churned = [], {}
    for name, (target, kernels) in zip(options.targets, opened, strict=True):
        try:
            target.connect()
            found = soak(CountedDevice(target, kernels), COMMANDS, options.minutes)
            target.close()
            churned[name] = churn(name, DEVICES)
        except Drift as drift:
            print(f"{name}: {drift}", file=sys.stderr)
            return 1
        finally:
            target.close()
        soaks.append(asdict(found) | {"target": name})
        print(
            f"{name:10} {found.commands:,} commands in {found.rounds} equal rounds, "
            f"{found.cycles:,} cycles each, {found.files} files, harness "
            f"{found.harness_growth:+,} bytes, device {found.device_growth:+,}, "
            f"{found.seconds:.0f} s; {DEVICES} devices one after another: nothing left",
            flush=True,
        )
    page.keep("stress", {"soaks": soaks, "devices": DEVICES})
    return 0


if __name__ == "__main__":
    sys.exit(told("soak", main))
