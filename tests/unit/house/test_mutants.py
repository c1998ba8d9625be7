"""The mutants: each can be put where it says, and the page tells what came of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutants import report, results
from mutants.mutants import ROOT, Mutant, mutants, sample, suites
from mutants.results import KILLED, SURVIVED, Outcome
from reliability import page

EVERYONE = mutants()


def test_every_mutant_changes_one_place_and_has_a_suite() -> None:
    known = suites()
    for one in EVERYONE:
        text = (ROOT / one.file).read_text(encoding="utf-8")
        assert text.count(one.was) == 1, one.name
        assert one.was != one.now, one.name
        assert one.suite in known, one.name
        assert one.area in report.AREAS
    names = [one.name for one in EVERYONE]
    assert len(names) == len(set(names))
    assert len(names) >= 150


def test_suites_name_tests_that_are_there() -> None:
    used = {one.suite for one in EVERYONE}
    for suite in suites().values():
        assert suite.name in used
        files = [word for word in suite.pytest if word.startswith("tests/")]
        assert files and all((ROOT / file).exists() for file in files), suite.name
        assert all((ROOT / folder / "Makefile").exists() for folder in suite.folders)


def test_a_mutant_is_put_once(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("x = 1;\ny = 1;\n")
    Mutant("area", "a.c", "x = 1", "x = 2", "kernels").put(tmp_path)
    assert (tmp_path / "a.c").read_text() == "x = 2;\ny = 1;\n"
    with pytest.raises(ValueError, match="the text is there 2 times, not 1"):
        Mutant("area", "a.c", ";", "", "kernels").put(tmp_path)


def test_a_sample_is_of_its_seed_and_leaves_out_what_cannot_be_found() -> None:
    listed = [Mutant("area", f"{n}.c", "a", "b", "kernels") for n in range(40)]
    listed.append(Mutant("area", "same.c", "a", "b", "kernels", survives="it is equal"))
    one = sample(listed, 20, "2026-11-30")
    assert one == sample(listed, 20, "2026-11-30") != sample(listed, 20, "2026-12-01")
    assert len(set(one)) == 20 and sorted(one, key=listed.index) == one
    assert len(sample(listed, 100, "x")) == 40


def test_outcomes_of_what_was_not_run_stay(tmp_path: Path) -> None:
    file = tmp_path / "mutants.json"
    first, second, *_ = EVERYONE
    results.keep(Outcome(second, SURVIVED, ""), file)
    results.keep(Outcome(first, KILLED, "tests/a.py::test_b"), file)
    gone = Mutant("kernels", "gone.c", "a", "b", "kernels")
    results.keep(Outcome(gone, KILLED, "x"), file)
    assert results.read(file) == [
        Outcome(first, KILLED, "tests/a.py::test_b"),
        Outcome(second, SURVIVED, ""),
    ]


def test_the_page_names_what_was_not_found() -> None:
    found, missed, equal = (
        Mutant("nn", f"{name}.c", "a | b", "`c`", "plan", survives=why)
        for name, why in (("found", ""), ("missed", ""), ("equal", "it is never asked"))
    )
    page = report.render(
        [
            Outcome(found, KILLED, "tests/unit/device/test_plan.py::test_one[a/b|c]"),
            Outcome(missed, SURVIVED, ""),
            Outcome(equal, SURVIVED, ""),
        ]
    )
    assert "| `found.c` | `` a \\| b -> `c` `` | `test_plan.py::test_one[a/b\\|c]` |" in page
    assert "- missed.c: a | b -> `c`\n" in page
    assert "- `equal.c`: `` a \\| b -> `c` ``: it is never asked\n" in page
    assert "| all | | 3 | 1 | 1 |" in page


def test_every_mutant_has_an_outcome_and_what_survives_a_reason() -> None:
    assert report.unlike(results.read()) == [], "make mutants NEW=1"
    for one in results.read():
        assert one.result == (SURVIVED if one.mutant.survives else KILLED), one.mutant.name


def test_the_page_is_that_of_the_results() -> None:
    made = page.render(page.RESULTS, report.render(results.read()))
    assert page.PAGE.read_text(encoding="utf-8") == made, "make reliability"
