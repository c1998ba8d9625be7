"""A small form of `make flips`: every kind of place and moment, a few bits each."""

from __future__ import annotations

import pytest

from flips.flipping import FIXED, PARTS, STEP, WHEN, campaign, in_words, table, wrong
from flips.trials import OUTCOMES, SETTLED, Trial

SHARES = {"host": 0.02, "qemu": 0.01}


def test_a_flipped_bit_is_found_or_harmless(target_name: str) -> None:
    if target_name not in SHARES:
        pytest.skip("host and qemu have places for flips")
    found = [(target_name, *one) for one in campaign(target_name, SHARES[target_name], seed=7)]
    rows = table(found)
    assert wrong(rows) == []
    kinds = {(row["part"], row["when"]) for row in rows}
    assert kinds == {
        (part.name, when)
        for part in PARTS
        for when, count in zip(WHEN, part.counts.get(target_name, (0, 0, 0)), strict=True)
        if count
    }
    for row in rows:
        if row["part"] in FIXED:
            assert row["flips"] == row["check"] + row["command"] + row["stopped"], row
    assert sum(row["check"] for row in rows) >= 5


def test_within_a_step_a_batch_that_is_shown_twice_shows_it(target_name: str) -> None:
    """Of the same flips the first sample leaves other states in silence."""
    if target_name not in SHARES:
        pytest.skip("host and qemu have places for flips")
    share = SHARES[target_name]
    found = [(target_name, *one) for one in campaign(target_name, share, 7, twice=True)]
    rows = table(found, (SETTLED, *OUTCOMES))
    assert wrong(rows) == []
    assert {(row["part"], row["when"]) for row in rows} == {(part, "within") for part in STEP}
    for row in rows:
        assert row["flips"] == row["settled"] + row["restored"] + row["harmless"], row
        if row["part"] in ("scores", "weights that train", "scores and their index"):
            assert row["settled"] >= 1, row


def test_what_is_not_as_promised_is_told() -> None:
    nothing = dict.fromkeys(("check", "command", "stopped", "restored", "harmless", "silent"), 0)
    row = {"part": "scores", "when": "between", **nothing}
    assert wrong([row]) == []
    assert len(wrong([{**row, "silent": 1}])) == 1
    assert wrong([{**row, "when": "within", "silent": 1}]) == []
    assert len(wrong([{**row, "part": "code", "harmless": 1}])) == 1
    assert len(wrong([{**row, "part": "windows", "when": "within", "silent": 1}])) == 1
    assert wrong([{**row, "when": "within", "settled": 1}]) == []
    assert len(wrong([{**row, "when": "within", "settled": 1, "silent": 1}])) == 1


def test_what_came_of_a_share_is_a_table_and_a_sentence() -> None:
    trials = [Trial("scores", "within", 0, 0, 1), Trial("code", "between", 0, 0, 1)]
    kinds = ("silent", "check", "check")
    found = [
        ("qemu", trial, kind, "") for trial, kind in zip([*trials, trials[1]], kinds, strict=True)
    ]
    assert in_words(table(found)).splitlines() == [
        "bits of  when     flips  check  command  stopped  restored  harmless  silent",
        "-------  -------  -----  -----  -------  -------  --------  --------  ------",
        "code     between      2      2",
        "scores   within       1                                                    1",
        "3 flips, each batch shown once: 2 named by CHECK, 1 silent",
    ]
    settled = table([("host", trials[0], "settled", "")], (SETTLED, *OUTCOMES))
    assert in_words(settled).endswith("\n1 flips, each batch shown twice: 1 settled")


def test_there_are_as_many_as_asked_for() -> None:
    assert sum(sum(part.counts[target]) for part in PARTS for target in part.counts) >= 2000
    assert set(STEP) | set(FIXED) < {part.name for part in PARTS}
    assert (
        sum(sum(at[1] for at in part.counts.values()) for part in PARTS if part.name in STEP) >= 600
    )
