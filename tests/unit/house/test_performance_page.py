"""docs/performance.md is what results files and others.toml say."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from performance import beside, yardsticks
from picotrain.errors import UserError


def test_the_page_is_rendered_from_the_files() -> None:
    assert beside.render() == beside.PAGE.read_text(encoding="utf-8"), "make performance-page"


def test_it_does_without_results_of_other_commands(tmp_path: Path) -> None:
    (tmp_path / beside.FILE.name).write_bytes(beside.FILE.read_bytes())
    made = beside.render(tmp_path)
    assert "## An inference" in made
    for section in ("## Two cores", "## The host", "## The emulator"):
        assert section not in made


def test_ours_is_in_the_order_that_the_page_says() -> None:
    found = json.loads(beside.FILE.read_text(encoding="utf-8"))
    for row in found["ours"].values():
        assert row["floor"] == round(1.25 * row["macs"])
        assert row["tuned"] < row["dense"] < row["portable"]
    plain, skipping = found["float"]["plain"], found["float"]["skipping"]
    assert skipping["forward"] < plain["forward"] < plain["step"]
    assert skipping["step"] < plain["step"]


def dates(table: dict[str, Any]) -> Iterator[str]:
    """Of everything that was measured."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from dates(value)
        elif key == "measured":
            yield value


def test_figures_of_others_have_a_date_and_a_version() -> None:
    others = tomllib.loads((beside.HERE / "others.toml").read_text(encoding="utf-8"))
    assert set(others) == {"cmsis-nn", "aifes"}
    assert all(one["version"] for one in others.values())
    for table in ("million", "again", "networks"):
        assert others["cmsis-nn"][table]["measured"]
    assert others["aifes"]["measured"] and others["aifes"]["again"]["measured"]
    page = beside.PAGE.read_text(encoding="utf-8")
    for one in dates(others):
        assert date.fromisoformat(one) >= date(2026, 11, 29) and one in page
    cmsis = others["cmsis-nn"]
    networks = [row for row in cmsis["networks"].values() if isinstance(row, dict)]
    for row in (cmsis["million"], cmsis["again"], *networks):
        assert row["as_it_comes"] > row["fast_memcpy"] > row["shifts"] > 0


def test_the_template_has_no_figures_of_its_own() -> None:
    """They come from files, with the day on which they were measured."""
    text = (beside.HERE / "performance.md.j2").read_text(encoding="utf-8")
    prose = re.sub(r"{{.*?}}|{%.*?%}", "", text)
    assert re.findall(r"\d{4}-\d\d-\d\d", text) == []
    units = "KB|KiB|bytes|M|million|ms|ns|s|instructions|cycles|times|images|cores|epochs"
    assert re.findall(rf"\d[\d.,]* (?:{units})\b", prose) == []
    assert re.findall(r"{{[^}]*\b\d{4,}\b", text) == []


def test_rows_of_another_compiler_are_not_kept() -> None:
    held = {"one": {"tuned": 1, "compiler": "gcc 12"}, "two": {"tuned": 2, "compiler": "gcc 13"}}
    assert yardsticks.kept_networks(held, {"two"}, "gcc 12") == {"one": held["one"]}
    with pytest.raises(UserError, match=r"has two by another compiler than gcc 12: gcc 13; name"):
        yardsticks.kept_networks(held, {"one"}, "gcc 12")
    found = json.loads(beside.FILE.read_text(encoding="utf-8"))
    assert all(row["compiler"] == found["compiler"] for row in found["networks"].values())
