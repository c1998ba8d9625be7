"""The campaign of smaller networks, of a tiny task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain.errors import UserError
from picotrain.image.firmware import HOST
from picotrain.research.shrink.depth import means
from picotrain.research.shrink.measure import measure
from picotrain.research.shrink.tasks import Task
from picotrain.shrink.depth.cell import TAILS
from picotrain.shrink.depth.heads import HEADS
from picotrain.shrink.depth.pareto import pareto
from picotrain.shrink.depth.table import told
from picotrain.shrink.pruning.made import Asked
from picotrain.shrink.pruning.prune import METHODS
from picotrain.shrink.pruning.stages import Stages
from shrinking import TIED
from support import require


def tiny(folder: Path) -> Task:
    (folder / "tied.toml").write_text(TIED)
    return Task(
        name="tiny",
        model=str(folder / "tied.toml"),
        dataset="digits",
        warm=2,
        tune=2,
        limits=(("loose", Asked(flash=6400)), ("tight", Asked(flash=5600, ram=11_000))),
        cut=1,
        cuts=("stem",),
        adapts_to="digits",
        angle=30,
        samples=64,
        epochs=1,
        orders=2,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smaller")


@pytest.fixture(scope="module")
def found(place: Path) -> dict[str, Any]:
    pytest.importorskip("torch")
    require(HOST)
    return measure(tiny(place), 2, place / "kept", "host", processes=1)


def test_all_methods_within_all_limits_of_every_seed(found: dict[str, Any]) -> None:
    assert [run["seed"] for run in found["pruned"]] == [0, 1]
    names = [f"{limit}-{method}" for limit in ("loose", "tight") for method in METHODS]
    for run in found["pruned"]:
        assert [one["name"] for one in run["cells"]] == names
        for one in run["cells"]:
            for name, row in one["limits"].items():
                assert row["measured"] <= row["limit"], (one["name"], name)
            assert one["proofs"]["int8"] == {"images": 1000, "logits": 10_000, "differing": 0}
            assert one["taken"]["flash"] == one["limits"]["flash"]["measured"]
            assert one["parameters"] < run["whole"]["parameters"]
        assert run["whole"]["taken"]["flash"] > 6400


def test_all_cuts_of_every_seed_and_means_over_them(found: dict[str, Any]) -> None:
    names = [f"stem-{head}-{tail}" for head in HEADS for tail in TAILS]
    for run, pruned in zip(found["cut"], found["pruned"], strict=True):
        assert [one["name"] for one in run["cells"]] == names
        assert run["chosen"] in names
        assert {one["name"] for one in run["cells"] if "equal_tensors" in one} == {
            "stem-dscnn-frozen",
            "stem-baseline-frozen",
        }
        assert run["whole"]["validation"] == pruned["whole"]["validation"]
    whole, cells = means(found["cut"])
    tests = [run["cells"][3]["test"] for run in found["cut"]]
    assert cells[3]["test"] == pytest.approx(np.mean(tests))
    assert cells[3]["test_std"] == pytest.approx(np.std(tests, ddof=1))
    assert cells[3]["taken"]["flash"] == 4936 and cells[3]["taken"]["ms"] is None
    assert "stem" in told(cells, whole) and "<svg" in pareto(cells, whole)


def test_networks_that_are_smaller_in_both_ways_adapt(found: dict[str, Any]) -> None:
    combined = found["combined"]
    for run, networks in zip(found["pruned"], combined["networks"], strict=True):
        assert list(networks) == ["whole", "pruned", "cut", "pruned, then cut"]
        flash = [one["taken"]["flash"] for one in networks.values()]
        assert flash[0] == run["whole"]["taken"]["flash"] > max(flash[1:])
        assert flash[3] < min(flash[1:3])
    assert len(combined["runs"]) == 2 * 4 * 2 * 2
    assert len(combined["mu"]) == 4 * 2
    for one in combined["runs"]:
        assert 0 <= one["before"] <= 1 and 0 <= one["after"] <= 1
    assert len({one["after"] for one in combined["runs"]}) > 4
    ram = {kind: step["PRIOT"]["ram"] for kind, step in combined["step"].items()}
    assert ram["pruned"] < ram["whole"]
    assert all(step["PRIOT"]["cycles"] is None for step in combined["step"].values())


def test_a_campaign_goes_on_from_what_is_kept(
    found: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trains(*_: object) -> None:
        raise AssertionError("it was trained before")

    monkeypatch.setattr(Stages, "train", trains)
    assert measure(tiny(place), 2, place / "kept", "host", processes=1) == found
    # Another choice is not what is kept.
    other = replace(tiny(place), tune=3)
    with pytest.raises(AssertionError, match="trained before"):
        measure(other, 1, place / "kept", "host", processes=1)


def test_limits_that_cannot_be_met_are_told_before_any_training(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    task = replace(tiny(tmp_path), limits=(("none", Asked(flash=100)),))
    with pytest.raises(UserError, match="--flash 100 cannot be met: the smallest reachable"):
        measure(task, 1, tmp_path / "kept", "host", processes=1)
    assert not (tmp_path / "kept").exists()
