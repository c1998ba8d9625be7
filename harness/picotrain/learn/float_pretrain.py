"""Makes backbones in floating point (PyTorch, extra `train`), for networks too large for integers.

The network has no biases. So no layer's outputs are centred, but the weights of every channel
(weight standardization, arXiv 1903.10520), which keeps the outputs near zero as well; and a channel
is divided by the root mean square of its outputs. At the end both become part of the weights, and
nothing is left over. The last epochs train those weights as the int8 values that the device will
multiply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Dataset, Split
from picotrain.errors import UserError
from picotrain.learn.architectures.architecture import Architecture
from picotrain.progress import progress_bar
from picotrain.versions import to_install
from picotrain_golden import Network
from picotrain_golden.network import INPUT_EXPONENT, Layer, Parameters
from picotrain_golden.numerics import LIMIT

_EPSILON = 1e-5
_MOMENT_DECAY = 0.9
_EXPONENT_SAMPLES = 1024


@dataclass(frozen=True)
class FloatOptions:
    """One cycle of the step size over `epochs` epochs, then `int8_epochs` at a small one.

    SGD with Nesterov momentum 0.9 on batches of `batch` images, each shifted by up to 4 pixels and,
    if `mirror`, mirrored every second time (which is wrong for digits); never turned.
    """

    epochs: int = 10
    int8_epochs: int = 1
    rate: float = 0.1
    int8_rate: float = 0.004
    decay: float = 5e-4
    batch: int = 256
    mirror: bool = True
    seed: int = 0


Report = Callable[[dict[str, Any]], None]


def pretrain_float(
    architecture: Architecture, dataset: Dataset, options: FloatOptions, report: Report
) -> tuple[Network, list[dict[str, Any]]]:
    """The network with int8 weights and no static numbers yet, and the history of the epochs.

    The validation split watches and chooses nothing. Raises UserError without PyTorch, for a data
    set of less than a batch, and for a step size that is not above 0.
    """
    if len(dataset.train) < options.batch:
        raise UserError(
            f"data set {dataset.name} has {len(dataset.train)} training images, less than a batch "
            f"of {options.batch}; pre-train it in integers"
        )
    if not 0 < options.rate < math.inf:
        raise UserError(f"--rate is {options.rate}; use a step size above 0, e.g. 0.1")
    training = _Training(architecture, dataset, options, _torch())
    history = []
    for epoch in range(1, options.epochs + options.int8_epochs + 1):
        entry = training.epoch(epoch)
        history.append(entry)
        report(entry)
    return training.network(), history


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise UserError(
            f"pre-training in floating point needs PyTorch: `{to_install('train')}`"
        ) from None
    return torch


class _Training:
    """Weights as PyTorch has them: [rows, C, KH, KW] and, of linear layers, [rows, K]."""

    def __init__(
        self, architecture: Architecture, dataset: Dataset, options: FloatOptions, torch: Any
    ) -> None:
        self._torch = torch
        self._architecture = architecture
        self._layers = architecture.layers
        self._dataset = dataset
        self._options = options
        self._random = torch.Generator().manual_seed(options.seed)
        self._weights: list[Any] = [self._initial(layer) for layer in self._layers]
        # Of the last layer neither is used: the scale of the logits is for training to find.
        self._gains = [torch.ones(layer.rows, requires_grad=True) for layer in self._layers]
        self._moments = [torch.ones(layer.rows) for layer in self._layers]
        self._exponents: list[tuple[int, int]] | None = None
        self._optimiser: Any = None
        self._schedule: Any = None

    def _initial(self, layer: Layer) -> Any:
        torch = self._torch
        if not layer.has_weights:
            return None
        shape: tuple[int, ...] = (layer.rows, layer.row_length)
        if layer.kind == "conv2d":
            shape = (layer.rows, layer.in_shape[2], *layer.kernel)
        weights = torch.randn(shape, generator=self._random) * math.sqrt(2 / layer.row_length)
        if layer.kind == "conv2d":
            weights = weights.contiguous(memory_format=torch.channels_last)
        return weights.requires_grad_()

    @property
    def _batches(self) -> int:
        return len(self._dataset.train) // self._options.batch

    def epoch(self, number: int) -> dict[str, Any]:
        """Train an epoch (from 1), then look at the validation split."""
        torch, options = self._torch, self._options
        quantised = number > options.epochs
        if number == 1:
            self._optimise(self._gains[:-1], options.rate, options.epochs)
        if number == options.epochs + 1:
            self._fold()
            self._optimise([], options.int8_rate, options.int8_epochs)
        order = torch.randperm(len(self._dataset.train), generator=self._random).numpy()
        right, count, total = 0, self._batches * options.batch, 0.0
        label = f"epoch {number}/{options.epochs + options.int8_epochs}"
        with progress_bar(label, count) as advance:
            for start in range(0, count, options.batch):
                chosen = self._dataset.train.take(order[start : start + options.batch])
                labels = torch.from_numpy(chosen.labels.astype(np.int64))
                logits = self._forward(self._augmented(chosen), learn=not quantised)
                loss = torch.nn.functional.cross_entropy(logits, labels)
                self._optimiser.zero_grad(set_to_none=True)
                loss.backward()
                self._optimiser.step()
                self._schedule.step()
                right += int((logits.argmax(1) == labels).sum())
                total += loss.item() * options.batch
                advance(options.batch)
        return {
            "epoch": number,
            "weights": "int8" if quantised else "float",
            "loss": total / count,
            "train_accuracy": right / count,
            "validation_accuracy": self._accuracy(self._dataset.validation),
        }

    def _optimise(self, others: Sequence[Any], rate: float, epochs: int) -> None:
        torch, options = self._torch, self._options
        weights = [matrix for matrix in self._weights if matrix is not None]
        self._optimiser = torch.optim.SGD(
            [
                {"params": weights, "weight_decay": options.decay},
                {"params": list(others), "weight_decay": 0.0},
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
        padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
        draw = self._torch.randint(0, 9, (n, 2), generator=self._random).numpy()
        mirror = self._torch.randint(0, 2, (n,), generator=self._random).numpy()
        moved = np.empty_like(images)
        for index, ((y, x), flip) in enumerate(zip(draw, mirror, strict=True)):
            window = padded[index, y : y + height, x : x + width]
            moved[index] = window[:, ::-1] if flip and self._options.mirror else window
        return self._input(moved)

    def _input(self, images: NDArray[np.uint8]) -> Any:
        """uint8 [N, H, W, C] as the device sees it: `p >> 1`, exponent -7; float [N, C, H, W]."""
        torch = self._torch
        values = torch.from_numpy((images >> 1).astype(np.float32) * 2.0**INPUT_EXPONENT)
        return values.permute(0, 3, 1, 2)

    def _accuracy(self, split: Split) -> float:
        torch, size = self._torch, self._options.batch
        right = 0
        with torch.no_grad():
            for start in range(0, len(split), size):
                images = self._input(split.images[start : start + size])
                predicted = self._forward(images, learn=False).argmax(1).numpy()
                right += int((predicted == split.labels[start : start + size]).sum())
        return right / len(split)

    def _forward(self, x: Any, learn: bool, seen: list[Any] | None = None) -> Any:
        """Logits float [N, classes]. `learn` takes the moments from the batch, and notes them.

        `seen` gets the largest output of each image, for every layer that has weights.
        """
        torch = self._torch
        functional = torch.nn.functional
        last = len(self._layers) - 1
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for index, layer in enumerate(self._layers):
                if layer.kind == "maxpool2":
                    x = functional.max_pool2d(x, 2)
                    continue
                weights = self._weights[index]
                if self._exponents is not None:
                    weights = self._rounded(weights, self._exponents[index][0])
                elif index < last:
                    weights = _centred(weights)
                if layer.kind == "conv2d":
                    x = functional.conv2d(x, weights, stride=layer.stride, padding=layer.padding)
                else:
                    x = functional.linear(x.permute(0, 2, 3, 1).flatten(1), weights)
                    x = x[:, :, None, None]
                if index < last and self._exponents is None:
                    x = self._normalised(index, x, learn)
                if layer.relu:
                    x = functional.relu(x)
                if seen is not None:
                    seen.append(x.abs().amax((1, 2, 3)))
                if self._exponents is not None:
                    x = self._rounded(x, self._exponents[index][1])
        return x.flatten(1).float()

    def _normalised(self, index: int, x: Any, learn: bool) -> Any:
        moment = self._moments[index]
        if learn:
            moment = x.square().mean((0, 2, 3), dtype=self._torch.float32)
            self._moments[index] = moment.detach().lerp(self._moments[index], _MOMENT_DECAY)
        factor = self._gains[index] * (moment + _EPSILON).rsqrt()
        return x * factor.to(x.dtype)[:, None, None]

    def _rounded(self, x: Any, exponent: int) -> Any:
        """int8 values times 2^exponent; the gradient passes where nothing is clamped."""
        torch = self._torch
        scaled = x * 2.0**-exponent
        inside = scaled.clamp(-LIMIT, LIMIT)
        return (inside + (torch.floor(inside + 0.5) - inside).detach()) * 2.0**exponent

    def _fold(self) -> None:
        """Make the norms part of the weights, and choose exponents for weights and outputs."""
        torch = self._torch
        seen: list[Any] = []
        images = self._input(self._dataset.train.images[:_EXPONENT_SAMPLES])
        with torch.no_grad():
            self._forward(images, learn=False, seen=seen)
            for index, matrix in enumerate(self._weights[:-1]):
                if matrix is not None:
                    factor = self._gains[index] * (self._moments[index] + _EPSILON).rsqrt()
                    each = factor.reshape(-1, *(1,) * (matrix.dim() - 1))
                    matrix.copy_(_centred(matrix) * each)
        peaks = iter(seen)
        self._exponents = [
            (0, 0)
            if matrix is None
            else (_least_error(matrix), _exponent(float(next(peaks).float().median())))
            for matrix in self._weights
        ]

    def network(self) -> Network:
        """The int8 network; its static numbers are 0."""
        if self._exponents is None:
            self._fold()
        assert self._exponents is not None
        parameters: list[Parameters | None] = []
        for layer, matrix, (exponent, _) in zip(
            self._layers, self._weights, self._exponents, strict=True
        ):
            if matrix is None:
                parameters.append(None)
                continue
            values = matrix.detach().numpy()
            if layer.kind == "conv2d":
                values = values.transpose(0, 2, 3, 1)
            rows = np.floor(
                values.reshape(layer.rows, -1).astype(np.float64) * 2.0**-exponent + 0.5
            )
            parameters.append(Parameters(np.clip(rows, -LIMIT, LIMIT).astype(np.int8), exponent))
        a = self._architecture
        return Network(a.name, a.input_shape, a.layers, tuple(parameters))


def _centred(weights: Any) -> Any:
    """Each channel's weights without their mean."""
    return weights - weights.mean(tuple(range(1, weights.dim())), keepdim=True)


def _exponent(largest: float) -> int:
    """The smallest exponent at which int8 holds `largest`."""
    return math.ceil(math.log2(max(largest, 1e-30) / LIMIT))


def _int8(values: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """Whole numbers that int8 holds: `values / 2^exponent`, rounded half up and clamped."""
    return np.clip(np.floor(values * 2.0**-exponent + 0.5), -LIMIT, LIMIT)


def _least_error(matrix: Any) -> int:
    """The exponent at which int8, clamping included, comes nearest to a matrix."""
    values = matrix.detach().numpy().astype(np.float64)
    highest = _exponent(float(np.abs(values).max()))

    def error(exponent: int) -> float:
        held = _int8(values, exponent) * 2.0**exponent
        return float(np.square(held - values).sum())

    return min(range(highest - 3, highest + 1), key=error)
