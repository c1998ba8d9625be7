"""Keywords on a picotrain device: a thin layer over the harness, for the suites of this folder."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from robot.api import SkipExecution, logger
from robot.api.deco import keyword, library

from picotrain import datasets
from picotrain.cli.material import random_material
from picotrain.datasets import Dataset, Split, rotate
from picotrain.device import backends
from picotrain.device.blob import encode
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.base import Target
from picotrain.device.targets.host import HostTarget
from picotrain.device.targets.serial import SerialTarget
from picotrain.errors import (
    CommandError,
    CrashFailure,
    DeviceFailure,
    LinkFailure,
    MismatchFailure,
    TimeoutFailure,
)
from picotrain.image.firmware import PICO_RAM
from picotrain.learn import models
from picotrain.learn.verify import Comparison
from picotrain_golden import Method, Network
from picotrain_golden.generator import Select
from picotrain_golden.method import MethodName, Start

WIDE_ARENA = 1 << 20
"""Bytes for golden: the device's memory is the one to run out, if any is."""

RANDOM_SEED = 1
RANDOM_IMAGES = 8

KERNEL = "pt_conv2d_forward_s8"
"""The kernel to overwrite, with one of these."""
NOTHING = b"\x00\x00"
UNDEFINED = b"\x00\xde"
HANG = NOTHING + b"\xfd\xe7"
"""In Thumb: MOVS r0, r0; an undefined instruction; a jump to the MOVS before it. Renode lets time
fly in a jump to itself."""
SHORT_FUSE = struct.pack("<4H2I", 0x4801, 0x4902, 0x6001, 0xE7FE, 0x40058004, 20_000)
"""A hang for an address that is a multiple of 4: LDR r0, =WATCHDOG_LOAD; LDR r1, =20000 (10 ms);
STR r1, [r0]; a jump to itself; the two numbers."""

_HANG_SECONDS = 0.3
_RESET_SECONDS = 20.0
"""The watchdog's 8 s, and what the device needs to be back."""


