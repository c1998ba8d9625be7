"""The operations of a power-of-two network, counted like those of an affine one: the tuned kernels
walk lists of what is not 0, so nearly all depends on the activity."""

from __future__ import annotations

from picotrain.profile.fit.terms.activity import Activity, Lists
from picotrain.profile.fit.terms.affine import Masks, Terms, add, masking
from picotrain.profile.fit.terms.affine_backward import linear_error, moves, spread
from picotrain.profile.fit.terms.shapes import Number, Shape, aligned, parts, up

_LANES = 8
_PAIRED = 0.75
"""Of the inputs of a linear layer: with more that are not 0 they are taken in pairs."""


def _blocks(channels: Number) -> tuple[Number, Number]:
    """Blocks of eight channels that are full, and 1 where there is another."""
    if not isinstance(channels, int):
        return channels / _LANES, 0
    return channels // _LANES, int(channels % _LANES != 0)


def _listing(shape: Shape, lists: Lists, blocks: Number, measured: bool) -> Terms:
    """Rows of a source, [in_h, in_w, in_c], listed anew for each block."""
    size = shape.in_size * blocks
    if isinstance(shape.in_c, int) and shape.in_c == 1:
        pixels = shape.down.taps * shape.in_w * blocks
        terms: Terms = {
            "column lists": shape.out_h * blocks,
            "column pixels": pixels * lists.columns,
            "column pixels of 0": pixels * (1 - lists.columns),
            "column entries": pixels * lists.values,
            "index words": shape.out_h * (shape.in_w + 2 * shape.padding[1]) * blocks,
        }
        entries = pixels * lists.values
    else:
        entries = size * lists.values
        terms = {
            "row lists": shape.in_h * blocks,
            "listed pixels": shape.in_h * shape.in_w * blocks,
            "index words": shape.in_h * 2 * shape.padding[1] * blocks,
        }
        if not isinstance(shape.in_c, int) or shape.in_c % 4 == 0:
            add(
                terms,
                {
                    "listed words of 0": size / 4 * (1 - lists.words),
                    "listed words": size / 4 * lists.words,
                    "listed entries": entries,
                },
            )
        else:
            add(terms, {"listed bytes": size, "listed byte entries": entries})
    if measured:
        add(terms, {"measured entries": entries})
    return terms


def _walking(shape: Shape, lists: Lists, blocks: Number, way: str) -> Terms:
    """All windows of a source, block by block."""
    merged = isinstance(shape.in_c, int) and shape.in_c == 1
    windows = shape.positions * blocks * lists.walked
    full = shape.positions * blocks * lists.windows
    kernel_rows = 1 if merged else shape.down.mean_taps
    entries = shape.down.taps * shape.across.taps * shape.in_c * blocks * lists.taken
    return {
        f"{way} rows": shape.out_h * blocks * lists.target_rows,
        f"{way} windows": windows,
        "windows left out": shape.positions * blocks * (lists.target_rows - lists.walked),
        f"{way} window rows": windows * kernel_rows,
        f"{way} full windows": full,
        f"{way} full rows": full * kernel_rows * lists.rows,
        f"{way} entries": entries,
        f"{way} spilled": full * lists.spilled,
        f"{way} spills": entries * lists.spills,
    }


def _packing(shape: Shape, masks: Masks, seen: Activity) -> Terms:
    """Rows into lanes."""
    _, rest = _blocks(shape.out_c)
    length = shape.row_length
    terms = masking(shape, masks, seen, 1)
    return add(
        terms,
        {
            "packed lane rows": shape.out_c,
            "packed lanes": shape.out_c * length,
            "cleared words": rest * length * _LANES / 2,
        },
    )


