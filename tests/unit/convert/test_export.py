"""What is exported: blobs and headers that the firmware opens, .tflite files that come back."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import float_graphs
import slow_affine
import support
from picotrain.cli import main
from picotrain.convert.export.header import header
from picotrain.convert.export.tflite_file import tflite_file
from picotrain.convert.importer import Imported, import_model
from picotrain.convert.model import parsed
from picotrain.device.blob import encode
from picotrain.errors import UserError
from picotrain.image.elf import Elf
from picotrain.learn import models
from picotrain.learn.affine_file import Scales
from picotrain.quantise.quantise import quantise
from picotrain_golden import Method, Network, Trainer, validate

pytest.importorskip("tflite", reason="tflite is not installed: pip install -e '.[convert]'")
pytest.importorskip("tflite_micro", reason="tflite-micro is not installed (extra: convert)")

from support import reference_model
from test_check import MODELS, equal, imported, residual
from tflite_builder import Builder

ROOT = Path(__file__).resolve().parents[3]


def comes_back(one: Network, scales: Scales | None) -> Imported:
    """The network of the file, which is the one that was exported."""
    content = tflite_file(one, scales)
    assert tflite_file(one, scales) == content
    found = import_model(parsed(Path("again.tflite"), content), one.name)
    alike = [
        replace(layer, inputs=one.reads(index)) for index, layer in enumerate(found.network.layers)
    ]
    same = replace(found.network, layers=tuple(alike))
    wanted = [replace(layer, inputs=one.reads(n)) for n, layer in enumerate(one.layers)]
    assert models.network_sha256(same) == models.network_sha256(replace(one, layers=tuple(wanted)))
    return found


# .tflite


@pytest.mark.parametrize("name", MODELS)
def test_imported_models_come_back(tmp_path: Path, name: str) -> None:
    for seed in range(3):
        builder = Builder(seed)
        one = imported(tmp_path, builder.finish(MODELS[name][1](builder)))
        again = comes_back(one.network, one.scales)
        assert again.scales == one.scales
        equal(again, 4)


def test_forks_come_back(tmp_path: Path) -> None:
    builder = Builder(5)
    one = imported(tmp_path, builder.finish(residual(builder)))
    assert equal(comes_back(one.network, one.scales), 4) > 0


def drawn(seed: int) -> tuple[Network, Scales]:
    """Quantised: a fork, paddings of all sorts, pools, a mean, linear layers."""
    net = float_graphs.Drawn(seed, (11, 9, 3))
    first = net.windowed("conv2d", -1, (3, 3), (2, 2), (1, 0), (1, 2), 8, 0.0, 6.0)
    each = net.windowed("depthwise", first, (3, 3), (1, 1), (2, 1), (1, 2), least=0.0)
    point = net.windowed("conv2d", each, (2, 2), channels=8)
    fork = net.add(first, point, least=0.0)
    high = net.windowed("maxpool", fork, (3, 2), (2, 1))
    mean = net.windowed("avgpool", high, (2, 2))
    whole = net.windowed("avgpool", mean, net.shape_of(mean)[:2])
    net.linear(net.linear(whole, 16, least=0.0), 5)
    images = np.random.default_rng(seed).normal(0, 1, (16, 11, 9, 3))
    made = quantise(net.graph(), images)
    return made.network, Scales.of(made)


@pytest.mark.parametrize("seed", range(4))
def test_quantised_graphs_come_back(seed: int) -> None:
    assert equal(comes_back(*drawn(seed)), 4) > 0


@pytest.mark.parametrize("name", ["kws_ref_model", "vww_96_int8"])
def test_reference_models_come_back(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = tmp_path / "first.npz", tmp_path / "again.npz"
    out = tmp_path / f"{name}.tflite"
    assert main(["import", str(reference_model(name)), "--out", str(first)]) == 0
    assert main(["export", str(first), "--out", str(out)]) == 0
    assert main(["import", str(out), "--out", str(again)]) == 0
    assert main(["check", str(out), "--random", "3"]) == 0
    assert "elements equal for 3 inputs: golden and TFLite Micro" in capsys.readouterr().out
    one, other = models.load_backbone(first)[0], models.load_backbone(again)[0]
    assert models.network_sha256(one) == models.network_sha256(other)
    assert models.load_scales(first) == models.load_scales(again)


def test_scales_are_kept_in_a_backbone(tmp_path: Path) -> None:
    builder = Builder(5)
    one = imported(tmp_path, builder.finish(residual(builder)))
    path = tmp_path / "net.npz"
    models.save_backbone(path, one.network, {}, scales=one.scales)
    assert models.load_scales(path) == one.scales
    models.save_backbone(path, one.network, {})
    assert models.load_scales(path) is None
    bad = replace(one.scales, tensors=(-1.0, *one.scales.tensors[1:]))
    models.save_backbone(path, one.network, {}, scales=bad)
    with pytest.raises(UserError, match="its scales are not all above 0"):
        models.load_scales(path)


def test_without_scales_it_comes_back_where_its_multipliers_are_short(tmp_path: Path) -> None:
    """Or is refused with the layer that has others."""
    builder = Builder(2)
    one = imported(tmp_path, builder.finish(MODELS["conv same, even size, stride 2"][1](builder)))
    with pytest.raises(UserError, match=r"layer 0 \(conv2d\) of network model cannot be said in "):
        tflite_file(one.network, None)
    (affine,) = one.network.affine
    short = affine.multiplier & ~0xFF
    plain = replace(one.network, affine=(replace(affine, multiplier=short, low=-128, high=127),))
    comes_back(plain, None)


@pytest.mark.parametrize("row", [(0, 0), ((1 << 30) + 1, -4)])
def test_what_the_importer_refuses_is_told_to_who_exports(row: tuple[int, int]) -> None:
    """A row of zeros has no scale, which the importer says of files made elsewhere."""
    network, _ = drawn(1)
    layers = tuple(replace(one, inputs=()) for one in network.layers[-2:])
    plain = [
        replace(one, multiplier=one.multiplier & ~0xFF, low=-128, high=127)
        for one in network.affine[-2:]
    ]
    one = replace(
        network,
        name="rows",
        input_shape=layers[0].in_shape,
        layers=layers,
        parameters=network.parameters[-2:],
        affine=tuple(plain),
    )
    comes_back(one, None)
    plain[1].multiplier[2], plain[1].shift[2] = row
    validate(one)
    with pytest.raises(UserError) as caught:
        tflite_file(one, None)
    assert str(caught.value) == (
        "layer 1 (linear) of network rows cannot be said in TFLite: its multipliers come from "
        "scales that the backbone does not have; import or quantise the network again"
    )


def test_a_file_that_does_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Imported:
        raise UserError("convert the network again")

    monkeypatch.setattr("picotrain.convert.export.tflite_file.import_model", refuse)
    with pytest.raises(UserError, match="network drawn cannot be said in TFLite: its file does"):
        tflite_file(*drawn(1))


def changed(network: Network, index: int, **values: object) -> Network:
    numbers = list(network.affine)
    numbers[index] = replace(numbers[index], **values)
    return replace(network, affine=tuple(numbers))


def test_what_no_file_says(tmp_path: Path) -> None:
    network, scales = drawn(1)
    kinds = [layer.kind for layer in network.layers]
    first, fork, whole = kinds.index("conv2d"), kinds.index("add"), kinds.index("linear") - 1
    assert network.layers[whole].kind == "avgpool"
    (zero,) = network.affine[first].zero_in
    for other, why in (
        (changed(network, fork, low=-3, high=5), "layer 3 .add. .* -3..5 are those of no activ"),
        (changed(network, whole, high=5), "layer 6 .avgpool. .* a mean with a scale of its own"),
        (changed(network, 1, zero_in=(zero + 9,)), "layer 1 .* its zero point .* not that of lay"),
        (changed(network, 2, multiplier=network.affine[2].multiplier ^ 1), "layer 2 .* multipl"),
    ):
        with pytest.raises(UserError, match=why):
            tflite_file(other, scales)
    with pytest.raises(UserError, match="power-of-two form, which rounds otherwise than TFLite"):
        tflite_file(support.shipped("oddnet"), None)


def test_windows_that_tflite_has_not() -> None:
    network, scales = drawn(1)
    pool = next(n for n, layer in enumerate(network.layers) if layer.kind == "maxpool")
    layers = list(network.layers)
    layers[pool] = replace(layers[pool], padding=(2, 1))
    with pytest.raises(UserError, match=r"its padding \[2, 1\] is neither none nor TFLite's SAME"):
        tflite_file(replace(network, layers=tuple(layers)), scales)


# The blob and the header


def test_the_blob_is_what_devices_take(tmp_path: Path, host_elf: Elf) -> None:
    path = ROOT / "models" / "backbones" / "tinycnn-digits.npz"
    for name in ("net.blob", "net.bin"):
        assert main(["export", str(path), "--out", str(tmp_path / name)]) == 0
        expected = encode(models.load_backbone(path)[0], host_elf)
        assert (tmp_path / name).read_bytes() == expected


PROGRAM = """#include <stdio.h>
#include "net.h"
#include "nn/pt_trainer.h"

