"""The report of a real profile, in a real browser: laptop and phone, light and dark."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import NAMES, Browser, Page, browser, find_chromium
from picotrain import cli
from picotrain.device.backends import availability

PROGRAM = find_chromium()
QEMU = {entry.name: entry for entry in availability()}["qemu"]
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason=f"no browser: install one of {', '.join(NAMES)}"),
    pytest.mark.skipif(not QEMU.works, reason=f"qemu: {QEMU.remedy}"),
]

SIZES = {"laptop": (1280, 900), "phone": (390, 844)}
SECTIONS = [
    *("figures", "accuracy", "saturation", "cycles", "flame"),
    *("arena", "memory", "stack", "provenance"),
]
MEASURE = {
    "width": "document.documentElement.scrollWidth",
    "height": "document.documentElement.scrollHeight",
    "sections": "Object.fromEntries([...document.querySelectorAll('section[id]')].map("
    "s => [s.id, [s.getBoundingClientRect().width, s.getBoundingClientRect().height]]))",
    "outside": "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, "
    "script') && e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)"
    ".map(e => e.tagName + '.' + e.className)",
    "plots": "[...document.querySelectorAll('svg.plot')].filter("
    "s => s.getBoundingClientRect().height > 100).length",
    "background": "getComputedStyle(document.body).backgroundColor",
    "text": "getComputedStyle(document.body).color",
    "dark": "matchMedia('(prefers-color-scheme: dark)').matches",
}
ZOOM = """(() => {
  const boxes = [...document.querySelectorAll('#flame-graph button')];
  const start = box => Number(box.dataset.start), cycles = box => Number(box.dataset.cycles);
  const within = (inner, outer) => start(inner) >= start(outer) && cycles(inner) < cycles(outer)
    && start(inner) + cycles(inner) <= start(outer) + cycles(outer);
  const width = box => box.getBoundingClientRect().width;
  const whole = width(document.getElementById('flame-graph'));
  const outer = boxes.find(box => width(box) < 0.7 * whole && boxes.some(b => within(b, box)));
  const inner = boxes.find(box => within(box, outer));
  const hidden = () => boxes.filter(box => box.hidden).length;
  const read = () => ({outer: width(outer), inner: width(inner), hidden: hidden()});
  const before = read();
  outer.click();
  const zoomed = read();
  outer.click();
  return {whole, before, zoomed, after: read()};
})()"""
"""Widths in pixels of a box and one below it: before a click on it, after it, after another."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with browser(PROGRAM, tmp_path_factory.mktemp("chromium")) as one:
        yield one


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `report.html` of a short adaptation, and `profile.json`."""
    folder = tmp_path_factory.mktemp("report")
    run = str(folder / "adapt.json")
    short = ["--epochs", "2", "--train-samples", "40", "--test-samples", "30"]
    assert cli.main(["adapt", "--target", "host", "--json", run, *short]) == 0
    files = ["--html", str(folder / "report.html"), "--json", str(folder / "profile.json")]
    assert cli.main(["profile", "--images", "2", "--run", run, *files]) == 0
    return folder


def faults(page: Page, width: int) -> list[str]:
    """What is wrong with a page that should stand alone and fit into `width` CSS pixels."""
    found = [*page.problems, *(f"asks for {address}" for address in page.requests)]
    if page.measure["width"] > width:
        found.append(f"is {page.measure['width']} px wide: {page.measure['outside']}")
    for name in SECTIONS:
        size = page.measure["sections"].get(name)
        if size is None or min(size) < 20:
            found.append(f"section {name} is not visible: {size}")
    return found


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)


@pytest.mark.parametrize("size", SIZES)
def test_the_report_in_light_and_dark(
    opened: Browser, made: Path, tmp_path: Path, size: str
) -> None:
    width, height = SIZES[size]
    pages = {}
    for dark in (False, True):
        page = opened.visit(made / "report.html", width, height, dark, MEASURE)
        assert faults(page, width) == []
        assert page.measure["dark"] is dark
        assert page.measure["plots"] == 2
        shot = tmp_path / f"{size}-{'dark' if dark else 'light'}.png"
        shot.write_bytes(page.screenshot)
        assert png_size(page.screenshot) == (width, page.measure["height"])
        assert len(page.screenshot) > 100_000
        pages[dark] = page
    assert pages[False].measure["background"] != pages[True].measure["background"]
    assert pages[False].measure["text"] != pages[True].measure["text"]


def test_a_click_zooms_the_flame_graph_and_another_one_goes_back(
    opened: Browser, made: Path
) -> None:
    page = opened.visit(made / "report.html", measure={**MEASURE, "zoom": ZOOM})
    assert faults(page, 1280) == []
    zoom = page.measure["zoom"]
    before, zoomed = zoom["before"], zoom["zoomed"]
    assert before["outer"] < 0.7 * zoom["whole"]
    assert before["hidden"] == 0
    assert zoomed["outer"] == pytest.approx(zoom["whole"], abs=1)
    assert zoomed["inner"] == pytest.approx(
        before["inner"] * zoom["whole"] / before["outer"], rel=0.02
    )
    assert zoomed["hidden"] > 0
    assert zoom["after"] == pytest.approx(before, abs=0.1)


def test_json_has_what_the_report_shows(made: Path) -> None:
    content = json.loads((made / "profile.json").read_text())
    report: dict[str, Any] = content["report"]
    for part, numbers in (("cost", content), ("worst", content["worst_case"])):
        assert report["train"][part]["cycles"] == numbers["train"]
        assert report["infer"][part]["cycles"] == numbers["infer"]
        for name in ("cycles", "cycles_per_mac", "floor_ratio"):
            assert [one[part][name] for one in report["operations"]] == [
                one[name] for one in numbers["phases"]
            ]
    assert sum(one["own"] for one in report["flame"]) == report["flame_cycles"]
    assert report["flame_cycles"] == round(content["train"] * 2)
    assert report["memory"]["total"] == sum(report["memory"]["parts"].values())
    assert len(report["run"]["history"]) == 2
    for part in ("arena", "stack", "subject"):
        assert report[part]


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ("<script>console.error('wrong')</script>", "console.error: wrong"),
        ("<script>nowhere()</script>", "nowhere is not defined"),
        ("<script>Promise.reject(new Error('later'))</script>", "later"),
        ("<img src='http://127.0.0.1:9/x.png' alt=''>", "asks for http://127.0.0.1:9/x.png"),
        ("<img src='beside.png' alt=''>", "beside.png"),
        ("<link rel=stylesheet href='http://127.0.0.1:9/x.css'>", "asks for"),
        ("<div style='width: 2000px'>x</div>", "px wide: ['DIV.']"),
        ("<style>#arena { display: none }</style>", "section arena is not visible"),
    ],
)
def test_a_broken_page_is_noticed(
    opened: Browser, made: Path, tmp_path: Path, broken: str, fault: str
) -> None:
    page = (made / "report.html").read_text()
    file = tmp_path / "broken.html"
    file.write_text(page.replace("</body>", f"{broken}</body>"))
    found = faults(opened.visit(file, 390, 844, measure=MEASURE), 390)
    assert any(fault in one for one in found), found
