"""MLPerf Tiny's keyword spotter: where its file is, and the network in it."""

from __future__ import annotations

from picotrain.convert import importer, model
from picotrain.datasets.files import Archive, DataFile, FileSet, require
from picotrain.quantise.graph import TensorScale
from picotrain_golden import Network

FILE = "kws_ref_model.tflite"
_SHA256 = "aeea436800704fce17b17292e4412630ad856e9d777c044c64ef748a880bd0ae"

FILES = FileSet(
    name="mlperf-tiny",
    folders=("mlperf-tiny/models",),
    files=(DataFile(FILE, _SHA256),),
    archives=(
        Archive(
            FILE,
            "https://raw.githubusercontent.com/mlcommons/tiny/master/benchmark/training/"
            f"keyword_spotting/trained_models/{FILE}",
            sha256=_SHA256,
            size=53_936,
        ),
    ),
)


def load(fileset: FileSet = FILES, download: bool = True) -> tuple[Network, TensorScale]:
    """The network, unmodified, and what its int8 input means."""
    path = require(fileset, download)[FILE]
    imported = importer.import_model(model.read(path))
    scale, zero = imported.input.scales[0], imported.input.zeros[0]
    return imported.network, TensorScale(scale, zero)
