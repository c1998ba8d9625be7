"""The mathematics of picotrain in NumPy, written plainly from docs/numerics.md."""

from golden.calibration import (
    ALL_RANGE_NAMES,
    RANGE_NAMES,
    Histograms,
    Ranges,
    Reading,
    calibrated,
    observe,
)
from golden.generator import key, mix, normal_scores, select_edges, words
from golden.loss import loss_error
from golden.method import Method, MethodName
from golden.network import (
    Kind,
    Layer,
    Network,
    Parameters,
    conv2d,
    linear,
    maxpool2,
    validate,
)
from golden.numerics import clamp, dynamic_shift, psto, range_bits, rhu, shift
from golden.plan import Buffer, Plan, operations, plan
from golden.trainer import StepResult, Trainer

__all__ = [
    "ALL_RANGE_NAMES",
    "RANGE_NAMES",
    "Buffer",
    "Histograms",
    "Kind",
    "Layer",
    "Method",
    "MethodName",
    "Network",
    "Parameters",
    "Plan",
    "Ranges",
    "Reading",
    "StepResult",
    "Trainer",
    "calibrated",
    "clamp",
    "conv2d",
    "dynamic_shift",
    "key",
    "linear",
    "loss_error",
    "maxpool2",
    "mix",
    "normal_scores",
    "observe",
    "operations",
    "plan",
    "psto",
    "range_bits",
    "rhu",
    "select_edges",
    "shift",
    "validate",
    "words",
]
