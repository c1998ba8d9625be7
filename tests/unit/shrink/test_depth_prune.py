"""`picotrain depth-prune`: frozen trunks stay bit for bit, and a sweep can be stopped."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain.cli import main
from picotrain.cli.shrink import depth_prune as verb
from picotrain.device.backends import problem
from picotrain.image.firmware import HOST
from picotrain.learn import models
from picotrain.learn.floating.training import Diverged
from picotrain.shrink.depth.kept import Store
from picotrain.shrink.depth.training import DepthTraining
from picotrain.shrink.pruning.stages import Stages
from picotrain_golden import Network
from shrinking import TIED
from support import require

CELLS = ["--cuts", "layer3", "--tails", "frozen", "random", "--epochs", "2"]
NAMES = [f"layer3-{head}-{tail}" for head in ("dscnn", "baseline") for tail in ("frozen", "random")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("depth")
    (folder / "tied.toml").write_text(TIED)
    return folder


@pytest.fixture(scope="module")
def whole(place: Path) -> dict[str, Any]:
    """What `pretrain` says of the network that it keeps in floating point."""
    pytest.importorskip("torch")
    require(HOST)
    words = ["pretrain", "--model", str(place / "tied.toml"), "--dataset", "digits"]
    words += ["--epochs", "3", "--calibration-samples", "16", "--out", str(place / "tied.npz")]
    more = ["--keep-float", str(place / "float.npz"), "--json", str(place / "pretrain.json")]
    assert main([*words, *more]) == 0
    result: dict[str, Any] = json.loads((place / "pretrain.json").read_text())
    return result


def words(place: Path, name: str, *more: str) -> list[str]:
    folder = place / name
    return [
        *("depth-prune", "--model", str(place / "tied.toml"), "--dataset", "digits"),
        *("--target", "host", "--out", str(folder), "--json", str(place / f"{name}.json")),
        *(*CELLS, *more),
    ]


Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(place: Path, whole: dict[str, Any]) -> Run:
    def one(name: str, *more: str) -> dict[str, Any]:
        pretrained = ["--pretrained", str(place / "float.npz")]
        assert main(words(place, name, *pretrained, *more)) == 0
        result: dict[str, Any] = json.loads((place / f"{name}.json").read_text())
        return result

    return one


@pytest.fixture(scope="module")
def swept(run: Run) -> dict[str, Any]:
    return run("swept")


def network(place: Path, run: str, cell: str) -> Network:
    return models.load_backbone(place / run / f"{cell}.npz")[0]


def test_the_whole_network_is_the_one_that_pretrain_kept(
    swept: dict[str, Any], whole: dict[str, Any], place: Path
) -> None:
    row = swept["whole"]
    assert row["validation"] == whole["validation_accuracy"]
    assert row["test"] == whole["test_accuracy"]
    assert row["float_validation"] == whole["history"][-1]["validation_accuracy"]
    mine, other = network(place, "swept", "whole"), models.load_backbone(place / "tied.npz")[0]
    assert [one.weights.tobytes() for one in mine.parameters if one is not None] == [
        one.weights.tobytes() for one in other.parameters if one is not None
    ]


def test_every_cell_is_there_with_what_it_takes(swept: dict[str, Any], place: Path) -> None:
    assert [one["name"] for one in swept["cells"]] == NAMES
    for one in swept["cells"]:
        made = network(place, "swept", one["name"])
        assert one["macs"] == sum(layer.macs for layer in made.layers)
        assert one["taken"]["flash"] < swept["whole"]["taken"]["flash"] == 6596
        assert one["taken"]["cycles"] is None
        assert [entry["epoch"] for entry in one["history"]] == [1, 2]
        assert not (place / "swept" / f"{one['name']}.state").exists()
    assert swept["chosen"] in NAMES
    assert "<svg" in (place / "swept" / "pareto.svg").read_text()


@pytest.mark.parametrize("head", ["dscnn", "baseline"])
def test_a_frozen_trunk_has_the_tensors_of_the_whole_network(
    swept: dict[str, Any], place: Path, head: str
) -> None:
    before = network(place, "swept", "whole")
    frozen, random = (
        network(place, "swept", f"layer3-{head}-{tail}") for tail in ("frozen", "random")
    )
    for index in range(4):
        one, other = before.parameters[index], frozen.parameters[index]
        if one is not None and other is not None:
            assert (one.weights == other.weights).all()
            fresh = random.parameters[index]
            assert fresh is not None and (one.weights != fresh.weights).any()
        for name, value in vars(before.affine[index]).items():
            assert np.array_equal(value, getattr(frozen.affine[index], name)), name
    cell = next(one for one in swept["cells"] if one["name"] == f"layer3-{head}-frozen")
    # Three convolutions with weights and the four numbers of each norm; 7 arrays of each layer.
    assert cell["equal_tensors"] == {"float": 15, "int8": 3 + 4 * 7}


def test_finished_cells_are_kept(
    swept: dict[str, Any],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def never(*_: object) -> dict[str, Any]:
        raise AssertionError("trains")

    monkeypatch.setattr(DepthTraining, "epoch", never)
    again = run("swept")
    assert "goes on: 4 of 4 cells are finished in" in capsys.readouterr().out
    assert again["cells"] == swept["cells"] and again["whole"] == swept["whole"]
    with pytest.raises(AssertionError, match="trains"):
        run("swept", "--epochs", "3")


def test_a_sweep_that_was_stopped_goes_on_to_the_same_result(
    swept: dict[str, Any],
    run: Run,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the middle of the second cell."""
    told, count = verb._told_epoch, 0

    def stop(entry: dict[str, Any]) -> str:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return told(entry)

    with monkeypatch.context() as patch:
        patch.setattr(verb, "_told_epoch", stop)
        assert main(words(place, "stopped", "--pretrained", str(place / "float.npz"))) == 130
    assert (place / "stopped" / f"{NAMES[1]}.state").is_file()
    capsys.readouterr()
    result = run("stopped")
    out = capsys.readouterr().out
    assert "goes on: 1 of 4 cells are finished in" in out
    assert out.count(f"{NAMES[1]} epoch") == 1
    assert result["cells"] == swept["cells"]
    for name in NAMES:
        one, other = (place / run_ / f"{name}.npz" for run_ in ("swept", "stopped"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", ["whole", NAMES[0]])
def test_a_state_that_a_finished_cell_left_is_removed(
    place: Path, whole: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ended when the cell was written. A state of other choices stays."""
    note = Store.note

    def stops(self: Store, cell: str, outcome: dict[str, Any]) -> None:
        note(self, cell, outcome)
        if cell == name:
            raise KeyboardInterrupt

    more = ["--warm-epochs", "1", "--heads", "dscnn", "--tails", "frozen"]
    folder = f"left-{name}"
    with monkeypatch.context() as patch:
        patch.setattr(Store, "note", stops)
        assert main(words(place, folder, *more)) == 130
    state = place / folder / f"{name}.state"
    assert state.is_file()
    other = place / folder / "whole.state"
    assert main(words(place, folder, *more)) == 0
    assert not state.exists()
    Stages(pytest.importorskip("torch"), other, {"cell": "another"}).fact("it", lambda: 1)
    assert main(words(place, folder, *more)) == 0
    assert other.is_file()


def test_a_loss_that_is_no_number_keeps_the_last_good_state(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    epoch = DepthTraining.epoch

    def diverges(self: DepthTraining, number: int) -> dict[str, Any]:
        if number == 2:
            what = f"the loss of epoch {number} is not a finite number"
            raise Diverged(what, "use a smaller step size (--rate)")
        return epoch(self, number)

    monkeypatch.setattr(DepthTraining, "epoch", diverges)
    pretrained = ["--pretrained", str(place / "float.npz")]
    assert main(words(place, "diverged", *pretrained)) == 2
    state = place / "diverged" / f"{NAMES[0]}.state"
    assert capsys.readouterr().err == (
        f"picotrain: stage {NAMES[0]}: the loss of epoch 2 is not a finite number; use a smaller "
        f"step size (--rate); what was trained before it is kept in {state}\n"
    )
    import torch

    kept = torch.load(state, weights_only=True)["stages"][NAMES[0]]
    assert kept["done"] == 1
    assert all(bool(one.isfinite().all()) for one in kept["parameters"].values())


def test_without_a_pretrained_network_it_is_trained_and_kept(
    whole: dict[str, Any], place: Path
) -> None:
    more = ["--warm-epochs", "3", "--heads", "baseline", "--tails", "unfrozen"]
    assert main(words(place, "warm", *more)) == 0
    first = json.loads((place / "warm.json").read_text())
    assert [one["name"] for one in first["cells"]] == ["layer3-baseline-unfrozen"]
    assert (place / "warm" / "whole-float.npz").is_file()
    assert not (place / "warm" / "whole.state").exists()
    # As `pretrain` makes it; and it is not trained again.
    assert first["whole"]["test"] == whole["test_accuracy"]
    assert main(words(place, "warm", *more)) == 0
    again = json.loads((place / "warm.json").read_text())
    assert again["whole"] == first["whole"] and again["cells"] == first["cells"]


@pytest.mark.parametrize("how", ["gone", "damaged", "another run's"])
def test_a_whole_network_that_is_not_the_one_that_was_trained_is_trained_anew(
    whole: dict[str, Any], place: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the same numbers, so that finished cells stay what they are."""
    more = ["--warm-epochs", "2", "--heads", "baseline", "--tails", "frozen"]
    assert main(words(place, "again", *more)) == 0
    first = json.loads((place / "again.json").read_text())
    kept = place / "again" / "whole-float.npz"
    content = kept.read_bytes()
    if how == "gone":
        kept.unlink()
    elif how == "damaged":
        kept.write_bytes(content[:-99])
    else:
        kept.write_bytes((place / "float.npz").read_bytes())
    capsys.readouterr()
    assert main(words(place, "again", *more)) == 0
    told = capsys.readouterr().out
    assert "whole-float.npz is no" in told and ": it is trained anew\n" in told
    again = json.loads((place / "again.json").read_text())
    assert again["whole"] == first["whole"] and again["cells"] == first["cells"]
    assert kept.read_bytes() == content


def test_files_of_the_sweep_are_no_others(
    run: Run, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither what is read, nor what else is written."""
    folder = place / "mine"
    folder.mkdir()
    (folder / "whole.toml").write_text(TIED)
    model = words(place, "mine", "--model", str(folder / "whole.toml"))
    assert said(capsys, model) == (
        f"the sweep's file {folder}/whole.toml would overwrite the input {folder}/whole.toml; "
        "choose another file"
    )
    cell = folder / f"{NAMES[0]}.json"
    assert said(capsys, words(place, "mine", "--json", str(cell))) == (
        f"the sweep's file {cell} and --json {cell} are the same file; choose another for one of "
        "them"
    )
    assert sorted(one.name for one in folder.iterdir()) == ["whole.toml"]


def test_where_no_cell_fits_there_is_no_figure(
    whole: dict[str, Any], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = place / "large.toml"
    large.write_text(
        'form = "affine"\nname = "large"\ninput = [96, 96, 3]\n'
        '[[layer]]\nkind = "conv2d"\nchannels = 64\nkernel = 1\n'
        '[[layer]]\nkind = "conv2d"\nchannels = 4\nkernel = 1\n'
        '[[layer]]\nkind = "avgpool"\nglobal = true\n'
    )
    images = np.zeros((30, 96, 96, 3), np.uint8)
    np.savez(place / "large.npz", x=images, y=np.arange(30) % 4)
    out = ["--out", str(place / "large"), "--json", str(place / "large.json")]
    more = ["--warm-epochs", "1", "--epochs", "1", "--heads", "baseline", "--target", "host"]
    words = ["depth-prune", "--model", str(large), "--dataset", f"npz:{place}/large.npz", *more]
    assert main([*words, *out]) == 0
    told = capsys.readouterr().out
    assert "no figure: target host has no room for any of these networks" in told
    assert "chosen     layer0-baseline-frozen, 0.00 points" in told
    result = json.loads((place / "large.json").read_text())
    assert [one["taken"] for one in (result["whole"], *result["cells"])] == [None, None]
    assert not (place / "large" / "pareto.svg").exists()


def test_cycles_are_measured_anew_on_another_target(
    run: Run, place: Path, swept: dict[str, Any]
) -> None:
    missing = problem("qemu")
    if missing:
        pytest.skip(missing)
    result = run("swept", "--target", "qemu")
    ms = {one["name"]: one["taken"]["ms"] for one in (result["whole"], *result["cells"])}
    assert 0 < ms["layer3-baseline-frozen"] < ms["whole"] < ms["layer3-dscnn-frozen"]
    # What is written does not tell what the device ran before.
    parts = {name for one in result["cells"] for name in one["taken"]["ram_bytes"]}
    assert "network" in parts and not parts & {"stack", "total"}
    for now, before in zip(result["cells"], swept["cells"], strict=True):
        assert now["test"] == before["test"] and now["taken"]["ram"] == before["taken"]["ram"]


def said(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error.removeprefix("picotrain: ").rstrip("\n")


def test_mistakes_are_one_sentence_each(
    run: Run, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {
        ("--cuts", "sum16"): "network tied has no cut 'sum16'; use all, or of stem, layer3",
        ("--rate", "nan"): "--rate is nan; use a step size above 0, e.g. 0.1",
        ("--plot", "a.png"): "--plot a.png is no figure by its name; let it end in .svg",
        ("--pretrained", str(place / "float.npz"), "--warm-epochs", "3"): (
            "--warm-epochs is not an option of a network that is --pretrained; omit it"
        ),
        ("--model", "tinycnn"): (
            "network tinycnn is of the power-of-two form, and only affine ones are cut; describe "
            'it with form = "affine"'
        ),
        ("--model", "resnet8", "--dataset", "cifar10", "--cuts", "x"): (
            "network resnet8 has no cut 'x'; use all, or of in16, sum16, sum32"
        ),
    }
    for more, sentence in cases.items():
        assert said(capsys, words(place, "bad", *more)) == sentence
    backbone = str(place / "tied.npz")
    assert "is no network in floating point" in said(
        capsys, words(place, "bad", "--pretrained", backbone)
    )


def test_without_pytorch_the_command_that_installs_it_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "torch":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    told = said(capsys, words(place, "bad"))
    assert "needs PyTorch: `" in told and "pip install" in told and "torch" in told
    assert not (place / "bad").exists()
