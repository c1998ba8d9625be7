"""A watch and its wearer: who is known to whom, what is chosen on whom, and the page's rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from picotrain.datasets import watch
from picotrain.datasets.dataset import Dataset
from picotrain.device.backends import open_device
from picotrain.errors import UserError
from picotrain.inputs import read_json
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.output import write_json
from picotrain.quantise.graph import TensorScale
from picotrain.quantise.quantise import Quantised
from picotrain.research.reproduce import page, steps
from picotrain.research.watch import adapting, made_up, measure, people, summary, ways
from picotrain.research.watch.people import Fold, Known, Lesson
from picotrain.research.watch.ways import CANDIDATES, Rows, Search, Way
from picotrain_golden import Information, Method, Network, Selection, select

EVERY = made_up.recordings()
NONE: Information = ()


def untrained(architecture: Architecture, dataset: Dataset) -> Network:
    return models.initial_network(architecture, 0)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Static numbers are those of three windows."""
    monkeypatch.setattr(people, "CALIBRATED", 3)


@pytest.fixture(scope="module")
def fold() -> Fold:
    """Of person 1; networks that learnt nothing, but have static numbers."""
    return next(people.folds(EVERY, [1], untrained))


def test_a_network_knows_neither_the_new_person_nor_whom_it_is_chosen_on(quickly: None) -> None:
    seen: list[tuple[str, int]] = []

    def make(architecture: Architecture, dataset: Dataset) -> Network:
        seen.append((dataset.name, len(dataset.train)))
        return untrained(architecture, dataset)

    first, second = people.folds(EVERY, [1, 9], make)
    windows = 14 * 9  # of a person: 250 samples
    assert seen == [
        ("watch-4-5-6-7-8-9-10", 7 * windows),
        ("watch-2-3-4-5-6-7-8-9-10", 9 * windows),
        ("watch-2-3-4-5-6-7-8", 7 * windows),
        ("watch-1-2-3-4-5-6-7-8-10", 9 * windows),
    ]
    assert (first.person, second.person) == (1, 9)
    others = [one for one in EVERY if one.person != 9]
    assert second.final.ranges.low.tolist() == watch.Ranges.of(others).low.tolist()
    assert [held.error_shift for held in first.final.network.parameters if held][1:] != [0] * 7


def test_what_teaches_grows_and_what_tests_stays(fold: Fold) -> None:
    short, long = (people.lesson(EVERY, 1, fold.final, seconds) for seconds in (4, 8))
    assert (len(short.train), len(long.train), len(long.test)) == (14, 42, 42)
    assert short.test.images.tobytes() == long.test.images.tobytes()
    own = next(one for one in EVERY if one.person == 1)
    pixels = fold.final.ranges.pixels(own.samples)
    # An affine network takes the bytes of int8.
    assert (long.train.images[2, :, 0] ^ 128).tolist() == pixels[50:100].tolist()
    assert (long.test.images[0, :, 0] ^ 128).tolist() == pixels[150:200].tolist()


def test_a_backbone_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = models.resolve(people.MODEL)
    network = models.initial_network(architecture, 3)
    trained: list[str] = []

    def pretrain(_: Architecture, dataset: Dataset, *__: object) -> tuple[Quantised, list[Any]]:
        trained.append(dataset.name)
        return Quantised(network, TensorScale(1.0, 0), (), ()), []

    monkeypatch.setattr(people, "MADE_BACKBONES", tmp_path / "made")
    monkeypatch.setattr(people, "pretrain_graph", pretrain)
    windows = watch.windows(EVERY[:1], watch.Ranges.of(EVERY[:1]))
    data = Dataset("watch-1", {"train": windows}, 7, "", {})
    for _ in range(2):
        made = people.in_float(architecture, data)
        assert models.network_sha256(made) == models.network_sha256(network)
    assert trained == ["watch-1"]
    changed = Dataset("watch-1", {"train": windows.take(np.arange(2))}, 7, "", {})
    people.in_float(architecture, changed)
    assert trained == ["watch-1"] * 2
    (tmp_path / "made" / "motion-watch-1.npz").write_bytes(b"damaged")
    people.in_float(architecture, data)
    assert trained == ["watch-1"] * 3