@library(scope="SUITE", doc_format="TEXT")
class PicotrainLibrary:
    """A device under test, golden beside it, and the images that both are given.

    `Connect Device` comes first. Every comparison is with golden, computed alongside, tolerance 0.
    """

    def __init__(self) -> None:
        self._opened: MailboxDevice | None = None
        self._golden_opened: GoldenDevice | None = None
        self._network: Network | None = None
        self._split: Split | None = None

    # Connection

    @keyword
    def connect_device(self, target: str) -> None:
        """Start the target of that name (`picotrain targets` lists them), or reach it anew."""
        self.disconnect_device()
        name, kernels = backends.variant_of(target)
        device = backends.open_device(name, kernels=kernels)
        if not isinstance(device, MailboxDevice):
            device.close()
            raise AssertionError(f"target {target} has no mailbox to test; use host or qemu")
        self._opened = device
        self._golden_opened = GoldenDevice(device.elf, WIDE_ARENA)
        logger.info(f"{device.name} runs {device.elf.path.name}")

    @keyword
    def disconnect_device(self) -> None:
        """Stop the target, if it was connected."""
        if self._opened is not None:
            self._opened.close()
        self._opened = self._golden_opened = self._network = self._split = None

    @keyword
    def restart_device(self) -> str:
        """Reset the device, and return the reason of the reset that it has to tell.

        A device at a serial link is asked to; what we started ourselves is started anew.
        """
        target = self._target
        if isinstance(target, SerialTarget):
            target.restart()
            reason = "request"
        else:
            target.connect()
            reason = "power"
        self._greet_again()
        return reason

    def _greet_again(self) -> None:
        """After a start: nothing is loaded, and a process has its mailbox elsewhere."""
        self._opened = MailboxDevice(self._target)
        self._network = self._split = None

    @property
    def _device(self) -> MailboxDevice:
        if self._opened is None:
            raise AssertionError("no device is connected; use Connect Device first")
        return self._opened

    @property
    def _target(self) -> Target:
        return self._device._target

    @property
    def _golden(self) -> GoldenDevice:
        assert self._golden_opened is not None
        return self._golden_opened

    # The mailbox

    @keyword
    def read_mailbox(self) -> dict[str, Any]:
        """The fields of `struct pt_mailbox` by name, nested as in C."""
        device = self._device
        layout = device.elf.dtype("pt_mailbox")
        data = self._target.read(self._target.mailbox_address(), layout.itemsize)
        fields = _plain(np.frombuffer(data, layout)[0])
        assert isinstance(fields, dict)
        return fields

    @keyword
    def read_hello(self) -> dict[str, Any]:
        """What the device tells of itself over the serial link: `reset`, `clock_hz` and more.

        On an emulator it is read from memory. Skips where the firmware has no such link.
        """
        target, elf = self._target, self._device.elf
        if isinstance(target, SerialTarget):
            return asdict(target.hello())
        if "hello" not in elf.symbols():
            raise SkipExecution(f"{target.name} has no serial link")
        self._device.command("INFO")  # once it is served, the start is over
        layout = elf.dtype("pt_link_hello")
        data = target.read(elf.symbol("hello"), layout.itemsize)
        hello: dict[str, Any] = _plain(np.frombuffer(data, layout)[0])
        reason = elf.enum("pt_reset_reason")(hello["reset"]).name
        return {**hello, "reset": reason.removeprefix("PT_RESET_").lower()}

    @keyword
    def constant(self, enumeration: str, name: str) -> int:
        """A number of the firmware by its name in C, e.g. `pt_protocol` `PT_MAILBOX_MAGIC`."""
        return int(self._device.elf.enum(enumeration)[name])

    @keyword
    def run_command(self, name: str, *arguments: int) -> dict[str, Any]:
        """Run a command (`INFO`, `RESET`, ...) and return the mailbox with its answer."""
        self._device.command(name, arguments)
        return self.read_mailbox()

    @keyword
    def command_should_be_refused(
        self, command: str, *arguments: int, error: str, numbers: str
    ) -> None:
        """The device must refuse with this error and its numbers, e.g. `numbers=0 2`.

        `command` is a name, or a number for one that does not exist. What the numbers say stands at
        each error in `firmware/nn/pt_error.h`; zeros at the end are left out, `*` is any number.
        """
        try:
            if command.isdecimal():
                self._run_number(int(command), arguments)
            else:
                self._device.command(command, arguments)
        except CommandError as refusal:
            wanted = numbers.split()
            wanted += ["0"] * (len(refusal.detail) - len(wanted))
            found = [str(number) for number in refusal.detail]
            same = all(want in ("*", have) for want, have in zip(wanted, found, strict=True))
            if refusal.name != error or not same:
                raise AssertionError(
                    f"{command} was refused with {refusal.name} {' '.join(found)}, "
                    f"expected {error} {' '.join(wanted)}"
                ) from None
            return
        raise AssertionError(f"{command} was served, expected a refusal with {error}")

    def _run_number(self, number: int, arguments: tuple[int, ...]) -> None:
        """Run a command that has no name."""
        commands = self._device._commands
        try:
            self._device._commands = {"PT_CMD_RAW": number}  # type: ignore[assignment]
            self._device.command("RAW", arguments)
        finally:
            self._device._commands = commands

    # Memory

    @keyword
    def memory_should_fill_the_chip(self, most_lost: int = 2048) -> None:
        """Code, statics, arena and stack must be those of the ELF file and make up 264 KiB.

        `most_lost`: bytes that alignment and records between them may take.
        """
        memory = self._device.command("INFO")["memory"]
        if memory["code"] == 0:
            raise SkipExecution(f"{self._device.name} has no fixed memory that could add up")
        elf = self._device.elf
        total = 0
        for field, part in (
            ("code", "code"),
            ("statics", "bss"),
            ("arena", "arena"),
            ("stack_reserved", "stack"),
        ):
            size = elf.symbol(f"pt_{part}_end") - elf.symbol(f"pt_{part}_start")
            if memory[field] != size:
                raise AssertionError(f"{field} is {memory[field]} bytes, the ELF file says {size}")
            total += size
        if not 0 <= PICO_RAM - total < most_lost:
            raise AssertionError(f"the parts add up to {total:,} of {PICO_RAM:,} bytes")
        if not 0 < memory["stack_used"] < memory["stack_reserved"]:
            raise AssertionError(
                f"{memory['stack_used']} of {memory['stack_reserved']} bytes of stack are used"
            )

    @keyword
    def memory_of_the_model_should_equal_golden(self) -> None:
        """What model and method take must be what golden planned, byte by byte, and fit."""
        planned, found = self._golden.memory().by_part(), self._device.memory().by_part()
        for part, expected in planned.items():
            if expected is not None and part != "total" and found[part] != expected:
                raise AssertionError(f"{part}: expected {expected} bytes, found {found[part]}")
        arena = int(self._device.command("INFO")["memory"]["arena"])
        needed = planned["network"]
        if needed is None or not 0 < needed <= arena:
            raise AssertionError(f"{needed} bytes are planned, the arena has {arena}")

    # Networks, methods and images

    @keyword
    def load_backbone(self, network: str, dataset: str) -> None:
        """Load the pre-trained network that is shipped for a data set."""
        loaded, _ = models.load_backbone(models.backbone_path(network, dataset))
        self._load(loaded)

    @keyword
    def load_random_network(self, network: str) -> None:
        """Load an untrained network of `models/`, and take noise as images."""
        loaded, self._split = _random_material(network)
        self._load(loaded)

    def _load(self, network: Network) -> None:
        self._network = network
        self._golden.load_model(network)
        self._device.load_model(network)

    @keyword
    def set_method(
        self,
        name: MethodName,
        mu: int | None = None,
        theta: int | None = None,
        permille: int = Method.permille,
        select: Select = Method.select,
        start: Start = Method.start,
        seed: int = Method.seed,
    ) -> None:
        """Prepare training by a method, or inference with `infer`; options and their defaults are
        those of `picotrain_golden.Method`."""
        chosen = {"mu": mu, "theta": theta}
        given = {option: value for option, value in chosen.items() if value is not None}
        method = Method(name, **given, permille=permille, select=select, start=start, seed=seed)
        self._golden.set_method(method)
        self._device.set_method(method)

    @keyword
    def take_images(self, dataset: str, split: str, count: int, angle: float = 0) -> None:
        """The first `count` images of a split, turned by `angle` degrees, are the batch to use."""
        drawn = _dataset(dataset).splits[split].take(np.arange(count))
        self._split = Split(rotate(drawn.images, angle), drawn.labels)

    @property
    def _images(self) -> Split:
        if self._split is None:
            raise AssertionError("there are no images; use Take Images first")
        return self._split

    @property
    def _comparison(self) -> Comparison:
        if self._network is None:
            raise AssertionError("no network is loaded; use Load Backbone first")
        return Comparison(self._golden, self._device, self._network)

    # What must come out

    @keyword
    def predictions_should_equal_golden(self) -> tuple[int, str]:
        """Predict the batch on both; returns how many are correct, and the digest of all."""
        images = self._images
        expected = self._golden.evaluate(images.images, images.labels)
        found = self._device.evaluate(images.images, images.labels)
        _compare("predictions", expected.predictions, found.predictions)
        digest = hashlib.sha256(found.predictions.astype(np.uint8).tobytes()).hexdigest()
        return found.correct(images.labels), digest

    @keyword
    def training_should_equal_golden(self) -> None:
        """Train on the batch on both: results of every image and saturation must be the same."""
        images = self._images
        expected = self._golden.train(images.images, images.labels)
        found = self._device.train(images.images, images.labels)
        for name in ("predictions", "loss_norms", "saturated"):
            _compare(name, getattr(expected, name), getattr(found, name))
        _compare("saturation", self._golden.saturation(), self._device.saturation())
        if not found.loss_norms.any():
            raise AssertionError("no image had a loss error, so nothing was trained")

    @keyword
    def state_should_equal_golden(self) -> str:
        """All that can learn must be the same; returns its digest.

        Where it differs, the first wrong element is named.
        """
        assert self._network is not None
        expected = state_sha256(self._golden, self._network)
        found = state_sha256(self._device, self._network)
        if found != expected:
            self._comparison.state(0)
            raise AssertionError(f"state is {found}, golden has {expected}")
        return found

    @keyword
    def flip_bit_of_weight(self, layer: int, row: int, column: int) -> None:
        """Change one weight of the device, and not of golden, by its lowest bit."""
        assert self._network is not None
        weights = self._network.of(layer).weights
        flipped = np.array([weights[row, column] ^ 1], np.int8)
        self._device.write_tensor("WEIGHTS", layer, row * weights.shape[1] + column, flipped)

    @keyword
    def device_should_serve(self) -> None:
        """A small network of its own, loaded anew, must train as golden does."""
        self._device.check()
        self.load_random_network("oddnet")
        self.set_method("niti-static")
        self.training_should_equal_golden()
        self.state_should_equal_golden()

    # What must be refused

    @keyword
    def write_broken_model(self, network: str) -> int:
        """Write a blob with one wrong bit in its last byte; returns its size."""
        loaded, _ = _random_material(network)
        blob = bytearray(encode(loaded, self._device.elf))
        blob[-1] ^= 1
        self._device.write_window("MODEL", bytes(blob))
        return len(blob)

    @keyword
    def write_batch(self, *labels: int) -> None:
        """Put as many images as there are labels into the io window, with these labels."""
        pixels = self._images.images[: len(labels)]
        self._device.write_window("IO", pixels.tobytes() + bytes(labels))

    # What must fail

    @keyword
    def break_device(self, how: Literal["fault", "hang"]) -> str:
        """Let the device fault or hang as soon as it runs; returns what the failure has to name.

        Over the serial link the device is asked to; a process is sent a signal; in the memory of a
        chip a kernel is overwritten, on the way of the training step that follows.
        """
        target, elf = self._target, self._device.elf
        if isinstance(target, SerialTarget):
            with suppress(LinkFailure):  # it does not come back within no time
                target.restart(how, seconds=0)
            if how == "hang":
                return "the watchdog reset the device"
            return "app/pt_link.c" if "pt_fault_record" in elf.symbols() else "kept no record"
        self._prepare_step()
        if isinstance(target, HostTarget):
            os.kill(target.pid, signal.SIGSEGV if how == "fault" else signal.SIGSTOP)
            return "SIGSEGV" if how == "fault" else "the host process"
        target.write(elf.symbol(KERNEL), UNDEFINED if how == "fault" else HANG)
        return f"{KERNEL}+0x0" if how == "fault" else KERNEL

    @keyword
    def running_should_fail(self, failure_class: Literal["CRASH", "TIMEOUT"], naming: str) -> None:
        """To let the device run must end with a failure of that class, with `naming` in its text.

        Over the serial link, that is when the device has started anew.
        """
        try:
            if isinstance(self._target, SerialTarget):
                self._target.run(_RESET_SECONDS)
            else:
                patience = _HANG_SECONDS if failure_class == "TIMEOUT" else _RESET_SECONDS
                self._device.command("TRAIN", [1], timeout=patience)
        except DeviceFailure as failure:
            text = f"{failure.failure_class}: {failure}"
            if isinstance(failure, CrashFailure) and "pc" in failure.registers:
                file, line = self._device.elf.line_at(failure.registers["pc"]) or ("?", 0)
                text += f" ({file}:{line})"
            logger.info(text)
            if failure.failure_class != failure_class or naming not in text:
                raise AssertionError(
                    f"the device failed with {text}; expected {failure_class} naming {naming!r}"
                ) from None
            return
        raise AssertionError(f"the device became idle, expected {failure_class}")

    @keyword
    def hang_until_the_watchdog_bites(self) -> None:
        """The device hangs, and is started anew by its watchdog alone.

        Skips where there is none. On an emulator the program first sets the watchdog to bite soon,
        because the 8 s that it has take an emulator minutes.
        """
        target, elf = self._target, self._device.elf
        if isinstance(target, SerialTarget):
            target.restart("hang")
        elif "pt_watchdog_feed" in elf.symbols():
            self._prepare_step()
            address = elf.symbol(KERNEL)
            target.write(address, NOTHING * (address % 4 // 2) + SHORT_FUSE)
            with suppress(TimeoutFailure):
                self._device.command("TRAIN", [1], timeout=_RESET_SECONDS)
        else:
            raise SkipExecution(f"{target.name} has no watchdog")
        self._greet_again()

    def _prepare_step(self) -> None:
        """All that TRAIN needs to come to the kernel, which has not run yet since the start.

        An emulator that has translated code once would not see that it was overwritten.
        """
        self.load_random_network("oddnet")
        self.set_method("niti-static")
        self.write_batch(0)


def _plain(value: Any) -> Any:
    """A NumPy record as dicts, lists and whole numbers."""
    if isinstance(value, np.void):
        assert value.dtype.names is not None
        return {name: _plain(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray):
        return [_plain(element) for element in value]
    return int(value)


def _compare(name: str, expected: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    """Raise MismatchFailure for the first element that differs."""
    if expected.shape != found.shape:
        raise AssertionError(f"{name}: expected shape {expected.shape}, found {found.shape}")
    different = np.argwhere(expected != found)
    if len(different):
        index = tuple(int(i) for i in different[0])
        raise MismatchFailure(0, -1, name, index, int(expected[index]), int(found[index]))


@cache
def _dataset(name: str) -> Dataset:
    return datasets.load(name, download=False)


@cache
def _random_material(network: str) -> tuple[Network, Split]:
    return random_material(network, RANDOM_SEED, RANDOM_IMAGES)
