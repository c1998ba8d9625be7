"""Sentences name commands that exist: the makefile's in a checkout, picotrain's elsewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from picotrain.cli import VERBS, main
from picotrain.device import backends
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.places import MADE_BACKBONES

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
GOALS = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
SAY_WHAT_TO_TYPE = """
import sys
from picotrain import places
places.IN_CHECKOUT, places.NO_ROOM = False, ""
places.FLASH, places.MAKE_UF2 = "`picotrain flash`", "`picotrain uf2`"
from picotrain.device.link import ports
from picotrain.device.targets import renode_release
from picotrain.image import uf2
from picotrain.learn import models
from picotrain.research.reproduce import steps
print(places.with_make("p"), ports._NONE, renode_release.GET_RENODE, uf2._UF2_AGAIN, sep="\\n")
for step in steps.STEPS.values():
    print(step.needs)
"""


def recipe(goal: str) -> str:
    """What the makefile does for a goal, on one line."""
    lines = MAKEFILE[MAKEFILE.index(f"\n{goal}:") + 1 :].partition("\n\n")[0]
    return " ".join(lines.replace("\\\n", " ").split())


def test_the_goals_that_sentences_name_are_there() -> None:
    named: set[str] = set()
    for path in (ROOT / "harness").rglob("*.py"):
        named |= set(re.findall(r"`make ([a-z][\w-]*)`", path.read_text(encoding="utf-8")))
    assert {"firmware", "setup", "uf2", "hw-flash"} <= named
    assert named <= GOALS


def test_no_sentence_takes_python_for_granted() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    for path in [*(ROOT / "harness").rglob("*.py"), *pages]:
        found = re.search(r"(?<![\w/])python -m", path.read_text(encoding="utf-8"))
        assert found is None, path


def test_an_installed_picotrain_names_no_makefile() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY_WHAT_TO_TYPE], capture_output=True, text=True, check=True
    )
    assert re.search(r"\bmake [a-z]+-|`make|with make", done.stdout) is None
    python = shlex.quote(sys.executable)
    assert f"`{python} -m picotrain.device.targets.renode_release`" in done.stdout
    verbs = set(re.findall(r"`picotrain ([a-z][\w-]+)", done.stdout))
    assert {"flash", "pretrain", "uf2"} <= verbs <= set(VERBS)


@pytest.mark.parametrize(
    ("model", "dataset", "goal"),
    [
        ("vgg11", "cifar10", "backbone-vgg11"),
        ("tinycnn", "fsdd-theo", "backbones-speech"),
    ],
)
def test_a_backbone_that_is_not_here(
    model: str,
    dataset: str,
    goal: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "MADE_BACKBONES", tmp_path)
    with pytest.raises(UserError) as caught:
        models.load_backbone(models.backbone_path(model, dataset))
    others = ", or give the path of one of those" * (model == "tinycnn")  # none of vgg11 is shipped
    assert f"make it with `make {goal}`{others}" in str(caught.value)
    monkeypatch.setattr(models, "IN_CHECKOUT", False)
    with pytest.raises(UserError) as caught:
        models.load_backbone(models.backbone_path(model, dataset))
    found = re.search(r"make it with `picotrain ([^`]*)`", str(caught.value))
    assert found is not None
    words = shlex.split(found[1])
    # The same options as the makefile's, but for the place of the result.
    made = recipe(goal).replace("$$speaker", "theo")
    assert words[:5] == ["pretrain", "--model", model, "--dataset", dataset]
    assert " ".join(words[5:-2]) in made
    assert words[-2:] == ["--out", str(tmp_path / f"{model}-{dataset}.npz")]


def test_a_backbone_of_ones_own_that_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapt", "--target", "host", "--backbone", "my net.npz"]) == 2
    assert "at my net.npz; make it with `picotrain pretrain`, or give" in capsys.readouterr().err
    assert models.to_make("oddnet", "mnist") == (
        "picotrain pretrain --model oddnet --dataset mnist "
        f"--out {shlex.quote(str(MADE_BACKBONES / 'oddnet-mnist.npz'))}"
    )


@pytest.mark.parametrize("verb", ["adapt", "verify"])
@pytest.mark.parametrize("target", ["renode", "serial:socket://127.0.0.1:9", "serial:auto"])
def test_nothing_is_announced_or_built_for_what_cannot_start(
    verb: str,
    target: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENODE", "no-such-renode")
    monkeypatch.setattr(backends.ports, "find_ports", list)
    if (verb, target) == ("adapt", "renode"):  # verify reads the layout from the host's program
        monkeypatch.setattr(
            backends.firmware, "require", lambda path: pytest.fail(f"{path} is built")
        )
    assert main([verb, "--target", target, "--dataset", "digits"]) in (1, 2)
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    if target == "renode":
        assert "RENODE names no-such-renode, which is no program here: set it to" in said.err


@pytest.mark.parametrize("tool", ["qemu", "rp2040js"])
def test_tools_come_before_compilers(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(backends.firmware, "require", lambda path: pytest.fail(f"{path} is built"))
    with pytest.raises(UserError, match="install the"):
        backends.open_target(tool)
