"""The network in the file of MLPerf Tiny's keyword spotter."""

from __future__ import annotations

from pathlib import Path

from picotrain.convert import importer, model
from picotrain.datasets import files, mlperf_tiny
from picotrain.quantise.graph import TensorScale
from picotrain_golden import Network


def load() -> tuple[Network, TensorScale]:
    """The network, unmodified, and what its int8 input means; downloaded if it is nowhere."""
    name = mlperf_tiny.SPOTTER
    content = files.read_all(mlperf_tiny.FILES, download=True)[name]
    imported = importer.import_model(model.parsed(Path(name), content))
    scale, zero = imported.input.scales[0], imported.input.zeros[0]
    return imported.network, TensorScale(scale, zero)
