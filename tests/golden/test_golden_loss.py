"""The loss error: worked examples, then the slow oracle."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import golden_slow as slow
from picotrain_golden import LEAST_LOGITS_EXPONENT, loss_error

REPOSITORY = Path(__file__).resolve().parents[2]


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
        # n = 7: (0 + 128)^2 + 128^2 = 32768 each; 1024 - 2048.
        ([0, 0], -7, 0, [-64, 64]),
        # n = 7: 255^2 + 16384 = 81409, 1 + 16384 = 16385; S = 97794; p = 1704, 343, their sum 2047.
        ([127, -127], -7, 0, [-21, 21]),
        ([127, -127], -7, 1, [107, -106]),
        # n = 8: 383^2 + 65536 = 212225, 129^2 + 65536 = 82177; p = 1476, 571.
        ([127, -127], -8, 0, [-36, 36]),
        # n = 9: 639^2 + 262144 = 670465, 385^2 + 262144 = 410369; p = 1270, 777.
        ([127, -127], -9, 0, [-49, 49]),
        # One less: u = 63, -64; p = 592769, 462848 -> 1149, 897; 1149 - 2046 = -897.
        ([127, -127], -10, 0, [-56, 56]),
        # A very small one makes u 0 or -1: p = 524288, 523265 -> 1024, 1022; their sum 2046.
        ([127, -127], -40, 0, [-64, 64]),
        ([127, -127], -(2**31), 0, [-64, 64]),
    ],
)
def test_by_hand(logits: list[int], exponent: int, target: int, expected: list[int]) -> None:
    error = loss_error(np.array(logits, np.int8), exponent, target)
    assert error.dtype == np.int8
    assert error.tolist() == expected


EXTREMES = (
    *([127] * 10, [-127] * 10, [0] * 10, [127] + [-127] * 9, [-127] + [127] * 9),
    *([127, 126], [-127, -126], [127, -127, 0], [1, 0, -1], list(range(-127, 128))),
    *([127] * 256, [-127] * 256, [127] + [-127] * 255, [-127] + [127] * 255),
)


@pytest.mark.parametrize("exponent", range(-24, 9))
def test_every_exponent(exponent: int) -> None:
    random = np.random.default_rng(exponent + 24)
    drawn = [random.integers(-127, 128, count).tolist() for count in (2, 3, 10, 100, 256) * 8]
    for logits in (*EXTREMES, *drawn):
        for target in {0, len(logits) // 2, len(logits) - 1}:
            error = loss_error(np.array(logits, np.int8), exponent, target)
            assert error.tolist() == slow.loss(logits, exponent, target), (logits, target)


def test_int32_holds_the_second_order_down_to_the_least_exponent_and_no_further() -> None:
    """docs/numerics.md, section 4: the range, over every logit."""
    every = list(range(-127, 128))
    seen = {e: slow.softmax(every, e) for e in range(-9, -6)}
    assert min(min(p) for p in seen.values()) == 16385
    assert max(max(p) for p in seen.values()) == 670_465
    assert 670_465 << 11 == 1_373_112_320 < 2**31
    assert 256 * 670_465 < 2**28
    assert LEAST_LOGITS_EXPONENT == -9
    assert ((127 + 2**10) ** 2 + 4**10) << 11 == 4_860_676_096 > 2**32


def test_the_table_of_the_page() -> None:
    """Section 4's example, which shows that -6 to -7 is no jump; its real softmax too."""
    page = (REPOSITORY / "docs" / "numerics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (-\d) \| ([-\d, ]+) \| ([-\d., ]+) \|$", page, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(-2, -10, -1))
    logits = np.array([60, 40, 0, -60], np.int8)
    for exponent, error, real in rows:
        found = loss_error(logits, int(exponent), 0)
        assert ", ".join(map(str, found.tolist())) == error
        powers = np.exp(logits * 2.0 ** int(exponent))
        exact = 128 * (powers / powers.sum() - [1, 0, 0, 0])
        assert np.allclose(exact, [float(text) for text in real.split(",")], atol=0.051)


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