def conv2d_forward(shape: Shape, masks: Masks, seen: Activity, relu: bool, dynamic: bool) -> Terms:
    full, rest = _blocks(shape.out_c)
    blocks = full + rest
    lists, size = seen.inputs, shape.out_size
    terms: Terms = {"chain conv2d": 1}
    add(terms, _packing(shape, masks, seen))
    add(terms, _listing(shape, lists, blocks, measured=dynamic))
    one = isinstance(shape.in_c, int) and shape.in_c == 1
    # Of one channel words are looked at for a sign; where there are none, one is feared.
    feared = one and shape.in_size % 4 != 0
    if one and not dynamic and not feared:
        add(terms, {"looked at words": blocks * shape.in_size / 4})
    if dynamic:
        add(terms, _sums(shape, lists, full, rest))
        add(terms, {"cleared words": size, "ranged sums": size})
        return add(terms, _requantised(size, seen.outputs))
    direct = full if relu and not lists.signed and not feared else 0
    add(terms, {"cleared words": size / 4})
    if direct:
        add(terms, _walking(shape, lists, direct, "relu"))
        eights = shape.positions * direct
        pairs = eights * _LANES / 2 * seen.pairs
        add(terms, {"clamped windows": eights * seen.clamped, "stored pairs": pairs})
    left = blocks - direct
    if left:
        add(terms, _walking(shape, lists, left, "signed"))
        words = shape.positions * lists.target_rows
        channels = shape.out_c - direct * _LANES
        add(
            terms,
            {
                "cleared words": words * left * _LANES,
                "requantised positions": words * left,
                "requantised channels": words * channels,
            },
        )
    return terms


def _sums(shape: Shape, lists: Lists, full: Number, rest: Number) -> Terms:
    """Accumulators, int32, of a convolution that is measured."""
    terms: Terms = {}
    for way, share in (("signed", 1 - lists.small), ("small", lists.small)):
        walked = _walking(shape, lists, full + rest, way)
        if way == "small":
            del walked["small spills"], walked["small spilled"]
        add(terms, {name: count * share for name, count in walked.items()})
    if rest:
        positions = shape.positions * lists.target_rows
        add(
            terms,
            {
                "cleared words": positions * _LANES,
                "copied positions": positions,
                "copied sums": positions * (shape.out_c % _LANES),
            },
        )
    return terms


def _requantised(count: Number, some: float) -> Terms:
    return {"error words": count / 4 * some, "error words of 0": count / 4 * (1 - some)}


def linear_forward(shape: Shape, masks: Masks, seen: Activity, dynamic: bool) -> Terms:
    length, rows = shape.row_length, shape.out_c
    lists = seen.inputs
    entries = length * lists.values
    terms: Terms = {"chain linear": 1, "read inputs": length, "kept inputs": entries}
    whole = not isinstance(length, int) or length % 4 == 0
    if lists.values > _PAIRED and not lists.signed and whole:
        kind = "masked pair" if masks.kind == "all" else "pair"
        add(
            terms,
            {
                "paired inputs": length,
                f"{kind} rows": rows,
                f"{kind} words": rows * length / 4,
            },
        )
        if masks.kind == "all":
            add(terms, {"pair prunes": rows * length / 4 * seen.pruned_words})
    else:
        kind = "masked" if masks.kind == "all" else "plain"
        groups = rows // 4 if isinstance(rows, int) else rows / 4
        add(
            terms,
            {
                f"{kind} groups": groups,
                f"{kind} group entries": groups * entries,
                f"{kind} single rows": rows - 4 * groups,
                f"{kind} single entries": (rows - 4 * groups) * entries,
            },
        )
    if masks.kind == "some":
        add(terms, _sparse(shape, masks, seen, rows, 1.0))
    add(terms, {"row groups of sums": parts(rows, 4)})
    if dynamic:
        add(terms, {"ranged sums": rows})
    return add(terms, _requantised(up(rows, 4), 1.0))


def _sparse(shape: Shape, masks: Masks, seen: Activity, rows: Number, share: float) -> Terms:
    return {
        "sparse rows": rows,
        "bitmap bytes": rows * parts(shape.row_length, 8),
        "scored edges": masks.scored * share,
        "pruned edges": masks.scored * share * seen.pruned,
    }


