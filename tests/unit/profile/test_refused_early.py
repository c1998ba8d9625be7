"""What is compared with is read, and refused, before the long work of a profile starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from picotrain import cli
from picotrain.errors import UserError
from picotrain.learn import calibration, models
from picotrain.output import write_json
from trainable_affine import trainable_network

GATES = [("profile", "--baseline"), ("memory", "--budget")]
ROOT = Path(__file__).resolve().parents[3]
BASELINE = ROOT / "tests" / "baselines" / "cycles-priot.json"


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("profile", "memory"):
        monkeypatch.delattr(f"picotrain.cli.profile.{verb}.open_device")
    monkeypatch.delattr("picotrain.cli.profile.memory.random_material")


OF_ONE_FORM = [
    ("memory --board microbit-chain --model resnet8", "affine", "microbit-chain", "microbit"),
    ("memory --board rp2040-affine --model vgg11", "power-of-two", "rp2040-affine", "rp2040"),
    ("adapt --backbone {chain} --kernels affine", "power-of-two", "--kernels affine", "chain"),
    ("adapt --model resnet8 --kernels chain", "affine", "--kernels chain", "affine"),
    ("verify --target qemu --model resnet8 --kernels chain", "affine", "--kernels chain", "affine"),
    ("infer --target qemu --backbone {chain} --kernels affine", "power-of-two", "affine", "chain"),
    ("profile --backbone {chain} --kernels affine", "power-of-two", "--kernels affine", "chain"),
]


@pytest.mark.parametrize(("words", "form", "firmware", "instead"), OF_ONE_FORM)
def test_firmware_of_the_other_form(
    words: str, form: str, firmware: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = models.backbone_path("tinycnn", "digits")
    assert cli.main([word.format(chain=chain) for word in words.split()]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f" is of the {form} form, which firmware " in told
    what, fix = told.split("; ")
    assert f"{firmware} does not know" in what and instead in fix


@pytest.mark.parametrize("verb", ["adapt", "infer", "profile"])
def test_images_of_another_shape_are_told_before_a_missing_backbone(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([verb, "--model", "motion", "--dataset", "digits"]) == 2
    assert capsys.readouterr().err == (
        "picotrain: network motion takes images of 50x1x6, data set digits has 28x28x1; use "
        "another network or data set\n"
    )


def test_a_missing_backbone_is_answered_with_those_of_its_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "MADE_BACKBONES", tmp_path)
    for model, dataset in (("oddnet", "digits"), ("tinycnn", "cifar10")):
        with pytest.raises(UserError) as caught:
            models.load_backbone(tmp_path / f"{model}-{dataset}.npz")
        told = str(caught.value)
        assert ("tinycnn-mnist.npz" in told) == (model == "tinycnn")
        assert "mobilenet" not in told


@pytest.mark.parametrize(("verb", "option"), GATES)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([], "JSON, but no object"),
        ({}, "it has no '"),
        ({"methods": {"priot": {"x": 1}}, "unit": 1}, " no "),
    ],
)
def test_what_is_none_is_told_in_plain_words(
    verb: str,
    option: str,
    content: object,
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "some.json"
    write_json(file, content)
    assert cli.main([verb, option, str(file)]) == 2
    said = capsys.readouterr().err
    assert str(file) in said and why in said
    assert len(said.splitlines()) == 1
    for python in ("Error", "__init__", "MethodBudget", "indices"):
        assert python not in said


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        (["--method", "niti-static"], "of method 'priot', this run of 'niti-static'"),
        (["--mu", "3"], "of mu 4, this run of 3"),
        (["--images", "8"], "of images 16, this run of 8"),
        (["--kernels", "portable"], "of kernels 'tuned', this run of 'portable'"),
        (["--angle", "30"], "of angle 180.0, this run of 30.0"),
    ],
)
def test_a_baseline_of_something_else(
    options: list[str], differs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"--images": "16", "--angle": "180", "--method": "priot"}
    given = same | dict(zip(options[::2], options[1::2], strict=True))
    words = [word for pair in given.items() for word in pair]
    assert cli.main(["profile", "--target", "qemu", *words, "--baseline", str(BASELINE)]) == 2
    assert f"picotrain: the baseline is {differs}; compare" in capsys.readouterr().err


def test_growth_is_a_percentage_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["profile", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--max-regress PERCENT with --baseline: growth allowed, such as 0.5% or 2% (" in said
    assert "2% (default: 0.5%)" in said


def test_images_that_an_affine_network_does_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it is calibrated on them."""
    network, path = trainable_network(4), tmp_path / "net.npz"
    models.save_backbone(path, network, {})
    assert cli.main(["profile", "--target", "qemu", "--backbone", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"picotrain: network {network.name} takes images of ")
    assert told.endswith("data set digits has 28x28x1; use another network or data set\n")


def test_what_does_not_fit_is_told_before_it_is_calibrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, path = models.load_network("resnet8"), tmp_path / "net.npz"
    models.save_backbone(path, network, {})
    data = tmp_path / "images.npz"
    np.savez(data, x=np.zeros((20, 32, 32, 3), np.uint8), y=np.arange(20) % 10)
    monkeypatch.setattr(calibration, "calibrated_by", lambda *_, **__: pytest.fail("calibrated"))
    words = ["--backbone", str(path), "--dataset", f"npz:{data}", "--method", "niti-static"]
    assert cli.main(["profile", "--target", "qemu", *words]) == 1
    told = capsys.readouterr().err
    assert (
        "resnet8 with niti-static needs 260,660 bytes and the device has" in told
        and told.count("\n") == 1
    )
