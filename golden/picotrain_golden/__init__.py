"""The mathematics of picotrain in NumPy, written plainly from docs/numerics.md."""

from picotrain_golden.calibration import (
    ALL_RANGE_NAMES,
    RANGE_NAMES,
    Histograms,
    Ranges,
    Reading,
    calibrated,
    observe,
)
from picotrain_golden.generator import key, mix, normal_scores, scored_counts, select_edges, words
from picotrain_golden.loss import LEAST_LOGITS_EXPONENT, loss_error
from picotrain_golden.method import Method, MethodName, Probe
from picotrain_golden.network import (
    Affine,
    Kind,
    Layer,
    Network,
    Parameters,
    conv2d,
    linear,
    maxpool2,
)
from picotrain_golden.numerics import clamp, dynamic_shift, psto, range_bits, rhu, shift
from picotrain_golden.plan import Buffer, Plan, copies, fused, operations, plan
from picotrain_golden.sparse.fisher import Information
from picotrain_golden.sparse.prototypes import ClassError, Prototypes, with_head
from picotrain_golden.sparse.selection import Selection, learning
from picotrain_golden.sparse.solvers import BudgetError, Selected, Solver, select
from picotrain_golden.trainer import StepResult, Trainer
from picotrain_golden.validation import validate, validate_training

__all__ = [
    "ALL_RANGE_NAMES",
    "LEAST_LOGITS_EXPONENT",
    "RANGE_NAMES",
    "Affine",
    "BudgetError",
    "Buffer",
    "ClassError",
    "Histograms",
    "Information",
    "Kind",
    "Layer",
    "Method",
    "MethodName",
    "Network",
    "Parameters",
    "Plan",
    "Probe",
    "Prototypes",
    "Ranges",
    "Reading",
    "Selected",
    "Selection",
    "Solver",
    "StepResult",
    "Trainer",
    "calibrated",
    "clamp",
    "conv2d",
    "copies",
    "dynamic_shift",
    "fused",
    "key",
    "learning",
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
    "scored_counts",
    "select",
    "select_edges",
    "shift",
    "validate",
    "validate_training",
    "with_head",
    "words",
]
