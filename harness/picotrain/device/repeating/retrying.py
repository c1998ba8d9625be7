"""A device that may die: it is started anew, gets back what it had learned, and goes on with the
batch that was lost, to the same bytes as if nothing had been."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from picotrain.device import cycles
from picotrain.device.cycles import BlockCount
from picotrain.device.given import checked_batch
from picotrain.device.interface import (
    BatchResult,
    Device,
    Int8,
    Memory,
    Progress,
    TraceTensor,
    UInt8,
)
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.repeating.learned import Learned, joined, parts_of, unreturnable
from picotrain.device.repeating.twice import Disagreement, TwiceDevice
from picotrain.errors import (
    CrashFailure,
    DamageFailure,
    DeviceFailure,
    LinkFailure,
    MagicMismatch,
    TimeoutFailure,
    UserError,
    VersionMismatch,
    whole_number,
)
from picotrain.image.elf import Elf
from picotrain_golden import (
    Information,
    Method,
    MethodName,
    Network,
    Selected,
    Selection,
    Solver,
)

Result = TypeVar("Result")

_WORTH = 10
"""What learned is read when the work that a death would cost is so many times what reading took:
it adds a tenth at most."""


@dataclass
class Death:
    """`during` is what was asked of the device; it was where it had been after `seconds`, in which
    `images` were shown (again). `kind` tells deaths of one class apart (empty: nobody can), and
    `message` is what the CLI prints of such a failure."""

    during: str
    failure_class: str
    kind: str
    message: str
    images: int = 0
    seconds: float = 0.0


def in_words(deaths: Sequence[Mapping[str, Any]]) -> str:
    """How many there were and of what, of what `asdict` made of them."""
    kinds = Counter(str(death["kind"] or death["failure_class"]) for death in deaths)
    counts = ", ".join(f"{count} {name}" for name, count in kinds.items())
    again = sum(int(death["images"]) for death in deaths)
    return f"{len(deaths)} ({counts}), {again} images shown again"


class DiedTooOften(DeviceFailure):
    """The last death, of the class that it had, and that no more are allowed."""

    def __init__(self, last: DeviceFailure, why: str) -> None:
        super().__init__(f"{last} ({why})")
        self.failure_class = last.failure_class


class RetryingDevice:
    """The `Device` that `start` opens, and opens again after each of at most `most` deaths.

    A death is a crash, a timeout, a lost link or damaged memory; a refusal is none. `notice` is
    told of each at once, and `deaths` keeps them. What learns is read between batches, and put
    back with the saturation counts; `blocks` are those of the batches that were not lost. A
    selection, a head made on the device, and what `fisher` and `prototype` gather cannot be put
    back: a death is the end then.
    """

    def __init__(
        self,
        start: Callable[[], Device],
        most: int,
        notice: Callable[[Death], None] = lambda _: None,
    ) -> None:
        if whole_number("most", most) < 1:
            raise UserError(f"most is {most}; give 1 or more deaths, or use the device itself")
        self._start, self._most, self._notice = start, most, notice
        self._device: MailboxDevice | None = None
        self.deaths: list[Death] = []
        self._disagreed: list[Disagreement] = []
        self._unsettled: list[tuple[Death, float]] = []
        self._blocks: list[BlockCount] = []
        self._forget()
        device = self._living()
        self.name, self.kernels, self._elf = device.name, device.kernels, device.elf
        self.twice = isinstance(device, TwiceDevice)

    def _forget(self) -> None:
        self._network: Network | None = None
        self._frozen = False
        self._selection: Selection | None = None
        self._head = False
        self._method: Method | None = None
        self._mu: int | None = None
        self._weights: tuple[Method, Learned] | None = None
        self._scores = Learned()
        self._clear_counts()

    def _clear_counts(self) -> None:
        """Of saturation: those of earlier lives, and all at the last look."""
        self._base: NDArray[np.int64] | int = 0
        self._counted: NDArray[np.int64] | int = 0

    # Lives

    def _living(self) -> MailboxDevice:
        """The device, with what it had; started where it is not."""
        if self._device is None:
            device = self._start()
            if not isinstance(device, MailboxDevice):
                device.close()
                raise UserError(
                    f"target {device.name} cannot die, so that there is nothing to retry; leave "
                    "--retry-device out"
                )
            self._device = device
            self._restore(device)
        return self._device

    def _restore(self, device: MailboxDevice) -> None:
        if self._network is None:
            return
        device.load_model(self._network, self._frozen)
        if self._method is None:
            return
        if self._weights is not None:
            device.set_method(self._weights[0])
            self._weights[1].put(device)
        device.set_method(self._method)
        self._scores.put(device)
        if self._mu is not None:
            device.set_mu(self._mu)
        self._base = self._counted

    def _retried(self, during: str, act: Callable[[], Result]) -> Result:
        """What `act` gives on a device that lives until its end."""
        while True:
            try:
                return act()
            except (MagicMismatch, VersionMismatch):
                raise
            except (CrashFailure, TimeoutFailure, LinkFailure, DamageFailure) as failure:
                self._died(failure, during)

    def _died(self, failure: DeviceFailure, during: str) -> None:
        """Raises where it may not be started again."""
        if (lost := self._lost()) is not None:
            raise DiedTooOften(failure, lost) from failure
        if len(self.deaths) == self._most:
            raise DiedTooOften(
                failure, f"death {self._most + 1} of the device, and {self._most} may be retried"
            ) from failure
        death = Death(during, failure.failure_class, failure.kind, failure.told)
        self.deaths.append(death)
        self._notice(death)
        self._unsettled.append((death, time.monotonic()))
        if self._device is not None:
            self._disagreed = self.disagreements
            self._device.close()
            self._device = None

    def _lost(self) -> str | None:
        """What the device had that cannot be put back."""
        what = unreturnable(self._method, self._selection, self._head)
        return None if what is None else f"{what} cannot be put back"

    def _settle(self, images: int) -> None:
        """The device is where it was when it died, after `images` that were shown again."""
        for death, since in self._unsettled:
            death.images, death.seconds = images, round(time.monotonic() - since, 3)
        self._unsettled = []

    def _asked(self, what: str, act: Callable[[MailboxDevice], Result]) -> Result:
        """The answer to what shows no images."""
        done = self._retried(what, lambda: act(self._living()))
        self._settle(0)
        return done

    # What learns

    def _keep(self, learned: bool) -> None:
        """Take over what can be put back; `learned`: what learns has changed."""
        device = self._living()
        if learned:
            assert self._network is not None and self._method is not None
            read = Learned.of(device, self._network, self._method)
            device.check_memory()  # of what was read
            if self._method.changes_weights:
                self._weights = (self._method, read)
            if self._method.scored:
                self._scores = read
        self._counted = self._base + device.saturation()

    # Batches

    def train(self, images: UInt8, labels: UInt8, progress: Progress | None = None) -> BatchResult:
        return self._batches("train", images, labels, progress)

    def evaluate(
        self, images: UInt8, labels: UInt8, progress: Progress | None = None
    ) -> BatchResult:
        return self._batches("evaluate", images, labels, progress)

    def _batches(
        self,
        what: Literal["train", "evaluate"],
        images: UInt8,
        labels: UInt8,
        progress: Progress | None,
    ) -> BatchResult:
        images, labels = checked_batch(self._network, images, labels)
        # As the device cuts them itself, so that a command is what it would have been.
        most = self._asked(what, lambda device: device.batch_images(images))
        parts = parts_of(len(images), most)
        done: list[BatchResult] = []
        kept, reading = 0, 0.0

        def go_on() -> None:
            """From the first part whose outcome could be lost."""
            nonlocal kept, reading
            device, worked = self._living(), 0.0
            first = kept
            for at in range(kept, len(parts)):
                begun = time.monotonic()
                result, blocks = _counted(device, what, images[parts[at]], labels[parts[at]])
                worked += time.monotonic() - begun
                if at == len(done):
                    done.append(result)
                    self._blocks = cycles.difference([*self._blocks, *blocks], ())
                    self._settle(_images(parts[first : at + 1], len(images)))
                    if progress is not None:
                        progress(len(result.predictions))
                if what == "train" and worked < _WORTH * reading and at + 1 < len(parts):
                    continue
                begun = time.monotonic()
                self._keep(what == "train")
                reading, worked, kept = time.monotonic() - begun, 0.0, at + 1
                self._settle(_images(parts[first:kept], len(images)))
                first = kept

        self._retried(what, go_on)
        return joined(done)

    # The rest of a device

    @property
    def disagreements(self) -> list[Disagreement]:
        """Of all lives, where what `start` opens shows each batch twice."""
        of_this = self._device.disagreements if isinstance(self._device, TwiceDevice) else []
        return [*self._disagreed, *of_this]

    @property
    def elf(self) -> Elf:
        """The firmware that runs."""
        return self._elf

    @property
    def arena_bytes(self) -> int:
        """As a device's: a model that it holds is lost."""
        self._forget()
        return self._asked("reset", lambda device: device.arena_bytes)

    def load_model(self, network: Network, frozen: bool = False) -> None:
        self._forget()
        self._asked("load_model", lambda device: device.load_model(network, frozen))
        self._network, self._frozen = network.copy(), frozen

    def set_method(self, method: Method) -> None:
        self._asked("set_method", lambda device: device.set_method(method))
        self._method, self._mu, self._scores = method, None, Learned()
        self._clear_counts()

    def set_mu(self, mu: int) -> None:
        self._asked("set_mu", lambda device: device.set_mu(mu))
        self._mu = mu

    def trace(self, image: UInt8, label: int) -> Iterator[TraceTensor]:
        """As a device's; it is not tried again."""
        return self._living().trace(image, label)

    def weights(self, layer: int) -> Int8:
        return self._asked("weights", lambda device: device.weights(layer))

    def scores(self, layer: int) -> Int8:
        return self._asked("scores", lambda device: device.scores(layer))

    def put_weights(self, layer: int, values: Int8) -> None:
        self._asked("put_weights", lambda device: device.put_weights(layer, values))
        self._asked("put_weights", lambda _: self._keep(True))

    def put_scores(self, layer: int, values: Int8) -> None:
        self._asked("put_scores", lambda device: device.put_scores(layer, values))
        self._asked("put_scores", lambda _: self._keep(True))

    @property
    def has_made_head(self) -> bool:
        return self._head

    def scored_edges(self, layer: int) -> NDArray[np.int64]:
        return self._asked("scored_edges", lambda device: device.scored_edges(layer))

    def set_selection(self, selection: Selection | None) -> None:
        self._asked("set_selection", lambda device: device.set_selection(selection))
        self._selection = selection

    def selection(self) -> Selection | None:
        return self._asked("selection", lambda device: device.selection())

    def fisher(self) -> Information:
        return self._asked("fisher", lambda device: device.fisher())

    def make_head(self) -> None:
        self._asked("make_head", lambda device: device.make_head())
        self._head = True

    def select(
        self,
        solver: Solver,
        permille: int,
        budget_bytes: int,
        budget_macs: int,
        method: MethodName,
    ) -> Selected:
        job = (solver, permille, budget_bytes, budget_macs, method)
        found = self._asked("select", lambda device: device.select(*job))
        self._selection = found.selection
        return found

    def saturation(self) -> NDArray[np.int64]:
        return self._base + self._asked("saturation", lambda device: device.saturation())

    def clear_saturation(self) -> None:
        self._asked("clear_saturation", lambda device: device.clear_saturation())
        self._clear_counts()

    def memory(self) -> Memory:
        return self._asked("memory", lambda device: device.memory())

    def check_memory(self) -> None:
        """As a device's, once: what the caller has read of a damaged one is not mended by another
        life."""
        self._living().check_memory()

    def blocks(self) -> list[BlockCount] | None:
        """Of the batches so far, each as often as it was asked for; None where nothing counts."""
        known = self._asked("blocks", lambda device: device.blocks())
        return None if known is None else list(self._blocks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._device is not None:
            self._device.close()


def _counted(
    device: MailboxDevice, what: Literal["train", "evaluate"], images: UInt8, labels: UInt8
) -> tuple[BatchResult, list[BlockCount]]:
    """What came of one part, and the blocks that it ran."""
    before = device.blocks()
    act = device.train if what == "train" else device.evaluate
    result = act(images, labels)
    after = device.blocks()
    return result, cycles.difference(after or (), before or ())


def _images(parts: list[slice], of: int) -> int:
    return sum(min(part.stop, of) - part.start for part in parts)
