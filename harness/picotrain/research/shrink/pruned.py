"""Every limit and every method of pruning, over seeds; and the whole network, trained as long."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from picotrain.device.backends import open_device
from picotrain.device.interface import Device
from picotrain.learn import models
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.writer import toml_of
from picotrain.learn.float_pretrain import one_thread, ready
from picotrain.output import write_text
from picotrain.quantise.quantise import Quantised
from picotrain.research.shrink.kept import Found, kept
from picotrain.research.shrink.place import Place, quiet
from picotrain.shrink import float_file
from picotrain.shrink.depth.cell import counted, measured
from picotrain.shrink.groups import groups_of
from picotrain.shrink.limits import check
from picotrain.shrink.measured import accuracies
from picotrain.shrink.pruning.made import Asked, found_of, limits_of
from picotrain.shrink.pruning.prune import METHODS, PruneMethod, PruneOptions, Pruning
from picotrain.shrink.pruning.stages import Stages
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import Parameters
from picotrain_golden import Method

_KEPT = ("limits", "proofs", "float_accuracy", "rounds", "cycle_model_factor", "groups")


class Run:
    """One seed of a task. `architecture` and `dataset` are the task's."""

    def __init__(self, place: Place) -> None:
        self.place = place
        task, seed = place.task, place.seed
        self.architecture, self.dataset = task.load()
        self._warm = task.warming(self.dataset, seed)
        self._tune = task.tuning(self.dataset, seed)
        self._torch = ready(self.dataset, self._warm)
        self._groups = groups_of(self.architecture)
        self.choices: dict[str, Any] = {
            "architecture": asdict(self.architecture),
            "dataset": self.dataset.sha256 or self.dataset.name,
            "warm": asdict(self._warm),
            "torch": version("torch"),
        }

    def check(self) -> None:
        """Raise UserError for limits that cannot be met, before any training."""
        with open_device("host") as device:
            for _, asked in self.place.task.limits:
                options = self._options("uniform")
                limits = limits_of(asked, self.architecture, self._groups, options, device)
                check(limits, self.architecture.name)

    # The whole network

    def whole(self) -> Parameters:
        """In floating point, as the tasks' `warm` epochs leave it."""
        path = self.place.path("whole", ".json")
        floats = self.place.path("whole-float", ".npz")
        training = self._training(self.architecture)

        def make() -> Found:
            stages = Stages(self._torch, path.with_suffix(".state"), self.choices)
            with one_thread(self._torch, self.architecture):
                stages.train("warm", training, self._warm.epochs, quiet)
            parameters = training.parameters()
            float_file.save(floats, self.architecture, parameters, self.dataset.name)
            found = self._saved("whole", self.architecture, training.quantised())
            stages.forget()
            return found | {"float_validation": training.validation_accuracy()}

        kept(path, self.choices, make, floats)
        return float_file.load(floats, self.architecture, training.parameters())

    def longer(self, whole: Parameters) -> Found:
        """The whole network trained on for as long as those that lose channels."""
        path = self.place.path("longer", ".json")
        floats = self.place.path("longer-float", ".npz")
        choices = self.choices | {"tune": asdict(self._tune)}

        def make() -> Found:
            training = self._training(self.architecture, tune=True)
            training.set_parameters(whole)
            stages = Stages(self._torch, path.with_suffix(".state"), choices)
            with one_thread(self._torch, self.architecture):
                stages.train("tune", training, self._tune.epochs, quiet)
            float_file.save(floats, self.architecture, training.parameters(), self.dataset.name)
            found = self._saved("longer", self.architecture, training.quantised())
            stages.forget()
            return found | {"float_validation": training.validation_accuracy()}

        return kept(path, choices, make, floats, self.place.path("longer", ".npz"))

    def last(self) -> Parameters:
        """What `longer` left, in floating point."""
        wanted = self._training(self.architecture).parameters()
        return float_file.load(self.place.path("longer-float", ".npz"), self.architecture, wanted)

    def _training(self, architecture: Architecture, tune: bool = False) -> GatedTraining:
        options = self._tune if tune else self._warm
        return GatedTraining(architecture, self.dataset, options, self._torch, self._groups)

    # Fewer channels

    def pruned(self, whole: Parameters, name: str, asked: Asked, method: PruneMethod) -> Found:
        """Within one set of limits."""
        label = cell_name(name, method)
        path, floats = self.place.path(label, ".json"), self.place.path(f"{label}-float", ".npz")
        before = hashlib.sha256(self.place.path("whole-float", ".npz").read_bytes()).hexdigest()
        choices = self.choices | {
            "whole": before,
            "options": asdict(self._options(method)),
            "limits": asdict(asked),
            "target": self.place.target,
        }

        def make() -> Found:
            stages = Stages(self._torch, path.with_suffix(".state"), choices)
            with open_device(self.place.target) as device:
                found = self._prune(whole, label, asked, method, device, stages)
            stages.forget()
            return found | {"limit": name, "method": method}

        return kept(path, choices, make, floats, self.place.path(label, ".npz"))

    def _prune(
        self,
        whole: Parameters,
        label: str,
        asked: Asked,
        method: PruneMethod,
        device: Device,
        stages: Stages,
    ) -> Found:
        options = self._options(method)
        limits = limits_of(asked, self.architecture, self._groups, options, device)
        with one_thread(self._torch, self.architecture):
            pruning = Pruning(
                *(self.architecture, self._groups, self.dataset, limits, options, device, stages),
                *(self._torch, quiet, quiet),
            )
            made = pruning.run(whole, quiet)
        floats = self.place.path(f"{label}-float", ".npz")
        float_file.save(floats, made.architecture, made.parameters, self.dataset.name)
        found = self._saved(label, made.architecture, made.quantised)
        report = found_of(asked, self._groups, limits, made, quiet)
        found["float_validation"] = made.float_accuracy["pruned"]
        return found | {key: report[key] for key in _KEPT}

    def _options(self, method: PruneMethod) -> PruneOptions:
        return PruneOptions(method, self._warm, self._tune, Method("infer"))

    def _saved(self, name: str, architecture: Architecture, made: Quantised) -> Found:
        """Keep the integers, and say what they are and take."""
        path = self.place.path(name, ".npz")
        comment = f"{self.architecture.name} as the campaign of smaller networks left it: {name}."
        models.save_backbone(path, made.network, made.made(), scales=Scales.of(made))
        write_text(path.with_suffix(".toml"), toml_of(architecture, comment))
        found: Found = {"name": name, **counted(architecture)}
        found |= accuracies(name, made.network, self.dataset)
        with open_device(self.place.target) as device:
            return found | measured(device, made.network, self.dataset)


def cell_name(limit: str, method: str) -> str:
    return f"{limit.replace(' ', '-')}-{method}"


def run(place: Place) -> Found:
    """All of one seed, as a file of results has it."""
    one = Run(place)
    one.check()
    whole = one.whole()
    longer = one.longer(whole)
    cells = [
        one.pruned(whole, name, asked, method)
        for name, asked in place.task.limits
        for method in METHODS
    ]
    return {
        "task": place.task.name,
        "seed": place.seed,
        "whole": _short(longer),
        "cells": [_short(cell) for cell in cells],
    }


def _short(found: Found) -> Found:
    return {name: value for name, value in found.items() if name not in ("key", "groups")}