def others(fold: Fold) -> Information:
    """Of a part of one validating person's windows."""
    train = people.lesson(EVERY, 2, fold.choosing, 4).train
    return adapting.information(fold.choosing.network, [train.take(np.arange(3))])


@pytest.mark.parametrize(
    "label",
    [
        *("NITI static", "PRIOT-S 10 %", "last layer"),
        *("TinyTrain 1/3, NITI", "TinyTrain 1/3, PRIOT"),
        *("sparse-update 1/7, NITI", "random 1/7, NITI", "l2 1/7, NITI"),
    ],
)
def test_the_device_and_golden_end_alike(
    label: str, fold: Fold, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = people.lesson(EVERY, 1, fold.final, 4)
    way = replace(CANDIDATES[label][0], epochs=2)
    on_host = adapting.adapted(fold.final.network, lesson, way, 1, others(fold))
    monkeypatch.setattr(adapting, "DEVICE", "golden")
    assert adapting.adapted(fold.final.network, lesson, way, 1, others(fold)) == on_host
    assert 0 < on_host[2] <= 188_448


def test_rows_that_learn(fold: Fold) -> None:
    """Forward 111,024 MACs; the first layer's 33,600 have no error."""
    network = fold.final.network
    assert ways.backward_macs(network, None) == 111_024 + 111_024 - 33_600
    assert ways.backward_macs(network, ways.last_rows(network)) == 448
    assert [ways.last_rows(network).count(index) for index in range(9)] == [0] * 8 + [7]


def test_tinytrain_keeps_to_its_budget(fold: Fold) -> None:
    lesson = people.lesson(EVERY, 1, fold.final, 4)
    few = Lesson(lesson.train, lesson.test.take(np.arange(5)))
    for share in ways.SHARES:
        for method in (Method("niti-static"), Method("priot")):
            way = Way(method, 1, Search(share, 500))
            _, _, macs, ram = adapting.adapted(fold.final.network, few, way, 0, NONE)
            assert 0 < macs <= 188_448 // share
            assert ram < 20_000


def test_other_rows_are_of_the_same_layers(fold: Fold) -> None:
    network, train = fold.final.network, people.lesson(EVERY, 1, fold.final, 4).train
    found: dict[tuple[Rows, int], Selection | None] = {}
    with open_device("host") as device:
        for rows in get_args(Rows):
            for seed in (0, 1):
                way = Way(Method("niti-static"), 1, Search(7, 500, rows))
                adapting.load(device, network, way)
                macs = adapting.select(device, network, train, way, seed, others(fold))
                assert 0 < macs <= 188_448 // 7
                found[rows, seed] = device.selection()
    for rows in ("fisher", "l2", "fixed"):
        assert found[rows, 0] == found[rows, 1]
    assert found["random", 0] != found["random", 1]
    asked = (others(fold), ways.SOLVER, 500, ways.BYTES, 188_448 // 7)
    assert found["fixed", 0] == select(network, Method("niti-static"), *asked, lean=True).selection
    fisher = found["fisher", 0]
    for rows in ("random", "l2"):
        other = found[rows, 0]
        assert fisher is not None and other is not None and other != fisher
        assert [other.count(i) for i in range(9)] == [fisher.count(i) for i in range(9)]


SCOPE = measure.Scope(people=(1, 2), seconds=(4, 8), seeds=2)


def test_validating_people_choose_and_the_new_one_has_no_part(
    quickly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second setting is the best on validating people, and the worst on the new one."""
    new: dict[bytes, int] = {}
    knows: dict[int, tuple[str, int]] = {}
    original = people.lesson
    asked: list[tuple[str, int, int]] = []

    def lesson(every: Any, person: int, known: Known, seconds: float) -> Lesson:
        made = original(every, person, known, seconds)
        new[made.test.images.tobytes()] = person
        return made

    def make(architecture: Architecture, dataset: Dataset) -> Network:
        network = replace(untrained(architecture, dataset), name=dataset.name)
        knows[len(knows)] = (dataset.name, len(dataset.train))
        return network

    def pretended(
        network: Network, lesson: Lesson, way: Way, seed: int, others: Information
    ) -> Any:
        person = new[lesson.test.images.tobytes()]
        known = set(map(int, network.name.split("-")[1:]))
        assert person not in known
        asked.append((network.name, person, len(lesson.train)))
        label = next(label for label, found in CANDIDATES.items() if way in found)
        best = way == CANDIDATES[label][1]
        return 0.5, 0.9 if best == (len(known) == 7) else 0.4, 100, 1000

    monkeypatch.setattr(people, "lesson", lesson)
    monkeypatch.setattr(measure, "adapted", pretended)
    found = measure._measured(EVERY, make, SCOPE, 1, emulated=False)
    committed = read_json(steps.EXPERIMENTS / "results" / "watch.json", "")
    assert found.keys() == committed.keys()
    assert found["runs"][0].keys() == committed["runs"][0].keys()
    assert found["candidates"] == committed["candidates"]
    for label, chosen in found["chosen"]["2"].items():
        assert chosen == measure._setting(CANDIDATES[label][1])
    tried = sum(map(len, CANDIDATES.values()))
    runs = len(CANDIDATES) * 2 * 2
    assert {one: asked.count(one) for one in asked} == {
        ("watch-4-5-6-7-8-9-10", 2, 42): tried,
        ("watch-4-5-6-7-8-9-10", 3, 42): tried,
        ("watch-1-5-6-7-8-9-10", 3, 42): tried,
        ("watch-1-5-6-7-8-9-10", 4, 42): tried,
        ("watch-2-3-4-5-6-7-8-9-10", 1, 14): runs // 2,
        ("watch-2-3-4-5-6-7-8-9-10", 1, 42): runs // 2,
        ("watch-1-3-4-5-6-7-8-9-10", 2, 14): runs // 2,
        ("watch-1-3-4-5-6-7-8-9-10", 2, 42): runs // 2,
    }
    assert found["support_windows"] == {"4": 14, "8": 42}
    assert found["test_windows"] == {"1": 42, "2": 42}
    assert len(found["runs"]) == 2 * runs
    assert {run["after"] for run in found["runs"]} == {0.4}


def test_what_is_missing_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise UserError(f"target {name} needs qemu-system-arm")

    monkeypatch.setattr(watch, "recordings", lambda _: pytest.fail("data was read"))
    monkeypatch.setattr(measure, "open_device", absent)
    monkeypatch.setattr(measure, "find_spec", lambda _: "torch")
    with pytest.raises(UserError, match="target qemu needs qemu-system-arm"):
        measure.measure()
    monkeypatch.setattr(measure, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="its backbones are trained with PyTorch: `"):
        measure.measure()


def test_costs_need_a_target_that_counts(fold: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = people.lesson(EVERY, 1, fold.final, 4)
    monkeypatch.setattr(measure, "EMULATED", "host")
    with pytest.raises(UserError, match="target host does not count cycles"):
        measure.costs(fold.final, lesson, NONE)


def test_differences_are_of_the_same_people() -> None:
    def row(by_person: dict[int, float]) -> summary.Row:
        nothing = summary.Spread(0.0, 0.0)
        return summary.Row(8, "", nothing, nothing, nothing, nothing, 1, 1, 0, by_person)

    found = summary.difference(row({1: 0.9, 2: 0.8}), row({2: 0.9, 1: 0.7}))
    assert found.mean == pytest.approx(0.05)
    assert found.std == pytest.approx(0.3 / np.sqrt(2))
    # Two standard errors are 0.3.
    assert summary.chance(row({1: 0.9, 2: 0.8}), row({2: 0.9, 1: 0.7}))
    assert not summary.chance(row({1: 0.9, 2: 0.8}), row({1: 0.4, 2: 0.2}))


def test_rows_are_over_people_of_their_means_over_seeds() -> None:
    runs = [
        {
            "person": person,
            "seconds": 8,
            "method": "PRIOT",
            "seed": seed,
            "before": before,
            "after": after,
            "macs": 300,
            "ram": 5000,
        }
        for person, seed, before, after in (
            (1, 0, 0.5, 0.8),
            (1, 1, 0.5, 0.6),
            (2, 0, 0.9, 0.8),
            (2, 1, 0.9, 0.9),
        )
    ]
    less = {**runs[0], "method": "last layer", "macs": 100}
    one, other = summary.rows({"runs": [*runs, less]})
    assert (one.method, other.method, one.seconds) == ("PRIOT", "last layer", 8)
    assert one.before.mean == pytest.approx(0.7)
    assert one.after.mean == pytest.approx(0.775)
    assert one.after.std == pytest.approx(0.15 / np.sqrt(2))
    assert one.gain.mean == pytest.approx(0.075)
    assert one.gain.std == pytest.approx(0.25 / np.sqrt(2))
    assert one.seeds.std == pytest.approx(0.05 / np.sqrt(2))
    assert one.worse == 1
    assert one.by_person == {1: pytest.approx(0.7), 2: pytest.approx(0.85)}
    assert summary.before({"runs": runs}) == {1: 0.5, 2: 0.9}
    assert [summary.share(each, [one, other]) for each in (one, other)] == ["1", "1/3.0"]


def test_the_page_shows_them(tmp_path: Path) -> None:
    way = {"mu": [7, 6], "epochs": 3, "permille": 500}
    found = {
        "people": [1],
        "seeds": 2,
        "chosen_with": 8,
        "support_windows": {"8": 42},
        "test_windows": {"1": 99},
        "candidates": {"PRIOT": 4, "last layer": 4},
        "chosen": {"1": {"PRIOT": way, "last layer": way}},
        "runs": [
            {
                "person": 1,
                "seconds": 8,
                "method": method,
                "seed": seed,
                "before": 0.5,
                "after": after,
                "macs": macs,
                "ram": 5000,
            }
            for method, macs, ends in (("PRIOT", 900, (0.7, 0.9)), ("last layer", 90, (0.4, 0.5)))
            for seed, after in enumerate(ends)
        ],
        "device": {},
    }
    place = steps.small(tmp_path)
    write_json(place.json("watch"), found)
    lines = page.render(place).text.splitlines()
    for line in (
        "| 8 s of each recording, 42 windows | before | after | gain | seeds | worse | MACs "
        "| of the full | RAM, bytes |",
        "| PRIOT | 50.0 ± 0.0 | 80.0 ± 0.0 | +30.0 ± 0.0 | 14.1 | 0 | 900 | 1 | 5,000 |",
        "| last layer | 50.0 ± 0.0 | 45.0 ± 0.0 | -5.0 ± 0.0 | 7.1 | 1 | 90 | 1/10.0 | 5,000 |",
        "| person | before | PRIOT | last layer |",
        "| 1 | 50.0 | 80.0 | 45.0 |",
        "- PRIOT, of 4: mu 7,6, 3 epochs, 50 % of a layer (1)",
    ):
        assert line in lines


def test_settings_are_counted_over_people() -> None:
    first = {"mu": [7, 6], "epochs": 3, "permille": None}
    second = {"mu": [5], "epochs": 10, "permille": 500}
    chosen = {"1": {"a": second, "b": first}, "2": {"a": first}, "3": {"a": second}}
    assert summary.settings({"chosen": chosen}) == {
        "a": [("mu 5, 10 epochs, 50 % of a layer", 2), ("mu 7,6, 3 epochs", 1)],
        "b": [("mu 7,6, 3 epochs", 1)],
    }
