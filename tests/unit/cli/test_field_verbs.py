"""`adapt --save` and `--resume`, `bake` and `infer`, as a user types them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain import cli, load_state
from picotrain.image import firmware
from picotrain.learn import models
from support import require

SMALL = ["--train-samples", "60", "--test-samples", "40"]
BACKBONE = str(models.BACKBONES / "tinycnn-digits.npz")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    require(firmware.HOST)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def adapt(*more: str, target: str = "host", json_: str = "r.json") -> int:
    return cli.main(["adapt", "--target", target, *SMALL, "--json", json_, *more])


def result(name: str = "r.json") -> dict[str, Any]:
    return json.loads(Path(name).read_text())  # type: ignore[no-any-return]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("picotrain: ")


def test_one_run_in_two(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adapt("--epochs", "4", "--mu", "3", "--save", "whole.npz") == 0
    whole = result()
    assert "learned: whole.npz\n" in capsys.readouterr().out
    assert adapt("--epochs", "2", "--mu", "3", "--save", "state.npz", target="golden") == 0
    again = ("--epochs", "4", "--mu", "3", "--save", "state.npz", "--resume", "state.npz")
    capsys.readouterr()
    assert adapt(*again) == 0
    assert "\ngoes on from state.npz: epoch 3 of 4\n" in capsys.readouterr().out
    assert Path("state.npz").read_bytes() == Path("whole.npz").read_bytes()
    assert result()["history"] == whole["history"]
    assert result()["state_sha256"] == whole["state_sha256"]
    assert adapt(*again) == 2
    assert told(capsys) == (
        "state.npz has 4 epochs done, and 4 are asked for; give --epochs 5 or more, which counts "
        "those that are done"
    )
    assert Path("state.npz").read_bytes() == Path("whole.npz").read_bytes()


def test_another_schedule_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adapt("--epochs", "2", "--save", "state.npz") == 0
    assert adapt("--epochs", "3", "--resume", "state.npz") == 0
    assert (
        "goes on from state.npz: epoch 3 of 3; mu was 4,3 so far, where one run of 3 epochs has "
        "4,3, so"
    ) not in (shown := capsys.readouterr().out)
    assert "goes on from state.npz: epoch 3 of 3\n" in shown
    assert adapt("--epochs", "6", "--resume", "state.npz") == 0
    assert (
        "epoch 3 of 6; mu was 4,3 so far, where one run of 6 epochs has 4,4, so the end is not the "
        "same as of that run\n"
    ) in capsys.readouterr().out
    assert adapt("--epochs", "1", "--resume", "state.npz", "--angle", "20") == 0
    begins = "begins with what state.npz has learned; the images, or their order, are new\n"
    assert begins in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_the_state_of_its_last_epoch(
    here: Path, number: signal.Signals
) -> None:
    words = ["adapt", "--target", "host", *SMALL, "--mu", "3", "--save", "state.npz"]
    command = [sys.executable, "-m", "picotrain", *words, "--epochs", "2000", "--json", "r.json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch   3"):
                process.send_signal(number)
                break
        _, err = process.communicate(timeout=60)
    state = load_state("state.npz")
    assert state.epochs >= 3
    assert f"what was learned in {state.epochs} epochs is in state.npz" in err.splitlines()
    assert sorted(path.name for path in here.iterdir()) == ["r.json", "state.npz"]
    epochs = str(state.epochs + 1)
    assert adapt("--mu", "3", "--epochs", epochs, "--resume", "state.npz") == 0
    resumed = result()["state_sha256"]
    assert adapt("--mu", "3", "--epochs", epochs) == 0
    assert result()["state_sha256"] == resumed


def test_what_cannot_be_resumed_or_saved(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adapt("--epochs", "1", "--save", "state.npz") == 0
    before = Path("state.npz").read_bytes()
    Path("cut.npz").write_bytes(before[:-900])
    mnist = str(models.BACKBONES / "tinycnn-mnist.npz")
    for words, sentence in (
        (["--resume", "no.npz"], "there is no state at no.npz; give a file of"),
        (["--resume", "cut.npz"], "cut.npz is damaged, or no state (it is a zip file without"),
        (["--resume", BACKBONE], f"{BACKBONE} is no state but a backbone; give a file of"),
        (["--resume", "state.npz", "--method", "niti-static"], "state.npz is of another method"),
        (["--resume", "state.npz", "--threshold", "3"], "state.npz is of another method"),
        (["--resume", "state.npz", "--backbone", mnist], "state.npz is of another network: of"),
        (["--save", "-"], "--save - is no file for a state; name one that ends in .npz"),
        (["--save", "state.json"], "--save state.json is no file for a state; name one that"),
        (["--save", "no/../x/\0.npz"], "cannot write"),
    ):
        assert adapt(*words) == 2
        assert told(capsys).startswith(sentence), words
    assert adapt("--resume", "state.npz", json_="state.npz") == 2
    assert "--json state.npz would overwrite the input state.npz" in told(capsys)
    assert Path("state.npz").read_bytes() == before


@pytest.mark.parametrize("method", ["priot", "priot-s", "niti-static"])
def test_baked_does_what_the_state_does(
    here: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    assert adapt("--epochs", "2", "--method", method, "--save", "state.npz") == 0
    final = result()["accuracy_final"]
    bake = ["bake", "--backbone", BACKBONE, "--state", "state.npz", "--out", "baked.npz"]
    assert cli.main([*bake, "--json", "b.json"]) == 0
    said, told_ = capsys.readouterr().out, result("b.json")
    assert f"\nbaked{' ' * (len(method) + 13)}" in said and "wrote: baked.npz\n" in said
    assert told_["bytes"] == {"flash": 52_352, "ram": 62_428, "ram_lean": 10_076}
    learned = {"priot": 52_040, "priot-s": 5_175, "niti-static": 52_040}[method]
    assert told_["bytes_before"]["flash"] == 52_352 + learned
    assert (sum(told_["zeros"]) > sum(told_["zeros_before"])) or method == "niti-static"
    of = []
    for target, words in (
        ("host", ["--state", "state.npz"]),
        ("golden", ["--state", "state.npz"]),
        ("host", ["--backbone", "baked.npz"]),
        ("golden", ["--backbone", "baked.npz", "--plan", "lean"]),
    ):
        command = ["infer", "--target", target, "--images", "40", "--json", "i.json", *words]
        assert cli.main(command) == 0
        of.append(result("i.json"))
    assert len({json.dumps(one["predictions"]) for one in of}) == 1
    assert {one["accuracy"] for one in of} == {final}
    assert of[0]["state_sha256"] == result()["state_sha256"]
    assert of[3]["ram_bytes"]["network"] == 10_076
    # It is a backbone like any other, and trains on.
    assert adapt("--epochs", "1", "--method", method, "--backbone", "baked.npz") == 0
    assert result()["network_sha256"] == told_["network_sha256_baked"]


def test_infer_counts_every_class(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--split", "validation", "--images", "90", "--angle", "0", "--json", "i.json"]
    assert cli.main(["infer", "--target", "golden", *words]) == 0
    shown, found = capsys.readouterr().out, result("i.json")
    predictions, labels = np.array(found["predictions"]), np.array(found["labels"])
    assert len(predictions) == len(labels) == found["images"] == 90
    assert found["accuracy"] == float((predictions == labels).mean()) > 0.9
    for one, other in np.ndindex(10, 10):
        expected = int(((labels == one) & (predictions == other)).sum())
        assert found["confusion"][one][other] == expected
    for one in found["classes"]:
        here_ = labels == one["class"]
        assert (
            one["images"] == here_.sum()
            and one["correct"] == (predictions[here_] == one["class"]).sum()
        )
        assert one["accuracy"] == one["correct"] / one["images"]
        assert one["predicted"] == (predictions == one["class"]).sum()
    assert (found["method"], found["split"], found["cycles_per_image"]) == (
        "infer",
        "validation",
        None,
    )
    right = int((predictions == labels).sum())
    assert f"\naccuracy   {found['accuracy']:.4f}, {right} of 90\n" in shown
    rows = [line.split() for line in shown.splitlines() if line.strip()[:1].isdigit()]
    assert [row[:3] for row in rows] == [
        [str(one["class"]), str(one["images"]), str(one["correct"])] for one in found["classes"]
    ]


def test_infer_refuses_what_it_cannot_show(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infer", "--target", "golden", "--split", "tset"]) == 2
    assert told(capsys) == (
        "data set digits has no split 'tset'; use one of train, validation, test"
    )
    assert cli.main(["infer", "--target", "golden", "--images", "9999"]) == 2
    assert "a sample of 9999 images cannot be taken: the split has" in told(capsys)
    assert adapt("--epochs", "1", "--method", "niti-static", "--save", "state.npz") == 0
    assert cli.main(["infer", "--state", "state.npz", "--plan", "lean"]) == 2
    assert told(capsys).startswith("method niti-static trains the weights, which --plan lean keeps")
    mnist = str(models.BACKBONES / "tinycnn-mnist.npz")
    assert cli.main(["infer", "--state", "state.npz", "--backbone", mnist]) == 2
    assert told(capsys).startswith("state.npz is of another network: of tinycnn with digest ")
    shutil.copy(BACKBONE, "b.npz")
    bake = ["bake", "--backbone", "b.npz", "--state", "state.npz", "--out"]
    for out, sentence in (
        ("b.npz", "--out b.npz would overwrite the input b.npz; choose another file"),
        ("state.npz", "--out state.npz would overwrite the input state.npz; choose another file"),
        ("baked.bin", "--out baked.bin is no backbone by its name; let it end in .npz"),
    ):
        assert cli.main([*bake, out]) == 2
        assert told(capsys) == sentence
