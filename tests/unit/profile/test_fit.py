"""`picotrain fit`: terms counted by hand, costs that are known, room to the byte, and verdicts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import support
from picotrain.cli import main
from picotrain.datasets import Split
from picotrain.device.backends import open_device
from picotrain.device.blob import blob_size
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.image.firmware import layout, pico_arena_bytes
from picotrain.learn import models
from picotrain.profile.fit.fitting import check, fitted
from picotrain.profile.fit.fitting.drawn import architecture, forked
from picotrain.profile.fit.fitting.fitted import Sample
from picotrain.profile.fit.fitting.material import METHODS, some_rows
from picotrain.profile.fit.fitting.nnls import nnls
from picotrain.profile.fit.model import WORST, CostModel, backward_cycles, load
from picotrain.profile.fit.observe import observe
from picotrain.profile.fit.prepare import calibrated
from picotrain.profile.fit.terms import affine
from picotrain.profile.fit.terms.activity import Activity
from picotrain.profile.fit.terms.affine import Masks, Outputs
from picotrain.profile.fit.terms.operations import Steps
from picotrain.profile.fit.terms.shapes import Axis, Shape, aligned, axis
from picotrain.profile.fit.verdict import Limits, above, judge
from picotrain_golden import Layer, Method, Network, Selection, plan

INFER = Method("infer")
ROOT = Path(__file__).resolve().parents[3]
RESULTS = json.loads((ROOT / "experiments" / "results" / "fit.json").read_text())
PAGE = (ROOT / "docs" / "fit.md").read_text()


def network_of(name: str) -> tuple[Network, Split]:
    network = models.initial_network(models.resolve(name), 3)
    pixels, labels = support.images(network, 4, 3)
    split = Split(pixels, labels)
    return calibrated(network, split), split


# Terms


def test_windows_along_an_axis() -> None:
    # Starts -1, 1, 3 of 5 elements: 2 taps inside, 3, 2.
    assert axis(5, 3, 3, 2, 1) == Axis(3, 1, 7)
    assert axis(5, 5, 1, 1, 0) == Axis(5, 5, 5)


def test_rows_that_begin_on_a_word() -> None:
    assert [aligned(length) for length in (8, 6, 9, 9.5)] == [1.0, 0.5, 0.25, 1.0]


def test_the_terms_of_a_convolution_by_hand() -> None:
    """2x2 windows over 3x3 pixels of 3 channels: 4 positions, two pairs; rows of 12 weights."""
    layer = Layer("conv2d", (3, 3, 3), (2, 2, 5), (2, 2), (1, 1), (0, 0), False)
    seen = Activity(low=0.25, high=0.25)
    terms = affine.conv2d_forward(Shape.of(layer), Masks(), seen, Outputs(near=1.0))
    assert {name: count for name, count in terms.items() if count} == {
        "conv2d": 1,
        "conv2d tiles": 1,
        "patch pairs": 2,
        "patch pair words": 6,
        "patches": 4,
        "patch rows": 8,
        "patch bytes": 48,
        "rows as they are": 5,
        "packed rows": 5,
        "packed chunks": 5,
        "packed words": 15,
        "row pairs": 10,
        "row pair words": 30,
        "row pair rounds": 10,
        "scaled rows": 5,
        "near outputs": 20,
        "near bounds": 10,
    }
    costs = dict.fromkeys(terms, 1.0) | {"patch bytes": 8.0, "row pair words": 20.25}
    assert CostModel(costs, {}).cycles(terms) == 48 * 8 + 30 * 20.25 + 107


def test_the_way_to_int8_is_the_firmwares() -> None:
    layer = Layer("linear", (1, 1, 4), (1, 1, 4), (1, 1), (1, 1), (0, 0), False)
    numbers = support.Affine(
        (0,),
        -128,
        -128,
        127,
        np.zeros(4, np.int32),
        np.array([1 << 30, 1 << 30, 1 << 30, 0], np.int32),
        np.array([-8, -11, -12, -3], np.int32),
    )
    del layer
    assert Outputs.of(numbers) == Outputs(near=0.25, relu=0.25, slow=0.25, nothing=0.25)


def test_channels_may_be_anything_that_computes() -> None:
    layer = models.initial_network(models.resolve("resnet8"), 0).layers[1]
    whole = load().cycles(affine.forward(Shape.of(layer)))
    many = Shape.of(layer, np.array([8.0, 15.5, 16.0]), np.array([8.0, 15.5, 16.0]))
    smooth = load().cycles(affine.forward(many))
    assert smooth.shape == (3,) and np.all(np.diff(smooth) > 0)
    assert smooth[2] == pytest.approx(whole, rel=0.01)


# Fitting


def test_least_squares_without_negative_numbers() -> None:
    matrix = np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 1.0], [1.0, 1.0, 0.0], [3.0, 1.0, 2.0]])
    assert nnls(matrix, matrix @ [4.0, 0.5, 2.0]) == pytest.approx([4.0, 0.5, 2.0])
    # What would be best is [-1, 1]; without negative numbers it is [0, 0.5].
    assert nnls(np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([0.0, 1.0])) == pytest.approx([0, 0.4])


def test_known_costs_are_found_again() -> None:
    every = [
        Sample(one.terms, 0)
        for seed in (0, 1)
        for network in [models.initial_network(architecture(seed), seed)]
        for one in Steps(network, INFER).counted([Activity()] * len(network.layers))
    ]
    known = CostModel({name: 3.0 for one in every for name in one.terms}, {})
    every = [Sample(one.terms, round(1000 * known.cycles(one.terms))) for one in every]
    found = CostModel(fitted.fitted(every), {})
    for one in every:
        assert found.cycles(one.terms) == pytest.approx(one.cycles, rel=1e-3)


def test_known_costs_stay_and_others_are_found() -> None:
    samples = [Sample({"a": 2, "b": one}, 2 * 7 + one * 5) for one in (1, 3, 10)]
    assert fitted.fitted([*samples, Sample({"a": 1}, 999)], {"a": 7.0}) == {"b": 5.0}


def test_what_goes_back_to_where_something_is_has_a_cost() -> None:
    """A pool, or a sum, that reads what a later layer reads too."""
    for seed in fitted.FORKED_SEEDS:
        network = models.initial_network(forked(seed), seed)
        terms = {
            name
            for method in (INFER, *METHODS)
            for one in Steps(network, method).counted([Activity()] * len(network.layers))
            for name in one.terms
        }
        assert {"merged errors", "merged pool errors"} <= terms <= set(load().costs)


def test_drawn_networks_are_the_same_again() -> None:
    assert architecture(4) == architecture(4) != architecture(5)
    assert architecture(4, affine=False) == architecture(4, affine=False)
    fitted_to = {*fitted.AFFINE_SEEDS, *fitted.CHAIN_SEEDS}
    assert max(fitted_to) < fitted.CHECK_SEED


def test_every_term_has_a_cost() -> None:
    """Of every shipped network, every method, and a selection."""
    for name in models.shipped():
        network = models.initial_network(models.resolve(name), 0)
        usual = load().usual_activity(network)
        for method in (INFER, *METHODS):
            assert load().predict(network, method, [usual]).total > 0


# Activity


def test_what_is_seen_in_a_step() -> None:
    network, split = network_of("oddnet")
    black = Split(np.zeros_like(split.images[:1]), split.labels[:1])
    (dark,) = observe(network, INFER, black)
    assert (dark[0].inputs.values, dark[0].inputs.windows, dark[0].inputs.taken) == (0, 0, 0)
    (seen,) = observe(network, Method("priot"), Split(split.images[:1], split.labels[:1]))
    image = split.images[0] >> 1
    assert seen[0].inputs.values == np.count_nonzero(image) / image.size
    assert 0 < seen[0].errors <= 1 and 0 < seen[0].inputs.taken < 1


def test_more_zeros_cost_less() -> None:
    network, split = network_of("tinycnn")
    model = load()
    image, label = split.images[:1], split.labels[:1]
    half = image * (np.arange(28) < 14)[:, None, None].astype(np.uint8)
    whole, less = (
        model.predict(network, INFER, observe(network, INFER, Split(one, label))).total
        for one in (image, half)
    )
    assert less < 0.8 * whole
    assert model.predict(network, INFER, [[WORST] * 6]).total > whole


# Selections


def test_a_selection_costs_what_it_works_on() -> None:
    network, _ = network_of("mobilenet-v2-few")
    last = len(network.layers) - 1
    head, priot = Selection.whole(network, (last,)), Method("priot")
    some = some_rows(network, 1)
    costs = [backward_cycles(network, priot, one) for one in (head, some, None)]
    assert 0 < costs[0] < 0.01 * costs[2] and costs[0] < costs[1] < costs[2]
    made = load().predict(network, priot, [load().usual_activity(network)], head)
    assert [(one.phase, one.layer) for one in made.operations[last + 1 :]] == [
        ("loss", last),
        ("update", last),
    ]


# Verdicts


def test_the_room_is_what_a_device_reports() -> None:
    network, split = network_of("oddnet")
    for method in (INFER, *METHODS):
        verdict = judge(load(), network, method, split, layout(), pico_arena_bytes())
        with open_device("golden") as device:
            device.load_model(network)
            device.set_method(method)
            assert verdict.rooms[0].ram == device.memory().network
        assert verdict.fits and verdict.because == ""


def test_what_is_missing_is_told() -> None:
    network, split = network_of("oddnet")
    size = plan(network, Method("priot"), blob_size(network, layout())).total
    lean = plan(network, Method("priot"), 0).total

    def verdict(limits: Limits) -> tuple[bool, str]:
        found = judge(load(), network, Method("priot"), split, layout(), 1 << 20, limits)
        return found.fits, found.because

    assert verdict(Limits(ram=size)) == (True, "")
    assert verdict(Limits(ram=size - 1)) == (True, "")  # with its weights in flash
    fits, because = verdict(Limits(ram=lean - 7))
    assert not fits
    assert because.startswith(f"7 bytes of RAM are missing: it needs {lean:,} of {lean - 7:,}; ")
    fits, because = verdict(Limits(ram=lean, flash=100))
    assert not fits
    assert because == (
        f"{blob_size(network, layout()) - 100:,} bytes of flash are missing: "
        f"{blob_size(network, layout()):,} of 100"
    )
    # By the plan that keeps the model in SRAM too.
    assert verdict(Limits(flash=100)) == (fits, because)
    assert verdict(Limits(flash=blob_size(network, layout()))) == (True, "")
    fits, because = verdict(Limits(ms=0.5))
    assert not fits and re.fullmatch(
        r"a training step takes [\d.]+ ms, more than the [\d.]+ of --ms", because
    )


def test_what_is_missing_is_told_with_what_helps() -> None:
    """One operation for two within any limit; other firmware within a Pico's alone."""
    network, split = network_of("tinycnn")
    priot, dynamic = Method("priot"), Method("niti-dynamic")

    def because(method: Method, arena: int, limits: Limits | None = None) -> str:
        return judge(load(), network, method, split, layout(), arena, limits).because

    assert because(priot, 70_000).endswith("; it fits with --fused (64,304 bytes)")
    assert because(priot, 1 << 20, Limits(ram=70_000)).endswith(
        "; it fits with --fused (64,304 bytes)"
    )
    assert because(priot, 60_000, Limits(ram=60_000)).endswith(" with 50,176")
    support.require(firmware.RP2040_CHAIN)
    wide = firmware.arena_bytes(firmware.RP2040_CHAIN)
    form = f"; it fits with --kernels chain (87,400 of {wide:,} bytes)"
    assert because(dynamic, 87_399).endswith(form)
    assert because(dynamic, 1 << 20, Limits(ram=87_399)).endswith(" with 50,176")


