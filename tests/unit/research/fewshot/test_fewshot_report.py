"""The HTML page of a campaign."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from browser import browser, find_chromium
from picotrain import cli
from picotrain.datasets.fewshot import EMBEDDED
from picotrain.learn import models
from picotrain.research.fewshot import campaign, summary
from picotrain.research.fewshot.defaults import BACKBONES, SETTINGS
from picotrain.research.fewshot.report import network
from picotrain.research.fewshot.report.render import render
from picotrain.research.fewshot.schemes import all_schemes
from picotrain.research.fewshot.task import Outcome

BACKBONE = models.load_backbone(BACKBONES["meta"])[0]
SCHEMES = tuple(all_schemes(["none", "full", "tinytrain"], ["niti-static"], [0.05, 0.2]))
PLANNED = campaign.Campaign(BACKBONE, SCHEMES, SETTINGS)
SPARSE = SCHEMES[2].label


def task(accuracy: float, narrow: str) -> list[Outcome]:
    """`narrow`: rows of layer 2, which has 12."""
    whole = {
        index: "ff" * (layer.rows // 8) + "0f" * (layer.rows % 8 > 0)
        for index, layer in enumerate(BACKBONE.layers[:-1])
        if layer.rows
    }
    sparse = [Outcome(one.label, accuracy + 0.1, 2000, 300, {2: narrow}) for one in SCHEMES[2:]]
    return [
        Outcome("none", accuracy, 0, 0, {}),
        Outcome("full NITI", accuracy + 0.2, 9000, 7000, whole),
        *sparse,
    ]


TASKS = {
    "usps": {0: task(0.5, "0100"), 1: task(0.7, "0308")},
    "omniglot": {0: task(0.3, "0100")},
}


@pytest.fixture(scope="module")
def page() -> str:
    return render(PLANNED, TASKS, "few.npz", "picotrain fewshot", {"numpy": "2"})


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.loads += [values[name] for name in ("src", "href", "xlink:href") if name in values]


def test_channels_are_counted_over_the_tasks() -> None:
    outcomes = summary.outcomes_of(TASKS, SPARSE)
    assert [one.rows[2] for one in outcomes] == ["0100", "0308", "0100"]
    (found,) = summary.channels(BACKBONE, outcomes).values()
    assert found.tolist() == [1000, 333, 0, 0, 0, 0, 0, 0, 0, 0, 0, 333]
    condensed = summary.condensed(PLANNED, TASKS)
    assert list(condensed["channels"]) == [one.label for one in SCHEMES[2:]]
    assert condensed["channels"][SPARSE] == {"2": "1000 333 0 0 0 0 0 0 0 0 0 333"}


def test_rows_of_the_head_are_not_counted() -> None:
    last = len(BACKBONE.layers) - 1
    ways = [Outcome("last-layer NITI", 0.5, 1, 1, {last: bits}) for bits in ("1f", "ff01")]
    assert summary.channels(BACKBONE, ways) == {}


def test_every_scheme_has_its_numbers(page: str) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\N{NO-BREAK SPACE}", " ")
    assert "full NITI 65.0 ± 9.8 80.0 ± 19.6 50.0 tinytrain" in text
    assert "full NITI 65.0 ± 9.8 9,000 7,000" in text
    assert "Best within a budget 55.0 % ± 9.8 tinytrain NITI 0.05; 2,000 bytes" in text
    assert "usps, 2 omniglot, 1" in text


def test_what_the_script_draws(page: str) -> None:
    held = re.search(r'id="chosen-data">(.*?)</script>', page)
    assert held is not None
    found = json.loads(held[1])
    assert set(found) == {one.label for one in SCHEMES[1:]}
    assert set(found[SPARSE]) == {"", "usps", "omniglot"}
    here = found[SPARSE]["usps"]
    assert here["tasks"] == {"2": 1000}
    thousandths = [int(here["channels"]["2"][at : at + 2], 36) for at in range(0, 24, 2)]
    assert thousandths == [1000, 500, 0, 0, 0, 0, 0, 0, 0, 0, 0, 500]
    assert "2 tasks: accuracy 70.0" in here["words"]
    assert f"<option selected>{SPARSE}</option>" in page


def test_nothing_is_loaded_and_no_id_is_there_twice(page: str) -> None:
    tags = Tags(page)
    assert len(tags.ids) == len(set(tags.ids))
    assert all(load.startswith(("#", "data:")) for load in tags.loads)
    assert {load[1:] for load in tags.loads if load.startswith("#")} <= set(tags.ids)
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert re.findall(r"#[0-9a-f]{6}\b", plots) == []


def test_the_same_campaign_gives_the_same_bytes(page: str) -> None:
    assert render(PLANNED, TASKS, "few.npz", "picotrain fewshot", {"numpy": "2"}) == page


def test_names_are_escaped() -> None:
    odd = "</script><b>x"
    planned = replace(PLANNED, backbone=replace(BACKBONE, name=odd))
    made = render(planned, {odd: TASKS["usps"]}, odd, odd, {odd: odd})
    assert "<b>x" not in made and "&lt;b&gt;x" in made


def test_where_nothing_learns_it_says_so() -> None:
    schemes = SCHEMES[:1]
    tasks = {"usps": {0: [Outcome("none", 0.5, 0, 0, {})]}}
    made = render(replace(PLANNED, schemes=schemes), tasks, "few.npz", "x", {})
    assert "No scheme of this campaign learns" in made and "No scheme of this campaign sel" in made
    assert "<script" not in made and 'id="network"' not in made


def test_the_drawing_has_every_layer_and_every_input() -> None:
    drawn = network.drawing(BACKBONE)
    assert [line.index for line in drawn.lines] == list(range(24))
    assert [len(line.cells) for line in drawn.lines[:10]] == [16, 16, 12, 36, 36, 20, 80, 80, 20, 0]
    head = drawn.lines[-1]
    assert head.words == "23 linear, the head" and len(head.cells) == 1
    # One edge for each layer, and a second one for each of three residual adds.
    assert len(drawn.edges) == 24 + 3 and sum("C" in edge for edge in drawn.edges) == 3
    right = max(line.cells[-1] + line.cell for line in drawn.lines if line.cells)
    assert right <= network.BAR + network.BAR_WIDTH


PICK = """(() => {
  const shown = () => [...document.querySelectorAll('[data-layer="2"] .cell')].map(
    cell => Number(cell.style.fillOpacity));
  const pick = (id, value) => {
    const list = document.getElementById(id);
    list.value = value;
    list.dispatchEvent(new Event('change'));
  };
  const first = shown();
  pick('domain', 'usps');
  const usps = shown();
  pick('scheme', 'full NITI');
  return {first, usps, full: shown(), words: document.getElementById('chosen-words').textContent};
})()"""


@pytest.mark.skipif(find_chromium() is None, reason="no browser")
def test_scheme_and_domain_are_picked_in_a_browser(page: str, tmp_path: Path) -> None:
    program = find_chromium()
    assert program is not None
    file = tmp_path / "report.html"
    file.write_text(page)
    width = "document.documentElement.scrollWidth"
    with browser(program, tmp_path / "chromium") as opened:
        phone = opened.visit(file, 390, 844, dark=True, measure={"width": width})
        found = opened.visit(file, measure={"picked": PICK, "width": width})
    for one, most in ((phone, 390), (found, 1280)):
        assert one.problems == [] and one.requests == [] and one.measure["width"] <= most
    picked = found.measure["picked"]
    assert picked["first"] == [1, 0.333, *[0] * 9, 0.333]
    assert picked["usps"] == [1, 0.5, *[0] * 9, 0.5]
    assert picked["full"] == [1] * 12
    assert picked["words"].startswith("2 tasks: accuracy 80.0")


def test_the_verb_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["fewshot", "--domains", EMBEDDED, "--episodes", "1", "--ways", "3", "--shots", "2"]
    more = ["--schemes", "tinytrain", "--budgets", "0.1", "--steps", "2", "--jobs", "1"]
    assert cli.main([*words, *more, "--report", "few shot.html"]) == 0
    assert "report: few shot.html" in capsys.readouterr().out
    made = Path("few shot.html").read_text()
    assert "±" not in re.sub("(?s)<p.*?</p>", "", made)  # a single task
    assert "tinytrain PRIOT 0.1" in made and "picotrain fewshot --domains digits" in made
