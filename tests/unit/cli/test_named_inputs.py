"""Networks and backbones as they are named: which one runs, and what cannot be read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from picotrain.cli import main
from picotrain.learn import models
from picotrain.research.sweep.grid import load_grid

BACKBONE = models.BACKBONES / "tinycnn-digits.npz"
TINYCNN = (models.MODELS / "tinycnn.toml").read_text(encoding="utf-8")
FEW = ["--target", "host", "--epochs", "1", "--train-samples", "2", "--test-samples", "2"]


def adapt(*arguments: str) -> int:
    return main(["adapt", *FEW, *arguments])


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.toml"
    path.write_text(TINYCNN, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("", "", ""),
        ("channels = 8", "channels = 7", "channels of its layer 0 is 8, not 7"),
        ("outputs = 64", "outputs = 65", "outputs of its layer 4 is 64, not 65"),
        ('name = "tinycnn"', 'name = "mine"', "it has the same layers, but is named tinycnn"),
        ("input = [28, 28, 1]", "input = [29, 28, 1]", "takes images of 28x28x1, not 29x28x1"),
    ],
)
def test_the_network_that_was_named_is_that_of_the_backbone(
    network: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    difference: str,
) -> None:
    assert old in TINYCNN
    network.write_text(TINYCNN.replace(old, new, 1) if old else TINYCNN, encoding="utf-8")
    out = tmp_path / "out.json"
    named = ("--model", str(network), "--backbone", str(BACKBONE), "--json", str(out))
    assert adapt(*named) == (2 if difference else 0)
    said = capsys.readouterr().err
    assert difference in said
    assert ("; name the network that it is of, or none, or another" in said) == bool(difference)
    assert out.exists() == (not difference)


def test_a_backbone_alone_says_which_network_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, out = tmp_path / "b.npz", tmp_path / "out.json"
    shutil.copy(BACKBONE, own)
    assert adapt("--backbone", str(own), "--json", str(out)) == 0
    assert json.loads(out.read_text())["model"] == "tinycnn"
    assert adapt("--model", "oddnet", "--backbone", str(own)) == 2
    assert "b.npz is not of network oddnet: it takes images of" in capsys.readouterr().err


def test_a_mark_at_the_begin_of_a_text_is_harmless(network: Path, tmp_path: Path) -> None:
    network.write_text("\ufeff" + TINYCNN, encoding="utf-8")
    assert models.resolve(str(network)).name == "tinycnn"
    grid = tmp_path / "grid.toml"
    grid.write_text("\ufeff[[grid]]\nepochs = 2\n", encoding="utf-8")
    assert [cell.epochs for cell in load_grid(grid)] == [2]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings(network: Path, capsys: pytest.CaptureFixture[str], encoding: str) -> None:
    network.write_bytes(f"# für\n{TINYCNN}".encode(encoding))
    assert adapt("--model", str(network)) == 2
    said = capsys.readouterr().err
    assert "network.toml is no text in UTF-8: byte 0x" in said
    assert said.endswith("; give the path of a TOML file, saved as UTF-8\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "x" * 300], "File name too long"),
        (["--backbone", "x" * 300], "File name too long"),
        (["--model", "~nobody-at-all/x.toml"], "~nobody-at-all is the home folder of nobody here"),
        (["--model", "."], "unknown network '.': it is neither a file nor one of"),
        (["--backbone", "."], "there is no backbone at ."),
        (["--dataset", "npz:."], "npz:.: this is no plain file; give the path of a .npz file"),
    ],
)
def test_names_that_are_none(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert adapt(*arguments) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_a_pipe_is_no_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "grid.toml")
    assert main(["sweep", str(tmp_path / "grid.toml")]) == 2
    assert capsys.readouterr().err == (
        f"picotrain: cannot read {tmp_path / 'grid.toml'}: it is a pipe or a device; give the path "
        "of a TOML file, saved as UTF-8\n"
    )


CHAIN = """name = "mynet"
input = [28, 28, 1]
[[layer]]
kind = "linear"
outputs = 10
"""


@pytest.mark.parametrize("verb", ["adapt", "profile", "verify --dataset digits"])
def test_a_network_of_ones_own_has_to_be_trained_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    file = tmp_path / "my net.toml"
    file.write_text(CHAIN)
    assert main([*verb.split(), "--model", str(file)]) == 2
    told = capsys.readouterr().err
    assert f"there is no backbone of {file} for digits; make it with `picotrain pretrain" in told
    assert f"--model '{file}' --dataset digits --out " in told


def test_what_is_no_backbone_is_told_for_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, data = tmp_path / "net.toml", tmp_path / "data.npz"
    file.write_text(CHAIN)
    np.savez(data, x=np.zeros((20, 28, 28, 1), np.uint8), y=np.arange(20) % 10)
    for path, told in (
        (file, f"no weights: make it a backbone with `picotrain pretrain --model {file}`"),
        (data, f"{data} looks like a data set: it has x and y; give it as --dataset npz:{data}"),
    ):
        out = tmp_path / "net.blob"
        assert main(["export", str(path), "--out", str(out)]) == 2
        assert told in capsys.readouterr().err
        assert main(["verify", "--backbone", str(path)]) == 2
        assert told in capsys.readouterr().err
        assert not out.exists()