def test_fused_is_judged_by_its_own_room_and_the_cycles_of_two() -> None:
    network, split = network_of("tinycnn")
    method = Method("priot")
    apart, one = (
        judge(load(), network, replace(method, fused=pairs), split, layout(), pico_arena_bytes())
        for pairs in (False, True)
    )
    assert [room.ram for room in apart.rooms] == [134_772, 82_420]
    assert [room.ram for room in one.rooms] == [116_656, 64_304]
    assert one.step == apart.step and one.most == apart.most


def test_the_verb_says_whose_cycles_those_of_fused_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fit.json"
    assert main(["fit", "tinycnn", "--fused", "--json", str(out)]) == 0
    assert "\nfused: RAM is that of convolution and pool as one" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["cycles_of"] == "convolution and pool apart"
    assert [one["method"] for one in content["methods"] if not one["fused"]] == ["niti-dynamic"]
    assert main(["fit", "tinycnn"]) == 0
    assert "fused" not in capsys.readouterr().out


def test_a_sum_of_a_layer_and_itself_is_judged(tmp_path: Path) -> None:
    twice = tmp_path / "twice.toml"
    twice.write_text(
        'form = "affine"\nname = "twice"\ninput = [8, 8, 1]\n'
        '[[layer]]\nkind = "conv2d"\nname = "a"\nchannels = 4\nkernel = 3\n'
        '[[layer]]\nkind = "add"\ninputs = ["a", "a"]\n'
        '[[layer]]\nkind = "linear"\noutputs = 3\n'
    )
    assert main(["fit", str(twice), "--method", "priot"]) == 0


