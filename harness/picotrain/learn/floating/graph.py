"""An affine network in floating point.

A convolution with a bias has batch normalisation (arXiv 1502.03167) behind it, which becomes part
of its weights and bias at the end. One without a bias has none, since nothing could hold its mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Dataset
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.pixels import real
from picotrain.learn.architectures.untrained import float_graph
from picotrain.learn.floating.training import FloatOptions, Training
from picotrain.quantise.graph import FloatGraph, Real
from picotrain.quantise.quantise import NotFinite, Quantised, quantise
from picotrain_golden.network import Layer

_EPSILON = 1e-3
_MOMENTUM = 0.1
_IMAGES = 512
"""From the training split, that the scales are chosen for."""


class _Norm:
    """Batch normalisation of some channels."""

    def __init__(self, torch: Any, channels: int) -> None:
        self.gain = torch.ones(channels, requires_grad=True)
        self.shift = torch.zeros(channels, requires_grad=True)
        self.mean, self.variance = torch.zeros(channels), torch.ones(channels)

    def __call__(self, torch: Any, x: Any, learn: bool) -> Any:
        return torch.nn.functional.batch_norm(
            x, self.mean, self.variance, self.gain, self.shift, learn, _MOMENTUM, _EPSILON
        )

    def factor(self) -> Any:
        return self.gain / (self.variance + _EPSILON).sqrt()


def integers(graph: FloatGraph, dataset: Dataset) -> Quantised:
    """The affine network of what was trained, its scales, where they are not given, those of
    training images. NotFinite where training went too far for any."""
    try:
        return quantise(graph, real(dataset.train.images[:_IMAGES]))
    except NotFinite as why:
        raise NotFinite(
            f"{why.what}, as it was trained", "train it with a smaller step size (--rate)"
        ) from None


class GraphTraining(Training):
    """Weights as PyTorch has them: [rows, C, KH, KW], of depthwise layers [rows, 1, KH, KW], and
    of linear ones [rows, K]."""

    _half = True
    """Whether products are computed in bfloat16."""

    def __init__(
        self, architecture: Architecture, dataset: Dataset, options: FloatOptions, torch: Any
    ) -> None:
        super().__init__(architecture, dataset, options, torch)
        self._weights = [self._initial(layer) for layer in self._layers]
        self._norms: list[_Norm | None] = []
        self._biases: list[Any] = []
        for layer, step in zip(self._layers, architecture.steps, strict=True):
            normal = step.bias and layer.kind != "linear"
            self._norms.append(_Norm(torch, layer.rows) if normal else None)
            plain = step.bias and layer.kind == "linear"
            self._biases.append(torch.zeros(layer.rows, requires_grad=True) if plain else None)

    def _initial(self, layer: Layer) -> Any:
        torch = self._torch
        if not layer.has_weights:
            return None
        shape: tuple[int, ...] = (layer.rows, layer.row_length)
        if layer.kind != "linear":
            shape = (layer.rows, layer.row_length // math.prod(layer.kernel), *layer.kernel)
        weights = torch.randn(shape, generator=self._random) * math.sqrt(2 / layer.row_length)
        if layer.kind != "linear":
            weights = weights.contiguous(memory_format=torch.channels_last)
        return weights.requires_grad_()

    def _trained(self) -> tuple[list[Any], list[Any]]:
        weights = [one for one in self._weights if one is not None]
        others = [one for one in self._biases if one is not None]
        for norm in self._norms:
            others += [] if norm is None else [norm.gain, norm.shift]
        return weights, others

    def _learnt(self) -> list[Any]:
        return list(self._named().values())

    def _input(self, images: NDArray[np.uint8]) -> Any:
        values = self._torch.from_numpy(real(images))
        return values.permute(0, 3, 1, 2)

    def _forward(self, x: Any, learn: bool) -> Any:
        return self._output_of(len(self._layers) - 1, x, learn)

    def _output_of(self, last: int, x: Any, learn: bool) -> Any:
        """What layer `last` makes, in golden's order: float [N, elements]."""
        torch = self._torch
        tensors: dict[int, Any] = {-1: x}
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._half):
            for index, layer in enumerate(self._layers[: last + 1]):
                reads = [tensors[number] for number in layer.inputs or (index - 1,)]
                tensors[index] = self._made(index, layer, reads, learn)
        return tensors[last].permute(0, 2, 3, 1).flatten(1).float()

    def _made(self, index: int, layer: Layer, reads: list[Any], learn: bool) -> Any:
        torch = self._torch
        functional = torch.nn.functional
        x, weights = reads[0], self._weights[index]
        if layer.kind == "add":
            x = x + reads[1]
        elif layer.kind == "linear":
            x = functional.linear(x.permute(0, 2, 3, 1).flatten(1), weights, self._biases[index])
            x = x[:, :, None, None]
        elif layer.kind == "maxpool":
            x = functional.max_pool2d(
                self._padded(layer, x, -math.inf), layer.kernel, stride=layer.stride
            )
        elif layer.kind == "avgpool":
            inside = torch.ones(1, 1, *layer.in_shape[:2])
            total, count = (
                functional.avg_pool2d(self._padded(layer, one, 0), layer.kernel, layer.stride)
                for one in (x, inside)
            )
            x = total / count
        else:
            groups = layer.rows if layer.kind == "depthwise" else 1
            # oneDNN's backward pass of a depthwise layer with a stride takes 13 times as long in
            # bfloat16 as in float32.
            half = self._half and (groups == 1 or layer.stride == (1, 1))
            x = x if half else x.float()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                x = functional.conv2d(
                    self._padded(layer, x, 0), weights, stride=layer.stride, groups=groups
                )
        norm = self._norms[index]
        if norm is not None:
            x = norm(torch, x, learn)
        activation = self._architecture.steps[index].activation
        if activation == "none":
            return x
        return functional.relu(x) if activation == "relu" else functional.relu6(x)

    def _padded(self, layer: Layer, x: Any, fill: float) -> Any:
        """As the layer sees its input; what no window reads is left out."""
        amounts = []
        for axis in (1, 0):
            before = layer.padding[axis]
            reach = (layer.out_shape[axis] - 1) * layer.stride[axis] + layer.kernel[axis]
            amounts += [before, reach - before - layer.in_shape[axis]]
        return self._torch.nn.functional.pad(x, amounts, value=fill) if any(amounts) else x

    @property
    def architecture(self) -> Architecture:
        return self._architecture

    def validation_accuracy(self) -> float:
        return self._accuracy(self._dataset.validation)

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """All that was learnt, by the names of `set_parameters`, in PyTorch's order."""
        return {name: one.detach().numpy().copy() for name, one in self._named().items()}

    def set_parameters(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        torch = self._torch
        with torch.no_grad():
            for name, one in self._named().items():
                one.copy_(torch.from_numpy(values[name]))

    def _named(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for index, norm in enumerate(self._norms):
            held = {"weights": self._weights[index], "bias": self._biases[index]}
            held |= {} if norm is None else vars(norm)
            found |= {f"{name}_{index}": one for name, one in held.items() if one is not None}
        return found

    def quantised(self) -> Quantised:
        """The affine network, its scales those of training images."""
        return integers(float_graph(self._architecture, self.folded()), self._dataset)

    def folded(self) -> list[tuple[Real, Real] | None]:
        """Weights [rows, K] in golden's order and biases, the norms within them."""
        folded: list[tuple[Real, Real] | None] = []
        for layer, weights, norm, bias in zip(
            self._layers, self._weights, self._norms, self._biases, strict=True
        ):
            if weights is None:
                folded.append(None)
                continue
            matrix = weights.detach().double()
            if layer.kind != "linear":
                matrix = matrix.permute(0, 2, 3, 1)
            matrix = matrix.reshape(layer.rows, -1)
            added = np.zeros(layer.rows) if bias is None else bias.detach().double().numpy()
            if norm is not None:
                factor = norm.factor().detach().double()
                matrix = matrix * factor[:, None]
                added = (norm.shift.detach() - norm.mean * factor).numpy()
            folded.append((matrix.numpy(), added))
        return folded
