"""The generator and the selection of PRIOT-S edges."""

from __future__ import annotations

import numpy as np
import pytest

from picotrain_golden import key, mix, normal_scores, scored_counts, select_edges, words


def plain_mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ (x >> 16)


def plain_word(seed: int, stream: int, index: int) -> int:
    start = plain_mix((plain_mix(seed) + stream) % 2**32)
    return plain_mix((start + index * 0x9E3779B9) % 2**32)


def test_mix_known_values() -> None:
    # mix(1) step by step: * gives 0x7feb352d; ^ its >> 15 (0xffd6), 0x7febcafb; * gives
    # 0x6889f849; ^ its >> 16 (0x6889), 0x688990c0.
    assert mix(0) == 0
    assert mix(1) == 0x688990C0
    inputs = [0, 1, 2, 0x80000000, 0xFFFFFFFF, 0x12345678]
    assert mix(np.array(inputs, np.uint32)).tolist() == [plain_mix(x) for x in inputs]
    assert [mix(x) for x in inputs] == [plain_mix(x) for x in inputs]


def test_words_known_values() -> None:
    assert words(0, 0, 1).tolist() == [0]
    assert words(1, 4, 3).tolist() == [0x171445AA, 0xCBB0891F, 0x9E5F83A2]


@pytest.mark.parametrize("seed", [0, 7, 0xFFFFFFFF])
@pytest.mark.parametrize("stream", [0, 93, 0xFFFFFF00])
def test_words_one_by_one(seed: int, stream: int) -> None:
    expected = [plain_word(seed, stream, i) for i in range(50)]
    assert words(seed, stream, 50).tolist() == expected
    chosen = np.array([49, 3, 3, 0])
    assert words(seed, stream, chosen).tolist() == [expected[i] for i in (49, 3, 3, 0)]
    assert words(seed, stream, np.array([2**22])).tolist() == [plain_word(seed, stream, 2**22)]
    assert key(seed, stream) == plain_mix((plain_mix(seed) + stream) % 2**32)


def test_normal_scores_element_by_element() -> None:
    drawn = normal_scores(5, 8, 200)
    expected = []
    for i in range(200):
        octets = b"".join(plain_word(5, 8, 3 * i + j).to_bytes(4, "little") for j in range(3))
        expected.append(min(max((sum(octets) - 1530 + 4) // 8, -127), 127))
    assert drawn.dtype == np.int8
    assert drawn.tolist() == expected
    assert normal_scores(1, 0, 4).tolist() == [-29, -5, 3, 27]


def test_normal_scores_distribution() -> None:
    drawn = normal_scores(3, 4, 20000).astype(float)
    # The standard error of the mean is 0.23, of the deviation 0.16.
    assert abs(drawn.mean()) < 1
    assert abs(drawn.std() - 32) < 0.7


def test_select_by_weight_and_ties() -> None:
    weights = np.array([[3, -3, 1], [0, 3, -127]], np.int8)
    assert select_edges(weights, 1, "weight", 0, 0).tolist() == [5]
    assert select_edges(weights, 2, "weight", 0, 0).tolist() == [0, 5]
    assert select_edges(weights, 3, "weight", 0, 0).tolist() == [0, 1, 5]
    assert select_edges(weights, 5, "weight", 0, 0).tolist() == [0, 1, 2, 4, 5]
    assert select_edges(weights, 6, "weight", 9, 9).tolist() == [0, 1, 2, 3, 4, 5]


TINYCNN = (72, 0, 1152, 0, 50176, 640)


@pytest.mark.parametrize(
    ("permille", "counts"),
    [
        (1, (10, 0, 10, 0, 10, 10)),
        (10, (72, 0, 106, 0, 200, 106)),
        (100, (72, 0, 1152, 0, 3311, 640)),
        (200, (72, 0, 1152, 0, 8529, 640)),
        (1000, TINYCNN),
    ],
)
def test_scored_counts_of_tinycnn(permille: int, counts: tuple[int, ...]) -> None:
    assert scored_counts(TINYCNN, permille) == counts


def test_scored_counts_of_few_edges() -> None:
    assert scored_counts((5,), 1) == (1,)
    assert scored_counts((5, 3, 2), 1) == (1, 1, 1)
    # A budget of 4 + 1: two each take 4 of it, three each all; 3 are a share of 167.
    assert scored_counts((18, 6), 250) == (3, 2)


def test_scored_counts_against_plain_counting() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        edges = [int(n) for n in rng.integers(1, 2000, rng.integers(1, 7))]
        permille = int(rng.integers(1, 1001))

        def counts(share: int, least: int, edges: list[int] = edges) -> tuple[int, ...]:
            return tuple(min(n, max(least, n * share // 1000)) for n in edges)

        budget = sum(max(1, n * permille // 1000) for n in edges)
        least = 1
        while least < max(edges) and sum(counts(0, least + 1)) <= budget - budget // 4:
            least += 1
        share = 0
        while share < permille and sum(counts(share + 1, least)) <= budget:
            share += 1
        found = scored_counts(edges, permille)
        assert found == counts(share, least)
        assert sum(found) <= budget and all(1 <= n <= m for n, m in zip(found, edges, strict=True))


@pytest.mark.parametrize("select", ["weight", "random"])
def test_select_against_a_plain_sort(select: str) -> None:
    rng = np.random.default_rng(6)
    # 60,000 edges against 16-bit keys: many ties.
    weights = rng.integers(-127, 128, (100, 600)).astype(np.int8)
    if select == "weight":
        keys = [abs(int(w)) for w in weights.reshape(-1)]
    else:
        keys = [plain_word(11, 4 * 3 + 1, i) >> 16 for i in range(weights.size)]
    order = sorted(range(weights.size), key=lambda edge: (-keys[edge], edge))
    assert len(set(keys)) < len(keys)
    chosen = select_edges(weights, 7380, "weight" if select == "weight" else "random", 11, 3)
    assert chosen.tolist() == sorted(order[:7380])
