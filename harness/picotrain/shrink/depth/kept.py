"""A folder of finished cells: of each its backbone, its description, and a JSON file with all that
was found, which is written last."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picotrain.errors import UserError
from picotrain.inputs import read_json
from picotrain.learn import models
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.writer import toml_of
from picotrain.output import write_json, write_text
from picotrain.quantise.quantise import Quantised
from picotrain.shrink.removal import Parameters
from picotrain_golden import Network

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Store:
    folder: Path

    def path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"

    def load(self, name: str, digest: str) -> Outcome | None:
        """What a cell of the same choices came to, if it is finished."""
        path = self.path(name, ".json")
        if not path.is_file() or not self.path(name, ".npz").is_file():
            return None
        try:
            found = read_json(path, "remove it")
        except UserError:
            return None  # A damaged file holds nothing: the cell runs again.
        if not isinstance(found, dict) or found.get("cell") != digest:
            return None
        return found

    def network(self, name: str) -> Network:
        return models.load_backbone(self.path(name, ".npz"))[0]

    def save(
        self,
        name: str,
        architecture: Architecture,
        made: Quantised,
        outcome: Outcome,
        comment: str,
    ) -> None:
        info = outcome | made.made()
        models.save_backbone(self.path(name, ".npz"), made.network, info, scales=Scales.of(made))
        write_text(self.path(name, ".toml"), toml_of(architecture, comment))
        self.note(name, outcome)

    def note(self, name: str, outcome: Outcome) -> None:
        write_json(self.path(name, ".json"), outcome)


def digest(choices: dict[str, Any]) -> str:
    """Of all that decides what a cell comes to."""
    text = json.dumps(choices, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def parameters_sha256(parameters: Parameters) -> str:
    found = hashlib.sha256()
    for name in sorted(parameters):
        found.update(name.encode() + parameters[name].tobytes())
    return found.hexdigest()
