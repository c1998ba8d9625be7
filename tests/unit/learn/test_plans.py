"""The choice of the memory plan on the command line, and what results say of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import support
from picotrain import cli
from picotrain.device.backends import KERNELS
from picotrain.device.room import nearest, shortage
from picotrain.errors import UserError
from picotrain.image.elf import open_elf
from picotrain.image.firmware import arena_bytes
from picotrain.learn import plans
from picotrain_golden import Method
from support import INFER, METHODS

SMALL = ["--train-samples", "40", "--test-samples", "30", "--epochs", "2", "--seed", "3"]


def adapt(folder: Path, target: str, plan: str, method: str) -> dict[str, object]:
    file = folder / f"{target}-{plan}.json"
    chosen = ["--target", target, "--plan", plan, "--method", method, "--json", str(file)]
    assert cli.main(["adapt", *chosen, *SMALL]) == 0
    result: dict[str, object] = json.loads(file.read_text())
    return result


def test_lean_allows_what_trains_no_weights() -> None:
    for method in (*METHODS.values(), INFER):
        assert plans.allows("fast", method)
        assert plans.allows("lean", method) == (method.name in ("infer", "priot", "priot-s"))
        plans.check("fast", method)
    with pytest.raises(UserError, match="niti-static trains the weights, which --plan lean keeps"):
        plans.check("lean", METHODS["niti-static"])
    assert plans.note("fast") == ""
    assert "flash" in plans.note("lean") and "40-256 cycles" in plans.note("lean")


@pytest.mark.parametrize("verb", ["adapt", "verify", "profile", "memory"])
def test_niti_is_refused_before_anything_runs(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    chosen = ["--method", "niti-dynamic", "--plan", "lean", "--json", str(file)]
    assert cli.main([verb, *chosen]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.strip().splitlines() == [
        "picotrain: method niti-dynamic trains the weights, which --plan lean keeps in flash; "
        "use --plan fast, or priot or priot-s"
    ]
    assert not file.exists()


@pytest.mark.parametrize("method", ["priot", "priot-s"])
def test_adapt_lean_differs_from_fast_in_memory_alone(tmp_path: Path, method: str) -> None:
    fast = adapt(tmp_path, "host", "fast", method)
    lean = adapt(tmp_path, "host", "lean", method)
    golden = adapt(tmp_path, "golden", "lean", method)
    assert fast["plan"] == "fast" and fast["plan_note"] == "" and fast["model_in_flash"] == 0
    for field in ("history", "saturation", "state_sha256", "accuracy_before"):
        assert fast[field] == lean[field] == golden[field], field
    for field in ("ram_bytes", "model_in_flash", "plan", "plan_note"):
        assert lean[field] == golden[field], field
    assert (lean["plan"], lean["plan_note"]) == ("lean", plans.LEAN_NOTE)
    before, after = fast["ram_bytes"], lean["ram_bytes"]
    assert isinstance(before, dict) and isinstance(after, dict)
    assert lean["model_in_flash"] == before["weights"] + before["model_table"] == 52352
    assert before["network"] - after["network"] == 52352
    changed = {part for part in before if before[part] != after[part]}
    assert changed == {"network", "weights", "model_table"}


def test_adapt_says_where_the_weights_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapt(tmp_path, "host", "fast", "priot")
    assert "flash" not in capsys.readouterr().out
    adapt(tmp_path, "host", "lean", "priot")
    printed = capsys.readouterr().out
    assert "in flash   model 52,352" in printed and plans.LEAN_NOTE in printed


@pytest.mark.parametrize(
    ("kib", "advice"),
    [
        (128, "use --fused (116,656 bytes), or"),
        (112, "use --plan lean (82,420 bytes), or"),
        (72, "use --fused --plan lean (64,304 bytes), or"),
        (48, "use priot-s with --plan lean (42,068 bytes), or"),
    ],
)
def test_what_fits_is_proposed_with_pairs_as_one_operation(
    kib: int, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["adapt", "--target", "host", "--ram-kib", str(kib)]) == 1
    assert f"; {advice}" in capsys.readouterr().err


def advice(
    name: str, target: str, room: int, *, lean: bool = False, kernels: str = "tuned", **given: bool
) -> str:
    """What is said of tinycnn where there are `room` bytes."""
    image = KERNELS[target][kernels]
    support.require(image)
    method, network = Method(name, **given), support.shipped("tinycnn")
    short = shortage(network, method, lean, room, open_elf(image), target)
    assert short is not None
    return short.advice


def test_firmware_of_one_form_is_proposed_where_it_has_the_room() -> None:
    """After one option that needs no other firmware; not where it runs, or where there is none."""
    for target in ("qemu", "rp2040js"):
        wide = arena_bytes(support.require(KERNELS[target]["chain"]))
        room = f"of {wide:,} bytes)"
        form = f"use --kernels chain (87,400 {room}"
        assert advice("niti-dynamic", target, 87_399).startswith(form)
        said = advice("priot", target, 60_000, lean=True)
        assert said.startswith(f"use --kernels chain (82,420 {room}")
        assert advice("priot", target, 116_656).startswith("use --fused (116,656 bytes)")
        assert advice("priot", target, 60_000, lean=True, fused=True).startswith(
            f"use --kernels chain (64,304 {room}"
        )
        assert "--kernels" not in advice("niti-dynamic", target, 87_399, kernels="chain")
    assert "--kernels" not in advice("niti-dynamic", "renode", 87_399)
    assert "--kernels" not in advice("niti-dynamic", "host", 87_399, kernels="portable")


def test_several_options_together_are_proposed_where_one_is_too_little() -> None:
    """Of a network that is wider than the whole firmware leaves room for."""
    elf = open_elf(support.require(KERNELS["qemu"]["tuned"]))
    network = support.shipped("tinycnn")
    wide = arena_bytes(support.require(KERNELS["qemu"]["chain"]))
    assert nearest(network, Method("priot"), False, wide, elf, "qemu") == ("", "(134,772 bytes)")
    resnet8, priot = support.shipped("resnet8"), Method("priot")
    assert nearest(resnet8, priot, True, 200_000, elf, "qemu") == ("", "")


def test_infer_takes_fewer_bytes_as_one_operation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says the same of the images; a state's method too."""
    state = tmp_path / "state.npz"
    chosen = ["--target", "host", "--method", "priot", "--fused", "--save", str(state)]
    chosen += ["--json", str(tmp_path / "adapt.json")]
    assert cli.main(["adapt", *chosen, *SMALL]) == 0
    assert "test images, convolution and pool as one\n" in capsys.readouterr().out
    for given in ([], ["--state", str(state)]):
        found = []
        for how in ([], ["--fused"]):
            file = tmp_path / "infer.json"
            words = ["infer", "--images", "30", *given, *how, "--json", str(file)]
            assert cli.main(words) == 0
            said = ", convolution and pool as one\n" in capsys.readouterr().out
            found.append(json.loads(file.read_text()))
            assert said == found[-1]["fused"]
        apart, one = found
        assert one["predictions"] == apart["predictions"]
        assert one["fused"]
        if not given:
            assert one["ram_bytes"]["network"] < apart["ram_bytes"]["network"]


