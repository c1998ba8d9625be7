"""Finished cells of a sweep: taken where all of them is there and as it was, else made anew."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from picotrain.learn import models
from picotrain.learn.architectures import reader
from picotrain.learn.architectures.untrained import untrained
from picotrain.shrink.depth.cuts import chosen, cuts
from picotrain.shrink.depth.kept import Store
from picotrain.shrink.depth.table import choice
from shrinking import TIED, tied

KEY = "0" * 64


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Store:
    """With one finished cell."""
    store = Store(tmp_path, said.append)
    outcome = {"cell": KEY, "name": "a", "validation": 0.5}
    store.save("a", tied(), untrained(tied(), 0), outcome, "A cell.")
    return store


def test_a_finished_cell_is_taken(store: Store, said: list[str]) -> None:
    found = store.load("a", KEY)
    assert found is not None and found["validation"] == 0.5 and said == []
    store.note("a", found | {"validation": 0.25})
    again = store.load("a", KEY)
    assert again is not None and again["validation"] == 0.25 and said == []
    assert store.load("b", KEY) is None and said == []


@pytest.mark.parametrize(
    ("suffix", "content", "says"),
    [
        (".json", b"", "a.json is damaged"),
        (".json", b"[]", "a.json is damaged"),
        (".json", b'{"cell": 1', "a.json is damaged"),
        (".npz", b"", "a.npz is not what a.json is of"),
        (".npz", None, "a.npz is gone"),
        (".toml", b"#", "a.toml is not what a.json is of"),
        (".toml", None, "a.toml is gone"),
    ],
)
def test_a_damaged_cell_is_told_and_made_anew(
    store: Store, said: list[str], suffix: str, content: bytes | None, says: str
) -> None:
    path = store.path("a", suffix)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert store.load("a", KEY) is None
    assert said == [f"{store.folder}/{says}: a is made anew"]


def test_a_number_that_is_another_one_is_seen(store: Store, said: list[str]) -> None:
    path = store.path("a", ".json")
    path.write_text(path.read_text().replace('"validation": 0.5', '"validation": 0.9'))
    assert store.load("a", KEY) is None
    assert said == [f"{path} is damaged: a is made anew"]


def test_other_choices_are_told(store: Store, said: list[str]) -> None:
    assert store.load("a", "1" * 64) is None
    assert said == [f"{store.path('a', '.json')} is of other choices: a is made anew"]


def test_a_cell_without_digests_is_taken(store: Store) -> None:
    """As they were written before."""
    path = store.path("a", ".json")
    content = json.loads(path.read_text())
    del content["files"], content["sum"]
    path.write_text(json.dumps(content))
    assert store.load("a", KEY) == {"cell": KEY, "name": "a", "validation": 0.5}
    assert models.network_sha256(store.network("a"))


def test_no_two_cuts_have_one_name() -> None:
    """Their cells would be one file: layer 0 has no name, and layer 3 is called so."""
    text = TIED.replace('name = "stem"\n', "").replace(
        'inputs = ["point", "stem"]', 'name = "layer0"\ninputs = ["point", "before"]'
    )
    text = text.replace('padding = 1\nactivation = "relu6"', 'name = "before"\npadding = 1')
    architecture = reader.parse(tomllib.loads(text), "text")
    assert [(one.name, one.index) for one in cuts(architecture)] == [("layer0-", 0), ("layer0", 3)]
    assert [one.index for one in chosen(architecture, ["layer0-"])] == [0]


def test_a_layer_called_all_is_not_all_of_them() -> None:
    text = TIED.replace('"stem"', '"all"')
    architecture = reader.parse(tomllib.loads(text), "text")
    assert [one.name for one in cuts(architecture)] == ["layer0", "layer3"]
    assert len(chosen(architecture, ["all"])) == 2


def outcome(name: str, validation: float, ms: float | None) -> dict[str, Any]:
    taken = None if ms is None else {"ms": ms, "flash": 1000, "ram": 1000}
    return {"name": name, "validation": validation, "taken": taken, "unfit": ""}


def test_what_the_target_has_no_room_for_is_not_chosen() -> None:
    whole = outcome("whole", 0.9, 9.0)
    cells = [outcome("large", 0.95, None), outcome("slow", 0.9, 5.0), outcome("fast", 0.9, 4.0)]
    assert choice(cells, whole)["name"] == "fast"
    assert choice([cells[0], outcome("poor", 0.5, 1.0)], whole)["name"] == "poor"
    assert choice(cells[:1], whole)["name"] == "large"