def test_a_pico_is_what_its_own_image_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not what QEMU's image leaves, which holds this network."""
    support.require(firmware.RP2040)
    text = (ROOT / "models" / "tinycnn.toml").read_text()
    bigger = tmp_path / "bigger.toml"
    bigger.write_text(text.replace("outputs = 64", "outputs = 228"))
    network = models.initial_network(models.resolve(str(bigger)), 0)
    need = plan(network, Method("niti-static"), blob_size(network, layout())).total
    room = firmware.arena_bytes(firmware.RP2040)
    assert room < need < firmware.arena_bytes(support.require(firmware.MICROBIT))
    assert main(["fit", str(bigger), "--method", "niti-static"]) == 1
    said = capsys.readouterr().out
    assert f"\nRAM beside the firmware {room:,} bytes (a Pico's image rp2040), " in said
    assert f"{need - room:,} bytes of RAM are missing: it needs {need:,} of {room:,}; " in said
    assert "; it fits with --fused (" in said


def test_limits_are_shown_and_whom_they_judge(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "oddnet", "--ms", "0.1", "--ram", "60000", "--flash", "9000"]) == 1
    said = capsys.readouterr().out
    assert "; within --ram 60,000, --flash 9,000, --ms 0.1 for infer\n" in said
    assert said.count("fits, plan fast, time not judged\n") == len(METHODS)
    assert re.search(r"an inference takes \d+\.\d ms, more than the 0\.1 of --ms", said)
    assert said.endswith("priot, priot-s; --ms judged infer alone\n")
    assert "\nnoise has fewer zeros than images, and costs more: " in said


