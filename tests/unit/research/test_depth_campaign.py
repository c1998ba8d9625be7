"""The campaign of depth pruning, of a tiny task; and the spoken digits that it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from picotrain.datasets import fsdd
from picotrain.image.firmware import HOST
from picotrain.learn.float_pretrain import suited
from picotrain.research.depth.campaign import Task, means, measure
from picotrain.research.depth.figures import pareto
from picotrain.research.keywords import sounds
from picotrain.research.keywords.spoken import spoken
from picotrain.shrink.depth.table import told
from shrinking import TIED
from support import require


def test_a_campaign_has_every_seed_and_means_over_them(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    require(HOST)
    (tmp_path / "tied.toml").write_text(TIED)
    task = Task("tiny", str(tmp_path / "tied.toml"), "digits", 1, 1, ("stem",))
    found = measure([task], 2, tmp_path / "kept", "host", processes=1)["tiny"]
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    names = [f"stem-{head}-{tail}" for head in ("dscnn", "baseline") for tail in _TAILS]
    for run in found["runs"]:
        assert [one["name"] for one in run["cells"]] == names
        assert run["chosen"] in names
        assert {one["name"] for one in run["cells"] if "equal_tensors" in one} == {
            "stem-dscnn-frozen",
            "stem-baseline-frozen",
        }
    whole, cells = means(found["runs"])
    tests = [run["cells"][3]["test"] for run in found["runs"]]
    assert cells[3]["test"] == pytest.approx(np.mean(tests))
    assert cells[3]["test_std"] == pytest.approx(np.std(tests, ddof=1))
    assert cells[3]["taken"]["flash"] == 4936 and cells[3]["taken"]["ms"] is None
    assert "stem" in told(cells, whole) and "<svg" in pareto(cells, whole)
    assert measure([task], 2, tmp_path / "kept", "host", processes=1)["tiny"] == found


_TAILS = ("frozen", "unfrozen", "random")


def test_spoken_digits_are_frames_that_move_in_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loud = (np.sin(np.arange(4000) / 3) * 20000).astype(np.int16)
    made = {
        f"{digit}_{speaker}_{number}.wav": loud // (1 + digit)
        for digit in range(10)
        for speaker in fsdd.SPEAKERS
        for number in range(50)
    }
    one = sounds.one_second
    cache: dict[int, np.ndarray] = {}

    def once(samples: np.ndarray, change: sounds.Change = sounds.CLEAN) -> np.ndarray:
        key = int(np.abs(samples).max())
        if key not in cache:
            cache[key] = one(samples, change)
        return cache[key]

    monkeypatch.setattr(sounds.fsdd, "recordings", lambda: made)
    monkeypatch.setattr(sounds, "one_second", once)
    dataset = spoken()
    sizes = {name: split.images.shape for name, split in dataset.splits.items()}
    assert sizes == {
        "train": (2400, 49, 10, 1),
        "validation": (300, 49, 10, 1),
        "test": (300, 49, 10, 1),
    }
    assert np.bincount(dataset.test.labels).tolist() == [30] * 10
    # Silence before and after the sound is the least of what the first coefficient can be.
    assert (dataset.train.images[:, 0, 0, 0] == 0).all()
    assert (dataset.train.images[:, 24, 0, 0] > 100).all()
    assert not suited(dataset).across and suited(dataset).batch == 64
