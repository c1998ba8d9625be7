"""The loop of training in floating point, whatever the network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Dataset, Split
from picotrain.errors import PartedError, UserError
from picotrain.learn.architectures.architecture import Architecture
from picotrain.progress import progress_bar


@dataclass(frozen=True)
class FloatOptions:
    """One cycle of the step size over `epochs` epochs, then `int8_epochs` at a small one.

    SGD with Nesterov momentum 0.9 on batches of `batch` images, each shifted by up to 4 pixels (and
    a seventh of its side; sideways only if `across`) and, if `mirror`, mirrored every second time;
    never turned. The defaults are those of CIFAR-10; `suited` has what another data set needs.
    """

    epochs: int = 10
    int8_epochs: int = 1
    rate: float = 0.1
    int8_rate: float = 0.004
    decay: float = 5e-4
    batch: int = 256
    mirror: bool = True
    seed: int = 0
    across: bool = True


_BATCHES = 32
"""In an epoch; smaller batches make them, of few images."""
_LEAST_BATCH = 16
"""Whose moments batch normalisation can still use."""
_STEPS = 1200
"""A network of 1,520 weights learns the digits in so many, and nothing in 40."""
_MOST_EPOCHS = 100
_SHIFT, _SIDES = 4, 7


def suited(dataset: Dataset) -> FloatOptions:
    """The defaults for a data set: of few images smaller batches and more epochs, so that there are
    enough steps; mirrored are photographs alone, and frames are shifted in time alone."""
    images, batch = len(dataset.train), FloatOptions.batch
    while batch > _LEAST_BATCH and images // batch < _BATCHES:
        batch //= 2
    enough = -(-_STEPS // max(1, images // batch))
    epochs = max(FloatOptions.epochs, min(enough, _MOST_EPOCHS))
    return FloatOptions(
        epochs=epochs, batch=batch, mirror=dataset.photographs, across=not dataset.frames
    )


_MOST_RATE = 1e30
"""Optimisers multiply it, and steps are float32."""


def check_rate(option: str, rate: float, example: str) -> None:
    """Raise UserError for what is no step size."""
    if not 0 < rate <= _MOST_RATE:
        raise UserError(
            f"{option} is {rate}; use a step size above 0"
            + (f" and up to {_MOST_RATE:g}" if rate > 0 else "")
            + f", e.g. {example}"
        )


class Diverged(PartedError):
    """The loss, or what was learnt, is no number any more."""


_SLOWER = "use a smaller step size (--rate)"


class Training(ABC):
    """The validation split watches and chooses nothing."""

    def __init__(
        self, architecture: Architecture, dataset: Dataset, options: FloatOptions, torch: Any
    ) -> None:
        self._torch = torch
        self._architecture = architecture
        self._layers = architecture.layers
        self._dataset = dataset
        self._options = options
        self._random = torch.Generator().manual_seed(options.seed)
        self._optimiser: Any = None
        self._schedule: Any = None

    @abstractmethod
    def _trained(self) -> tuple[list[Any], list[Any]]:
        """What learns: with weight decay, and without."""

    def _learnt(self) -> list[Any]:
        """All tensors that training changes."""
        weights, others = self._trained()
        return [*weights, *others]

    @abstractmethod
    def _input(self, images: NDArray[np.uint8]) -> Any:
        """uint8 [N, H, W, C] as the device sees it, float [N, C, H, W]."""

    @abstractmethod
    def _forward(self, x: Any, learn: bool) -> Any:
        """Logits float [N, classes]. `learn` takes the moments from the batch, and notes them."""

    def _quantise(self) -> None:
        """Before the first of the epochs that train int8 weights, where there are any."""
        raise NotImplementedError

    @property
    def _batches(self) -> int:
        return len(self._dataset.train) // self._options.batch

    def epoch(self, number: int) -> dict[str, Any]:
        """Train an epoch (from 1), then look at the validation split."""
        torch, options = self._torch, self._options
        quantised = number > options.epochs
        if number == 1:
            self._optimise(options.rate, options.epochs)
        if number == options.epochs + 1:
            self._quantise()
            self._optimise(options.int8_rate, options.int8_epochs)
        order = torch.randperm(len(self._dataset.train), generator=self._random).numpy()
        right, count, total = 0, self._batches * options.batch, 0.0
        label = f"epoch {number}/{options.epochs + options.int8_epochs}"
        with progress_bar(label, count) as advance:
            for start in range(0, count, options.batch):
                chosen = self._dataset.train.take(order[start : start + options.batch])
                labels = torch.from_numpy(chosen.labels.astype(np.int64))
                logits = self._forward(self._augmented(chosen), learn=not quantised)
                loss = torch.nn.functional.cross_entropy(logits, labels)
                total += loss.item() * options.batch
                if not math.isfinite(total):
                    raise Diverged(f"the loss of epoch {number} is not a finite number", _SLOWER)
                self._step(loss)
                right += int((logits.argmax(1) == labels).sum())
                advance(options.batch)
        # The loss is that before a step: what the last one did, no loss tells.
        if not all(bool(torch.isfinite(one).all()) for one in self._learnt()):
            raise Diverged(f"what epoch {number} learnt is not all finite numbers", _SLOWER)
        return {
            "epoch": number,
            "weights": "int8" if quantised else "float",
            "loss": total / count,
            "train_accuracy": right / count,
            "validation_accuracy": self._accuracy(self._dataset.validation),
        }

    def _step(self, loss: Any) -> None:
        """Learn from a batch."""
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        self._schedule.step()

    def progress(self) -> dict[str, Any]:
        """What the next epoch goes on from, beside the parameters: for `go_on`."""
        return {
            "random": self._random.get_state(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
        }

    def go_on(self, progress: dict[str, Any]) -> None:
        """As if the epochs before had been trained here; of float epochs."""
        self._optimise(self._options.rate, self._options.epochs)
        self._random.set_state(progress["random"])
        self._optimiser.load_state_dict(progress["optimiser"])
        self._schedule.load_state_dict(progress["schedule"])

    def _optimise(self, rate: float, epochs: int) -> None:
        torch, options = self._torch, self._options
        weights, others = self._trained()
        self._optimiser = torch.optim.SGD(
            [
                {"params": weights, "weight_decay": options.decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=rate,
            momentum=0.9,
            nesterov=True,
        )
        # With four steps or fewer OneCycleLR divides by 0; what is left of 8 is unused.
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, rate, total_steps=max(8, epochs * self._batches), pct_start=0.25
        )

    def _augmented(self, split: Split) -> Any:
        """Images shifted and mirrored at random, as `_input` makes them."""
        images = split.images
        n, height, width, _ = images.shape
        # A row of numbers is an image of height 1, which a shift would empty.
        down, across = (min(_SHIFT, side // _SIDES) for side in (height, width))
        across = across if self._options.across else 0
        padded = np.pad(images, ((0, 0), (down, down), (across, across), (0, 0)))
        draw = self._torch.randint(0, 2 * _SHIFT + 1, (n, 2), generator=self._random).numpy()
        draw %= [2 * down + 1, 2 * across + 1]
        mirror = self._torch.randint(0, 2, (n,), generator=self._random).numpy()
        moved = np.empty_like(images)
        for index, ((y, x), flip) in enumerate(zip(draw, mirror, strict=True)):
            window = padded[index, y : y + height, x : x + width]
            moved[index] = window[:, ::-1] if flip and self._options.mirror else window
        return self._input(moved)

    def _accuracy(self, split: Split) -> float:
        torch, size = self._torch, self._options.batch
        right = 0
        with torch.no_grad():
            for start in range(0, len(split), size):
                images = self._input(split.images[start : start + size])
                predicted = self._forward(images, learn=False).argmax(1).numpy()
                right += int((predicted == split.labels[start : start + size]).sum())
        return right / len(split)
