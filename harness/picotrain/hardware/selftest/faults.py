"""The faults: what is planted, in which part, and what the harness must say of it.

Each is planted from outside, in what a device is given or on the way to it, so that all of them
can be planted on a Pico too. `said` is a pattern of the whole beginning of the sentence: to find
some difference is not enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import UInt8
from picotrain.device.link.client import LinkClient
from picotrain.device.link.frames import LinkFormat
from picotrain.device.link.port import SerialPort
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.base import Target
from picotrain.device.targets.serial import SerialTarget
from picotrain.hardware.selftest import stale
from picotrain.hardware.selftest.tampering import (
    Batch,
    MeddledDevice,
    Meddling,
    Post,
    Read,
    TamperedTarget,
)
from picotrain.image.elf import open_elf
from picotrain.learn.verify import Comparison
from picotrain_golden import Method, Network

Part = Literal["harness", "transport", "state", "firmware"]

NITI = Method("niti-static", mu=2)
PRIOT = Method("priot", mu=3, theta=0, start="normal")
PRIOT_S = Method("priot-s", mu=3, permille=300, select="random")
CONTROLS = (NITI, PRIOT, PRIOT_S)
"""What the faults are planted in; without a fault there is no difference."""

_ROW, _K = 3, 20
_PIXEL = 250
"""Which byte of an image."""
_WEIGHTS_LAYER, _SCORES_LAYER = 2, 4


@dataclass
class Bench:
    """A connected target, golden, and what both are given."""

    target: Target
    network: Network
    images: UInt8
    labels: UInt8

    def begin(
        self,
        method: Method,
        target: Target | None = None,
        meddling: Meddling | None = None,
        other: Network | None = None,
        other_method: Method | None = None,
    ) -> tuple[Comparison, MeddledDevice]:
        """Both sides with network and method, found equal; the device with others if any."""
        device = MeddledDevice(target or self.target, meddling or Meddling())
        golden = GoldenDevice(device.elf, device.arena_bytes)
        golden.load_model(self.network)
        golden.set_method(method)
        device.load_model(other or self.network)
        device.set_method(other_method or method)
        comparison = Comparison(golden, device, self.network)
        comparison.state(0)
        return comparison, device

    @contextmanager
    def unplugged(self) -> Iterator[SerialTarget]:
        """The serial target, closed, so that its port can be opened anew."""
        assert isinstance(self.target, SerialTarget)
        self.target.close()
        try:
            yield self.target
        finally:
            self.target.connect()

    def step(self, comparison: Comparison) -> None:
        """One traced step on the first image."""
        comparison.traced_step(0, self.images[0], int(self.labels[0]))

    def batch(self, comparison: Comparison) -> None:
        """One batch, trained on, then predicted."""
        comparison.batch(1, self.images, self.labels, train=True)
        comparison.batch(2, self.images, self.labels, train=False)


def control(bench: Bench, method: Method) -> tuple[int, int]:
    """All that faults are planted in, without one: tensors and elements found equal."""
    comparison, _ = bench.begin(method, TamperedTarget(bench.target))
    bench.step(comparison)
    bench.batch(comparison)
    return comparison.report.tensors, comparison.report.elements


@dataclass(frozen=True)
class Fault:
    """One, and the beginning of what must be said of it; `plant` ends with a DeviceFailure."""

    name: str
    part: Part
    what: str
    said: str
    plant: Callable[[Bench], None]

    def is_named(self, sentence: str) -> bool:
        return re.match(self.said, sentence) is not None


# What the harness gives to the device


def _batch_as(change: Callable[[UInt8, UInt8], Batch]) -> Callable[[Bench], None]:
    def plant(bench: Bench) -> None:
        comparison, _ = bench.begin(NITI, meddling=Meddling(batch=change))
        bench.batch(comparison)

    return plant


def _swapped(images: UInt8, labels: UInt8) -> Batch:
    order = [1, 0, *range(2, len(images))]
    return images[order], labels[order]


def _posted_as(name: str, instead: Callable[[Sequence[int]], Post | None]) -> Meddling:
    """`instead` of a command of that name."""
    return Meddling(command=lambda n, words: instead(words) if n == name else (n, words))


def _one_image_fewer(bench: Bench) -> None:
    fewer = _posted_as("TRAIN", lambda words: ("TRAIN", [words[0] - 1]))
    bench.batch(bench.begin(NITI, meddling=fewer)[0])


def _label_off_by_one(bench: Bench) -> None:
    classes = bench.network.classes
    bench.step(bench.begin(NITI, meddling=Meddling(label=lambda one: (one + 1) % classes))[0])


def _wrong_seed(bench: Bench) -> None:
    bench.begin(PRIOT_S, other_method=replace(PRIOT_S, seed=PRIOT_S.seed + 1))


def _wrong_threshold(bench: Bench) -> None:
    comparison, _ = bench.begin(PRIOT, other_method=replace(PRIOT, theta=PRIOT.theta + 4))
    bench.step(comparison)


def _wrong_scale(bench: Bench) -> None:
    other = bench.network.copy()
    other.of(_WEIGHTS_LAYER).forward_shift += 1
    bench.step(bench.begin(NITI, other=other)[0])


# The way


def _image_as(change: Callable[[Bench, bytes], bytes]) -> Callable[[Bench], None]:
    """The image and label of a traced step change on their way."""

    def plant(bench: Bench) -> None:
        way = TamperedTarget(bench.target)
        comparison, device = bench.begin(NITI, way)
        place, _ = device.window("IO")
        way.write_as = lambda at, data: change(bench, data) if at == place else data
        bench.step(comparison)

    return plant


def _flipped_pixel(_: Bench, data: bytes) -> bytes:
    return _flip(data, _PIXEL, 7)


def _other_image(bench: Bench, data: bytes) -> bytes:
    return bytes(bench.images[1].tobytes()) + data[-1:]


def _moved_window(bench: Bench) -> None:
    way = TamperedTarget(bench.target)
    comparison, device = bench.begin(NITI, way)
    place, _ = device.window("IO")
    way.read_at = _one_further(place)
    comparison.state(0)


def _one_further(place: int) -> Read:
    return lambda at, _: at + 1 if at == place else at


def _damaged_model(bench: Bench) -> None:
    way = TamperedTarget(bench.target)
    device = MailboxDevice(way)
    device.command("RESET")
    place, _ = device.window("MODEL")
    way.write_as = lambda at, data: _flip(data, len(data) // 2) if at == place else data
    device.load_model(bench.network)


def _flip(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def _lost_command(bench: Bench) -> None:
    bench.batch(bench.begin(NITI, meddling=_posted_as("TRAIN", lambda _: None))[0])


# What the device holds


def _flipped_weight(bench: Bench) -> None:
    comparison, device = bench.begin(NITI)
    geometry = bench.network.layers[_WEIGHTS_LAYER]
    held = bench.network.of(_WEIGHTS_LAYER).weights[_ROW, _K]
    at = _ROW * geometry.row_length + _K
    device.write_tensor("WEIGHTS", _WEIGHTS_LAYER, at, np.array([held ^ 1], np.int8))
    comparison.state(0)


def _changed_score(bench: Bench) -> None:
    comparison, device = bench.begin(PRIOT)
    length = bench.network.layers[_SCORES_LAYER].row_length
    at = _ROW * length + 5
    held = device.scores(_SCORES_LAYER)[at : at + 1]
    device.write_tensor("SCORES", _SCORES_LAYER, at, held ^ 1)
    comparison.state(0)


def _dropped_update(bench: Bench) -> None:
    meddling = Meddling(undone=_SCORES_LAYER)
    bench.batch(bench.begin(NITI, meddling=meddling)[0])


def _foreign_checkpoint(bench: Bench) -> None:
    other = bench.network.copy()
    other.of(0).weights[0, 0] ^= 1
    device = MailboxDevice(bench.target)
    kept = b""
    for network in (other, bench.network):
        device.load_model(network)
        device.set_method(PRIOT)
        kept = kept or device.checkpoint()
    device.restore(kept)


def _forgotten(bench: Bench) -> None:
    comparison, device = bench.begin(NITI)

    def after_reset(words: Sequence[int]) -> Post:
        device.command("RESET")
        return "TRAIN", words

    device.meddling = _posted_as("TRAIN", after_reset)
    bench.batch(comparison)


# Which firmware


@contextmanager
def _copy(elf: Path, make: Callable[[Path, Path], None]) -> Iterator[Path]:
    with TemporaryDirectory(prefix="picotrain-") as folder:
        copy = Path(folder) / elf.name
        make(elf, copy)
        yield copy


def _stale(make: Callable[[Path, Path], None]) -> Callable[[Bench], None]:
    def plant(bench: Bench) -> None:
        with _copy(bench.target.elf, make) as copy:
            MailboxDevice(TamperedTarget(bench.target, copy))

    return plant


def _moved_mailbox(bench: Bench) -> None:
    MailboxDevice(TamperedTarget(bench.target, moved=64))


# The wire, where there is one


class _DamagingStream:
    """A port that turns a bit in all that comes from the device."""

    def __init__(self, port: SerialPort) -> None:
        self._port = port

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def read(self, seconds: float) -> bytes:
        data = self._port.read(seconds)
        return _flip(data, len(data) // 2) if data else data


def _damaged_frames(bench: Bench) -> None:
    with bench.unplugged() as target:
        port = SerialPort(target.url, target.baud)
        try:
            client = LinkClient(_DamagingStream(port), LinkFormat(open_elf(target.elf)))
            client.hello((0.3, 0.3))
        finally:
            port.close()


def _another_build(bench: Bench) -> None:
    with bench.unplugged() as target, _copy(target.elf, stale.of_another_build) as copy:
        other = SerialTarget(copy, target.url, target.baud)
        try:
            other.connect()
        finally:
            other.close()


_ELEMENT = r"\[[\d, ]+\]: expected -?\d+, device has -?\d+"
_ON_ITS_WAY = r"DAMAGED: .*: what was on its way between harness and device changed, or "

FAULTS = (
    Fault(
        "lost-image",
        "harness",
        "an image of a batch is left out",
        r"MISMATCH: step 1, layer -1, train predictions count\[\]: expected 6, device has 5",
        _batch_as(lambda images, labels: (images[1:], labels[1:])),
    ),
    Fault(
        "swapped-images",
        "harness",
        "two images of a batch change places, with their labels",
        rf"MISMATCH: step 1, layer -1, train (predictions|loss_norms){_ELEMENT}",
        _batch_as(_swapped),
    ),
    Fault(
        "label-off-by-one",
        "harness",
        "the label of an image is the next class's",
        rf"MISMATCH: step 0, layer 4, error{_ELEMENT}",
        _label_off_by_one,
    ),
    Fault(
        "truncated-batch",
        "harness",
        "of a batch one image fewer is announced than was sent",
        r"COMMAND: TRAIN: the device refused with PT_ERR_LABEL",
        _one_image_fewer,
    ),
    Fault(
        "wrong-seed",
        "harness",
        "the device draws its scored edges from the next seed",
        rf"MISMATCH: step 0, layer 0, scored edge{_ELEMENT}",
        _wrong_seed,
    ),
    Fault(
        "wrong-threshold",
        "harness",
        "the threshold of the scores is 4 more",
        rf"MISMATCH: step 0, layer 0, activation{_ELEMENT}",
        _wrong_threshold,
    ),
    Fault(
        "wrong-scale",
        "harness",
        "the static shift of layer 2 is one more",
        rf"MISMATCH: step 0, layer 2, activation{_ELEMENT}",
        _wrong_scale,
    ),
    Fault(
        "flipped-pixel",
        "transport",
        "the highest bit of a pixel turns on the way",
        rf"MISMATCH: step 0, layer -1, activation{_ELEMENT}",
        _image_as(_flipped_pixel),
    ),
    Fault(
        "late-image",
        "transport",
        "another image stands where one should have arrived",
        rf"MISMATCH: step 0, layer -1, activation{_ELEMENT}",
        _image_as(_other_image),
    ),
    Fault(
        "wrong-address",
        "transport",
        "a window is read from an address that is one too high",
        _ON_ITS_WAY,
        _moved_window,
    ),
    Fault(
        "damaged-model",
        "transport",
        "a bit of the network turns on the way",
        r"COMMAND: LOAD_MODEL: the device refused with PT_ERR_BLOB_CRC",
        _damaged_model,
    ),
    Fault(
        "lost-command",
        "transport",
        "the command to train does not arrive",
        _ON_ITS_WAY,
        _lost_command,
    ),
    Fault(
        "flipped-weight",
        "state",
        "a bit of one weight turns in the device",
        r"MISMATCH: step 0, layer 2, weights\[3, 20\]: expected -?\d+, device has -?\d+",
        _flipped_weight,
    ),
    Fault(
        "changed-score",
        "state",
        "a bit of one score turns in the device",
        r"MISMATCH: step 0, layer 4, scores\[3, 5\]: expected -?\d+, device has -?\d+",
        _changed_score,
    ),
    Fault(
        "dropped-update",
        "state",
        "layer 4 keeps the weights that it had before a batch",
        rf"MISMATCH: step 1, layer 4, weights{_ELEMENT}",
        _dropped_update,
    ),
    Fault(
        "foreign-checkpoint",
        "state",
        "a checkpoint of a network with one other weight is restored",
        r"COMMAND: RESTORE: the device refused with PT_ERR_CHECKPOINT",
        _foreign_checkpoint,
    ),
    Fault(
        "forgotten-state",
        "state",
        "the device starts anew before a batch",
        r"COMMAND: TRAIN: the device refused with PT_ERR_STATE",
        _forgotten,
    ),
    Fault(
        "stale-elf",
        "firmware",
        "the ELF file is of another version of the protocol",
        r"LINK/VERSION: .*: the device speaks protocol version \d+, this harness version \d+",
        _stale(stale.of_another_protocol),
    ),
    Fault(
        "stale-layout",
        "firmware",
        "the ELF file has a mailbox of another size",
        r"LINK/VERSION: .*: the device's mailbox has \d+ bytes, .* says \d+",
        _stale(stale.of_another_mailbox),
    ),
    Fault(
        "moved-mailbox",
        "firmware",
        "the mailbox is looked for 64 bytes from where it is",
        r"LINK(/MAGIC: .*: no mailbox at|: cannot read .* PT_LINK_ERR_WINDOW)",
        _moved_mailbox,
    ),
)
"""For every target."""

WIRE_FAULTS = (
    Fault(
        "damaged-frames",
        "transport",
        "a bit turns in every frame that comes over the wire",
        r"LINK: HELLO: no answer within .* \(\d+ bytes came, but no answer\)",
        _damaged_frames,
    ),
    Fault(
        "another-build",
        "firmware",
        "the ELF file has another build id than the device says",
        r"FLASH: the device at .* runs another build",
        _another_build,
    ),
)
"""For targets with a serial link, on top."""
