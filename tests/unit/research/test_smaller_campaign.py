"""The campaign of smaller networks, of a tiny task."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain import datasets
from picotrain.datasets import Dataset
from picotrain.device.backends import open_device
from picotrain.device.interface import Device
from picotrain.device.room import need_of
from picotrain.errors import UserError
from picotrain.image.firmware import HOST, layout
from picotrain.learn.adapt import AdaptOptions, adapt, prepare
from picotrain.learn.models import load_backbone
from picotrain.research.shrink import combined, pruned
from picotrain.research.shrink.measure import measure
from picotrain.research.shrink.place import Place
from picotrain.research.shrink.summary import means
from picotrain.research.shrink.tasks import Task
from picotrain.shrink.depth.cell import TAILS
from picotrain.shrink.depth.heads import HEADS
from picotrain.shrink.depth.pareto import pareto
from picotrain.shrink.depth.table import told
from picotrain.shrink.pruning import proof
from picotrain.shrink.pruning.made import Asked
from picotrain.shrink.pruning.prune import METHODS
from picotrain.shrink.pruning.stages import Stages
from picotrain_golden import Method, Network
from shrinking import TIED, tied
from support import require

FEW = 64
"""Images of a proof."""


def tiny(folder: Path) -> Task:
    (folder / "tied.toml").write_text(TIED)
    return Task(
        name="tiny",
        model=str(folder / "tied.toml"),
        dataset="digits",
        warm=2,
        tune=2,
        limits=(("loose", Asked(flash=6400)), ("tight", Asked(flash=5600, ram=11_000))),
        cut=1,
        cuts=("stem",),
        adapts_to="digits",
        angle=30,
        samples=64,
        adapt=1,
        orders=2,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smaller")


@pytest.fixture(scope="module")
def found(place: Path) -> dict[str, Any]:
    pytest.importorskip("torch")
    require(HOST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof, "IMAGES", FEW)  # 1,000 take a third of the time; test_prune has them
        return measure(tiny(place), 2, place / "kept", "host", processes=1)


def test_all_methods_within_all_limits_of_every_seed(found: dict[str, Any]) -> None:
    assert [run["seed"] for run in found["pruned"]] == [0, 1]
    names = [f"{limit}-{method}" for limit in ("loose", "tight") for method in METHODS]
    for run in found["pruned"]:
        assert [one["name"] for one in run["cells"]] == names
        for one in run["cells"]:
            for name, row in one["limits"].items():
                assert row["measured"] <= row["limit"], (one["name"], name)
            assert one["proofs"]["int8"] == {"images": FEW, "logits": 10 * FEW, "differing": 0}
            assert one["taken"]["flash"] == one["limits"]["flash"]["measured"]
            assert one["parameters"] < run["whole"]["parameters"]
        assert run["whole"]["taken"]["flash"] > 6400


def test_all_cuts_of_every_seed_and_means_over_them(found: dict[str, Any]) -> None:
    names = [f"stem-{head}-{tail}" for head in HEADS for tail in TAILS]
    for run, before in zip(found["cut"], found["pruned"], strict=True):
        assert [one["name"] for one in run["cells"]] == names
        assert {one["name"] for one in run["cells"] if "equal_tensors" in one} == {
            "stem-dscnn-frozen",
            "stem-baseline-frozen",
        }
        assert run["whole"]["validation"] == before["whole"]["validation"]
    whole, cells = means(found["cut"])
    tests = [run["cells"][3]["test"] for run in found["cut"]]
    assert cells[3]["test"] == pytest.approx(np.mean(tests))
    assert cells[3]["test_std"] == pytest.approx(np.std(tests, ddof=1))
    assert cells[3]["taken"]["flash"] == 4936 and cells[3]["taken"]["ms"] is None
    assert "stem" in told(cells, whole) and "<svg" in pareto(cells, whole)


def test_networks_that_are_smaller_in_both_ways_adapt(found: dict[str, Any]) -> None:
    made, digits = found["combined"], datasets.load("digits")
    for run, networks in zip(found["pruned"], made["networks"], strict=True):
        assert list(networks) == ["whole", "pruned", "cut", "pruned, then cut"]
        flash = [one["taken"]["flash"] for one in networks.values()]
        assert flash[0] == run["whole"]["taken"]["flash"] > max(flash[1:])
        assert flash[3] < min(flash[1:3])
    assert (made["limit"], made["orders"]) == ("tight", 2)
    assert made["images"] == {
        split: {"drawn": 64, "there": len(there)}
        for split, there in (("train", digits.train), ("test", digits.test))
    }
    assert [(one["kind"], one["method"], one["seed"], one["order"]) for one in made["runs"]] == [
        (kind, label, seed, order)
        for seed in range(2)
        for kind in combined.KINDS
        for label in combined.CANDIDATES
        for order in range(2)
    ]
    assert [(kind, [*mu]) for kind, mu in made["mu"].items()] == [
        (kind, [*combined.CANDIDATES]) for kind in combined.KINDS
    ]


@pytest.mark.parametrize(
    ("kind", "name"), [("pruned", "tight-gates"), ("cut", "depth/{cut}"), ("whole", "longer")]
)
def test_what_a_network_came_to_is_what_adapt_says_of_it(
    found: dict[str, Any], place: Path, kind: str, name: str
) -> None:
    """Of the network that is kept, by the step sizes that were chosen, on test images."""
    made, digits = found["combined"], datasets.load("digits")
    path = place / "kept" / "tiny-1" / f"{name.format(cut=made['cut'])}.npz"
    network, _ = load_backbone(path)
    for method, label in (("niti-static", "NITI"), ("priot", "PRIOT")):
        first, *later = made["mu"][kind][label]
        for order in range(2):
            options = AdaptOptions(
                angle=30,
                method=Method(method, mu=first, later_mu=tuple(later), seed=order),
                epochs=1,
                seed=order,
                train_samples=64,
                test_samples=64,
                calibration_samples=64,
                plan="lean" if method == "priot" else "fast",
            )
            with open_device("golden") as device:
                result = adapt(device, network, prepare(digits, options), options)
            row = {"kind": kind, "method": label, "seed": 1, "order": order}
            assert (
                made["runs"].count(
                    row | {"before": result.accuracy_before, "after": result.accuracy_final}
                )
                == 1
            ), row


def test_an_adaptation_that_is_finished_is_kept_and_another_network_s_is_not(
    found: dict[str, Any], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, kept = found["combined"], place / "kept" / "tiny-1"
    assert len(list((kept / "adapted").glob("*.json"))) == 2 * (2 * 4 + 2 * 2)
    first, *later = made["mu"]["pruned"]["PRIOT"]
    method = Method("priot", mu=first, later_mu=tuple(later))
    job = combined.Job(
        tiny(place), "pruned", 1, kept / "tight-gates.npz", "PRIOT", method, 0, "test"
    )
    (row,) = (
        one
        for one in made["runs"]
        if (one["kind"], one["method"], one["seed"], one["order"]) == ("pruned", "PRIOT", 1, 0)
    )
    adapts = combined.adapt

    def never(*_: object) -> None:
        raise AssertionError("nothing adapts anew")

    monkeypatch.setattr(combined, "adapt", never)
    assert combined.adapted(job) == (job, row["before"], row["after"])
    other = shutil.copy(kept / "loose-gates.npz", tmp_path / "tight-gates.npz")
    with pytest.raises(AssertionError, match="nothing adapts anew"):
        combined.adapted(replace(job, path=Path(other)))
    monkeypatch.setattr(combined, "adapt", adapts)
    assert combined.adapted(replace(job, method=replace(method, mu=-3)))[1] == row["before"]


def test_a_step_takes_what_the_plan_says_and_has_cycles_where_it_fits(
    found: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = found["combined"]["step"]
    path = place / "kept" / "tiny-0" / "longer.npz"
    network, _ = load_backbone(path)
    ram = need_of(network, Method("priot"), layout(), True)
    assert step["whole"]["PRIOT"] == {"ram": ram, "fits": True, "cycles": None}
    assert step["pruned"]["PRIOT"]["ram"] < ram

    # Cycles are not asked for of what has no room.
    profiled: list[str] = []

    def cycles(_: Place, __: Network, method: Method) -> float:
        profiled.append(method.name)
        return 1.5

    monkeypatch.setattr(combined, "_cycles", cycles)
    monkeypatch.setattr(combined, "pico_arena_bytes", lambda: ram)
    costs = combined.cost(Place(tiny(place), 0, place / "kept", "host"), path)
    assert costs["PRIOT"] == {"ram": ram, "fits": True, "cycles": 1.5}
    assert costs["NITI"] == {"ram": step["whole"]["NITI"]["ram"], "fits": False, "cycles": None}
    assert profiled == ["priot"]


def test_what_another_firmware_measured_is_measured_again(
    found: dict[str, Any], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained for it, and what is kept belongs to the new one from then on."""
    monkeypatch.setattr(Stages, "train", trains)
    copied = shutil.copytree(place / "kept", tmp_path / "kept")
    kept = copied / "tiny-0" / "tight-gates.json"
    right = json.loads(kept.read_text())
    assert right["measured_by"][0] == "host" and len(right["measured_by"][1]) == 64
    for by in (["qemu", right["measured_by"][1]], ["host", "0" * 64], None):
        wrong = json.loads(kept.read_text()) | {"measured_by": by, "taken": {"flash": 1}}
        wrong["limits"]["flash"]["measured"] = 1
        kept.write_text(json.dumps(wrong))
        assert pruned.run(Place(tiny(place), 0, copied, "host")) == found["pruned"][0]
        assert json.loads(kept.read_text()) == right


