"""The backward operations of an affine network, counted like the forward ones (affine.py)."""

from __future__ import annotations

from dataclasses import dataclass

from picotrain.profile.fit.terms.activity import Activity
from picotrain.profile.fit.terms.affine import Masks, Terms, add, masking
from picotrain.profile.fit.terms.shapes import Number, Shape, parts


@dataclass(frozen=True)
class Target:
    """A tensor that an error operation contributes to: `first` to do so, `last` to do so."""

    shape: tuple[int, int, Number]
    first: bool
    last: bool
    weighted: float
    """Of the channels of the layer that made it, the share whose multiplier is not the largest;
    0 where it has no weights."""
    rows: Number
    masked: bool
    """It has bounds of an activation, at which errors end."""

    @property
    def size(self) -> Number:
        return self.shape[0] * self.shape[1] * self.shape[2]


def _vectors(calls: Number, length: Number, start: float) -> Terms:
    """`calls` of pt_accumulate_s32 on so many elements, a share of which begins on a word."""
    words = (length // 4 if isinstance(length, int) else length / 4) * start
    return {
        "vectors": calls,
        "vector words": calls * words,
        "vector elements": calls * (length - 4 * words),
    }


def spread(shape: Shape, errors: Number, start: float, prefix: str) -> Terms:
    """Errors that are not 0, each times what lies under its window (pt_overlap.c)."""
    if shape.pointwise:
        return _vectors(errors, shape.in_c, start)
    rows = shape.down.mean_taps
    length = shape.across.mean_taps * shape.in_c
    if isinstance(shape.in_c, int) and shape.across.complete == shape.out_w:
        length = shape.kernel[1] * shape.in_c
    return {
        f"{prefix} windows": errors,
        f"{prefix} window rows": errors * rows,
        **_vectors(errors * rows, length, start),
    }


def weights_error(shape: Shape, masks: Masks, seen: Activity) -> Terms:
    """The sums of an error operation of a layer with weights."""
    total = shape.out_size
    errors = total * seen.errors
    terms: Terms = {f"{shape.kind} error": 1, "cleared words": shape.in_size}
    if shape.kind == "linear":
        return add(terms, linear_error(shape, masks, seen))
    add(terms, masking(shape, masks, seen, 1))
    if shape.kind == "depthwise":
        rows = shape.down.mean_taps
        return add(
            terms,
            {
                "error channels": shape.out_c,
                "error lines": shape.out_c * shape.out_h,
                "channel errors": total,
                "channel windows": errors,
                "channel window rows": errors * rows,
                "channel window taps": errors * rows * shape.across.mean_taps,
            },
        )
    start = 1.0
    if isinstance(shape.in_c, int) and shape.in_c % 4:
        start = 0.5 if shape.in_c % 2 == 0 else 0.25
        if shape.pointwise and masks.kind != "none":
            start = 1.0
    kind = "pointwise" if shape.pointwise else "window"
    add(terms, {"error rows": shape.out_c, f"{kind} errors": total})
    return add(terms, spread(shape, errors, start, "error"))


def linear_error(shape: Shape, masks: Masks, seen: Activity) -> Terms:
    """pt_linear.c of the tuned kernels: four columns at once where rows lie on words."""
    length, rows = shape.row_length, shape.out_c
    errors = rows * seen.errors
    if isinstance(length, int) and length % 4:
        used = Masks(masks.kind, masks.scored * seen.errors)
        terms = masking(shape, used, seen, seen.errors)
        return add(
            terms, {"error rows": rows, "plain rows": errors, "plain elements": errors * length}
        )
    terms = {
        "error rows": rows,
        "listed rows": errors,
        "row groups": parts(rows, 16) * 1.0,
        "column words": length / 4 * parts(rows, 16) * 1.0,
    }
    if masks.kind == "all":
        words = errors * length / 4
        return add(
            terms, {"masked row words": words, "masked row prunes": words * seen.pruned_words}
        )
    add(terms, {"row words": errors * length / 4})
    if masks.kind == "some":
        share = masks.scored * seen.errors
        add(
            terms,
            {
                "sparse rows": rows,
                "bitmap bytes": rows * parts(length, 8),
                "scored edges": share,
                "pruned edges": share * seen.pruned,
            },
        )
    return terms


def _merged(target: Target, seen: Activity, sums: bool, dynamic: bool) -> Terms:
    """A contribution to the error of a tensor, and what finishes that (pt_affine_error.c)."""
    size = target.size
    terms: Terms = {"targets": 1}
    if sums:
        if dynamic:
            add(terms, {"ranged sums": size})
        if target.first:
            add(
                terms,
                {
                    "error words": size / 4 * seen.reached,
                    "error words of 0": size / 4 * (1 - seen.reached),
                },
            )
        else:
            add(terms, {"merged sums": size})
    if target.last:
        if target.masked:
            add(terms, {"masked errors": size, "stopped errors": size * seen.stopped})
        if target.rows:
            weighed = size * target.weighted
            add(
                terms,
                {
                    "weighed rows": target.rows,
                    "weighed errors": weighed,
                    "weighed errors not 0": weighed * seen.passed,
                },
            )
    return terms


def error(
    shape: Shape, targets: list[Target], masks: Masks, seen: Activity, dynamic: bool
) -> Terms:
    """Of an error operation."""
    sums = shape.kind in ("conv2d", "depthwise", "linear")
    terms: Terms = weights_error(shape, masks, seen) if sums else {}
    for target in targets:
        add(terms, _merged(target, seen, sums, dynamic))
        if not sums:
            add(terms, _passed_on(shape, target, seen))
    return terms


def _passed_on(shape: Shape, target: Target, seen: Activity) -> Terms:
    """Contributions of kinds without weights."""
    way = "put" if target.first else "merged"
    if shape.kind == "add":
        return {"add error": 1, f"{way} errors": shape.out_size}
    windows = shape.down.taps * shape.across.taps * shape.out_c
    terms: Terms = {
        "pool error": 1,
        "pool positions": shape.in_h * shape.in_w,
        f"{way} pool errors": shape.in_size,
    }
    if shape.kind == "maxpool":
        return add(
            terms,
            {
                "pool elements": shape.in_size,
                "pool windows": windows,
                "searched windows": windows * seen.errors,
                "searched elements": windows * seen.errors * shape.taps,
            },
        )
    if windows == shape.in_size:
        return add(terms, {"mean errors": shape.in_size})
    return add(terms, {"pool elements": shape.in_size, "pool windows": windows})


def gradient(shape: Shape, rows: Number, seen: Activity) -> Terms:
    """Of so many rows (pt_affine_*_backward.c)."""
    length, positions = shape.row_length, shape.positions
    if shape.kind == "linear":
        return {"linear gradients": rows, "linear gradient edges": rows * length}
    errors = rows * positions * seen.row_errors
    terms: Terms = {"gradient rows": rows, "cleared words": rows * length}
    if shape.kind == "depthwise":
        taps = shape.down.mean_taps
        return add(
            terms,
            {
                "channel lines": rows * shape.out_h,
                "channel positions": rows * positions,
                "gradient windows": errors,
                "gradient window rows": errors * taps,
                "gradient window taps": errors * taps * shape.across.mean_taps,
            },
        )
    if not shape.inside:
        taps = shape.down.mean_taps
        return add(
            terms,
            {
                "bordered positions": rows * positions,
                "bordered windows": errors,
                "bordered rows": errors * taps,
                "bordered elements": errors * taps * shape.across.mean_taps * shape.in_c,
            },
        )
    kind = "pointwise" if shape.pointwise else "window"
    add(
        terms,
        {
            "summed errors": rows * positions,
            f"{kind} positions": rows * positions,
            "taken edges": rows * seen.error_rows * length,
        },
    )
    start = 1.0
    if isinstance(shape.in_c, int) and shape.in_c % 4:
        start = 0.5 if shape.in_c % 2 == 0 else 0.25
    return add(terms, spread(shape, errors, start, "gradient"))


def moves(
    length: Number, rows: Number, masks: Masks, seen: Activity, halved: bool, scored: bool
) -> Terms:
    """What the gradients of so many rows do to weights or scores (pt_update.c)."""
    moved = rows * seen.error_rows
    edges = moved * length
    if not scored:
        return {
            "weight rows": moved,
            "weights": edges,
            "weight steps": edges * seen.stepping,
            "weight moves": edges * seen.moving,
        }
    if masks.kind == "all":
        how = "halved" if halved else "score"
        return {
            f"{how} rows": moved,
            f"{how} edges": edges,
            f"{how} steps": edges * seen.stepping,
            f"{how} moves": edges * seen.moving,
        }
    sparse = masks.scored * seen.error_rows
    return {
        "counted bytes": rows * parts(length, 8),
        "counted rows": rows,
        "sparse score rows": moved,
        "sparse score bytes": moved * parts(length, 8),
        "sparse scores": sparse,
        "sparse halves": sparse if halved else 0,
        "sparse steps": sparse * seen.stepping,
        "sparse moves": sparse * seen.moving,
    }


def update(
    shape: Shape,
    rows: Number,
    masks: Masks,
    seen: Activity,
    halved: bool,
    scored: bool,
    dynamic: bool,
) -> Terms:
    """Of an update operation of so many rows, those that are selected; of all others one is told
    from them."""
    terms: Terms = {"update": 1, "rows of updates": shape.out_c}
    add(terms, gradient(shape, rows, seen))
    if dynamic:
        add(terms, gradient(shape, rows, seen))
        add(terms, {"ranged edges": rows * seen.error_rows * shape.row_length})
    return add(terms, moves(shape.row_length, rows, masks, seen, halved, scored))


def loss(classes: Number) -> Terms:
    return {"loss": 1, "loss classes": classes}
