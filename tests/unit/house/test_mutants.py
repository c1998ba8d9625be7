"""The list of mutants: each can be put where it says, and is one that a suite looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutants.mutants import ROOT, Mutant, mutants, sample, suites

EVERYONE = mutants()


def test_every_mutant_changes_one_place_and_has_a_suite() -> None:
    known = suites()
    for one in EVERYONE:
        text = (ROOT / one.file).read_text(encoding="utf-8")
        assert text.count(one.was) == 1, one.name
        assert one.was != one.now, one.name
        assert one.suite in known, one.name
    names = [one.name for one in EVERYONE]
    assert len(names) == len(set(names))


def test_suites_name_tests_that_are_there() -> None:
    for suite in suites().values():
        assert (ROOT / suite.pytest[0]).exists(), suite.name


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
