"""A chain of the power-of-two form in floating point.

The network has no biases. So no layer's outputs are centred, but the weights of every channel
(weight standardization, arXiv 1903.10520), which keeps the outputs near zero as well; and a channel
is divided by the root mean square of its outputs. At the end both become part of the weights, and
nothing is left over. The last epochs train those weights as the int8 values that the device will
multiply.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Dataset
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.floating.training import FloatOptions, Training
from picotrain_golden import Network
from picotrain_golden.network import INPUT_EXPONENT, Layer, Parameters
from picotrain_golden.numerics import LIMIT

_EPSILON = 1e-5
_MOMENT_DECAY = 0.9
_EXPONENT_SAMPLES = 1024


class ChainTraining(Training):
    """Weights as PyTorch has them: [rows, C, KH, KW] and, of linear layers, [rows, K]."""

    def __init__(
        self, architecture: Architecture, dataset: Dataset, options: FloatOptions, torch: Any
    ) -> None:
        super().__init__(architecture, dataset, options, torch)
        self._weights: list[Any] = [self._initial(layer) for layer in self._layers]
        # Of the last layer neither is used: the scale of the logits is for training to find.
        self._gains = [torch.ones(layer.rows, requires_grad=True) for layer in self._layers]
        self._moments = [torch.ones(layer.rows) for layer in self._layers]
        self._exponents: list[tuple[int, int]] | None = None

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

    def _trained(self) -> tuple[list[Any], list[Any]]:
        weights = [matrix for matrix in self._weights if matrix is not None]
        return weights, self._gains[:-1] if self._exponents is None else []

    def _learnt(self) -> list[Any]:
        return [*super()._learnt(), *self._moments]

    def _input(self, images: NDArray[np.uint8]) -> Any:
        """uint8 [N, H, W, C] as the device sees it: `p >> 1`, exponent -7; float [N, C, H, W]."""
        torch = self._torch
        values = torch.from_numpy((images >> 1).astype(np.float32) * 2.0**INPUT_EXPONENT)
        return values.permute(0, 3, 1, 2)

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

    def _quantise(self) -> None:
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
            self._quantise()
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
