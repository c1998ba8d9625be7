"""All cells of a sweep, one after the other: a finished one is kept, one that was stopped goes on
after its last whole epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from picotrain.datasets import Dataset
from picotrain.device.interface import Device
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.float_pretrain import one_thread
from picotrain.learn.floating.graph import GraphTraining
from picotrain.learn.floating.training import FloatOptions
from picotrain.quantise.quantise import Quantised
from picotrain.shrink import float_file
from picotrain.shrink.depth.cell import (
    WHOLE,
    Cell,
    check_frozen,
    counted,
    measured,
    quantised,
    started,
)
from picotrain.shrink.depth.heads import attached
from picotrain.shrink.depth.kept import Outcome, Store, digest, parameters_sha256
from picotrain.shrink.depth.training import DepthTraining
from picotrain.shrink.groups import groups_of
from picotrain.shrink.measured import accuracies, measured_by
from picotrain.shrink.pruning.stages import WARM_FIX, Report, Stages
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import Parameters

FLOAT = f"{WHOLE}-float"


@dataclass(frozen=True)
class Whole:
    """The network that is cut, trained: in floating point, as integers, and what it takes."""

    parameters: Parameters
    made: Quantised
    outcome: Outcome


class DepthSweep:
    """`say` gets lines for people, `report` the entry of each epoch."""

    def __init__(
        self,
        architecture: Architecture,
        dataset: Dataset,
        warm: FloatOptions,
        train: FloatOptions,
        store: Store,
        device: Device,
        torch: Any,
        report: Report,
        say: Callable[[str], None],
    ) -> None:
        self._architecture, self._dataset = architecture, dataset
        self._warm, self._train = warm, train
        self._store, self._device, self._torch = store, device, torch
        self._report, self._say = report, say

    def whole(self, pretrained: Parameters | None) -> Whole:
        """The network as it was `pretrained`, or is trained here."""
        sha = None if pretrained is None else parameters_sha256(pretrained)
        cell = digest(self._choices() | {"warm": asdict(self._warm), "pretrained": sha})
        training = GatedTraining(
            self._architecture,
            self._dataset,
            self._warm,
            self._torch,
            groups_of(self._architecture),
        )
        kept = self._store.load(WHOLE, cell)
        trained = pretrained
        if trained is None and kept is not None:
            trained = self._kept_float(kept, training)
        if trained is not None:
            training.set_parameters(trained)
        else:
            kept = None
            stages = self._stages(WHOLE, cell)
            with one_thread(self._torch, self._architecture):
                stages.train(WHOLE, training, self._warm.epochs, self._report, WARM_FIX)
            path = self._store.path(FLOAT, ".npz")
            float_file.save(path, self._architecture, training.parameters(), self._dataset.name)
        parameters, made = training.parameters(), training.quantised()
        if kept is None:
            kept = {"cell": cell, "cut": "", "head": "", "tail": WHOLE, "name": WHOLE}
            kept["parameters_sha256"] = parameters_sha256(parameters)
            comment = f"{self._architecture.name} as `picotrain depth-prune` cut it."
            self._finish(WHOLE, training, made, kept, comment)
        self._forget(WHOLE, cell)
        return Whole(parameters, made, self._measured_now(WHOLE, kept))

    def _kept_float(self, kept: Outcome, training: GraphTraining) -> Parameters | None:
        """What an earlier run trained, if it is all there."""
        path = self._store.path(FLOAT, ".npz")
        try:
            found = float_file.load(path, self._architecture, training.parameters())
        except float_file.NotThat as why:
            self._say(f"{why.what}: it is trained anew")
            return None
        if kept.get("parameters_sha256") not in (None, parameters_sha256(found)):
            self._say(f"{path} is not what {WHOLE}.json is of: it is trained anew")
            return None
        return found

    def _stages(self, name: str, key: str) -> Stages:
        stages = Stages(self._torch, self._store.path(name, ".state"), {"cell": key})
        if stages.told:
            self._say(stages.told)
        return stages

    def _forget(self, name: str, key: str) -> None:
        """The state of what is finished, also where a run ended between the two."""
        Stages(self._torch, self._store.path(name, ".state"), {"cell": key}).forget()

    def run(self, cells: Sequence[Cell], whole: Whole) -> list[Outcome]:
        """What each cell came to, in their order."""
        found = [self._kept(cell, whole) for cell in cells]
        done = sum(one is not None for one in found)
        if done:
            self._say(f"goes on: {done} of {len(cells)} cells are finished in {self._store.folder}")
        outcomes = []
        for number, (cell, outcome) in enumerate(zip(cells, found, strict=True), 1):
            if outcome is None:
                self._say(f"cell {number} of {len(cells)}: {cell.name}")
                outcome = self._trained(cell, whole)
            self._forget(cell.name, self._digest(cell, whole))
            outcomes.append(self._measured_now(cell.name, outcome))
        return outcomes

    def _choices(self) -> dict[str, Any]:
        return {
            "architecture": asdict(self._architecture),
            "dataset": self._dataset.sha256 or self._dataset.name,
            "torch": version("torch"),
        }

    def _digest(self, cell: Cell, whole: Whole) -> str:
        pretrained = None if cell.tail == "random" else parameters_sha256(whole.parameters)
        return digest(
            self._choices()
            | {"cell": asdict(cell), "train": asdict(self._train), "pretrained": pretrained}
        )

    def _kept(self, cell: Cell, whole: Whole) -> Outcome | None:
        return self._store.load(cell.name, self._digest(cell, whole))

    def _trained(self, cell: Cell, whole: Whole) -> Outcome:
        architecture = attached(self._architecture, cell.cut, cell.head)
        training = DepthTraining(architecture, self._dataset, self._train, self._torch, cell.frozen)
        started(cell, training, whole.parameters)
        key = self._digest(cell, whole)
        stages = self._stages(cell.name, key)
        with one_thread(self._torch, architecture):
            stages.train(cell.name, training, self._train.epochs, self._report)
        made = quantised(cell, training, self._dataset, whole.made)
        outcome: Outcome = {
            "cell": key,
            "name": cell.name,
            "cut": cell.cut.name,
            "layer": cell.cut.index,
            "head": cell.head,
            "tail": cell.tail,
            "history": stages.history,
        }
        if cell.frozen is not None:
            outcome["equal_tensors"] = check_frozen(
                cell, training.parameters(), whole.parameters, made.network, whole.made.network
            )
        comment = (
            f"{self._architecture.name} up to {cell.cut.name} and the head {cell.head}, by "
            "`picotrain depth-prune`."
        )
        self._finish(cell.name, training, made, outcome, comment)
        return outcome

    def _finish(
        self, name: str, training: GraphTraining, made: Quantised, outcome: Outcome, comment: str
    ) -> None:
        """Complete an outcome, and keep it with its network."""
        outcome |= counted(training.architecture)
        outcome["float_validation"] = training.validation_accuracy()
        outcome |= accuracies(name, made.network, self._dataset)
        outcome |= measured(self._device, made.network, self._dataset)
        self._store.save(name, training.architecture, made, outcome, comment)
        self._say(_told(outcome))

    def _measured_now(self, name: str, outcome: Outcome) -> Outcome:
        """What is finished counts; bytes and cycles of another firmware or target do not."""
        if outcome.get("measured_by") != measured_by(self._device):
            outcome |= measured(self._device, self._store.network(name), self._dataset)
            self._store.note(name, outcome)
        return outcome


def _told(outcome: Outcome) -> str:
    line = (
        f"{outcome['name']}: validation {outcome['float_validation']:.4f} in float, "
        f"{outcome['validation']:.4f} in int8; test {outcome['test']:.4f} in int8"
    )
    taken = outcome["taken"]
    if taken is None:
        return f"{line}; {outcome['unfit']}"
    time = "" if taken["ms"] is None else f"; {taken['ms']:.2f} ms"
    return f"{line}; flash {taken['flash']:,}, RAM {taken['ram']:,} bytes{time}"
