"""docs/smaller.md from results files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from picotrain.inputs import read_json
from picotrain.output import write_json
from picotrain.places import SHIPPED
from picotrain.research.reproduce.results import Spread
from picotrain.research.shrink import combined as combining
from picotrain.research.shrink import page, summary
from picotrain.research.shrink.combined import KINDS
from picotrain.research.shrink.tasks import PICTURES, TASKS
from picotrain.shrink.pruning.prune import METHODS
from picotrain_golden import Method

LIMITS = (("loose", 500, 50.0), ("tight", 250, 25.0))


def taken(flash: float, ms: float) -> dict[str, float]:
    return {"flash": flash, "ram": 2 * flash, "ms": ms, "cycles": 125_000 * ms}


def pruned(seed: int) -> dict[str, Any]:
    """The whole network is right 80 and 82 %; gates lose half a point and two, others more."""
    right = 0.8 + 0.02 * seed
    cells = []
    for number, (limit, flash, ms) in enumerate(LIMITS):
        for method, lost in zip(METHODS, (0.005, 0.03, 0.04), strict=True):
            test = right - (1 + 3 * number) * lost - 0.001 * seed
            cells.append(
                {
                    "limit": limit,
                    "method": method,
                    "name": f"{limit}-{method}",
                    "limits": {
                        "flash": {"limit": flash, "measured": flash, "given": True},
                        "ram": {"limit": 9999, "measured": 2 * flash, "given": False},
                        "ms": {"limit": ms, "measured": ms, "given": True},
                    },
                    "proofs": {"int8": {"images": 1000, "logits": 10_000, "differing": 0}},
                    "test": test,
                    "validation": test,
                    "taken": taken(flash, ms),
                    "parameters": flash,
                    "rounds": 1,
                }
            )
    whole = {"test": right, "validation": right, "taken": taken(1000, 100.0), "parameters": 990}
    return {"seed": seed, "whole": whole, "cells": cells}


def cut(seed: int) -> dict[str, Any]:
    def cell(name: str, tail: str, right: float, flash: float, ms: float) -> dict[str, Any]:
        split = dict.fromkeys(("float_validation", "validation", "test"), right + 0.02 * seed)
        return {
            "name": name,
            "cut": name.split("-")[0] if "-" in name else "",
            "head": "dscnn",
            "tail": tail,
            "parameters": flash,
            "macs": 10 * flash,
            "taken": taken(flash, ms),
            **split,
        }

    cells = [
        cell("early-dscnn-frozen", "frozen", 0.7, 100, 40.0),
        cell("late-dscnn-unfrozen", "unfrozen", 0.795, 300, 60.0),
    ]
    return {"seed": seed, "whole": cell("whole", "whole", 0.8, 1000, 100.0), "cells": cells}


def combined() -> dict[str, Any]:
    sizes = dict(zip(KINDS, (1000, 250, 300, 90), strict=True))
    return {
        "limit": "tight",
        "cut": "late-dscnn-unfrozen",
        "adapts_to": "spoken-digits-theo",
        "angle": None,
        "orders": 2,
        "images": {
            "train": {"drawn": 400, "there": 4000},
            "test": {"drawn": 50, "there": 50},
        },
        "networks": [
            {
                kind: {"test": pruned(seed)["cells"][3]["test"], "taken": taken(size, 1.0)}
                for kind, size in sizes.items()
            }
            for seed in range(2)
        ],
        "mu": {kind: {"NITI": [3, 2], "PRIOT": [1, 0]} for kind in KINDS},
        # Orders lie 20 points apart, seeds 2.
        "runs": [
            {
                "kind": kind,
                "method": label,
                "seed": seed,
                "order": order,
                "before": 0.5,
                "after": after + 0.02 * seed + 0.2 * order,
            }
            for kind in KINDS
            for label, after in (("NITI", 0.7), ("PRIOT", 0.6))
            for seed in range(2)
            for order in range(2)
        ],
        "step": {
            kind: {
                label: {
                    "ram": 300 * size,
                    "fits": kind != "whole",
                    "cycles": None if kind == "whole" else 1_250_000,
                }
                for label in ("NITI", "PRIOT")
            }
            for kind, size in sizes.items()
        },
    }


@pytest.fixture
def results() -> dict[str, Any]:
    return {
        "model": "ds-cnn",
        "dataset": "spoken-digits-without-theo",
        "epochs": {"warm": 30, "tune": 20, "adapt": 5, "cut": 50},
        "target": "qemu",
        "pruned": [pruned(seed) for seed in range(2)],
        "cut": [cut(seed) for seed in range(2)],
        "combined": combined(),
    }


def test_without_results_every_task_says_so(tmp_path: Path) -> None:
    text, drawn = page.render(tmp_path, tmp_path / "figures")
    assert drawn == {}
    assert text.count("No results yet") == len(TASKS) == 4


def test_differences_are_those_of_one_seed(results: dict[str, Any]) -> None:
    first = summary.rows(results)[0]
    assert (first.limit, first.method) == ("loose", "gates")
    assert first.limits == {"flash": 500, "ms": 50.0}
    assert first.test.mean == pytest.approx(0.8045)
    # Networks of two seeds lie two points apart, but what they lose a tenth of one.
    assert first.lost.mean == pytest.approx(0.0055)
    assert first.lost.std == pytest.approx(0.001 / 2**0.5)
    assert first.lost_validation == first.lost
    less = summary.against(results, "gates", "magnitude")
    assert less["loose"] == Spread(pytest.approx(0.025), pytest.approx(0.0))
    assert less["tight"].mean == pytest.approx(0.1)


def test_savings_are_of_what_loses_a_point_at_most(results: dict[str, Any]) -> None:
    assert summary.savings(results, "gates") == dict.fromkeys(
        ("flash", "ram", "cycles", "ms"), (2.0, "loose")
    )
    assert summary.savings(results, "magnitude") == {}


def test_what_exceeds_a_limit_is_named(results: dict[str, Any]) -> None:
    assert summary.unmet(results) == []
    results["pruned"][1]["cells"][3]["limits"]["ms"]["measured"] = 25.5
    assert summary.unmet(results) == ["tight-gates of seed 1"]
    results["pruned"][0]["cells"][0]["proofs"]["int8"]["differing"] = 3
    assert summary.proofs(results)["int8"] == {
        "networks": 12,
        "logits": 120_000,
        "differing": 3,
    }


def test_orders_are_a_mean_within_a_seed(results: dict[str, Any]) -> None:
    """What is spread are seeds: the orders of one network, as far apart as they are, are one."""
    learnt = summary.kinds(results)["pruned"].learnt["NITI"]
    assert learnt.before == Spread(0.5, 0.0)
    assert learnt.after == Spread(pytest.approx(0.81), pytest.approx(0.02 / 2**0.5))
    assert learnt.gain == Spread(pytest.approx(0.31), pytest.approx(0.02 / 2**0.5))
    assert (learnt.mu, learnt.ram, learnt.fits, learnt.cycles) == ([3, 2], 75_000, True, 1_250_000)
    assert not summary.kinds(results)["whole"].learnt["PRIOT"].fits


def test_a_step_size_is_chosen_by_the_mean_of_seeds_and_orders() -> None:
    """Not by the best single run, and for each kind and label alone."""
    first, second = combining.CANDIDATES["NITI"][:2]

    def tried(kind: str, seed: int, order: int, method: Method, after: float) -> Any:
        path = Path(f"{kind}-{seed}.npz")
        job = combining.Job(PICTURES, kind, seed, path, "NITI", method, order, "validation")
        return job, 0.9, after

    runs = [
        tried("whole", seed, order, method, after[seed][order])
        for method, after in (
            (first, ((0.9, 0.1), (0.5, 0.4))),
            (second, ((0.5, 0.5), (0.5, 0.5))),
        )
        for seed in range(2)
        for order in range(2)
    ]
    runs += [tried("pruned", 0, 0, first, 0.7), tried("pruned", 0, 0, second, 0.6)]
    assert combining.choose(runs) == {("whole", "NITI"): second, ("pruned", "NITI"): first}


def test_epochs_of_further_rounds_are_told(results: dict[str, Any], tmp_path: Path) -> None:
    assert summary.further(results) == []
    results["pruned"][1]["cells"][3]["rounds"] = 3
    assert summary.further(results) == [summary.Further("tight-gates", 1, 3, 30 + 20 + 10 + 10)]
    write_json(tmp_path / "smaller-speech.json", results)
    text, _ = page.render(tmp_path, tmp_path / "figures")
    assert (
        "- Epochs: 50 of every row, as the whole network has: 30, and 20 while channels go and "
        "after. But `tight-gates` of seed 1 took longer than the model of cycles said, and has 70, "
        "in 3 rounds.\n- Limits"
    ) in text


def test_with_results(results: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "smaller-speech.json", results)
    text, drawn = page.render(tmp_path, tmp_path / "figures")
    assert "by steps of" not in text
    assert set(drawn) == {"smaller-speech.svg", "smaller-speech-cuts.svg"}
    assert "The whole network: 81.0 ± 1.4 %, 1,000 bytes of flash" in text
    assert "| loose: 500, 50 | gates | 80.5 ± 1.3 | +0.6 ± 0.1 | 500 | 1,000 | 50.0 | 500 |" in text
    assert "loose +2.5 ± 0.0, tight +10.0 ± 0.0" in text
    assert "flash 2.00 times (loose), RAM 2.00 times (loose), cycles 2.00 times (loose)" in text
    assert "| late | dscnn | unfrozen | 300 | 3,000 | 300 | 600 | 60.0 | 1.67 | 3.33 | 80.5" in text
    assert (
        "`late-dscnn-unfrozen`, +0.5 points lost on test images, 3.33 times smaller, 1.67 times "
        "faster"
    ) in text
    assert "`frozen` and `unfrozen` 100 with those of the layers before the cut" in text
    assert "gates +0.6 ± 0.1, +2.1 ± 0.1; magnitude" in text
    assert "Within the limits tight, by gates, the network adapts to `spoken-digits-theo`: " in text
    assert "NITI +31.0 ± 1.4 points, 75,000 bytes of RAM and 10 ms a step" in text
    assert "; the whole network has no room to learn by NITI or PRIOT.\n" in text
    assert (
        "in 2 orders, of which a seed counts the mean. Each order draws a sample of its own: 400 "
        "of 4,000 training images. RAM of a training step is that of the memory plan"
    ) in text
    assert "| PRIOT, 1 0 | 50.0 ± 0.0 | 71.0 ± 1.4 | +21.0 ± 1.4 | 300,000 (too much) |  |" in text
    assert "| 27,000 | 10 |" in text


def test_a_whole_network_without_room_and_one_seed_say_so(
    results: dict[str, Any], tmp_path: Path
) -> None:
    """No deviation of what was done once, and no scale from 0 where the whole is far off."""
    write_json(tmp_path / "smaller-deep.json", results)
    text, drawn = page.render(tmp_path, tmp_path / "figures")
    assert "predicts" not in text and "part of the images" not in text
    for name in ("pruned", "cut"):
        del results[name][1]
    combined = results["combined"]
    del combined["networks"][1], combined["networks"][0]["whole"], combined["step"]["whole"]
    combined["runs"] = [one for one in combined["runs"] if one["seed"] == 0]
    whole = results["pruned"][0]["whole"]
    whole |= {"predicted": True, "taken": taken(80_000, 5000.0)}
    cells = results["pruned"][0]["cells"]
    results["pruned"][0]["cells"] = [one for one in cells if one["method"] != "uniform"]
    results["images"] = {
        split: {"used": used, "there": 10 * used}
        for split, used in (("train", 4000), ("validation", 100), ("test", 200))
    }
    write_json(tmp_path / "smaller-deep.json", results)
    text, further = page.render(tmp_path, tmp_path / "figures")
    section = text.split("## Photographs: VGG")[1].split("\n## ")[0]
    assert "±" not in section and "uniform" not in section
    assert (
        "1 seed. The whole network: 80.0 %, 80,000 bytes of flash, 160,000 of RAM for an "
        "inference, 5000.0 ms, as `picotrain fit` predicts, because it has no room on the device; "
        "the others are measured. It is trained 30 epochs and 20 more, 50 in all. All of it on a "
        "part of the images, the first ones of each split: 4,000 of 40,000 training images, 100 of "
        "1,000 validation images and 200 of 2,000 test images.\n\n### Fewer channels"
    ) in section
    assert "| loose: 500, 50 | gates | 79.5 | +0.5 | 500 | 1,000 | 50.0 | 500 |" in section
    assert "- Gates less magnitude, points: loose +2.5, tight +10.0.\n" in section
    assert (
        "- How many times less than the whole network, gates: loose flash 160.00, RAM 160.00, "
        "cycles 100.00, +0.5 points lost; tight flash 320.00, RAM 320.00, cycles 200.00, +2.0 "
        "points lost.\n"
    ) in section
    assert "; the whole network has no room there at all.\n" in text
    assert (
        "By gates they take 160.0, 320.0 times less flash, 160.0, 320.0 times less RAM, 100.0, "
        "200.0 times fewer cycles, as predicted for the whole network."
    ) in text
    # A scale of powers of ten has ticks at powers alone.
    assert ("10,000" in further["smaller-deep.svg"]) and "10,000" not in drawn["smaller-deep.svg"]


def test_cuts_of_other_whole_networks_say_so(results: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "smaller-speech.json", results)
    assert "a run of their own" not in page.render(tmp_path, tmp_path / "figures")[0]
    results["cut"][1]["whole"]["validation"] += 0.01
    write_json(tmp_path / "smaller-speech.json", results)
    text = page.render(tmp_path, tmp_path / "figures")[0]
    assert "The whole networks of this table were trained in a run of their own" in text


def test_steps_of_its_own_are_told(results: dict[str, Any], tmp_path: Path) -> None:
    results["steps"] = {"images": 64, "size": 0.01}
    write_json(tmp_path / "smaller-speech.json", results)
    text = page.render(tmp_path, tmp_path / "figures")[0]
    assert "in all, by steps of 64 images and of at most 0.01, later half of it, which" in text


def test_a_cost_that_is_limited_alone_has_a_line_of_its_own(
    results: dict[str, Any], tmp_path: Path
) -> None:
    write_json(tmp_path / "smaller-speech.json", results)
    together = page.render(tmp_path, tmp_path / "figures")[1]["smaller-speech.svg"]
    for run in results["pruned"]:
        for cell in run["cells"]:
            cell["limits"]["ms"]["given"] = cell["limit"] == "loose"
    write_json(tmp_path / "smaller-speech.json", results)
    text, drawn = page.render(tmp_path, tmp_path / "figures")
    assert "| tight: 250 | gates |" in text
    for method in METHODS:
        assert f"{method}, flash alone" in drawn["smaller-speech.svg"]
        assert f"{method}, flash alone" not in together


def test_networks_of_another_run_that_adapt_say_so(results: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "smaller-speech.json", results)
    assert "compare rows of this" not in page.render(tmp_path, tmp_path / "figures")[0]
    results["combined"]["networks"][1]["pruned"]["test"] += 0.01
    write_json(tmp_path / "smaller-speech.json", results)
    text = page.render(tmp_path, tmp_path / "figures")[0]
    assert "These networks are of the run of the cuts, not of that of the channels: compare" in text


@pytest.mark.parametrize("has", ["cuts and what adapts without them", "cuts alone", "no cuts"])
def test_with_a_part_of_the_results(results: dict[str, Any], has: str, tmp_path: Path) -> None:
    """Cuts may be there before anything adapts behind them."""
    results["combined"]["cut"] = None
    for networks in results["combined"]["networks"]:
        del networks["cut"], networks["pruned, then cut"]
    if has == "cuts alone":
        del results["combined"]
    if has == "no cuts":
        del results["cut"], results["epochs"]["cut"]
    write_json(tmp_path / "smaller-speech.json", results)
    text, drawn = page.render(tmp_path, tmp_path / "figures")
    cuts, adapts = has != "no cuts", has != "cuts alone"
    assert ("smaller-speech-cuts.svg" in drawn) == ("### Fewer layers" in text) == cuts
    assert ("### What adapts" in text) == ("the network adapts to" in text) == adapts
    assert "### Both, and what adapts" not in text and "`pruned, then cut`" not in text
    assert text.count("| whole | ") == (2 if adapts else 0) and "| cut | 8" not in text
    assert text.count("No results yet") == 3


def test_the_page_in_docs_is_that_of_the_results() -> None:
    folder = SHIPPED / "experiments" / "results"
    figures = SHIPPED / "docs" / "figures"
    text, drawn = page.render(folder, figures)
    assert text == (SHIPPED / "docs" / "smaller.md").read_text(encoding="utf-8")
    assert {path.name for path in figures.glob("smaller-*.svg")} == set(drawn)
    for name in TASKS:
        path = folder / page.file_of(name)
        if path.is_file():
            found = read_json(path, "")
            assert summary.unmet(found) == []
            assert all(not one["differing"] for one in summary.proofs(found).values())