def test_verify_says_which_method_ran_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "verify.json"
    words = ["verify", "--target", "host", "--method", "all", "--steps", "1", "--fused"]
    assert cli.main([*words, "--json", str(file)]) == 0
    apart = [line for line in capsys.readouterr().out.splitlines() if line.endswith(", not fused")]
    assert [line.split()[0] for line in apart] == ["niti-dynamic"]
    runs = json.loads(file.read_text())["runs"]
    assert len(runs) == 6
    assert [one["method"] for one in runs if not one["fused"]] == ["niti-dynamic"]


@pytest.mark.parametrize(
    ("verb", "chosen", "why"),
    [
        ("fit", ["resnet8"], "resnet8 has no convolution of the power-of-two form"),
        ("fit", ["oddnet", "--method", "niti-dynamic"], "niti-dynamic needs the whole map"),
        ("adapt", ["--method", "niti-dynamic"], "niti-dynamic needs the whole map between"),
        ("adapt", ["--model", "resnet8"], "network resnet8 takes images of 32x32x3, data set digi"),
        ("infer", ["--model", "ds-cnn", "--dataset", "spoken-digits"], "ds-cnn has no convolution"),
        ("verify", ["--method", "niti-dynamic"], "niti-dynamic needs the whole map between"),
        ("profile", ["--method", "niti-dynamic"], "niti-dynamic needs the whole map between"),
        ("memory", ["--model", "resnet8"], "resnet8 has no convolution of the power-of-two form"),
        ("verify", ["--model", "resnet8"], "resnet8 has no convolution of the power-of-two form"),
    ],
)
def test_fused_is_refused_where_it_changes_nothing(
    verb: str, chosen: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([verb, *chosen, "--fused"]) == 2
    assert capsys.readouterr().err.startswith(f"picotrain: {why}")


def test_only_what_is_one_operation_is_called_fused() -> None:
    chain, graph = support.shipped("oddnet"), support.shipped("resnet8")
    priot, dynamic = (Method(name, fused=True) for name in ("priot", "niti-dynamic"))
    assert plans.named("lean", priot, chain) == "lean, fused"
    assert plans.named("lean", priot, graph) == "lean"
    assert plans.named("fast", dynamic, chain) == "fast"
    plans.check_fused(chain, dynamic, priot)


def test_verify_all_takes_what_lean_allows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "verify.json"
    chosen = ["--model", "oddnet", "--steps", "3", "--plan", "lean", "--json", str(file)]
    assert cli.main(["verify", *chosen]) == 0
    content = json.loads(file.read_text())
    assert (content["plan"], content["plan_note"]) == ("lean", plans.LEAN_NOTE)
    labels = [one["method"] for one in content["runs"]]
    assert labels == ["infer", "priot", "priot-s (random)", "priot-s (weight)"]
    assert all(one["differences"] == 0 for one in content["runs"])
    assert "plan lean" in capsys.readouterr().out


def test_verify_all_by_default_takes_every_method(tmp_path: Path) -> None:
    file = tmp_path / "verify.json"
    assert cli.main(["verify", "--model", "oddnet", "--steps", "1", "--json", str(file)]) == 0
    labels = [one["method"] for one in json.loads(file.read_text())["runs"]]
    assert labels == [
        *("infer", "niti-dynamic", "niti-static", "priot", "priot-s (random)", "priot-s (weight)")
    ]