def maxpool2_forward(shape: Shape, seen: Activity) -> Terms:
    size = shape.out_size
    if isinstance(shape.in_c, int) and shape.in_c % 4:
        return {"maxpool2": 1, "pooled rows": shape.out_h, "pooled elements": size}
    return {
        "maxpool2": 1,
        "pooled rows": shape.out_h,
        "pooled positions": shape.positions,
        "pooled words": size / 4 * seen.outputs,
        "pooled words of 0": size / 4 * (1 - seen.outputs),
        "signed pools": size * seen.inputs.signed,
    }


def forward(shape: Shape, masks: Masks, seen: Activity, relu: bool, dynamic: bool) -> Terms:
    if shape.kind == "conv2d":
        return conv2d_forward(shape, masks, seen, relu, dynamic)
    if shape.kind == "linear":
        return linear_forward(shape, masks, seen, dynamic)
    return maxpool2_forward(shape, seen)


def _turned(shape: Shape) -> Shape:
    """The error of a convolution of stride 1, as a convolution of that error."""
    padding = tuple(one - 1 - pad for one, pad in zip(shape.kernel, shape.padding, strict=True))
    return Shape(
        "conv2d",
        shape.out_h,
        shape.out_w,
        shape.out_c,
        shape.in_h,
        shape.in_w,
        shape.in_c,
        shape.kernel,
        (1, 1),
        (padding[0], padding[1]),
    )


def _conv2d_error(shape: Shape, masks: Masks, seen: Activity) -> Terms:
    size = shape.in_size
    if shape.stride[0] != 1:
        terms: Terms = {"conv2d error": 1, "cleared words": size, "error rows": shape.out_c}
        add(terms, masking(shape, masks, seen, 1))
        add(terms, {"window errors": shape.out_size})
        start = aligned(shape.in_c)
        return add(terms, spread(shape, shape.out_size * seen.errors, start, "error"))
    turned, lists = _turned(shape), seen.output_errors
    full, rest = _blocks(shape.in_c)
    terms = {"chain error": 1, "cleared words": size}
    add(terms, masking(shape, masks, seen, full + rest))
    add(
        terms,
        {
            "turned rows": shape.out_c * (full + rest),
            "turned taps": shape.out_c * shape.taps * full,
            "turned part taps": shape.out_c * shape.taps * rest,
        },
    )
    add(terms, _listing(turned, lists, full + rest, measured=True))
    return add(terms, _sums(turned, lists, full, rest))


def error(shape: Shape, masks: Masks, seen: Activity, relu: bool, dynamic: bool) -> Terms:
    """`relu`: of the layer before."""
    size = shape.in_size
    if shape.kind == "maxpool2":
        errors = shape.out_size * seen.errors
        return {
            "maxpool2 error": 1,
            "cleared words": size / 4,
            "routed rows": shape.out_h,
            "routed errors": errors,
            "routed zeros": shape.out_size - errors,
        }
    if shape.kind == "conv2d":
        terms = _conv2d_error(shape, masks, seen)
    else:
        terms = {"linear error": 1, "cleared words": size}
        add(terms, linear_error(shape, masks, seen))
    if dynamic:
        add(terms, {"ranged sums": size})
    add(terms, _requantised(size, seen.reached))
    if relu:
        add(
            terms,
            {"stopped words": size / 4 * seen.reached, "kept words": size / 4 * (1 - seen.reached)},
        )
    return terms


def _gradient_begin(shape: Shape, seen: Activity) -> Terms:
    even = not isinstance(shape.in_c, int) or shape.in_c % 2 == 0
    padded = (shape.in_h + 2 * shape.padding[0]) * (shape.in_w + 2 * shape.padding[1])
    width = shape.in_w * shape.in_c
    size = shape.in_h * width
    terms: Terms = {
        "gradient": 1,
        "cleared words": padded * shape.in_c / (2 if even else 1),
        "paired rows": shape.in_h,
    }
    kind = "even" if even else "odd"
    if not isinstance(width, int) or width % 4 == 0:
        lists = seen.inputs
        add(
            terms,
            {
                f"{kind} words": size / 4,
                f"{kind} elements": size * lists.words,
                f"{kind} values": size * lists.values,
            },
        )
    else:
        add(
            terms,
            {f"{kind} elements": size, f"{kind} values": size * seen.inputs.values},
        )
    positions = shape.positions
    add(terms, {"position rows": shape.out_h, "noted positions": positions * seen.positions})
    if isinstance(shape.out_c, int) and shape.out_c % 8 == 0:
        return add(
            terms,
            {"position words": shape.out_size / 8, "tried positions": positions},
        )
    return add(
        terms,
        {"tried bytes": shape.out_size * (1 - seen.positions), "slow positions": positions},
    )


