"""Every limit and every method of pruning, over seeds; and the whole network, trained as long."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from typing import Any

from picotrain.device.backends import open_device
from picotrain.device.interface import Device
from picotrain.learn import models
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.writer import toml_of
from picotrain.learn.float_pretrain import one_thread, ready
from picotrain.learn.floating.training import FloatOptions
from picotrain.output import write_json, write_text
from picotrain.quantise.quantise import Quantised
from picotrain.research.shrink.kept import Found, kept
from picotrain.research.shrink.place import Place, quiet
from picotrain.shrink import float_file
from picotrain.shrink.depth.cell import counted, measured, predicted
from picotrain.shrink.groups import groups_of
from picotrain.shrink.limits import check
from picotrain.shrink.measured import accuracies, measured_by
from picotrain.shrink.pruning.made import Asked, found_of, limits_of
from picotrain.shrink.pruning.prune import PruneMethod, PruneOptions, Pruning
from picotrain.shrink.pruning.stages import Stages
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import Parameters
from picotrain_golden import Method

_REPORTED = ("limits", "proofs", "rounds")
_KEPT = (
    *("name", "limit", "method", "parameters", "macs", "float_validation", "validation", "test"),
    *("taken", "predicted", "unfit", *_REPORTED),
)


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
        if task.images:
            self.choices["images"] = dict(task.images)

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
        self._trained("whole", self._warm, None)
        return self._floats("whole")

    def longer(self, whole: Parameters) -> Found:
        """The whole network trained on for as long as those that lose channels."""
        found = self._measured_now("longer", self._trained("longer", self._tune, whole))
        if found["taken"] is not None:
            return found
        network = models.load_backbone(self.place.path("longer", ".npz"))[0]
        with open_device(self.place.target) as device:
            taken = predicted(device, network, self.dataset)
        return found | {"taken": taken, "predicted": True}

    def last(self) -> Parameters:
        """What `longer` left, in floating point."""
        return self._floats("longer")

    def _trained(self, name: str, options: FloatOptions, start: Parameters | None) -> Found:
        """All channels, kept in floating point; what went on from a `start` also as integers."""
        stage, choices, suffixes = "warm", self.choices, ["-float.npz"]
        if start is not None:
            stage, choices = "tune", self.choices | {"tune": asdict(options)}
            suffixes.append(".npz")
        path, floats = self.place.path(name, ".json"), self.place.path(name, "-float.npz")

        def make() -> Found:
            training = self._training(options)
            if start is not None:
                training.set_parameters(start)
            stages = Stages(self._torch, path.with_suffix(".state"), choices)
            with one_thread(self._torch, self.architecture):
                stages.train(stage, training, options.epochs, quiet)
            float_file.save(floats, self.architecture, training.parameters(), self.dataset.name)
            found: Found = {}
            if start is not None:
                found = self._saved(name, self.architecture, training.quantised())
                found["float_validation"] = training.validation_accuracy()
            stages.forget()
            return found

        return kept(path, choices, make, *(self.place.path(name, one) for one in suffixes))

    def _floats(self, name: str) -> Parameters:
        wanted = self._training(self._warm).parameters()
        return float_file.load(self.place.path(name, "-float.npz"), self.architecture, wanted)

    def _training(self, options: FloatOptions) -> GatedTraining:
        return GatedTraining(self.architecture, self.dataset, options, self._torch, self._groups)

    # Fewer channels

    def pruned(self, whole: Parameters, name: str, asked: Asked, method: PruneMethod) -> Found:
        """Within one set of limits."""
        label = cell_name(name, method)
        path, floats = self.place.path(label, ".json"), self.place.path(label, "-float.npz")
        before = hashlib.sha256(self.place.path("whole", "-float.npz").read_bytes()).hexdigest()
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

        found = kept(path, choices, make, floats, self.place.path(label, ".npz"))
        return self._measured_now(label, found)

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
        floats = self.place.path(label, "-float.npz")
        float_file.save(floats, made.architecture, made.parameters, self.dataset.name)
        found = self._saved(label, made.architecture, made.quantised)
        report = found_of(self._groups, limits, made, quiet)
        found["float_validation"] = made.float_accuracy["pruned"]
        return found | {key: report[key] for key in _REPORTED}

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

    @cached_property
    def _meter(self) -> list[str]:
        with open_device(self.place.target) as device:
            return measured_by(device)

    def _measured_now(self, name: str, found: Found) -> Found:
        """What is finished counts; bytes and cycles of another firmware or target do not."""
        if found.get("measured_by") == self._meter:
            return found
        network = models.load_backbone(self.place.path(name, ".npz"))[0]
        with open_device(self.place.target) as device:
            found |= measured(device, network, self.dataset)
        for cost, row in found.get("limits", {}).items():
            row["measured"] = (found["taken"] or {}).get(cost, row["measured"])
        write_json(self.place.path(name, ".json"), found)
        return found


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
        for method in place.task.methods
    ]
    return {
        "seed": place.seed,
        "whole": _short(longer),
        "cells": [_short(cell) for cell in cells],
    }


def _short(found: Found) -> Found:
    return {name: found[name] for name in _KEPT if name in found}