def test_a_whole_network_that_has_no_room_is_predicted_and_does_not_adapt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a task of two methods, on a part of the images."""
    pytest.importorskip("torch")
    require(HOST)
    whole, measured = tied(), pruned.measured

    def without_room(device: Device, network: Network, dataset: Dataset) -> dict[str, Any]:
        found = measured(device, network, dataset)
        if network.layers == whole.layers:
            found |= {"taken": None, "unfit": "no room"}
        return found

    monkeypatch.setattr(pruned, "measured", without_room)
    monkeypatch.setattr(proof, "IMAGES", FEW)
    images = {"train": 320, "validation": 48, "test": 40}
    task = replace(
        tiny(tmp_path),
        limits=(("loose", Asked(flash=6400)), ("tight", Asked(flash=5600))),
        cuts=(),
        images=images,
        methods=("magnitude", "gates"),
    )
    assert {name: len(split) for name, split in task.load()[1].splits.items()} == images
    found = measure(task, 1, tmp_path / "kept", "host", processes=1)
    digits = datasets.load("digits")
    assert found["model"] == "tied"
    assert found["images"] == {
        name: {"used": count, "there": len(digits.splits[name])} for name, count in images.items()
    }
    (run,) = found["pruned"]
    assert [one["name"] for one in run["cells"]] == [
        *("loose-magnitude", "loose-gates", "tight-magnitude", "tight-gates"),
    ]
    assert (run["whole"]["predicted"], run["whole"]["unfit"]) == (True, "no room")
    assert all("predicted" not in one for one in run["cells"])
    network, _ = load_backbone(tmp_path / "kept" / "tiny-0" / "longer.npz")
    with open_device("host") as device:
        really = measured(device, network, digits)["taken"]
    assert run["whole"]["taken"] == really | {"ram_bytes": {}}
    assert (really["flash"], really["ms"]) == (6596, None)
    assert [[*one] for one in found["combined"]["networks"]] == [["pruned"]]
    assert [*found["combined"]["step"]] == ["pruned"]
    # Another part of the images is another task.
    monkeypatch.setattr(Stages, "train", trains)
    with pytest.raises(AssertionError, match="trained before"):
        measure(replace(task, images=images | {"train": 256}), 1, tmp_path / "kept", "host", 1)


def trains(*_: object) -> None:
    raise AssertionError("it was trained before")


def test_a_task_of_its_own_steps_trains_on_by_half_their_size(tmp_path: Path) -> None:
    digits = datasets.load("digits")
    usual, own = tiny(tmp_path), replace(tiny(tmp_path), steps=(16, 0.02))
    assert (usual.warming(digits, 0).rate, usual.tuning(digits, 0).rate) == (0.1, 0.05)
    found = [own.warming(digits, 0), own.tuning(digits, 0)]
    assert [(one.batch, one.rate) for one in found] == [(16, 0.02), (16, 0.01)]


def test_a_campaign_goes_on_from_what_is_kept(
    found: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stages, "train", trains)
    assert measure(tiny(place), 2, place / "kept", "host", processes=1) == found
    # Another choice is not what is kept.
    other = replace(tiny(place), tune=3)
    with pytest.raises(AssertionError, match="trained before"):
        measure(other, 1, place / "kept", "host", processes=1)


def test_limits_that_cannot_be_met_are_told_before_any_training(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    task = replace(tiny(tmp_path), limits=(("none", Asked(flash=100)),))
    with pytest.raises(UserError, match="--flash 100 cannot be met: the smallest reachable"):
        measure(task, 1, tmp_path / "kept", "host", processes=1)
    assert not (tmp_path / "kept").exists()
