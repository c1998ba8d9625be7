"""What the firmware does in the operations of an affine network, counted from shapes: each term is
a loop or a call of `firmware/kernels`, and costs as many cycles as `coefficients.json` says.

The terms mirror the tuned kernels: where one of these is written anew, so is its function here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from picotrain.profile.fit.terms.activity import Activity
from picotrain.profile.fit.terms.shapes import Number, Shape, aligned, parts, up
from picotrain_golden import Affine

Terms = dict[str, Number]
"""How often each thing is done."""

_TILE_WORDS, _BAND_WORDS, _PACKED = 2048, 1536, 256
"""Of pt_affine.h and pt_affine_rows_inner.h."""
_MOST_SHIFT, _NEAR_SHIFT, _ADD_SHIFT = 11, 8, 16
_HEADROOM, _MOST_WEIGHT, _DOUBT = 20, 3.0, 2.0**-11
"""Of pt_affine_add.c: bits of the inputs, both factors together, sums that are so near a half."""


@dataclass(frozen=True)
class Masks:
    """How the weights of a layer are masked: not at all, all of them, or so many."""

    kind: str = "none"
    scored: Number = 0
    """Edges with a score, of a method that has some."""


@dataclass(frozen=True)
class Outputs:
    """Shares of a layer's rows by the way to int8 that its factors take."""

    near: float = 0.0
    relu: float = 0.0
    plain: float = 0.0
    slow: float = 0.0
    nothing: float = 0.0
    """Rows with a multiplier of 0."""

    @classmethod
    def of(cls, affine: Affine) -> Outputs:
        some = affine.multiplier != 0
        fast = some & (affine.shift <= -1) & (affine.shift >= -_MOST_SHIFT)
        count = len(some)
        if affine.low != affine.zero_out:
            near, kind = fast & False, "plain"
        else:
            whole = (affine.low, affine.high) == (-128, 127)
            near, kind = fast & (affine.shift >= -_NEAR_SHIFT) & whole, "relu"
        shares = {
            "near": near.sum() / count,
            kind: (fast & ~near).sum() / count,
            "slow": (some & ~fast).sum() / count,
            "nothing": (~some).sum() / count,
        }
        return cls(**{name: float(share) for name, share in shares.items()})


def stops(affine: Affine) -> bool:
    """Whether it has a bound that is an activation's, at which errors end."""
    return affine.low > -128 or affine.low == affine.zero_out or affine.high < 127


def add(terms: Terms, more: Terms) -> Terms:
    for name, count in more.items():
        terms[name] = terms[name] + count if name in terms else count
    return terms


