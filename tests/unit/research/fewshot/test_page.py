"""docs/tinytrain.md from results files."""

from __future__ import annotations

from pathlib import Path

from picotrain.inputs import read_json
from picotrain.learn import models
from picotrain.output import write_json
from picotrain.places import SHIPPED
from picotrain.research.fewshot import campaign, figures, page, summary
from picotrain.research.fewshot.defaults import BACKBONES, SETTINGS, SHARES
from picotrain.research.fewshot.schemes import RULES, all_schemes
from picotrain.research.fewshot.task import Outcome

SCHEMES = tuple(all_schemes(["none", "full", "tinytrain", "true-cost"], ["niti-static"], SHARES))


def made_up(accuracy: float) -> list[Outcome]:
    made = [
        Outcome("none", accuracy, 0, 0, {}),
        Outcome("full NITI", accuracy + 0.1, 1000, 700, {0: "ffff"}),
    ]
    return made + [
        Outcome(scheme.label, accuracy + 0.05, 250, 70, {21: "ff" + 11 * "00"})
        for scheme in SCHEMES[2:]
    ]


def test_without_results_every_part_says_so(tmp_path: Path) -> None:
    text, drawn = page.render(tmp_path, tmp_path / "figures")
    assert drawn == {}
    assert text.count("No results yet") == 5


def test_with_results(tmp_path: Path) -> None:
    planned = campaign.Campaign(models.load_backbone(BACKBONES["meta"])[0], SCHEMES, SETTINGS)
    tasks = {"usps": {0: made_up(0.5), 1: made_up(0.7)}, "omniglot": {0: made_up(0.2)}}
    write_json(tmp_path / page.RESULTS["meta"], summary.condensed(planned, tasks))
    without = page.render(tmp_path, tmp_path / "figures")
    assert "| full NITI | 50.0 ± 9.8 | 1,000 | 700 |  | 70.0 | 30.0 |" in without[0]
    counted = {scheme.label: {"step": 90, "backward": 30} for scheme in SCHEMES[2:]}
    counted["full NITI"] = {"step": 1800, "backward": 1200}
    write_json(tmp_path / page.RESULTS["cycles"], {"meta": counted})
    text, drawn = page.render(tmp_path, tmp_path / "figures")
    assert drawn["fewshot-meta.svg"] != without[1]["fewshot-meta.svg"]
    assert set(drawn) == {"fewshot-meta.svg", "fewshot-chosen.svg"}
    assert "| full NITI | 50.0 ± 9.8 | 1,000 | 700 | 1,200 | 70.0 | 30.0 |" in text
    assert "| bytes, batch 1, integers | 1,000 | 250 | 4.0 | 250 | 4.0 |" in text
    assert "| MACs backward | 700 | 70 | 10.0 | 70 | 10.0 |" in text
    assert "| cycles backward | 1,200 | 30 | 40.0 | 30 | 40.0 |" in text
    assert "| cycles of the whole step | 1,800 | 90 | 20.0 | 90 | 20.0 |" in text
    assert "| does updating help | full NITI less none | +10.0 ± 0.0 |" in text
    assert "1 to 2 tasks of each domain" in text
    assert "and each of its channels (blue" in text


def test_channels_are_drawn_where_a_file_has_them() -> None:
    entry = {"scheme": "a", "chosen": {"0": 1.0}}
    layers = figures.chosen([entry], {}, ["0", "1"])
    assert figures.chosen([entry], {"a": {}}, ["0", "1"]) == layers
    assert figures.chosen([entry], {"a": {"0": "0 1000 500"}}, ["0", "1"]) != layers


def test_times_below_a_second_are_milliseconds(tmp_path: Path) -> None:
    side = {"layers": 2, "ram_bytes": {"total": 1}, "step": 125_000}
    rule = {"select": 5_614_577, "sparse": side, "full": side}
    rules = dict.fromkeys(RULES, rule)
    cost = {
        "steps": {"niti-static": 1000, "priot": 300},
        "share": 0.1,
        "images": 9,
        "prototypes": 1,
        "head": 1,
        "fisher": 1,
    }
    made = {**cost, **rules, "fisher_ram_bytes": {"total": 1}}
    write_json(tmp_path / page.RESULTS["cost"], made)
    text, _ = page.render(tmp_path, tmp_path / "figures")
    assert "| niti-static: selection | 5,614,577 | 45 ms |" in text
    assert "bytes | 125,000,000 | 1.0 s |" in text


def test_the_page_is_what_its_files_make() -> None:
    results = SHIPPED / "experiments" / "results"
    text, drawn = page.render(results, SHIPPED / "docs" / "figures")
    assert text == (SHIPPED / "docs" / "tinytrain.md").read_text(encoding="utf-8")
    assert {name for name in drawn if not (SHIPPED / "docs" / "figures" / name).is_file()} == set()


def test_the_results_are_those_of_the_shipped_backbones() -> None:
    for name, file in BACKBONES.items():
        held = read_json(SHIPPED / "experiments" / "results" / page.RESULTS[name], "run again")
        assert held["network_sha256"] == models.network_sha256(models.load_backbone(file)[0])
