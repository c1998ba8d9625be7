"""Trains a small residual network in PyTorch, writes it as ONNX, and images to quantise it with.

    .venv/bin/python experiments/onnx/train.py --dataset cifar10 --out build/onnx
    .venv/bin/picotrain import build/onnx/resnet-cifar10.onnx --calibration build/onnx/cifar10.npz \
        --out build/onnx/resnet-cifar10.npz

Wants the extras `train` and `convert`. Minutes on one core; `--epochs` says how many.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from picotrain.datasets import load
from picotrain.errors import told
from picotrain.inputs import positive, seed

CALIBRATION = 512
"""Training images that quantise."""


class Block(nn.Module):
    """Two convolutions with batch norm, around which the input goes, too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_one = nn.BatchNorm2d(channels)
        self.other = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm_other = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norm_one(self.one(x)))
        return torch.relu(self.norm_other(self.other(inner)) + x)


def down(before: int, after: int) -> nn.Sequential:
    """A depthwise convolution of stride 2 and a pointwise one, as MobileNet has them."""
    return nn.Sequential(
        nn.Conv2d(before, before, 3, stride=2, padding=1, groups=before),
        nn.BatchNorm2d(before),
        nn.ReLU6(),
        nn.Conv2d(before, after, 1),
        nn.BatchNorm2d(after),
        nn.ReLU6(),
    )


class Network(nn.Module):
    """Images float [N, C, H, W] from 0 to 1; the norm of the data is part of the network."""

    def __init__(self, channels: int, mean: list[float], spread: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("spread", torch.tensor(spread).reshape(1, -1, 1, 1))
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.body = nn.Sequential(
            Block(16), down(16, 32), Block(32), down(32, 64), Block(64), nn.AdaptiveAvgPool2d(1)
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(self.stem((x - self.mean) / self.spread))
        return self.head(torch.flatten(x, 1))


def to_input(images: np.ndarray) -> torch.Tensor:
    """uint8 [N, H, W, C] -> float [N, C, H, W], as torchvision's ToTensor does."""
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float() / 255


def accuracy(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    model.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(images), 500):
            found = model(to_input(images[start : start + 500])).argmax(1).numpy()
            right += int((found == labels[start : start + 500]).sum())
    return right / len(images)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="cifar10", choices=("cifar10", "mnist"))
    parser.add_argument("--epochs", type=positive, default=8)
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/onnx"))
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    data = load(options.dataset)
    images, labels = data.train.images, data.train.labels.astype(np.int64)
    scaled = images.astype(np.float32) / 255
    model = Network(
        images.shape[3], scaled.mean((0, 1, 2)).tolist(), scaled.std((0, 1, 2)).tolist()
    ).to(memory_format=torch.channels_last)
    batches = len(images) // 128
    optimiser = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, options.epochs * batches)
    for epoch in range(options.epochs):
        model.train()
        for chosen in torch.randperm(len(images))[: batches * 128].reshape(batches, 128).numpy():
            x = nn.functional.pad(to_input(images[chosen]), (2, 2, 2, 2))
            top, left = torch.randint(0, 5, (2,)).tolist()
            x = x[:, :, top : top + images.shape[1], left : left + images.shape[2]]
            if options.dataset == "cifar10" and torch.rand(1) < 0.5:
                x = x.flip(3)
            logits = model(x.contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels[chosen]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
        held = accuracy(model, data.validation.images, data.validation.labels)
        print(f"epoch {epoch + 1}  validation accuracy {held:.4f}", flush=True)
    tested = accuracy(model, data.test.images, data.test.labels)
    print(f"test accuracy in PyTorch {tested:.4f}")

    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"resnet-{options.dataset}.onnx"
    torch.onnx.export(
        model.eval(),
        (to_input(images[:1]),),
        str(file),
        input_names=["image"],
        output_names=["logits"],
        dynamo=False,
    )
    images_file = options.out / f"{options.dataset}.npz"
    np.savez_compressed(
        images_file,
        x=images[:CALIBRATION],
        y=labels[:CALIBRATION],
        x_test=data.test.images,
        y_test=data.test.labels,
    )
    np.savez_compressed(
        options.out / f"{options.dataset}-validation.npz",
        x=images[:CALIBRATION],
        y=labels[:CALIBRATION],
        x_test=data.validation.images,
        y_test=data.validation.labels,
    )
    print(f"wrote {file} and {images_file}")


if __name__ == "__main__":
    sys.exit(told("train", main))
