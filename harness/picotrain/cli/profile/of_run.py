"""What `picotrain profile --run` takes from a run: all that decides its cycles."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from picotrain.cli.material import backbone
from picotrain.datasets import Dataset
from picotrain.device.backends import KERNELS, backend_of, choose_kernels
from picotrain.device.room import Linked, check_room
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.learn import calibration, methods, models
from picotrain.learn.adapt import AdaptOptions, Task, configured
from picotrain.profile.report.run_file import Run, read_run
from picotrain_golden import Method, Network

_OF_A_RUN = (
    *("model", "backbone", "dataset", "angle", "seed", "method"),
    *("mu", "threshold", "scored", "select", "start", "easy", "fused", "plan", "kernels"),
)
_NOT_THE_CHIP = ("host", "golden")
"""Backends whose kernels say nothing about those of a chip."""


def leave_open(parser: argparse.ArgumentParser) -> None:
    """Let `settle` see which options were given; their defaults are kept for it."""
    defaults = {name: parser.get_default(name) for name in _OF_A_RUN}
    for action in parser._actions:
        if action.dest in defaults and action.help is not None:
            action.help = action.help.replace("%(default)s", str(action.default))
    parser.set_defaults(**dict.fromkeys(_OF_A_RUN), defaults=defaults)


def settle(options: argparse.Namespace) -> Run | None:
    """Give each option that was left out its value: the run's, if there is one, or the default.

    Raises UserError where one that was given contradicts the run.
    """
    run = None if options.run_file is None else read_run(options.run_file)
    theirs = {} if run is None else _options_of(run)
    for name in _OF_A_RUN:
        given = getattr(options, name)
        if given is None:
            setattr(options, name, theirs.get(name, options.defaults[name]))
            if name == "model" and run is not None and run.backbone:
                options.model = None  # Whatever described it; the backbone knows its layers.
        elif theirs.get(name) is not None and not _same(name, given, theirs[name]):
            raise UserError(
                f"the run {options.run_file} is of {name} {_shown(theirs[name])}, not of "
                f"{_shown(given)}; leave --{name} out, or choose another run"
            )
    return run


def network_of(
    options: argparse.Namespace, dataset: Dataset, run: Run | None, method: Method
) -> Network:
    """The pre-trained network, with the static numbers that the run had; without a run those that
    it has, or if it has none those that an adaptation would give it.

    Raises UserError where it is not the run's network.
    """
    network = backbone(options, dataset)
    models.check_fit(network, dataset)
    _check_room(options, network, method)
    if run is None:
        rule = AdaptOptions(method=method).rule_for(network)
        if not method.trains or rule == calibration.SHIPPED:
            return network
        return calibration.calibrated_by(network, dataset, rule, angle=options.angle or 0.0)
    if run.calibration != calibration.SHIPPED or run.layer_mu:
        choice = AdaptOptions(
            angle=run.angle,
            method=method,
            calibration=run.calibration,
            calibration_samples=run.calibration_samples,
            layer_mu=run.layer_mu,
        )
        task = Task(dataset.train, dataset.train, dataset=dataset, angle=run.angle)
        network = configured(network, task, choice)
    if models.network_sha256(network) != run.network_sha256 or len(run.saturation) != len(
        network.layers
    ):
        where = options.backbone or f"the backbone of {network.name} for {options.dataset}"
        raise UserError(
            f"the run {options.run_file} is of another network than {where}; name its backbone "
            "with --backbone, or run the adaptation again"
        )
    return network


def _check_room(options: argparse.Namespace, network: Network, method: Method) -> None:
    """Of the target's image, since calibrating can take minutes."""
    kernels = choose_kernels(options.target, options.kernels)
    if kernels is not None:
        elf = open_elf(firmware.require(KERNELS[backend_of(options.target)][kernels]))
        check_room(Linked(options.target, elf), network, method, options.plan == "lean")


def _options_of(run: Run) -> dict[str, Any]:
    """The options of `profile` that make it one of what the run did."""
    numbers = run.options
    return {
        "model": run.model,
        "backbone": Path(run.backbone) if run.backbone else None,
        "dataset": run.dataset,
        "angle": run.angle,
        "seed": run.seed,
        "method": run.method,
        "mu": ",".join(str(mu) for mu in numbers["mu"]),
        "threshold": numbers["theta"],
        "scored": numbers["permille"] / 1000,
        "select": numbers["select"],
        "start": numbers["start"],
        "easy": numbers["easy"],
        "fused": numbers["fused"],
        "plan": run.plan,
        "kernels": None if backend_of(run.target) in _NOT_THE_CHIP else run.kernels,
    }


def _same(name: str, given: Any, theirs: Any) -> bool:
    if name == "model":
        return models.resolve(given).name == str(theirs)
    if name == "mu":
        return methods.schedule(given) == methods.schedule(theirs)
    # A file may have moved; whether it is the same network, its weights tell.
    return bool(name == "backbone" or given == theirs)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
