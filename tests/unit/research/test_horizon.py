"""Long runs: their file, when one collapses, margins by horizon, and the map's regions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from made_up_cells import METHODS, frame, run, runs_of
from picotrain.errors import UserError
from picotrain.research.reproduce import horizon, regions
from picotrain.research.reproduce.findings import NITI_DYNAMIC, NITI_STATIC, PRIOT, PRIOT_S_10
from picotrain.research.reproduce.horizon import History
from picotrain.research.reproduce.results import Spread


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def made(*found: list[dict[str, Any]]) -> list[History]:
        path = tmp_path / "runs.json"
        horizon.write(path, frame(*found))
        return horizon.read(path)

    return made


def test_a_file_of_runs_reads_back_exactly(read: Any, tmp_path: Path) -> None:
    accuracies = [871 / 1024, 1 / 1024, 1023 / 1024]
    one, other = read(
        run(accuracies, [0.00004, 0.123456], seed=3),
        run([0.5, 0.5], label=NITI_DYNAMIC, method="niti-dynamic", logits_exponent="-6", mu="1"),
    )
    assert one.accuracy == tuple(accuracies)
    assert one.clamped == (None, 0.0, 0.1235)
    assert (one.label, one.angle, one.rule, one.exponent) == (PRIOT, 30.0, "fair", -4)
    assert (one.mu, one.split, one.images, one.seed) == ("3", "validation", 1024, 3)
    assert (other.rule, other.exponent, other.epochs) == ("", -6, 1)
    text = (tmp_path / "runs.json").read_text()
    assert len(text.splitlines()) == 5  # one of what is shared, one a cell, three of brackets
    assert text.count("tinycnn") == 1


def test_a_file_of_something_else_is_refused(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"cells": [{}]}')
    with pytest.raises(UserError, match="holds no histories"):
        horizon.read(path)
    path.write_text('{"shared": {}, "cells": []}')
    with pytest.raises(UserError, match="is not whole"):
        horizon.read(path)
    with pytest.raises(UserError, match="holds no histories"):
        read(run([0.1, 0.2], logits_exponent=""))


def test_a_collapse_is_from_where_accuracy_stays_below_the_first(read: Any) -> None:
    def of(*accuracies: float) -> History:
        found: list[History] = read(run([value / 8 for value in accuracies]))
        return found[0]

    assert of(4, 3, 5, 3, 2).collapse == 3
    assert of(4, 3, 5, 3, 2).until_collapse == 3 * 1024
    assert of(4, 3, 3).collapse == 1
    # As right as before is no collapse, and neither is a dip.
    assert of(4, 3, 4).collapse is None
    assert of(4, 3, 5).until_collapse is None


def test_a_fall_is_below_the_best_so_far(read: Any) -> None:
    (one,) = read(run([1.0, 0.5, 0.75, 0.25, 0.875, 0.5]))
    assert (one.best, one.last, one.fall) == (0.875, 0.5, 0.5)


def test_what_runs_came_to_is_over_seeds(read: Any) -> None:
    found = read(
        run([0.5, 0.75, 0.25], [0.25, 0.5]),
        run([0.5, 0.25, 0.25], [0.25, 1.0], seed=1),
        run([0.5, 0.75, 0.75], [0.25, 0.0], seed=2),
    )
    (one,) = horizon.lasting(found)
    assert (one.runs, one.collapses, one.median) == (3, (1024, 2048), 2048)
    assert one.last.mean == pytest.approx(5 / 12)
    assert (one.clamped, one.fall) == (0.5, 0.5)
    assert horizon.summed(found[1:]).median is None
    assert horizon.summed(found[:2]).median == 1536


def pair(ours: list[float], theirs: list[float], seed: int = 0, **options: Any) -> list[Any]:
    return [
        run(ours, label=PRIOT, seed=seed, **METHODS[PRIOT], **options),
        run(theirs, label=NITI_STATIC, seed=seed, **METHODS[NITI_STATIC], **options),
    ]


def test_margins_are_paired_by_seed_at_the_same_step_and_at_the_own(read: Any) -> None:
    same = [
        *pair([0.5, 0.75, 0.75], [0.5, 0.75, 0.25]),
        *pair([0.5, 0.75, 0.5], [0.5, 0.5, 0.25], seed=1),
    ]
    slow = pair([0.5, 0.5, 0.625], [0.5, 0.625, 0.625], mu="1")
    slow += pair([0.5, 0.5, 0.5], [0.5, 0.625, 0.5], seed=1, mu="1")
    found = read(*same, *slow)
    (one,) = horizon.same_step(found, PRIOT, NITI_STATIC)
    assert (one.angle, one.exponent, list(one.at)) == (30.0, -4, [2])
    assert one.end == Spread(0.375, pytest.approx(0.125))
    assert horizon.best_mu(found, NITI_STATIC, 30.0, -4) == "1"
    assert horizon.best_mu(found, NITI_STATIC, 30.0, -4, 1) == "3"
    (own,) = horizon.own_step(found, PRIOT, NITI_STATIC, found)
    assert own.mus == {2: ("3", "1")}
    assert own.end.mean == pytest.approx(0.0625)
    assert horizon.own_step(found, PRIOT, NITI_STATIC, []) == []
    (each,) = horizon.own_step_each(found, PRIOT, NITI_STATIC)
    assert each == own
    (untuned,) = horizon.any_step(found, PRIOT, NITI_STATIC)
    assert (untuned.mus, untuned.end) == ({2: ("any", "any")}, Spread(0.1875, 0.0625))
    with pytest.raises(ValueError, match="not the same seeds"):
        horizon.paired(found[:1], found[3:4], 1)


def test_horizons_end_with_the_last_epoch(read: Any) -> None:
    assert horizon.horizons(read(run([0.5] * 13))) == [5, 10, 12]
    assert horizon.horizons(read(run([0.5] * 61))) == [5, 10, 20, 40, 60]


def margin(exponent: int, *means: float) -> horizon.Margin:
    at = {epoch: Spread(mean, 0.0) for epoch, mean in zip((5, 10, 20), means, strict=True)}
    return horizon.Margin(30.0, exponent, at, dict.fromkeys(at, ("3", "3")))


def test_a_large_margin_is_large_to_the_end() -> None:
    found = [margin(-2, 0.0, 0.01, -0.01), margin(-4, 0.2, 0.05, 0.3), margin(-5, 0.2, 0.3, 0.0)]
    assert horizon.large(found) == {(-4, 30.0): 20}
    assert horizon.level(found) == [-2]
    assert horizon.extremes(found, [-2]) == (-0.01, 0.01)
    assert horizon.first_large(found) is found[1]
    assert horizon.first_large(found[:1]) is None
    assert horizon.widest(found) == (found[1], 20)


def test_which_step_lasts_longest(read: Any) -> None:
    well, ill = [0.5, 0.75, 0.75], [0.5, 0.75, 0.25]
    found = read(run(well, mu="-3"), run(ill, mu="1"), run(well, mu="5"))
    assert horizon.smallest_lasts_longest(found, PRIOT)
    assert horizon.largest_outlasts(found, PRIOT) == [(-4, 30.0)]
    found = read(run(ill, mu="-3"), run(well, mu="1"), run(ill, mu="5"))
    assert not horizon.smallest_lasts_longest(found, PRIOT)
    assert horizon.largest_outlasts(found, PRIOT) == []
    assert horizon.largest_outlasts(found, NITI_STATIC) == []


def test_the_clamped_share_is_that_of_the_worst_epoch(read: Any) -> None:
    found = read(run([0.5, 0.5, 0.5], [0.25, 0.5]), run([0.5, 0.5, 0.5], [0.75, 0.25], seed=1))
    assert horizon.clamped(found) == 0.5


def test_runs_at_other_steps_than_the_chosen_are_noticed(read: Any) -> None:
    found = read(*runs_of(PRIOT, {(-4, "3"): 0.5, (-4, "1"): 0.75, (-2, "3"): 0.5}))
    assert horizon.unlike(found, found) == []
    assert horizon.unlike(horizon.having(found, mu="3"), found) == [
        "PRIOT at 30 degrees, exponent -4 has mu 3; chosen was 1 and 3"
    ]


# Regions


def test_a_setting_is_what_lasts_there(read: Any) -> None:
    settings = [(exponent, "3") for exponent in (-2, -3, -4, -5, -6)]
    lasting = {
        NITI_STATIC: (1, 1, 0, 0, 0),
        PRIOT: (1, 0, 1, 0, 0),
        PRIOT_S_10: (1, 1, 1, 1, 0),
    }
    rows = [
        one
        for label, lasts in lasting.items()
        for one in runs_of(
            label,
            {key: 0.9 if well else 0.1 for key, well in zip(settings, lasts, strict=True)},
            **METHODS[label],
        )
    ]
    found = read(*rows, *runs_of(PRIOT, {(-2, "3"): 0.7}, seed=1))
    # One seed that ends below what it was before is a collapse.
    table = regions.regions(read(*rows))
    assert {one.exponent: kind for one, kind in table.items()} == {
        -2: regions.BOTH,
        -3: regions.NITI,
        -4: regions.OURS,
        -5: regions.FEW,
        -6: regions.NONE,
    }
    assert regions.regions(found)[next(iter(table))] == regions.NITI
    assert regions.counted(table) == dict.fromkeys(regions.KINDS, 1)
    by = regions.by_exponent(table)
    assert (regions.where_all(by), regions.where_none(by)) == ([-2, -3], [-4, -5, -6])
    assert regions.where_ours(by) == [-4]
    assert regions.lasting_at(read(*rows), "3") == [-2, -3]
    assert list(regions.by_rule(table)) == ["fair"]
    margins = regions.same_step(read(*rows))
    setting, gap = regions.nearest(margins, 0.7)
    assert (setting.exponent, setting.epoch, gap.mean) == (-4, 1, pytest.approx(0.8, abs=0.001))
    (panel,) = regions.panels(read(*rows), None)
    assert panel.title == "30 degrees, 1,024 images"
    assert panel.kinds["3", -4] == regions.OURS


def test_the_heat_map_has_means_and_dynamic_scales_no_rule(read: Any) -> None:
    found = read(
        *runs_of(PRIOT, {(-4, "3"): 0.25}, calibration="naive"),
        *runs_of(PRIOT, {(-4, "3"): 0.75}, calibration="naive", seed=1),
        *runs_of(NITI_DYNAMIC, {(-6, "1"): 0.5}, method="niti-dynamic"),
    )
    assert regions.heat(found) == {
        PRIOT: {-4: {("naive", "3"): 0.5}},
        NITI_DYNAMIC: {-6: {("", "1"): 0.5}},
    }
    best = regions.best_under(found, PRIOT, "naive")
    assert best is not None and best.mean == 0.5
    assert regions.best_under(found, PRIOT, "fair") is None
