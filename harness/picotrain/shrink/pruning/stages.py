"""Long training in stages of epochs, kept after each epoch, so that it can go on.

The file is PyTorch's, read without running any code of it. It belongs to one set of choices: with
others training begins anew.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from picotrain.learn.floating.training import Diverged
from picotrain.output import write_bytes
from picotrain.shrink.groups import counts_of
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import Parameters

Entry = dict[str, Any]
Report = Callable[[Entry], None]


class Stages:
    """Stages of one run by name. `path`: where they are kept, None for nowhere."""

    def __init__(self, torch: Any, path: Path | None, choices: dict[str, Any]) -> None:
        self._torch, self._path = torch, path
        text = json.dumps(choices, sort_keys=True, default=str)
        self._digest = hashlib.sha256(text.encode()).hexdigest()
        self._state: dict[str, Any] = {"digest": self._digest, "stages": {}, "facts": {}}
        self.went_on = False
        self._read()

    def _read(self) -> None:
        if self._path is None or not self._path.is_file():
            return
        try:
            content = io.BytesIO(self._path.read_bytes())
            state = self._torch.load(content, weights_only=True)
            known = state["digest"] == self._digest and {"stages", "facts"} <= set(state)
        except Exception:  # Whatever a damaged file does to PyTorch, it holds nothing.
            return
        if known:
            self._state, self.went_on = state, True

    @property
    def history(self) -> list[Entry]:
        return [entry for stage in self._state["stages"].values() for entry in stage["history"]]

    def fact(self, name: str, find: Callable[[], Any]) -> Any:
        """What was found once between stages, as JSON has it."""
        facts = self._state["facts"]
        if name not in facts:
            facts[name] = find()
            self._write()
        return facts[name]

    def train(self, name: str, training: GatedTraining, epochs: int, report: Report) -> None:
        """So many epochs, but for those that were trained before. `Diverged` says what is kept."""
        stage = self._state["stages"].setdefault(name, {"done": 0, "history": []})
        done = stage["done"]
        if done:
            self._restore(training, stage, done < epochs)
        for number in range(done + 1, epochs + 1):
            try:
                entry = {"stage": name, **training.epoch(number)}
            except Diverged as failure:
                raise self._kept(name, failure) from None
            if training.gates is not None:
                open_ = sum(counts_of(training.gates.kept))
                entry |= {"penalty": training.gates.penalty(), "open": open_}
            stage["done"] = number
            stage["history"].append(entry)
            stage["parameters"] = self._tensors(training.parameters())
            stage["progress"] = training.progress()
            stage["gates"] = None if training.gates is None else training.gates.state()
            self._write()
            report(entry)

    def _restore(self, training: GatedTraining, stage: dict[str, Any], goes_on: bool) -> None:
        training.set_parameters({name: one.numpy() for name, one in stage["parameters"].items()})
        if training.gates is not None:
            training.gates.restore(stage["gates"])
        if goes_on:
            training.go_on(stage["progress"])

    def _tensors(self, parameters: Parameters) -> dict[str, Any]:
        return {
            name: self._torch.from_numpy(np.array(values)) for name, values in parameters.items()
        }

    def _kept(self, name: str, failure: Diverged) -> Diverged:
        where = (
            ""
            if self._path is None or not self._path.is_file()
            else (f"; what was trained before it is kept in {self._path}")
        )
        failure.args = (f"stage {name}: {failure.args[0]}{where}",)
        return failure

    def _write(self) -> None:
        if self._path is None:
            return
        stream = io.BytesIO()
        self._torch.save(self._state, stream)
        write_bytes(self._path, stream.getvalue())

    def forget(self) -> None:
        """The run is over."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