def _gradient_row(shape: Shape, seen: Activity) -> Terms:
    """Of all rows."""
    rows, width = shape.out_c, shape.kernel[1] * shape.in_c
    errors = shape.out_size * seen.errors
    some = rows * seen.error_rows
    step = "even" if not isinstance(shape.in_c, int) or shape.in_c % 2 == 0 else "odd"
    terms: Terms = {
        "gradient lists": rows + some * (seen.lists - 1),
        "cleared words": rows * shape.row_length,
        "searched positions": rows * shape.positions * seen.positions,
        "listed errors": errors,
    }
    if isinstance(width, int) and (shape.kernel[0], width) == (3, 3):
        lists = some * seen.lists
        return add(terms, {"small kernels": lists, "small kernel errors": errors})
    twelves, fours, rest = _chunks(width)
    lines, more = shape.kernel[0] * some, seen.lists - 1
    return add(
        terms,
        {
            f"{step} twelves": lines * twelves * seen.lists,
            f"{step} fours": lines * fours * seen.lists,
            f"{step} twelve errors": errors * shape.kernel[0] * twelves,
            f"{step} four errors": errors * shape.kernel[0] * fours,
            # The first list writes whole chunks, all that follow add theirs.
            "added chunks": lines * ((twelves + fours) * more + (rest > 0)),
            "added sums": lines * (width * more + rest),
        },
    )


def _chunks(width: Number) -> tuple[Number, Number, Number]:
    """A kernel row in chunks of twelve, then one of four, and what the last one holds if it is
    not whole."""
    if not isinstance(width, int):
        return width / 12, 0, 0
    twelves, rest = divmod(width, 12)
    if rest > 4:
        return twelves + 1, 0, rest
    return twelves, int(rest > 0), rest % 4


def update(
    shape: Shape, masks: Masks, seen: Activity, halved: bool, scored: bool, dynamic: bool
) -> Terms:
    rows, length = shape.out_c, shape.row_length
    terms: Terms = {"chain update": 1, "rows of updates": rows}
    if shape.kind == "conv2d":
        add(terms, _gradient_begin(shape, seen))
        add(terms, _gradient_row(shape, seen))
        if dynamic:
            add(terms, {"ranged edges": rows * length})
        # Rows without an error are walked too, and nothing in them steps.
        walked = {name: getattr(seen, name) * seen.error_rows for name in ("stepping", "moving")}
        every = Activity(error_rows=1.0, **walked)
        return add(terms, moves(length, rows, masks, every, halved, scored))
    kept = length * seen.inputs.values
    some = rows * seen.error_rows
    add(terms, {"updated inputs": length, "updated entries": kept})
    if dynamic:
        add(terms, {"ranged bytes": length + rows})
    if masks.kind == "some":
        sparse = masks.scored * seen.error_rows
        return add(
            terms,
            {
                "counted bytes": rows * parts(length, 8),
                "counted rows": rows,
                "sparse score rows": some,
                "sparse score bytes": some * parts(length, 8),
                "sparse edges": sparse,
                "sparse steps": sparse * seen.stepping,
                "sparse moves": sparse * seen.moving,
            },
        )
    kind = "score" if scored else "weight"
    return add(
        terms,
        {
            f"{kind} lines": some,
            f"{kind} entries": some * kept,
            f"{kind} entry steps": some * length * seen.stepping,
            f"{kind} entry moves": some * length * seen.moving,
        },
    )


def loss(classes: Number) -> Terms:
    return {"chain loss": 1, "chain loss classes": classes}
