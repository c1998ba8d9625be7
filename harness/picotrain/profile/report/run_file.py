"""The JSON of a finished adaptation, as far as the report shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picotrain.device.repeating import retrying, twice
from picotrain.errors import UserError
from picotrain.inputs import read_json

KINDS = ("forward", "error", "update")
"""What can saturate in a layer."""


@dataclass(frozen=True)
class Epoch:
    """One epoch (from 1); accuracies are shares of the images."""

    epoch: int
    mu: int
    accuracy: float
    train_accuracy: float
    loss_norm: float


@dataclass(frozen=True)
class Saturation:
    """Shares of the elements of one layer in one epoch that were clamped."""

    forward: float
    error: float
    update: float


@dataclass(frozen=True)
class Run:
    """A finished adaptation. `saturation[layer][epoch]`; cycles are means per image.

    `backbone` is the file that was named, empty for the shipped one; `options` the numbers of the
    method by their names in `picotrain_golden.Method`, `mu` as a list.
    """

    file: str
    target: str
    model: str
    method: str
    dataset: str
    angle: float
    seed: int
    backbone: str
    network_sha256: str
    options: dict[str, Any]
    calibration: str
    calibration_samples: int
    layer_mu: tuple[int, ...]
    plan: str
    kernels: str | None
    train_samples: int
    test_samples: int
    evaluated_on: str
    accuracy_before: float
    accuracy_best: float
    accuracy_final: float
    history: tuple[Epoch, ...]
    saturation: tuple[tuple[Saturation, ...], ...]
    cycles_per_train_image: float | None
    cycles_per_infer_image: float | None
    state_sha256: str
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()
    deaths: str = ""
    """Of the device, in words; empty without any."""
    disagreements: str = ""
    """In words, of a device that showed each batch twice; empty for one that did not."""


def read_run(path: Path) -> Run:
    """The run in a file that `picotrain adapt --json` wrote.

    Raises UserError where it is missing, no such file, or unfinished.
    """
    again = f"make it with `picotrain adapt --json {path}`"
    content = read_json(path, again)
    if "complete" not in content:
        raise UserError(f"{path} is no result of an adaptation; {again}")
    if content["complete"] is not True:
        history = content.get("history")
        done = len(history) if isinstance(history, list) else 0
        raise UserError(
            f"the run {path} is unfinished: {done} of {content.get('epochs', '?')} epochs; "
            f"let it finish, or {again}"
        )
    try:
        run = _run(path, content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"the run {path} lacks or garbles a field ({type(error).__name__}: {error}); {again}"
        ) from error
    return run


def _run(path: Path, content: dict[str, Any]) -> Run:
    history = tuple(
        Epoch(
            int(one["epoch"]),
            int(one["mu"]),
            _share(one["accuracy"]),
            _share(one["train_accuracy"]),
            _number(one["loss_norm"]),
        )
        for one in content["history"]
    )
    saturation = tuple(
        tuple(Saturation(*(_share(one[kind]) for kind in KINDS)) for one in layer)
        for layer in content["saturation"]
    )
    if not history or any(len(layer) != len(history) for layer in saturation):
        raise ValueError("the epochs of history and saturation differ")
    return Run(
        file=path.name,
        **{name: str(content[name]) for name in ("target", "model", "method", "dataset")},
        angle=float(content["angle"]),
        seed=int(content["seed"]),
        backbone=str(content["backbone"]),
        network_sha256=str(content["network_sha256"]),
        options=_method_numbers(content["options"]),
        calibration=str(content["options"]["calibration"]),
        calibration_samples=int(content["options"]["calibration_samples"]),
        layer_mu=tuple(int(mu) for mu in content["options"]["layer_mu"]),
        plan=str(content["plan"]),
        kernels=None if content["kernels"] is None else str(content["kernels"]),
        train_samples=int(content["train_samples"]),
        test_samples=int(content["test_samples"]),
        evaluated_on=str(content["evaluated_on"]),
        accuracy_before=_share(content["accuracy_before"]),
        accuracy_best=_share(content["accuracy_best"]),
        accuracy_final=_share(content["accuracy_final"]),
        history=history,
        saturation=saturation,
        cycles_per_train_image=_optional(content["cycles_per_train_image"]),
        cycles_per_infer_image=_optional(content["cycles_per_infer_image"]),
        state_sha256=str(content["state_sha256"]),
        warnings=tuple(map(str, content.get("warnings") or ())),
        deaths=retrying.in_words(content["deaths"]) if content.get("deaths") else "",
        disagreements=twice.in_words(content["disagreements"]) if content.get("twice") else "",
        versions={str(name): str(text) for name, text in content["versions"].items()},
    )


def _method_numbers(options: dict[str, Any]) -> dict[str, Any]:
    whole = {name: int(options[name]) for name in ("theta", "permille", "easy")}
    named = {name: str(options[name]) for name in ("select", "start")}
    fused = bool(options.get("fused", False))  # not in runs from before there was a choice
    return {"mu": [int(mu) for mu in options["mu"]], **whole, **named, "fused": fused}


def _share(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value!r} is no share between 0 and 1")
    return number


def _optional(value: Any) -> float | None:
    return None if value is None else _number(value)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no finite number")
    return number
