"""naive.c: built, given the job of a device, and what it answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Split
from picotrain.device.interface import Device
from picotrain.errors import BuildFailure
from picotrain_golden import Method, Network

METHODS = ("infer", "niti-static", "priot")
"""In the order of naive.c's enum."""
_SOURCE = Path(__file__).with_name("naive.c")
_FLAGS = ("-std=c11", "-O3", "-march=native", "-Wall", "-Wextra", "-Wconversion", "-Werror")


@dataclass(frozen=True)
class Answer:
    """The processor time of all images, a prediction for each, and the weights and scores."""

    seconds: float
    predictions: NDArray[np.uint8]
    weights: bytes
    scores: bytes


def build(folder: Path) -> Path:
    """The program, made in `folder` by the compiler and flags of the host firmware."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "naive"
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        raise BuildFailure(f"{compiler} is not installed (apt: gcc)")
    subprocess.run([compiler, *_FLAGS, str(_SOURCE), "-o", str(program)], check=True)
    return program


def learned(device: Device, network: Network, scored: bool) -> tuple[bytes, bytes]:
    """The weights and scores of all layers, as naive.c has them; zeros where nothing is scored."""
    layers = [index for index, layer in enumerate(network.layers) if layer.has_weights]
    weights = b"".join(device.weights(layer).tobytes() for layer in layers)
    scores = b"".join(device.scores(layer).tobytes() for layer in layers if scored)
    return weights, scores or bytes(len(weights))


def job(device: Device, network: Network, method: Method, split: Split) -> bytes:
    """What naive.c reads: these images, from where the device is now."""
    held = [parameters for parameters in network.parameters if parameters is not None]
    scored = method.name == "priot"
    numbers = [
        *(METHODS.index(method.name), len(split), network.logits_exponent),
        *(method.theta, method.mu),
        *(one.forward_shift for one in held),
        *(one.error_shift for one in held),
        *(one.score_bits if scored else one.gradient_bits for one in held),
    ]
    return b"".join(
        (
            np.array(numbers, np.int32).tobytes(),
            *learned(device, network, scored),
            split.images.tobytes(),
            split.labels.astype(np.uint8).tobytes(),
        )
    )


def run(program: Path, given: bytes, images: int, weights: int) -> Answer:
    """One run of a job of so many images and weights."""
    asked, answered = program.with_suffix(".job"), program.with_suffix(".result")
    asked.write_bytes(given)
    subprocess.run([str(program), str(asked), str(answered)], check=True)
    data = answered.read_bytes()
    at = 8 + images
    return Answer(
        float(np.frombuffer(data[:8], np.float64)[0]),
        np.frombuffer(data[8:at], np.uint8),
        data[at : at + weights],
        data[at + weights :],
    )
