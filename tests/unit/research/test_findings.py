"""What the results are said to show: averages, choices, gains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from made_up_cells import METHODS, cell, frame
from picotrain.errors import UserError
from picotrain.research.reproduce import findings
from picotrain.research.reproduce.results import (
    Spread,
    candidates,
    cells,
    choice,
    condensed,
    read,
    score,
)
from picotrain.research.sweep.results import write_results

# Averages


def test_a_cell_has_its_best_and_its_last_accuracy() -> None:
    rows = frame(cell([0.9, 0.5, 0.8, 0.7]), cell([0.1, 0.2, 0.3, 0.6], seed=1))
    found = cells(rows)
    # What it was before any training is not its best.
    assert list(found["before"]) == [0.9, 0.1]
    assert list(found["best"]) == [0.8, 0.6]
    assert list(found["last"]) == [0.7, 0.6]
    assert score(found).seeds == 2
    assert score(found).last == Spread(pytest.approx(0.65), pytest.approx(0.0707106781))


def test_the_same_cell_under_two_labels_is_two_cells() -> None:
    rows = cell([0.1, 0.2])
    other = [{**row, "label": "again"} for row in rows]
    assert list(cells(frame(rows, other))["label"]) == ["PRIOT", "again"]


def test_condensed_rows_say_the_same_about_cells() -> None:
    rows = frame(cell([0.9, 0.5, 0.8, 0.8, 0.7]), cell([0.1, 0.2, 0.3, 0.5, 0.6], seed=1))
    short = condensed(rows)
    assert list(short["epoch"]) == [0, 2, 4, 0, 4]
    pd.testing.assert_frame_equal(cells(short), cells(rows))


def test_what_differs_in_more_than_the_seed_is_not_averaged() -> None:
    with pytest.raises(ValueError, match="mu is 3, 4"):
        score(cells(frame(cell([0.1, 0.2]), cell([0.1, 0.2], seed=1, mu="4"))))
    with pytest.raises(ValueError, match="seed comes twice"):
        score(cells(frame(cell([0.1, 0.2]), cell([0.1, 0.3]))))
    with pytest.raises(ValueError, match="no cells"):
        score(cells(frame(cell([0.1, 0.2]))).iloc[:0])


def test_a_file_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with pytest.raises(UserError, match="no results at"):
        read(path)
    write_results(path, frame(cell([0.1, 0.2])[1:]))
    with pytest.raises(UserError, match="is not whole"):
        read(path)
    write_results(path, frame())
    with pytest.raises(UserError, match="has no rows"):
        read(path)


# Choices


def test_the_best_last_accuracy_is_chosen_and_of_equals_the_first() -> None:
    rows = frame(
        cell([0.1, 0.9, 0.5], mu="1"),
        cell([0.1, 0.6, 0.6], mu="2"),
        cell([0.1, 0.7, 0.6], mu="3,2"),
        cell([0.1, 0.2, 0.1], label="NITI", method="niti-static", mu="1"),
    )
    found = candidates(cells(rows))
    assert [one.mu for one in found["PRIOT", 30.0]] == ["1", "2", "3,2"]
    assert choice(found["PRIOT", 30.0]).mu == "2"
    assert [one.tried for one in findings.chosen(cells(rows))] == [3, 1]
    assert findings.chosen(cells(rows))[0].second.mu == "3,2"


def test_a_candidate_over_several_data_sets_is_their_mean() -> None:
    rows = frame(
        *(
            cell([0.1, last], dataset=name, seed=seed, mu=mu)
            for name, seed, mu, last in (
                *(("ann", 0, "1", 0.2), ("bob", 0, "1", 0.4)),
                *(("ann", 1, "1", 0.6), ("bob", 1, "1", 0.8)),
                *(("ann", 0, "2", 0.3), ("bob", 0, "2", 0.3)),
                *(("ann", 1, "2", 0.5), ("bob", 1, "2", 0.5)),
            )
        )
    )
    one, two = candidates(cells(rows))["PRIOT", 30.0]
    assert (one.mu, one.score.seeds, one.score.last.mean) == ("1", 2, pytest.approx(0.5))
    assert one.score.last.std == pytest.approx(0.2828427125)
    assert two.score.last.mean == pytest.approx(0.4)


def test_nothing_is_chosen_on_test_images() -> None:
    with pytest.raises(ValueError, match="validation split alone"):
        candidates(cells(frame(cell([0.1, 0.2], split="test"))))


def test_the_exponent_is_chosen_with_the_step_size_and_each_has_its_best() -> None:
    rows = frame(
        cell([0.1, 0.5], mu="1", logits_exponent="-2"),
        cell([0.1, 0.7], mu="2", logits_exponent="-2"),
        cell([0.1, 0.6], mu="1", logits_exponent="-4"),
        cell([0.1, 0.2], mu="2", logits_exponent="-4"),
    )
    (found,) = findings.chosen(cells(rows))
    assert (found.best.exponent, found.best.mu, found.tried) == ("-2", "2", 4)
    best = {exponent: one.mu for exponent, one in found.by_exponent.items()}
    assert best == {"-2": "2", "-4": "1"}
    assert found.second is not None and found.second.exponent == "-4"
    assert findings.picked(cells(rows))["PRIOT", 30.0].exponent == "-2"
    assert findings.picked(cells(rows), exponent="-4")["PRIOT", 30.0].mu == "1"
    assert findings.picked(cells(rows), exponent="-8") == {}


def test_a_table_with_another_step_size_than_the_chosen_is_noticed() -> None:
    chosen = cells(frame(cell([0.1, 0.5], mu="1"), cell([0.1, 0.6], mu="2")))
    right = cells(frame(cell([0.1, 0.4], mu="2", split="test")))
    wrong = cells(frame(cell([0.1, 0.4], mu="1", split="test")))
    assert findings.unlike(right, [chosen]) == []
    assert findings.unlike(wrong, [chosen]) == [
        "PRIOT at 30 degrees has mu 1, threshold -16; chosen was mu 2, threshold -16"
    ]
    other = cells(frame(cell([0.1, 0.4], mu="2", threshold=-8, split="test")))
    assert len(findings.unlike(other, [chosen])) == 1
    assert findings.unlike(other, []) == []


def two_exponents(label: str, *settings: tuple[str, str], **options: Any) -> list[Any]:
    return [
        cell([0.1, 0.4 + 0.1 * place], label=label, logits_exponent=exponent, mu=mu, **options)
        for place, (exponent, mu) in enumerate(settings)
    ]


def test_a_table_has_both_readings_and_nothing_else() -> None:
    by_weight, at_random = "PRIOT-S 10 % by weight", "PRIOT-S 10 % at random"
    chosen = cells(frame(*two_exponents(by_weight, ("-4", "1"), ("-4", "2"), ("-2", "5"))))
    both = [("-2", "5"), ("-4", "2")]
    table = cells(frame(*two_exponents(at_random, *both, split="test")))
    assert findings.unlike(table, [chosen], "-4") == []
    assert findings.unlike(table, [chosen]) == [
        f"{at_random} at 30 degrees has exponent -2, mu 5, threshold -16 and exponent -4, mu 2, "
        "threshold -16; chosen was exponent -2, mu 5, threshold -16"
    ]
    own = findings.reading(table, findings.picked(chosen), True)
    shared = findings.reading(table, findings.picked(chosen, exponent="-4"), False)
    assert [(row.exponent, row.mu) for row in findings.table1(own)] == [("-2", "5")]
    assert [(row.exponent, row.mu) for row in findings.table1(shared)] == [("-4", "2")]
    # What nothing was chosen for is taken as it comes, or left out.
    assert [row.mu for row in findings.table1(findings.reading(table, {}, True))] == ["5"]
    assert findings.reading(table, {}, False).empty


def test_a_network_is_silent_from_where_its_logits_stay_0() -> None:
    def window(images: int, spread: float) -> dict[str, Any]:
        return {"images": images, "logits": [-1.0, -spread, 0.0, 0.0, 0.0, spread, 1.0]}

    assert findings.silent_from({"windows": [window(8, 9.0), window(12, 0.0)]}) == 9
    assert findings.silent_from({"windows": [window(8, 0.0), window(12, 0.0)]}) == 1
    assert findings.silent_from({"windows": [window(8, 0.0), window(12, 2.0)]}) is None
    back = [window(8, 0.0), window(12, 2.0), window(16, 0.0), window(24, 0.0)]
    assert findings.silent_from({"windows": back}) == 13


def test_a_gap_is_over_the_same_seeds() -> None:
    ours = [cell([0.1, last], seed=seed) for seed, last in enumerate((0.5, 0.7))]
    label = findings.NITI_STATIC
    theirs = [
        cell([0.1, last], label=label, seed=seed, **METHODS[label])
        for seed, last in enumerate((0.4, 0.4))
    ]
    found = findings.gap(cells(frame(*ours, *theirs)), "PRIOT", label, 30)
    assert found == Spread(pytest.approx(0.2), pytest.approx(0.1))
    with pytest.raises(ValueError, match="have not the same seeds"):
        findings.gap(cells(frame(*ours, theirs[0])), "PRIOT", label, 30)


def test_the_worst_of_a_trace_is_over_layers_and_windows() -> None:
    windows = [
        {"saturated": {"error": [0.1, 0.4]}, "pruned": [0.9, 0.2]},
        {"saturated": {"error": [0.3, 0.2]}, "pruned": [0.1, 0.2]},
    ]
    assert findings.worst({"windows": windows}, "error") == 0.4
    assert findings.worst({"windows": windows}, "pruned") == 0.9


# Ablation and speech


def test_a_gain_is_over_the_same_images() -> None:
    rows = frame(
        cell([0.1, 0.5], label="default", upright=[0.9, 0.8]),
        cell([0.1, 0.7], label="default", seed=1, upright=[0.9, 0.6]),
        cell([0.1, 0.6], label="easy", easy=8),
        cell([0.1, 0.9], label="easy", easy=8, seed=1),
    )
    default, easy = findings.ablation(cells(rows))
    assert easy.gain[30.0] == Spread(pytest.approx(0.15), pytest.approx(0.05))
    assert default.upright_after == {30.0: pytest.approx(0.7)}
    assert default.upright_before == {30.0: pytest.approx(0.9)}
    assert easy.upright_after == {}
    odd = frame(cell([0.1, 0.5], label="default"), cell([0.1, 0.6], label="easy", seed=7))
    with pytest.raises(ValueError, match="seeds that default has not"):
        findings.ablation(cells(odd))


def test_speakers_are_averaged_within_a_seed() -> None:
    rows = frame(
        *(
            cell([0.1, last], dataset=f"fsdd-{name}", seed=seed)
            for name, seed, last in (
                *(("ann", 0, 0.2), ("bob", 0, 0.4)),
                *(("ann", 1, 0.6), ("bob", 1, 0.8)),
            )
        )
    )
    everyone, ann, bob = findings.speakers(cells(rows))
    assert (everyone.speaker, ann.speaker, bob.speaker) == ("", "ann", "bob")
    assert everyone.last == Spread(pytest.approx(0.5), pytest.approx(0.2828427125))
    assert ann.last.mean == pytest.approx(0.4)
