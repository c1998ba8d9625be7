"""docs/data.md: its example runs, and its bounds are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from picotrain.cli import main
from picotrain.learn import health, turning
from picotrain.learn.calibration import SAMPLES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


OWN = PAGE.split("\n## Your own\n")[1].split("\n## ")[0]


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", OWN, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "data.md", "exec"), {})
    (tmp_path / "cancer.toml").write_text(block("toml"), encoding="utf-8")
    pretrain, adapt = block("sh").splitlines()
    assert main(shlex.split(pretrain)[1:]) == 0
    capsys.readouterr()
    # On the host, which is always there.
    assert main([*shlex.split(adapt)[1:], "--target", "host"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("cancer on npz:cancer.npz as they are, priot on host: 400 training")
    assert "warning" not in said


@pytest.mark.parametrize(
    "text",
    [
        f"more than {health.FALL * 100:.0f} points below",
        f"one class is given to {health.SAME_CLASS:.0%}".replace("%", " %"),
        f"no label has more than {health.SAME_LABEL:.0%}".replace("%", " %"),
        f"if {health.ALIKE * 10:.0f} in 10 losses are one number",
        f"more than {health.CLAMPED:.0%} of the logits".replace("%", " %"),
        f"Fewer than {health.LEAST_IMAGES} evaluated images",
        f"a side of fewer than {turning.LEAST_SIDE} pixels",
        f"turned by up to {turning.CALIBRATION_ANGLE} degrees",
        f"until there are {SAMPLES:,}",
    ],
)
def test_the_bounds_are_those_of_the_code(text: str) -> None:
    assert text in PAGE
