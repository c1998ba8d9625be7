"""The command line: results, exit codes, one sentence for each mistake, and partial results."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from picotrain import cli
from picotrain.device import backends
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import BatchResult
from picotrain.learn import models

REQUIRED = {
    "target",
    "dataset",
    "angle",
    "method",
    "seed",
    "epochs",
    "train_samples",
    "test_samples",
    "accuracy_before",
    "accuracy_best",
    "accuracy_final",
    "history",
    "saturation",
    "cycles_per_train_image",
    "cycles_per_infer_image",
    "ms_per_train_image_125mhz",
    "ram_bytes",
    "code_bytes",
    "state_sha256",
    "wall_seconds",
    "versions",
}

SMALL = ["--train-samples", "40", "--test-samples", "30", "--epochs", "2", "--seed", "3"]


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


def adapt(tmp_path: Path, target: str, *more: str) -> dict[str, object]:
    file = tmp_path / f"{target}.json"
    assert run("adapt", "--target", target, "--json", str(file), *SMALL, *more) == 0
    result: dict[str, object] = json.loads(file.read_text())
    return result


@pytest.mark.parametrize("method", ["niti-dynamic", "niti-static", "priot", "priot-s"])
def test_adapt_gives_the_same_result_on_golden_and_host(tmp_path: Path, method: str) -> None:
    golden = adapt(tmp_path, "golden", "--method", method)
    host = adapt(tmp_path, "host", "--method", method)
    assert golden["state_sha256"] == host["state_sha256"]
    assert golden["history"] == host["history"]
    assert golden["saturation"] == host["saturation"]
    assert golden["ram_bytes"] == host["ram_bytes"]


def test_adapt_json_has_what_it_promises(tmp_path: Path) -> None:
    result = adapt(tmp_path, "host")
    assert set(result) >= REQUIRED
    assert result["complete"] is True
    history = result["history"]
    assert isinstance(history, list)
    accuracies = [epoch["accuracy"] for epoch in history]
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    assert result["accuracy_best"] == max(accuracies)
    assert result["accuracy_final"] == accuracies[-1]
    saturation = result["saturation"]
    assert isinstance(saturation, list)
    assert len(saturation) == 6
    assert all(len(epochs) == 2 for epochs in saturation)
    ram = result["ram_bytes"]
    assert isinstance(ram, dict)
    assert ram["total"] is None  # this machine's code is no board's
    parts = [size for name, size in ram.items() if name != "network" and size is not None]
    assert ram["network"] == sum(parts)
    assert (ram["weights"], ram["scores"]) == (52040, 52040)


def test_two_seeds_give_two_results(tmp_path: Path) -> None:
    one = adapt(tmp_path, "host")
    other = adapt(tmp_path, "host", "--seed", "4")
    assert one["state_sha256"] != other["state_sha256"]
    assert one["history"] != other["history"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["adapt", "--dataset", "foo"],
            "use mnist, digits, cifar10, fsdd-SPEAKER, spoken-digits, watch-PERSON, npz:FILE, "
            "speech-commands:FOLDER or wake-words:FOLDER",
        ),
        (["adapt", "--target", "foo"], "use one of golden, host, qemu"),
        (["adapt", "--method", "foo"], "use one of infer, niti-dynamic"),
        (["adapt", "--method", "infer"], "trains nothing"),
        (["adapt", "--model", "foo"], "neither a file nor one of ds-cnn, mobilenet-"),
        (["adapt", "--mu", "9"], "mu is 9, outside -8..7"),
        (["adapt", "--mu", "1,x"], "no list of whole numbers"),
        (["adapt", "--scored", "2"], "use 0.001 to 1"),
        (["adapt", "--threshold", "200"], "theta is 200"),
        (["adapt", "--scored", "0.1"], "--scored is an option of priot-s, not of priot; omit it"),
        (
            ["memory", "--method", "niti-static", "--start", "zero"],
            "priot and priot-s, not of niti-",
        ),
        (["verify", "--method", "priot,infer", "--select", "random"], "not of priot, infer; omit"),
        (["adapt", "--test-samples", "401"], "the split has 400"),
        (["adapt", "--target", "qemu", "--ram-kib", "9"], "memory of target qemu is fixed"),
        (["adapt", "--backbone", "nowhere.npz"], "there is no backbone at nowhere.npz"),
        (["verify", "--target", "golden"], "golden against golden"),
        (
            ["profile", "--target", "host"],
            "target host has no counts by layer; use --target qemu or renode",
        ),
        (["data", "fetch"], "fetch needs a data set"),
        (["pretrain", "--out", "a.txt"], "--out a.txt is no backbone by its name; let it end in"),
        (["pretrain", "--out", "x.npz", "--mu", "99"], "outside -8..7"),
        (["pretrain", "--out", "x.npz", "--rate", "1"], "--rate is not an option"),
        (["pretrain", "--out", "x.npz", "--no-mirror"], "--no-mirror is not an option"),
        (["pretrain", "--out", "x.npz", "--mirror"], "--mirror is not an option"),
        (["pretrain", "--out", "x.npz", "--model", "oddnet"], "takes images of 21x19x3"),
    ],
)
def test_a_mistake_gets_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert run(*arguments) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("picotrain: ")
    assert sentence in message


@pytest.mark.parametrize("target", ["golden", "host"])
def test_a_model_that_does_not_fit_says_by_how_much(
    capsys: pytest.CaptureFixture[str], target: str
) -> None:
    needed = 52352 + 52040 + 29584 + 796
    assert run("adapt", "--target", target, "--ram-kib", "100", *SMALL) == 1
    message = capsys.readouterr().err
    assert f"needs {needed:,} bytes" in message
    assert f"{needed - 102400:,} are missing" in message
    assert "largest buffer is the weights of layer 4 with 50,176 bytes" in message
    assert (
        run("verify", "--target", "host", "--model", "vgg11", "--method", "priot", "--steps", "1")
        == 1
    )
    assert "weights of layer 8 with 2,359,296 bytes" in capsys.readouterr().err


def test_an_interrupt_leaves_a_valid_partial_result(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    command = [sys.executable, "-m", "picotrain", "adapt", "--target", "host"]
    command += ["--json", str(file), "--epochs", "1000", "--train-samples", "64"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
        # A shell's background jobs, and so their children, are born with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   2"):
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in error
    assert str(file) in error
    assert "Traceback" not in error
    result = json.loads(file.read_text())
    assert result["complete"] is False
    assert len(result["history"]) >= 2
    assert result["accuracy_final"] == result["history"][-1]["accuracy"]
    assert list(tmp_path.iterdir()) == [file]


def test_verify_finds_no_difference_and_says_what_it_compared(tmp_path: Path) -> None:
    file = tmp_path / "verify.json"
    assert run("verify", "--target", "host", "--steps", "2", "--json", str(file)) == 0
    result = json.loads(file.read_text())
    assert [entry["method"] for entry in result["runs"]] == [
        "infer",
        "niti-dynamic",
        "niti-static",
        "priot",
        "priot-s (random)",
        "priot-s (weight)",
    ]
    assert all(entry["differences"] == 0 and entry["steps"] == 2 for entry in result["runs"])


def test_verify_exits_with_an_error_and_names_the_element(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = GoldenDevice.evaluate

    def wrong(self: GoldenDevice, *arguments: object) -> BatchResult:
        result = original(self, *arguments)  # type: ignore[arg-type]
        result.predictions[1] += 1
        return result

    monkeypatch.setattr(GoldenDevice, "evaluate", wrong)
    assert run("verify", "--target", "host", "--method", "priot", "--steps", "3") == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("picotrain: MISMATCH: step 3, layer -1, evaluate predictions[1]")


def test_targets_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "QEMU", "no-such-program")
    assert run("targets") == 0
    output = capsys.readouterr().out
    assert "qemu: install the package qemu-system-arm" in output


def test_pretrain_with_the_users_own_network_and_data(tmp_path: Path) -> None:
    network = tmp_path / "mine.toml"
    network.write_text(
        'name = "mine"\ninput = [9, 8, 3]\n'
        '[[layer]]\nkind = "conv2d"\nchannels = 4\nkernel = 3\nrelu = true\n'
        '[[layer]]\nkind = "linear"\noutputs = 2\n'
    )
    pixels = np.random.default_rng(0).integers(0, 120, (60, 9, 8, 3), dtype=np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 2
    pixels[labels == 1, :4] += 120
    np.savez(tmp_path / "mine.npz", x=pixels, y=labels)
    data = f"npz:{tmp_path / 'mine.npz'}"
    backbone = tmp_path / "backbone.npz"
    # Dark and bright images: whether one static scale serves both depends on the first weights.
    arguments = ["--model", str(network), "--dataset", data, "--seed", "7"]
    assert run("pretrain", *arguments, "--out", str(backbone), "--epochs", "4") == 0
    trained, info = models.load_backbone(backbone)
    assert trained.layers[0].out_shape == (7, 6, 4)
    assert info["history"][-1]["train_accuracy"] == 1.0
    again = tmp_path / "again.npz"
    assert run("pretrain", *arguments, "--out", str(again), "--epochs", "4") == 0
    for one, other in zip(
        trained.parameters, models.load_backbone(again)[0].parameters, strict=True
    ):
        assert one is not None and other is not None
        assert np.array_equal(one.weights, other.weights)
    file = tmp_path / "adapted.json"
    arguments += ["--backbone", str(backbone), "--json", str(file), "--target", "host"]
    assert run("adapt", *arguments, "--angle", "0", "--epochs", "1") == 0
    assert json.loads(file.read_text())["accuracy_before"] == 1.0


def test_the_shipped_backbones_say_how_they_were_made() -> None:
    for dataset in ("digits", "mnist"):
        network, info = models.load_backbone(models.backbone_path("tinycnn", dataset))
        assert info["command"].startswith(f"picotrain pretrain --model tinycnn --dataset {dataset}")
        assert models.load_histograms(models.backbone_path("tinycnn", dataset)) is not None
        assert network.logits_exponent == -3


def test_every_verb_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("targets", "data", "pretrain", "adapt", "verify", "profile"):
        with pytest.raises(SystemExit) as stopped:
            run(verb, "--help")
        assert stopped.value.code == 0
        text = capsys.readouterr().out
        assert f"example: picotrain {verb}" in " ".join(text.split())
        assert "--json FILE" in text


def test_importing_the_command_line_is_quick() -> None:
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "picotrain", "--help"], check=True, capture_output=True)
    assert time.monotonic() - start < 10


def test_nobody_reads_on() -> None:
    """As `| head -1`: no traceback, and the status of a broken pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "picotrain", "targets"],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_result_of_a_serial_target_has_a_name_for_any_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    written: list[Path] = []
    monkeypatch.setattr("picotrain.output.check", written.append)
    port = "serial:socket://127.0.0.1:9"
    assert cli.main(["adapt", "--target", port, "--dataset", "digits", "--epochs", "1"]) == 1
    stem = "picotrain-results/adapt-tinycnn-digits-priot-serial-socket-127.0.0.1-9-0-"
    assert [re.sub("[0-9a-f]{8}.json$", "", str(path)) for path in written] == [stem]
