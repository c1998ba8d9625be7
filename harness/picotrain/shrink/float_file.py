"""A network in floating point in a file (.npz), as training goes on from it: its weights, norms and
biases by PyTorch's names, what it is of, and the loss that it had.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from picotrain.datasets.npz import read_arrays
from picotrain.errors import UserError
from picotrain.learn.architectures import graph
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.floating.graph import GraphTraining
from picotrain.output import write_bytes
from picotrain.shrink.removal import Parameters

_VERSION = 1


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
    """The parameters, of the shapes that `wanted` has. UserError where it is no such file, or of
    another network."""
    fix = "name a file that `picotrain pretrain --keep-float` or that of prune wrote"
    try:
        arrays = read_arrays(path)
        about = json.loads(str(arrays["about"]))
        found = {name: arrays[name] for name in wanted}
    except UserError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no network in floating point ({error}); {fix}") from None
    if about.get("architecture") != graph.document(architecture):
        name = about.get("architecture", {}).get("name")
        raise UserError(f"{path} is of network {name}, not of {architecture.name} as it is; {fix}")
    for name, values in wanted.items():
        other = found[name]
        if other.dtype != np.float32 or other.shape != values.shape:
            raise UserError(f"{path} is damaged: {name} is {other.dtype} {other.shape}; {fix}")
        if not np.isfinite(other).all():
            raise UserError(f"{path} is damaged: {name} is not all finite numbers; {fix}")
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


def of(path: Path | None, training: GraphTraining) -> Parameters | None:
    """What `load` finds for a training that is to go on from a file, if there is one."""
    return None if path is None else load(path, training.architecture, training.parameters())
