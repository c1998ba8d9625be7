"""The campaign of depth pruning, of a tiny task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from picotrain.image.firmware import HOST
from picotrain.research.depth.campaign import Task, means, measure
from picotrain.research.depth.figures import pareto
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
