"""A device in whose memory a bit may flip while it works: every batch is shown twice from the same
state, and counts where both came to the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.device.given import checked_batch
from picotrain.device.interface import BatchResult, Progress, UInt8
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.repeating.learned import Learned, joined, parts_of, unreturnable
from picotrain.device.targets.base import Target
from picotrain.errors import DamageFailure, UserError
from picotrain_golden import Method

_RUNS = ("first", "second")


@dataclass(frozen=True)
class Disagreement:
    """Two runs of the same images from the same state had another outcome, in what `differs`.

    `during` is what the device was asked for; a third run agreed with the one that is `right`
    ("first" or "second"; empty: with none).
    """

    during: str
    images: int
    differs: str
    right: str

    @property
    def message(self) -> str:
        verdict = f"the {self.right}" if self.right else "none of them"
        return (
            f"{self.during}: two runs of the same {self.images} images differ in {self.differs}; "
            f"a third agrees with {verdict}"
        )


def in_words(disagreements: Sequence[Mapping[str, Any]]) -> str:
    """How many there were, of what `asdict` made of them."""
    images = sum(int(one["images"]) for one in disagreements)
    again = f", {images} images shown a third time" if disagreements else ""
    return f"{len(disagreements)} of the batches that were shown twice{again}"


@dataclass(frozen=True)
class _Run:
    """What came of one run, and all of it that has to agree, by name."""

    result: BatchResult
    learned: Learned
    counts: NDArray[np.int64]
    outcome: dict[str, NDArray[Any]]

    def differs(self, other: _Run) -> list[str]:
        return [
            name
            for name, values in self.outcome.items()
            if not np.array_equal(values, other.outcome[name])
        ]


class TwiceDevice(MailboxDevice):
    """One that shows the images of each command twice; `notice` is told of each disagreement at
    once, and `disagreements` keeps them.

    What is compared: predictions, loss norms, saturation, and of training what was learned. Where
    two runs differ, a third decides; where it agrees with none, DamageFailure is raised, and the
    device has again what it had before. A flip that does the same to two runs is not seen. The
    cycles of results and of `blocks` are of all runs. `trace` is run once.

    Training under a selection, with a head made on the device, and what `fisher` and `prototype`
    gather cannot be put back: it is refused.
    """

    twice = True

    def __init__(
        self,
        target: Target,
        kernels: str | None = None,
        notice: Callable[[Disagreement], None] = lambda _: None,
    ) -> None:
        self._notice = notice
        self.disagreements: list[Disagreement] = []
        self._mu: int | None = None
        self._earlier: NDArray[np.int64] | int = 0
        super().__init__(target, kernels)

    def set_method(self, method: Method) -> None:
        super().set_method(method)
        self._mu, self._earlier = None, 0

    def set_mu(self, mu: int) -> None:
        super().set_mu(mu)
        self._mu = mu

    def saturation(self) -> NDArray[np.int64]:
        return self._earlier + super().saturation()

    def clear_saturation(self) -> None:
        super().clear_saturation()
        self._earlier = 0

    def _batches(
        self, command: str, images: UInt8, labels: UInt8, progress: Progress | None
    ) -> BatchResult:
        images, labels = checked_batch(self._network, images, labels)
        if not self.window("IO")[1]:
            self.command(command)  # refuses: a model or a method is missing
        trains = command == "TRAIN"
        what = unreturnable(self._method, self._in_force, self._head)
        if trains and what is not None:
            raise UserError(
                f"{what} cannot be put back, so that nothing can be trained twice; use another "
                "method, or a device that runs each batch once"
            )
        learned = self._learned() if trains else Learned()
        done = []
        for part in parts_of(len(images), self.batch_images(images)):
            run = self._agreed(command, images[part], labels[part], learned)
            learned = run.learned
            done.append(run.result)
            if progress is not None:
                progress(len(run.result.predictions))
        return joined(done)

    def _learned(self) -> Learned:
        assert self._network is not None and self._method is not None
        return Learned.of(self, self._network, self._method)

    def _agreed(self, command: str, images: UInt8, labels: UInt8, before: Learned) -> _Run:
        """What two of at most three runs come to. `before`: what the device has learned."""
        counted = self.saturation()
        runs = [self._run(command, images, labels)]

        def again() -> None:
            if command == "TRAIN":
                self._put_back(before)
            runs.append(self._run(command, images, labels))

        again()
        differs = runs[0].differs(runs[1])
        if differs:
            again()
            self.check_memory()  # Or two may agree because the same is damaged for both.
            same = [not runs[2].differs(one) for one in runs[:2]]
            right = next((name for name, is_same in zip(_RUNS, same, strict=True) if is_same), "")
            disagreement = Disagreement(command.lower(), len(images), ", ".join(differs), right)
            self.disagreements.append(disagreement)
            self._notice(disagreement)
            if not right:
                if command == "TRAIN":
                    self._put_back(before)
                self._counted(counted)
                raise DamageFailure(f"{self.name}: {disagreement.message}", "STEP")
        last = runs[-1]
        self._counted(counted + last.counts)
        spent = sum(run.result.cycles or 0 for run in runs)
        return replace(last, result=replace(last.result, cycles=spent or None))

    def _run(self, command: str, images: UInt8, labels: UInt8) -> _Run:
        """One, whose saturation is counted from 0."""
        super().clear_saturation()
        result = self._once(command, images, labels)
        counts = super().saturation()
        outcome: dict[str, NDArray[Any]] = {
            "predictions": result.predictions,
            "loss norms": result.loss_norms,
            "saturated elements": result.saturated,
            "saturation counts": counts,
        }
        learned = Learned()
        if command == "TRAIN":
            learned = self._learned()
            for name, tensors in (("weights", learned.weights), ("scores", learned.scores)):
                for layer, values in enumerate(tensors):
                    if values is not None:
                        outcome[f"{name} of layer {layer}"] = values
                        if self._chooses_edges:
                            outcome[f"scored edges of layer {layer}"] = self.scored_edges(layer)
        return _Run(result, learned, counts, outcome)

    @property
    def _chooses_edges(self) -> bool:
        return self._method is not None and self._method.name == "priot-s"

    def _once(self, command: str, images: UInt8, labels: UInt8) -> BatchResult:
        return super()._batches(command, images, labels, None)

    def _put_back(self, learned: Learned) -> None:
        """With all that the method makes anew, such as which edges have scores."""
        assert self._method is not None
        pace = self._pace
        super().set_method(self._method)
        self._pace = pace  # it still takes as long
        learned.put(self)
        if self._mu is not None:
            super().set_mu(self._mu)

    def _counted(self, counts: NDArray[np.int64]) -> None:
        """So much is saturated in all."""
        super().clear_saturation()
        self._earlier = counts
