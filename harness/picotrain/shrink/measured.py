"""What a network takes on a device, as the device itself says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from picotrain.datasets import Dataset, Split
from picotrain.device.backends import open_device
from picotrain.device.blob import blob_size
from picotrain.device.given import images_for
from picotrain.device.interface import Device, cycles_spent
from picotrain.device.meter import CLOCK_HZ
from picotrain.device.room import Roomy, need_of
from picotrain.image.firmware import layout
from picotrain.profile.fit.model import load
from picotrain.profile.fit.observe import observe
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network

IMAGES = 8
"""Whose cycles are counted: they depend a little on the image, because zeros are skipped."""


_REMEMBERED = ("stack", "total")
"""Parts of RAM that are as large as with the largest network since the device was started."""


@dataclass(frozen=True)
class Taken:
    """`ram` are the bytes of the arena that method and network take, `ram_bytes` those by part, and
    of code and static data; not of the stack, whose paint remembers all that ran before. `cycles`
    are a mean, `slowest` the most of an image. None: the target cannot tell."""

    flash: int
    ram: int
    ram_bytes: dict[str, int | None]
    cycles: float | None
    slowest: int | None

    @property
    def ms(self) -> float | None:
        return None if self.cycles is None else self.cycles / CLOCK_HZ * 1000


def measure(
    device: Device, network: Network, method: Method, lean: bool, split: Split, timed: bool
) -> Taken:
    """Load the network and look; images are predicted one by one if it is `timed`."""
    device.load_model(network, frozen=True)
    device.set_method(Method("infer"))
    in_flash = device.memory().model_in_flash
    spent: list[int] = []
    if timed:
        for index in range(len(split)):
            before = cycles_spent(device)
            images = images_for(network, split.images[index : index + 1])
            device.evaluate(images, split.labels[index : index + 1])
            spent.append(cycles_spent(device) - before)
    device.load_model(network, frozen=lean)
    device.set_method(method)
    memory = device.memory()
    return Taken(
        in_flash,
        memory.network,
        {name: one for name, one in memory.by_part().items() if name not in _REMEMBERED},
        sum(spent) / len(spent) if spent else None,
        max(spent, default=None),
    )


def predict(network: Network, method: Method, lean: bool, split: Split, timed: bool) -> Taken:
    """The same without a device, as `picotrain fit` has it."""
    elf, cycles = layout(), None
    if timed:
        given = Split(images_for(network, split.images), split.labels)
        cycles = load().predict(network, method, observe(network, method, given)).total
    ram = need_of(network, method, elf, lean)
    return Taken(blob_size(network, elf), ram, {}, cycles, None)


def firmware_sha256(device: Device) -> str:
    """Of the image that runs there; of a device without one, of nothing."""
    elf = device.elf.path.read_bytes() if isinstance(device, Roomy) else b""
    return hashlib.sha256(elf).hexdigest()


def measured_by(device: Device) -> list[str]:
    """What bytes and cycles belong to: the target, and the firmware that runs there."""
    return [device.name, firmware_sha256(device)]


def accuracies(name: str, network: Network, dataset: Dataset) -> dict[str, float]:
    """How often the integers are right, of validation and test images."""
    method = Method("infer")
    found = {}
    with open_device("host", need_of(network, method, layout(), frozen=False)) as fast:
        fast.load_model(network)
        fast.set_method(method)
        for which, split in (("validation", dataset.validation), ("test", dataset.test)):
            with progress_bar(f"{name} {which}", len(split)) as advance:
                seen = fast.evaluate(images_for(network, split.images), split.labels, advance)
            found[which] = seen.correct(split.labels) / len(split)
    return found
