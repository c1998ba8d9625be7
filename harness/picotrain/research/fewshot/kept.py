"""Finished tasks, a JSON file each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import picotrain_golden
from picotrain.datasets import fewshot
from picotrain.device.backends import KERNELS, backend_of, choose_kernels
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.inputs import read_json
from picotrain.output import write_json
from picotrain.research.fewshot import schemes, task
from picotrain.research.fewshot.task import Outcome, rows_of
from picotrain_golden import Network

FORMAT = 2


def code_of(target: str) -> str:
    """What made or will make a task's outcome: the firmware, and the Python that decides."""
    digest = hashlib.sha256(_python())
    kernels = choose_kernels(target)
    if kernels is not None:
        digest.update(open_elf(firmware.require(KERNELS[backend_of(target)][kernels])).digest)
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def _python() -> bytes:
    digest = hashlib.sha256()
    rooms = [Path(str(one.__file__)).parent for one in (picotrain_golden, fewshot)]
    files = [path for room in rooms for path in sorted(room.rglob("*.py"))]
    for path in (*files, Path(str(task.__file__)), Path(str(schemes.__file__))):
        digest.update(path.read_bytes())
    return digest.digest()


def save(path: Path, outcomes: Sequence[Outcome], code: str) -> None:
    made = [asdict(one) for one in outcomes]
    write_json(path, {"format": FORMAT, "code": code, "outcomes": made})


def load(path: Path, labels: Sequence[str], network: Network) -> tuple[list[Outcome], str] | None:
    """The outcomes of a task by the schemes of these labels, and the code that made them, empty
    where nobody knows; None where there is no file. UserError for a file of anything else."""
    if not path.exists():
        return None
    content = read_json(path, "remove it")
    try:
        if content["format"] != FORMAT:
            raise ValueError("it is of another version")
        outcomes = [_outcome(one, network) for one in content["outcomes"]]
        if [one.scheme for one in outcomes] != list(labels):
            raise ValueError("its schemes are others")
        return outcomes, str(content.get("code", ""))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} holds no finished task ({error}); remove it") from error


def _outcome(held: Any, network: Network) -> Outcome:
    made = Outcome(**{**held, "rows": {int(i): rows for i, rows in held["rows"].items()}})
    if not isfinite(made.accuracy) or not 0 <= made.accuracy <= 1:
        raise ValueError(f"an accuracy is {made.accuracy}")
    for value in (made.bytes, made.macs):
        if type(value) is not int or value < 0:
            raise ValueError(f"a cost is {value!r}")
    head = len(network.layers) - 1
    for index, text in made.rows.items():
        if not 0 <= index <= head or not network.layers[index].has_weights:
            raise ValueError(f"rows are of layer {index}")
        # The head has as many as the task has classes.
        rows_of(text, 4 * len(text) if index == head else network.layers[index].rows)
    return made