def masking(shape: Shape, masks: Masks, seen: Activity, times: Number) -> Terms:
    """Making the effective rows of a layer, `times` over."""
    length, rows = shape.row_length, shape.out_c
    if masks.kind == "none":
        return {"rows as they are": rows * times}
    if masks.kind == "all":
        words = (length // 4 if isinstance(length, int) else length / 4) * aligned(length)
        return {
            "masked rows": rows * times,
            "masked words": rows * times * words,
            "pruned words": rows * times * words * seen.pruned_words,
            "masked bytes": rows * times * (length - 4 * words),
        }
    whole = aligned(length)
    return {
        "sparse rows": rows * times,
        "copied row words": rows * times * whole * (length / 4),
        "copied row bytes": rows * times * (1 - whole) * length,
        "bitmap bytes": rows * times * parts(length, 8),
        "scored edges": masks.scored * times,
        "pruned edges": masks.scored * times * seen.pruned,
    }


def _row_sums(
    shape: Shape, masks: Masks, seen: Activity, outputs: Outputs, tiles: Number, positions: int
) -> Terms:
    """Each row of weights, packed once for a tile, over all positions (pt_affine_rows.c)."""
    length, rows = shape.row_length, shape.out_c
    words = up(length, 4) / 4
    summed = 1 - outputs.nothing - seen.empty_rows
    pairs = parts(positions, 2)
    terms = masking(shape, masks, seen, tiles)
    add(
        terms,
        {
            "packed rows": rows * tiles,
            "packed chunks": rows * tiles * parts(length, _PACKED),
            "packed words": rows * tiles * words,
            "row pairs": rows * summed * pairs,
            "row pair words": rows * summed * pairs * words,
            "row pair rounds": rows * summed * pairs * parts(length, 16),
            "scaled rows": rows * summed * tiles,
            "filled rows": rows * (1 - summed) * tiles,
            "filled outputs": rows * (1 - summed) * positions,
        },
    )
    if isinstance(length, int) and length % 4:
        add(terms, {"padded rows": rows * tiles})
        if masks.kind == "none":
            whole = aligned(length)
            add(
                terms,
                {
                    "copied row words": rows * tiles * whole * (length / 4),
                    "copied row bytes": rows * tiles * (1 - whole) * length,
                },
            )
    return add(terms, scaling(rows * positions * summed, seen, outputs))


def scaling(count: Number, seen: Activity, outputs: Outputs) -> Terms:
    """Sums to int8."""
    some = (1 - outputs.nothing) or 1.0
    near, relu = count * (outputs.near / some), count * (outputs.relu / some)
    plain, slow = count * (outputs.plain / some), count * (outputs.slow / some)
    return {
        "near outputs": near,
        "near bounds": near * (seen.low + seen.high),
        "relu outputs": relu * (1 - seen.low),
        "relu zeros": relu * seen.low,
        "plain outputs": plain,
        "plain bounds": plain * (seen.low + seen.high),
        "slow outputs": slow,
    }


def _tiles(length: Number, positions: int) -> tuple[Number, Number]:
    """Tiles of pt_affine_rows_tile, and the pairs of patches in all of them."""
    if isinstance(length, int):
        fit = _TILE_WORDS // up(length, 4) * 2
        tile = min(max(fit, 4), 128, positions + positions % 2)
        return -(-positions // tile), -(-positions // 2)
    return positions * length / (2 * _TILE_WORDS) + 1, positions / 2


def conv2d_forward(shape: Shape, masks: Masks, seen: Activity, outputs: Outputs) -> Terms:
    length, positions = shape.row_length, shape.positions
    tiles, pairs = _tiles(length, positions)
    terms: Terms = {
        "conv2d": 1,
        "conv2d tiles": tiles,
        "patch pairs": pairs,
        "patch pair words": pairs * up(length, 4) / 4,
    }
    here = shape.taps == 1 and shape.stride == (1, 1) and shape.out_w == shape.in_w
    if here and (not isinstance(shape.in_c, int) or shape.in_c % 4 == 0):
        add(terms, {"patches in place": positions})
    else:
        border = positions - shape.whole_windows
        rows = shape.down.taps * shape.out_w
        add(
            terms,
            {
                "patches": positions,
                "patch rows": rows,
                "patch bytes": shape.down.taps * shape.across.taps * shape.in_c,
                "border patches": border,
                "border words": border * length / 4,
            },
        )
    return add(terms, _row_sums(shape, masks, seen, outputs, tiles, positions))


def linear_forward(shape: Shape, masks: Masks, seen: Activity, outputs: Outputs) -> Terms:
    length = shape.row_length
    terms: Terms = {
        "linear": 1,
        "patch pairs": 1,
        "patch pair words": up(length, 4) / 4,
        "copied row words": length / 4,
    }
    return add(terms, _row_sums(shape, masks, seen, outputs, 1, 1))


def _band(shape: Shape) -> tuple[int, int]:
    """Words of a row, and rows of outputs made together (pt_affine.h)."""
    stride_h, stride_w = shape.stride
    pitch = stride_w * (shape.out_w + shape.out_w % 2) + 3 - stride_w
    first = pitch * (3 - stride_h)
    fit = (_BAND_WORDS - first) // (pitch * stride_h + shape.out_w) if first < _BAND_WORDS else 0
    return pitch, min(max(fit, 1), shape.out_h)


def depthwise_forward(shape: Shape, masks: Masks, seen: Activity, outputs: Outputs) -> Terms:
    if shape.kernel != (3, 3):
        return _depthwise_patches(shape, masks, seen, outputs)
    channels = shape.out_c
    summed = channels * (1 - outputs.nothing - seen.empty_rows)
    pitch, band = _band(shape)
    bands = parts(shape.out_h, band)
    right = pitch - shape.padding[1]
    inside = min(right, shape.in_w)
    rows = gathered = 0
    outer = 0
    for y in range(0, shape.out_h, band):
        first = y * shape.stride[0]
        last = first + (min(band, shape.out_h - y) - 1) * shape.stride[0] + 3
        top, bottom = shape.padding[0], shape.padding[0] + shape.in_h
        begin, end = max(first, top), min(last, bottom)
        rows += end - begin
        gathered += (end - begin) * inside
        outer += (begin - first) * pitch + shape.padding[1] + (last - end) * pitch
    stride = "1" if shape.stride[1] == 1 else "2"
    pairs = shape.out_h * parts(shape.out_w, 2)
    terms = masking(shape, masks, seen, 1)
    add(
        terms,
        {
            "depthwise": 1,
            "channels": channels,
            "bands": summed * bands,
            f"gathered rows {stride}": summed * rows,
            f"gathered elements {stride}": summed * gathered,
            f"gathered gaps {stride}": summed * rows * (pitch - inside),
            f"odd elements {stride}": summed * rows * (inside % (2 if stride == "1" else 4)),
            "tap rows": summed * shape.out_h,
            f"tap pairs {stride}": summed * pairs,
            "outer words": outer * (summed if bands > 1 else 1),
            "scaled rows": summed * bands,
            "filled rows": channels - summed,
            "filled outputs": (channels - summed) * shape.positions,
        },
    )
    return add(terms, scaling(summed * shape.positions, seen, outputs))


def _depthwise_patches(shape: Shape, masks: Masks, seen: Activity, outputs: Outputs) -> Terms:
    positions, channels = shape.positions, shape.out_c
    tiles, pairs = _tiles(shape.row_length, positions)
    terms: Terms = {
        "depthwise": 1,
        "channels": channels,
        "channel tiles": channels * tiles,
        "channel patches": channels * positions,
        "channel patch words": channels * positions * shape.taps / 4,
        "channel patch rows": channels * shape.down.taps * shape.out_w,
        "channel patch elements": channels * shape.down.taps * shape.across.taps,
        "patch pairs": channels * pairs,
        "patch pair words": channels * pairs * up(shape.taps, 4) / 4,
    }
    # Masked once, whatever the tiles.
    add(terms, masking(shape, masks, seen, 1))
    summed = _row_sums(shape, Masks(), seen, outputs, tiles, positions)
    del summed["rows as they are"]
    return add(terms, summed)


def pool_forward(shape: Shape, mean: bool) -> Terms:
    """`mean`: over the whole input, with a factor."""
    windows = shape.down.taps * shape.across.taps
    rows = shape.down.taps * shape.out_w
    kind = "mean" if mean else shape.kind
    return {
        kind: 1,
        f"{kind} positions": shape.positions,
        f"{kind} outputs": shape.out_size,
        f"{kind} rows": rows * shape.out_c,
        f"{kind} elements": windows * shape.out_c,
    }


def _sums_exactly(affine: Affine) -> bool:
    """Whether the sums of an add are too large for pt_affine_add_words."""
    m, n = [int(one) for one in affine.multiplier], [int(one) for one in affine.shift]
    weights = sum(m[i] * m[2] * 2.0 ** (n[i] + n[2] + _HEADROOM - 62) for i in (0, 1))
    return n[2] > -_ADD_SHIFT or weights >= _MOST_WEIGHT


def add_forward(shape: Shape, affine: Affine | None) -> Terms:
    count = shape.out_size
    if affine is not None and _sums_exactly(affine):
        return {"add": 1, "exact sums": count}
    words = count // 4 * 4 if isinstance(count, int) else count
    bounded = affine is not None and (affine.low, affine.high) != (-128, 127)
    return {
        "add": 1,
        "sums": words,
        "bounded sums": words if bounded else 0,
        "exact sums": count - words + words * _DOUBT,
    }


_FORWARD: dict[str, Callable[[Shape, Masks, Activity, Outputs], Terms]] = {
    "conv2d": conv2d_forward,
    "linear": linear_forward,
    "depthwise": depthwise_forward,
}


def forward(
    shape: Shape,
    affine: Affine | None = None,
    masks: Masks | None = None,
    seen: Activity | None = None,
) -> Terms:
    """Of a forward operation. Without `affine` the factors are usual ones behind a ReLU."""
    seen = seen or Activity(low=0.5)
    if shape.kind in _FORWARD:
        outputs = Outputs(near=1.0) if affine is None else Outputs.of(affine)
        return _FORWARD[shape.kind](shape, masks or Masks(), seen, outputs)
    if shape.kind == "add":
        return add_forward(shape, affine)
    return pool_forward(shape, affine is not None and affine.multiplier.size > 0)
