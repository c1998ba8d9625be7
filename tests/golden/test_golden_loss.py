"""The loss error: worked examples, then the slow oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import golden_slow as slow
from picotrain_golden import loss_error


@pytest.mark.parametrize(
    ("logits", "exponent", "target", "expected"),
    [
        # z = 14, 0 -> 10, 0; p = 2048, 0: right and sure, no error.
        ([10, 0], 0, 0, [0, 0]),
        # Wrong and sure: RHU(2048, 4) = 128 and -128, both clamped.
        ([10, 0], 0, 1, [127, -127]),
        # p = 1023 * 2048 // 3069 = 682 each; 682 - 2046 = -1364.
        ([5, 5, 5], 0, 2, [43, 43, -85]),
        # z = 12, -5 (floored), then 3, -2 -> 10, 5; p = 1987, 60, their sum 2047.
        ([9, -3], -2, 1, [124, -124]),
        # z = 1 << 1 -> 10, 8; p = 1639, 408; 1639 - 2047 = -408.
        ([1, 0], 1, 0, [-25, 26]),
        # A large exponent is capped and changes nothing any more.
        ([1, 0], 15, 1, [127, -127]),
        ([1, 0], 200, 1, [127, -127]),
        # A very small one makes z 0 or -1: p = 1023, 511 -> 1365, 682.
        ([127, -127], -200, 0, [-43, 43]),
    ],
)
def test_by_hand(logits: list[int], exponent: int, target: int, expected: list[int]) -> None:
    error = loss_error(np.array(logits, np.int8), exponent, target)
    assert error.dtype == np.int8
    assert error.tolist() == expected


@given(data=st.data(), exponent=st.integers(-40, 40))
def test_against_oracle(data: st.DataObject, exponent: int) -> None:
    logits = data.draw(st.lists(st.integers(-127, 127), min_size=1, max_size=12))
    target = data.draw(st.integers(0, len(logits) - 1))
    error = loss_error(np.array(logits, np.int8), exponent, target)
    assert error.tolist() == slow.loss(logits, exponent, target)


def test_most_classes() -> None:
    logits = np.full(256, -127, np.int8)
    # p = 1023 * 2048 // (256 * 1023) = 8 each, and RHU(8, 4) = 1.
    expected = [1] * 256
    expected[7] = slow.rhu(8 - 2048, 4)
    assert expected[7] == -127
    assert loss_error(logits, 0, 7).tolist() == expected


def test_exponents_around_the_last_that_matters() -> None:
    logits = np.array([1] + [0] * 255, np.int8)
    # e = 3: z = 8, 0 -> 10, 2; S = 1023 + 255 * 3 = 1788; p = 1171, 3; 1171 - 1936 = -765.
    assert loss_error(logits, 3, 0).tolist() == [-48] + [0] * 255
    # e = 4: z = 16, 0 -> 10, 0; p = 2048, 0.
    assert loss_error(logits, 4, 0).tolist() == [0] * 256
