"""A network in floating point in a file (.npz), as training goes on from it: its weights, norms and
biases by PyTorch's names, what it is of, and the loss that it had.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.npz import Arrays, read_arrays
from picotrain.errors import PartedError
from picotrain.inputs import is_file
from picotrain.learn.architectures import graph
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.floating.graph import GraphTraining
from picotrain.output import write_bytes
from picotrain.shrink.removal import Parameters

_VERSION = 1
_FIX = "name a file that `picotrain pretrain --keep-float` or that of prune wrote"


class NotThat(PartedError):
    """A file does not hold the network."""


def save(path: Path, architecture: Architecture, parameters: Parameters, dataset: str) -> None:
    stream = io.BytesIO()
    about = {
        "float": _VERSION,
        "architecture": graph.document(architecture),
        "dataset": dataset,
    }
    np.savez_compressed(stream, about=np.array(json.dumps(about)), **parameters)  # type: ignore[arg-type]
    write_bytes(path, stream.getvalue())


def load(path: Path, architecture: Architecture, wanted: Parameters) -> Parameters:
    """The parameters, of the shapes that `wanted` has. NotThat where it is no such file, or of
    another network."""
    there = is_file(path)
    try:
        if not there and path.exists() and not path.is_dir():
            raise ValueError("it is a pipe or a device")  # Nobody may ever write into it.
        arrays = read_arrays(path)
        name, shapes = _about(arrays)
    except ValueError as error:
        raise NotThat(f"{path} is no network in floating point ({error})", _FIX) from None
    if shapes != graph.document(architecture):
        raise NotThat(f"{path} is of network {name}, not of {architecture.name} as it is", _FIX)
    for name, values in wanted.items():
        if (why := _complaint(name, arrays.get(name), values)) is not None:
            raise NotThat(f"{path} is damaged: {why}", _FIX)
    return {name: np.asarray(arrays[name], np.float32) for name in wanted}


def _about(arrays: Arrays) -> tuple[str, dict[str, Any]]:
    """Name and shapes of the network in a file; ValueError where it does not say them."""
    about = arrays.get("about")
    if about is None or about.dtype.kind != "U" or about.shape != ():
        raise ValueError("it has no text 'about'")
    try:
        held = json.loads(str(about))
    except RecursionError:
        raise ValueError("its text 'about' is nested too deep") from None
    if not isinstance(held, dict) or held.get("float") != _VERSION:
        raise ValueError(f"it is not of version {_VERSION}")
    shapes = held.get("architecture")
    if not isinstance(shapes, dict):
        raise ValueError("its text 'about' has no architecture")
    return str(shapes.get("name")), shapes


def _complaint(name: str, found: NDArray[Any] | None, wanted: NDArray[np.float32]) -> str | None:
    if found is None:
        return f"it has no array {name}"
    if found.dtype != np.float32 or found.shape != wanted.shape:
        return f"{name} is {found.dtype} {list(found.shape)}, not float32 {list(wanted.shape)}"
    if not np.isfinite(found).all():
        return f"{name} is not all finite numbers"
    if name.startswith("variance_") and (found < 0).any():
        return f"{name} has numbers below 0"
    return None


def of(path: Path | None, training: GraphTraining) -> Parameters | None:
    """What `load` finds for a training that is to go on from a file, if there is one."""
    return None if path is None else load(path, training.architecture, training.parameters())
