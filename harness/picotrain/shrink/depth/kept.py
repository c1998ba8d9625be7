"""A folder of finished cells: of each its backbone, its description, and a JSON file with all that
was found, which is written last, with the digests of the others and its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picotrain.inputs import read_bytes, read_json
from picotrain.learn import models
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.writer import toml_of
from picotrain.output import write_json, write_text
from picotrain.quantise.quantise import Quantised
from picotrain.shrink.removal import Parameters
from picotrain_golden import Network

Outcome = dict[str, Any]


_FILES, _SUM = "files", "sum"
"""Keys of a JSON file: digests of the files beside it, and of all else that is in it."""


def _quiet(_: str) -> None:
    pass


@dataclass(frozen=True)
class Store:
    """`say` gets lines for people."""

    folder: Path
    say: Callable[[str], None] = _quiet

    def path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"

    def load(self, name: str, key: str) -> Outcome | None:
        """What a cell of the same choices came to, if it is finished and all of it is there."""
        path = self.path(name, ".json")
        if not path.is_file():
            return None
        try:
            found: Outcome = read_json(path, "remove it")
            if found.pop(_SUM, None) not in (None, digest(found)):
                raise ValueError
        except ValueError:
            self.say(f"{path} is damaged: {name} is made anew")
            return None
        complaint = "" if found.get("cell") == key else f"{path} is of other choices"
        complaint = complaint or self._lacks(name, found)
        if complaint:
            self.say(f"{complaint}: {name} is made anew")
            return None
        return found

    def _lacks(self, name: str, found: Outcome) -> str:
        """What is wrong with the files beside an outcome, in words."""
        for suffix, sha256 in {".npz": None, **found.get(_FILES, {})}.items():
            file = self.path(name, suffix)
            if not file.is_file():
                return f"{file} is gone"
            if sha256 is not None and _sha256(file) != sha256:
                return f"{file} is not what {name}.json is of"
        return ""

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
        files = {suffix: _sha256(self.path(name, suffix)) for suffix in (".npz", ".toml")}
        outcome[_FILES] = files
        self.note(name, outcome)

    def note(self, name: str, outcome: Outcome) -> None:
        write_json(self.path(name, ".json"), outcome | {_SUM: digest(outcome)})


def digest(choices: dict[str, Any]) -> str:
    """Of all that decides what a cell comes to."""
    text = json.dumps(choices, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(file: Path) -> str:
    return hashlib.sha256(read_bytes(file, "make it readable, or remove it")).hexdigest()


def parameters_sha256(parameters: Parameters) -> str:
    found = hashlib.sha256()
    for name in sorted(parameters):
        found.update(name.encode() + parameters[name].tobytes())
    return found.hexdigest()
