"""Scalar functions: values by hand, then against the slow oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import golden_slow as slow
from picotrain_golden import clamp, dynamic_shift, psto, range_bits, rhu, shift
from picotrain_golden.calibration import _mean_bits
from picotrain_golden.numerics import image_peaks, peak_bits, requantise

INT31 = st.integers(-(2**31) + 1, 2**31 - 1)


def int32(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array(values, np.int32)


def test_rhu_by_hand() -> None:
    assert rhu(int32(5, -5, 6, -6, 7, -7), 0).tolist() == [5, -5, 6, -6, 7, -7]
    assert rhu(int32(5, -5, 1, -1), 1).tolist() == [3, -2, 1, 0]
    # 6/4 = 1.5 goes up to 2, -1.5 up to -1.
    assert rhu(int32(5, 6, 7, -5, -6, -7), 2).tolist() == [1, 2, 2, -1, -1, -2]


def test_rhu_takes_a_shift_per_image() -> None:
    acc = int32(6, 6, 6).reshape(3, 1)
    assert rhu(acc, int32(0, 1, 2).reshape(3, 1)).tolist() == [[6], [3], [2]]


@pytest.mark.parametrize(
    ("x", "s", "expected"),
    [
        (-77, 0, -77),
        # s = 1: r is always 0, so an odd magnitude goes up.
        (3, 1, 2),
        (-3, 1, -2),
        (4, 1, 2),
        # s = 2: fractions 1, 2, 3 have (q, r) = (0, 1), (1, 0), (1, 1).
        (5, 2, 1),
        (6, 2, 2),
        (7, 2, 1),
        (-6, 2, -2),
        (-7, 2, -1),
        # s = 3, r doubled: fractions 1, 2, 5, 6, 7 have (0, 2), (1, 0), (2, 2), (3, 0), (3, 2).
        (9, 3, 1),
        (10, 3, 2),
        (13, 3, 1),
        (14, 3, 2),
        (15, 3, 2),
        (-13, 3, -1),
        (-14, 3, -2),
        # s = 4: 43 = 2*16 + 11 has (2, 3), 46 = 2*16 + 14 has (3, 2).
        (43, 4, 2),
        (46, 4, 3),
        (-46, 4, -3),
        # q = 2^16 - 1 against r = 2 * (2^15 - 1).
        (2**31 - 1, 31, 1),
        (-(2**31) + 1, 31, -1),
        (2**31 - 1, 30, 1),
        (0, 7, 0),
    ],
)
def test_psto_by_hand(x: int, s: int, expected: int) -> None:
    assert psto(int32(x), s).tolist() == [expected]


@given(x=INT31, s=st.integers(0, 31))
def test_psto_against_oracle(x: int, s: int) -> None:
    assert psto(int32(x, 0, -x), s).tolist() == [slow.psto(x, s), 0, slow.psto(-x, s)]


@given(x=st.integers(-(2**31) + 1, 2**31 - 2**23 - 1), k=st.integers(0, 24))
def test_rhu_against_oracle(x: int, k: int) -> None:
    assert rhu(int32(x), k).tolist() == [slow.rhu(x, k)]


def test_psto_does_not_write_its_input() -> None:
    x = int32(-46, 46)
    for s in (0, 4):
        psto(x, s)
        assert x.tolist() == [-46, 46]


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([0, 0], 0),
        ([0, -1], 0),
        ([2, 1], 1),
        ([-3], 2),
        ([4], 2),
        ([5], 3),
        ([127], 7),
        ([-128, 5], 7),
        ([129], 8),
        ([-(2**30)], 30),
        ([2**31 - 1], 31),
    ],
)
def test_range_bits_by_hand(values: list[int], bits: int) -> None:
    tensor = int32(*values)
    assert range_bits(tensor) == bits
    assert peak_bits(image_peaks(tensor[np.newaxis])).tolist() == [bits]
    assert dynamic_shift(tensor) == max(bits - 7, 0)


@given(x=INT31)
def test_range_bits_against_oracle(x: int) -> None:
    assert range_bits(int32(x)) == slow.range_bits([x])


def test_image_peaks_do_not_mix_images() -> None:
    tensor = np.array([[[1, -9], [2, 3]], [[4, 0], [0, 0]]], np.int32)
    assert image_peaks(tensor).tolist() == [9, 4]


def test_clamp_by_hand() -> None:
    x = int32(-128, -127, -1, 0, 127, 128)
    assert clamp(x).tolist() == [-127, -127, -1, 0, 127, 127]
    assert clamp(x, relu=True).tolist() == [0, 0, 0, 0, 127, 127]
    assert clamp(x).dtype == np.int8


def test_shift_by_hand() -> None:
    assert [shift(10, 3), shift(2, 3), shift(31, -8), shift(0, 0)] == [7, 0, 31, 0]


def test_requantise_counts_what_it_clamps() -> None:
    # RHU(., 1): 127, 128, -127, -128, 0; the ReLU does not count as saturation.
    acc = int32(254, 255, -254, -256, -1)
    out, count = requantise(acc, 1, relu=False)
    assert (out.tolist(), count) == ([127, 127, -127, -127, 0], 2)
    out, count = requantise(acc, 1, relu=True)
    assert (out.tolist(), count) == ([127, 127, 0, 0, 0], 1)


def test_mean_bits_of_the_largest_sums_are_a_shift() -> None:
    """Sixteen times a mean has up to 35 bits; a shift is at most 31."""
    for magnitude, bits in ((0, None), (1, 4), (2**26, 30), (2**27, 31), (2**28, 31), (2**30, 31)):
        assert _mean_bits(np.array([magnitude, -magnitude], np.int32)) == bits, magnitude
