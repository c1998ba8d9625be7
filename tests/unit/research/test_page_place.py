"""What a page of results says where it lies."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from made_up_cells import cell, frame
from picotrain.research.reproduce import page, steps
from picotrain.research.sweep import grid
from picotrain.research.sweep.results import write_results

FULL = steps.full()


def linked(text: str) -> set[str]:
    """What a page links to."""
    return {link.removeprefix("figures/") for link in re.findall(r"\]\(([^)#]+)\)", text)}


def test_a_page_that_lies_elsewhere_has_no_dead_links(tmp_path: Path) -> None:
    made = page.render(replace(FULL, page=tmp_path / "results.md"))
    assert made.figures and linked(made.text) == set(made.figures)
    assert "Kernels says where the cycles go" in made.text


def test_in_docs_it_links_to_its_neighbours() -> None:
    text = FULL.page.read_text(encoding="utf-8")  # which is exactly what it renders
    assert "[Kernels](kernels.md) says" in text and "([cycle model](cycle-model.md))" in text


def test_the_small_page_says_what_it_shows(tmp_path: Path) -> None:
    place = replace(FULL, results=tmp_path, page=tmp_path / "results.md", small=True)
    write_results(place.csv("table1-mnist"), frame(cell([0.1, 0.2], split="test")))
    made = page.render(place)
    text = made.text
    assert linked(text) == set(made.figures)
    assert "## Table 1: digits turned" in text and "MNIST turned" not in text
    assert "Step sizes are the methods' defaults here, not those of [Choices]" in text
    # Which they are: the small grid names none.
    cells = grid.load_grid(steps.small().grids / "table1-mnist.toml")
    own = {(job.cell.method, job.cell.mu) for job in steps.plan(cells)}
    assert ("priot", "4,3,2") in own and ("niti-static", "1") in own


def test_where_a_margin_is_large_is_said_once() -> None:
    large = {(-5, 45.0): 5, (-4, 30.0): 5, (-4, 45.0): 5, (-5, 30.0): 5, (-6, 30.0): 40}
    assert page._where_since(large, 1024) == (
        "at exponent -4 and -5 (from 5,120 images); -6 (30° from 40,960 images)"
    )
    assert page._where_since({(-4, 30.0): 5, (-4, 45.0): 10}, 100) == (
        "at exponent -4 (30° from 500 and 45° from 1,000 images)"
    )
    assert page._where_since({}, 1024) == "at no exponent"
