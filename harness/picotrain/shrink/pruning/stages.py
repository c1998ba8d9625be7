"""Long training in stages of epochs, kept after each epoch, so that it can go on.

The file is PyTorch's, read without running any code of it, with a digest behind it. It belongs to
one set of choices. With others training begins anew, but for stages that only depend on what is the
same; and the file that was there is kept beside the new one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from picotrain.errors import UserError
from picotrain.inputs import is_file, read_bytes
from picotrain.learn.floating.training import Diverged
from picotrain.output import write_bytes
from picotrain.shrink.groups import counts_of
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import Parameters

Entry = dict[str, Any]
Report = Callable[[Entry], None]
Choices = dict[str, Any]

WARM_FIX = (
    "train the whole network by `picotrain pretrain` with a smaller --rate and --keep-float FILE, "
    "and go on with --pretrained FILE"
)
"""Warm-up has the step size of `pretrain`, which no option of its verbs changes."""
BEFORE = ".before"
"""What the name of a file ends with that was there before."""
_MARK = b"sha256 "
_TRAILER = len(_MARK) + 64
"""Bytes behind what PyTorch wrote, which checks nothing itself."""


class Stages:
    """Stages of one run by name. `path`: where they are kept, None for nowhere. `own`: of stages
    that not all `choices` matter to, those that do."""

    def __init__(
        self,
        torch: Any,
        path: Path | None,
        choices: Choices,
        own: Mapping[str, Choices] | None = None,
    ) -> None:
        self._torch, self._path = torch, path
        self._digest = _digest(choices)
        self._own = {name: _digest(held) for name, held in (own or {}).items()}
        self._state: dict[str, Any] = {
            "digest": self._digest,
            "own": self._own,
            "stages": {},
            "facts": {},
        }
        self.told = ""
        """What was found, for people."""
        self._aside = False
        self._read()

    def _read(self) -> None:
        if self._path is None:
            return
        if not is_file(self._path):
            if os.path.lexists(self._path):
                raise UserError(
                    f"{self._path} is no plain file, and what is trained is kept there; move it "
                    "away"
                )
            return
        content = read_bytes(self._path, "make it readable, or move it away")
        state = self._loaded(content)
        if state is not None and state["digest"] == self._digest:
            self._state = state | {"own": self._own}
            self.told = f"goes on from {self._path}, after {len(self.history)} epochs"
            return
        self._aside = True
        moved = f"that file becomes {self._before.name}"
        if state is None:
            self.told = f"{self._path} is damaged, or is no such file: training begins; {moved}"
            return
        for name, digest in self._own.items():
            if state["own"].get(name) == digest and name in state["stages"]:
                self._state["stages"][name] = state["stages"][name]
        kept = len(self.history)
        self.told = f"{self._path} is of other choices: " + (
            f"of it {kept} epochs are the same, the rest is trained anew; {moved}"
            if kept
            else f"training begins anew; {moved}"
        )

    def _loaded(self, content: bytes) -> dict[str, Any] | None:
        """The state in a file; None where it is none, or damaged."""
        trailer = content[-_TRAILER:]
        if trailer.startswith(_MARK):
            content = content[:-_TRAILER]
            if _trailer(content) != trailer:
                return None
        try:
            state = {"own": {}} | self._torch.load(io.BytesIO(content), weights_only=True)
            known = all(isinstance(state[part], dict) for part in ("own", "stages", "facts"))
            known = known and isinstance(state["digest"], str)
        except Exception:  # Whatever a damaged file does to PyTorch, it holds nothing.
            return None
        return state if known else None

    @property
    def _before(self) -> Path:
        assert self._path is not None
        return self._path.with_name(self._path.name + BEFORE)

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

    def train(
        self, name: str, training: GatedTraining, epochs: int, report: Report, fix: str = ""
    ) -> None:
        """So many epochs, but for those that were trained before. `Diverged` says what is kept, and
        the `fix` where that is not a smaller --rate."""
        stage = self._state["stages"].setdefault(name, {"done": 0, "history": []})
        done = stage["done"]
        if done:
            self._restore(training, stage, done < epochs)
        for number in range(done + 1, epochs + 1):
            try:
                entry = {"stage": name, **training.epoch(number)}
            except Diverged as failure:
                raise self._kept(name, failure, fix) from None
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

    def _kept(self, name: str, failure: Diverged, fix: str) -> Diverged:
        there = self._path is not None and bool(self.history) and self._path.is_file()
        where = f"; what was trained before it is kept in {self._path}" if there else ""
        return Diverged(f"stage {name}: {failure.what}", f"{fix or failure.fix}{where}")

    def _write(self) -> None:
        if self._path is None:
            return
        stream = io.BytesIO()
        self._torch.save(self._state, stream)
        content = stream.getvalue()
        if self._aside:
            write_bytes(self._before, read_bytes(self._path, "move it away"))
            self._aside = False
        write_bytes(self._path, content + _trailer(content))

    def forget(self) -> None:
        """The run is over."""
        if self._path is not None and not self._aside:
            self._path.unlink(missing_ok=True)


def _digest(choices: Choices) -> str:
    text = json.dumps(choices, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _trailer(content: bytes) -> bytes:
    return _MARK + hashlib.sha256(content).hexdigest().encode()