static _Alignas(8) uint8_t arena[1 << 20];
static struct pt_trainer trainer;

int main(void)
{
    struct pt_detail detail = {0};
    const struct pt_method infer = {.kind = PT_INFER, .permille = 1};
    static uint8_t image[1 << 16];
    if (fread(image, 1, sizeof image, stdin) == 0)
        return 4;
    pt_trainer_reset(&trainer, arena, sizeof arena);
    if (pt_trainer_open(&trainer, (uint8_t *)NAME, sizeof NAME, true, &detail) != PT_OK)
        return 2;
    if (pt_trainer_method(&trainer, &infer, &detail) != PT_OK)
        return 3;
    printf("%u\\n", pt_trainer_predict(&trainer, image).prediction);
    return 0;
}
"""


@pytest.mark.parametrize("affine", [False, True])
def test_a_program_opens_the_header_and_predicts(
    tmp_path: Path, host_elf: Elf, affine: bool
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed (apt: gcc)")
    network = drawn(1)[0] if affine else support.shipped("oddnet")
    text = header(network, encode(network, host_elf), ["0: first */ layer"])
    assert "0: first * / layer" in text
    assert max(map(len, text.splitlines())) <= 100
    (tmp_path / "net.h").write_text(text)
    found = re.search(r"uint8_t (pt_network_\w+)\[", text)
    assert found is not None
    (tmp_path / "main.c").write_text(PROGRAM.replace("NAME", found[1]))
    firmware = ROOT / "firmware"
    sources = [
        str(path)
        for folder in ("nn", "nn/operators", "kernels", "kernels/portable")
        for path in sorted((firmware / folder).glob("*.c"))
    ]
    command = ["cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-I", str(firmware)]
    command += ["-I", str(tmp_path), str(tmp_path / "main.c"), *sources]
    subprocess.run([*command, "-o", str(tmp_path / "program")], check=True)
    image = np.random.default_rng(3).integers(0, 256, network.input_shape, np.uint8)
    wanted = int(Trainer(network, Method("infer")).predict(image[None])[0])
    done = subprocess.run(
        [tmp_path / "program"], input=image.tobytes(), capture_output=True, check=True
    )
    assert int(done.stdout) == wanted


def test_a_name_that_is_no_identifier(host_elf: Elf) -> None:
    network = replace(slow_affine.random_network(3), name="8-bit")
    text = header(network, encode(network, host_elf), [])
    assert "#define PT_NETWORK_8_BIT_SIZE" in text
    assert '#define PT_NETWORK_8_BIT_NAME "8-bit"' in text


# The verb


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("net.onnx", "there is no export to ONNX, whose runtimes round otherwise than the device"),
        ("net.c", "net.c has none of the endings .blob, .bin, .h, .tflite; use one, or give"),
        ("net.tflite", "is of the power-of-two form, which rounds otherwise than TFLite; export"),
    ],
)
def test_what_is_not_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, told: str
) -> None:
    path = ROOT / "models" / "backbones" / "tinycnn-digits.npz"
    assert main(["export", str(path), "--out", str(tmp_path / out)]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize(
    ("out", "asked", "fix"),
    [
        ("net.blob", "h", "ends as format blob does, but --format is h; leave --format out, or le"),
        ("net.h", "tflite", "or let the name end in .tflite"),
        ("net.tflite", "blob", "or let the name end in .blob or .bin"),
        ("net.onnx", "blob", "there is no export to ONNX"),
    ],
)
def test_an_ending_and_a_format_that_disagree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, asked: str, fix: str
) -> None:
    # Refused before the backbone is read.
    words = ["export", "nowhere.npz", "--out", str(tmp_path / out), "--format", asked]
    assert main(words) == 2
    assert fix in capsys.readouterr().err
    assert not (tmp_path / out).exists()


def test_a_format_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = ROOT / "models" / "backbones" / "tinycnn-digits.npz", tmp_path / "net.inc"
    assert main(["export", str(path), "--out", str(out), "--format", "h"]) == 0
    assert out.read_text().startswith("/*\n * tinycnn, a network of picotrain (picotrain.h)")
    assert capsys.readouterr().out.startswith("tinycnn: 6 layers, 52,040 weights, ")