def test_milliseconds_are_those_of_the_table_where_they_show_it() -> None:
    assert above(9.93398, 1) == above(9.93398, 9.85) == "9.9"
    assert above(9.93398, 9.93) == "9.93398"


def test_rows_of_the_check_have_names() -> None:
    assert len(check.chosen([])) == len(RESULTS["networks"])
    assert list(check.subjects()) == [row["network"] for row in RESULTS["networks"]]
    (motion,) = check.chosen(["motion"])
    assert (motion().name, motion().shown) == ("motion", "noise")
    with pytest.raises(UserError, match="nonet"):
        check.main(["nonet"])


def test_more_noise_than_memory_holds_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "oddnet", "--images", "2147483647"]) == 2
    assert re.fullmatch(
        r"picotrain: 2,147,483,647 images of noise for network oddnet are too many; ask for 1 to "
        r"[\d,]+\n",
        capsys.readouterr().err,
    )


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fit.json"
    assert main(["fit", "oddnet", "--json", str(out)]) == 0
    content = json.loads(out.read_text())
    assert [one["method"] for one in content["methods"]] == [INFER.name, *(m.name for m in METHODS)]
    for one in content["methods"]:
        total = one["around"] + sum(each["cycles"] for each in one["operations"])
        assert one["cycles"] == pytest.approx(total) and one["fits"]
    said = capsys.readouterr().out
    assert "oddnet trains there with niti-dynamic, niti-static, priot, priot-s" in said
    assert main(["fit", "vgg11", "--method", "infer"]) == 1
    assert "infer does not fit, because " in capsys.readouterr().out
    assert main(["fit", "oddnet", "--ms", "0.1"]) == 1
    assert main(["fit", "oddnet", "--method", "priot", "--ms", "1000"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonet"], "unknown network 'nonet': it is neither a file nor one of"),
        (["nonet.npz"], "there is no backbone at nonet.npz"),
        (["README.md"], "README.md"),
        (["oddnet", "--method", "sgd"], "method 'sgd' is none of infer, niti-dynamic"),
        (["oddnet", "--dataset", "digits"], "network oddnet takes images of 21x19x3"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["fit", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"picotrain: {said}") and error.count("\n") == 1


# The results


def test_inference_is_predicted_within_five_percent() -> None:
    rows = RESULTS["networks"]
    assert len(rows) >= 12 and {row["form"] for row in rows} == {"affine", "power of two"}
    assert {row["network"] for row in rows} >= set(models.shipped())
    for row in rows:
        assert abs(check.error(row["steps"]["infer"])) < 0.05, row["network"]


def test_the_page_shows_the_results() -> None:
    assert check.page(PAGE, RESULTS) == PAGE


@pytest.mark.parametrize("program", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_programs_of_the_page_run(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(program, "fit.md", "exec"), {})
    assert all(float(line) > 0 for line in capsys.readouterr().out.splitlines())
