"""A network of MLPerf Tiny, the keyword spotter: a file that is found and verified as data are."""

from __future__ import annotations

from picotrain.datasets.files import Archive, DataFile, FileSet

SPOTTER = "kws_ref_model.tflite"
_SHA256 = "aeea436800704fce17b17292e4412630ad856e9d777c044c64ef748a880bd0ae"

FILES = FileSet(
    name="mlperf-tiny",
    folders=("mlperf-tiny/models",),
    files=(DataFile(SPOTTER, _SHA256),),
    archives=(
        Archive(
            SPOTTER,
            "https://raw.githubusercontent.com/mlcommons/tiny/master/benchmark/training/"
            f"keyword_spotting/trained_models/{SPOTTER}",
            sha256=_SHA256,
            size=53_936,
        ),
    ),
)
