"""docs/performance.md is what results files and others.toml say."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from performance import beside


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


def test_figures_of_others_have_a_date_and_a_version() -> None:
    others = tomllib.loads((beside.HERE / "others.toml").read_text(encoding="utf-8"))
    assert set(others) == {"cmsis-nn", "aifes"}
    for one in others.values():
        assert one["measured"] and one["version"]
    million = others["cmsis-nn"]["million"]
    assert million == {"as_it_comes": 5.90, "fast_memcpy": 5.41, "shifts": 4.43}
