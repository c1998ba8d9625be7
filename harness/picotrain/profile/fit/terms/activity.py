"""What of a layer's values decides how long its kernels take, as shares between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lists:
    """Of a tensor that a convolution of the power-of-two form walks, by what is not 0 in it."""

    values: float = 0.6
    words: float = 0.9
    """Groups of four elements."""
    taken: float = 0.6
    """Elements under all windows, as often as they are."""
    windows: float = 1.0
    rows: float = 1.0
    """Rows of these windows."""
    target_rows: float = 1.0
    """Rows of outputs whose windows have something."""
    walked: float = 1.0
    """Windows that are looked into: of one channel not those that are empty at an end of a row."""
    columns: float = 1.0
    """Of one channel: stretches of four columns, under a row of outputs, that have something."""
    small: float = 0.0
    """Of these, those under which all magnitudes fit 16 bits of a lane."""
    spilled: float = 1.0
    """Windows whose magnitudes do not fit together."""
    spills: float = 0.1
    """How often lanes are full, for each element that is taken."""
    signed: bool = False
    """Some value is negative."""


@dataclass(frozen=True)
class Activity:
    """Of one layer in one step. What nobody looked at has the values of a usual network."""

    # Forward
    low: float = 0.0
    """Outputs at their lower bound."""
    high: float = 0.0
    """Outputs at their upper bound."""
    empty_rows: float = 0.0
    """Rows of effective weights that are 0."""
    pruned: float = 0.02
    """Edges that are masked, of those that have scores."""
    pruned_words: float = 0.08
    """Groups of four edges of which one is masked."""
    # Backward
    errors: float = 1.0
    """Errors of the layer's output, as it works on them, that are not 0."""
    row_errors: float = 1.0
    """The same of the rows that are updated."""
    error_rows: float = 1.0
    """Rows that are updated of which an error is not 0."""
    reached: float = 1.0
    """Groups of four sums for the input's error of which one is not 0."""
    stopped: float = 0.5
    """Elements of the inputs at an activation's bound, which an error ends at."""
    passed: float = 1.0
    """Errors of the inputs that are not 0 after that."""
    stepping: float = 0.3
    """Edges of rows with an error whose step may differ from 0."""
    moving: float = 0.15
    """Edges of these whose step does."""
    # Of the power-of-two form only
    inputs: Lists = Lists()
    """Its input; of a linear layer only `values` and `words`."""
    output_errors: Lists = Lists(signed=True)
    """The error of its output."""
    outputs: float = 0.9
    """Groups of four outputs of which one is not 0."""
    pairs: float = 0.7
    """Pairs of neighbouring channels of which one is not 0."""
    clamped: float = 0.1
    """Groups of eight outputs of which one is clamped."""
    positions: float = 1.0
    """Positions that have an error."""
    lists: float = 4.0
    """Lists of the errors of a channel that has any, each of a magnitude that fits."""
