"""What the second core gains, on rp2040js: `make cores-figures NETWORKS="FILE..."`.

Kernels alone, steps of tinycnn, and an inference of each network that is named, of random bytes:
by one core, by two that never wait for each other's banks of memory, and by two as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from picotrain import datasets
from picotrain.datasets import Split, rotated_sample
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.rp2040js import Rp2040jsTarget
from picotrain.errors import UserError, told
from picotrain.image import firmware
from picotrain.learn import methods, models
from picotrain.output import write_json
from picotrain.places import SHIPPED
from picotrain.profile.bench import Bench
from picotrain.profile.bench_cases import WARM_UP, measurements
from picotrain.text import table
from picotrain_golden import Network

FILE = SHIPPED / "experiments" / "results" / "cores.json"
IMAGES = 64
STEPS = 4
ANGLE, SEED = 30.0, 0
METHODS = ("infer", "niti-static", "priot", "priot-s", "niti-dynamic")
FUSED = ("infer", "priot")
"""Of them, those that also run with convolution, ReLU and pooling as one operation."""
SETTINGS = {
    "one": (firmware.RP2040, True),
    "apart": (firmware.RP2040_CORES, False),
    "two": (firmware.RP2040_CORES, True),
}
"""Image, and whether cores wait for each other."""

Figures = dict[str, float]


def _with_device(setting: str, use: Callable[[MailboxDevice], Figures]) -> Figures:
    elf, contention = SETTINGS[setting]
    target = Rp2040jsTarget(elf, firmware.RP2040_ROM, contention=contention)
    target.connect()
    device = MailboxDevice(target)
    try:
        return use(device)
    finally:
        device.close()


def _steps(device: MailboxDevice, network: Network, split: Split) -> Figures:
    """Mean cycles of an inference, and of a step with a loss error, by method."""
    found: Figures = {}
    runs = {name: methods.make(name, seed=SEED) for name in METHODS}
    runs |= {f"{name}, fused": replace(runs[name], fused=True) for name in FUSED}
    for label, method in runs.items():
        device.load_model(network)
        device.set_method(method)
        spent = []
        for at in range(len(split.images)):
            one = split.images[at : at + 1], split.labels[at : at + 1]
            result = device.evaluate(*one) if method.name == "infer" else device.train(*one)
            assert result.cycles is not None
            if method.name == "infer" or int(result.loss_norms[0]) > method.easy:
                spent.append(result.cycles)
        found[label] = sum(spent) / len(spent)
    return found


def _inference(device: MailboxDevice, network: Network) -> Figures:
    random = np.random.default_rng(SEED)
    image = random.integers(0, 256, (1, *network.input_shape), dtype=np.uint8)
    device.load_model(network, frozen=True)
    device.set_method(methods.make("infer"))
    spent = device.evaluate(image, np.zeros(1, np.uint8)).cycles
    assert spent is not None
    return {network.name: spent}


def _kernels(device: MailboxDevice, network: Network, split: Split) -> Figures:
    bench = Bench(device)
    return {
        f"{one.kernel.lower()} {one.what}": sum(map(bench.cycles, one.jobs)) / one.samples
        for one in measurements(network, split, STEPS)
        if one.method in ("priot", "")
    }


def measure(others: Mapping[str, Network]) -> dict[str, dict[str, Figures]]:
    """Cycles by part, what was measured, and setting."""
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "mnist"))
    train = datasets.load("mnist").train
    split = rotated_sample(train, IMAGES, SEED, ANGLE)
    many = rotated_sample(train, WARM_UP + 3 * STEPS + 32, SEED, ANGLE)
    parts: dict[str, Callable[[MailboxDevice], Figures]] = {
        "steps": lambda device: _steps(device, network, split),
        "kernels": lambda device: _kernels(device, network, many),
    }
    for name, other in others.items():
        parts[name] = lambda device, other=other: _inference(device, other)  # type: ignore[misc]
    result: dict[str, dict[str, Figures]] = {}
    for part, use in parts.items():
        by_setting = {name: _with_device(name, use) for name in SETTINGS}
        result[part] = {
            what: {name: round(by_setting[name][what], 1) for name in SETTINGS}
            for what in by_setting["one"]
        }
    return result


def text(result: dict[str, dict[str, Figures]]) -> str:
    """A table of it."""
    rows: list[list[str]] = [
        [
            part,
            what,
            *(f"{figures[name]:,.0f}" for name in SETTINGS),
            *(f"{figures['one'] / figures[name]:.2f}" for name in ("apart", "two")),
        ]
        for part, whole in result.items()
        for what, figures in whole.items()
    ]
    return table(rows, ["part", "what", *SETTINGS, "one/apart", "one/two"])


def main(arguments: Sequence[str]) -> int:
    """Measure, show and write."""
    paths = [Path(name) for name in arguments]
    for path in paths:
        if not path.is_file():
            raise UserError(f"there is no network {path}: make it with `picotrain import`")
    networks = {path.stem: models.load_backbone(path)[0] for path in paths}
    result: dict[str, Any] = measure(networks)
    print(text(result))
    write_json(FILE, {"images": IMAGES, **result})
    return 0


if __name__ == "__main__":
    sys.exit(told("cores-figures", main))
