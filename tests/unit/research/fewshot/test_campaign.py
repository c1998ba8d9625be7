"""Few-shot tasks on devices, and what is kept of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from picotrain import cli
from picotrain.datasets.fewshot import EMBEDDED, Rule, load_domain, sample_episode
from picotrain.device.backends import open_device
from picotrain.errors import CommandError, UserError
from picotrain.learn import models
from picotrain.research.fewshot import campaign, kept, summary
from picotrain.research.fewshot.defaults import BACKBONES, SETTINGS
from picotrain.research.fewshot.schemes import RULES, Scheme, all_schemes
from picotrain.research.fewshot.task import Outcome, rows_of, run_task

TASK = Rule(ways=3, shots=2, query=4)
QUICK = replace(SETTINGS, steps=dict.fromkeys(RULES, 4))
SCHEMES = tuple(
    all_schemes(
        ["none", "last-layer", "full", "tinytrain", "true-cost", "random", "l2"],
        ["niti-static", "priot"],
        [1 / 7],
    )
)


@pytest.fixture(scope="module")
def planned() -> campaign.Campaign:
    backbone = models.load_backbone(BACKBONES["meta"])[0]
    return campaign.Campaign(backbone, SCHEMES, QUICK, TASK)


def outcomes_on(planned: campaign.Campaign, target: str) -> list[Outcome]:
    episode = sample_episode(load_domain(EMBEDDED), 3, 0, TASK)
    with open_device(target) as device:
        return run_task(device, planned.backbone, episode, False, SCHEMES, QUICK, 3, {})


def counts(rows: dict[int, str]) -> dict[int, int]:
    return {layer: int(text, 16).bit_count() for layer, text in rows.items()}


def test_golden_and_host_come_to_the_same(planned: campaign.Campaign) -> None:
    host = outcomes_on(planned, "host")
    assert host == outcomes_on(planned, "golden")
    by_name = {one.scheme: one for one in host}
    full, sparse = by_name["full NITI"], by_name["tinytrain NITI 0.142857"]
    assert full.rows[0] == "ffff" and len(full.rows) == 19
    assert 0 < sparse.macs <= full.macs // 7 and sparse.bytes < full.bytes
    for name in ("random", "l2"):
        other = by_name[f"{name} NITI 0.142857"].rows
        assert other != sparse.rows and counts(other) == counts(sparse.rows)
    assert by_name["last-layer PRIOT"].rows == {23: "07"}
    assert by_name["none"] == Outcome("none", by_name["none"].accuracy, 0, 0, {})


def test_images_of_another_shape_are_told_before_the_work(
    planned: campaign.Campaign, tmp_path: Path
) -> None:
    motion = models.initial_network(models.resolve("motion"), 0)
    with pytest.raises(UserError, match="motion takes images of 50x1x6, but those of tasks are 32"):
        campaign.run(replace(planned, backbone=motion), [EMBEDDED], 1, tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_where_no_image_has_an_error_the_head_stays(
    planned: campaign.Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a scheme that has moved it; and a budget below every layer's cost ends the campaign."""
    episode = sample_episode(load_domain(EMBEDDED), 3, 0, Rule(ways=10, shots=1))
    schemes = [Scheme("none"), Scheme("last-layer"), Scheme("tinytrain", "niti-static", 0.1)]
    moved = replace(QUICK, mu={**QUICK.mu, "last-layer NITI": (5,)}, steps=dict.fromkeys(RULES, 60))
    with open_device("host") as device:

        def outcomes(least_macs: int) -> list[Outcome]:
            def refused(*search: object) -> None:
                raise CommandError("SELECT", "PT_ERR_BUDGET", (1, least_macs, 1, 1))

            monkeypatch.setattr(device, "select", refused)
            return run_task(device, planned.backbone, episode, False, schemes, moved, 3, {})

        none, last, sparse = outcomes(1)
        assert last.accuracy != none.accuracy == sparse.accuracy
        assert sparse == Outcome("tinytrain NITI 0.1", none.accuracy, 0, 0, {})
        with pytest.raises(CommandError, match="PT_ERR_BUDGET"):
            outcomes(1 << 30)


def test_a_finished_task_is_kept(
    planned: campaign.Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = replace(planned, schemes=SCHEMES[:2])
    made = campaign.run(few, [EMBEDDED], 2, tmp_path, 1)
    files = sorted(tmp_path.rglob("*.json"))
    assert [path.name for path in files] == ["digits-0.json", "digits-1.json"]
    content = json.loads(files[0].read_text())
    content["outcomes"][0]["accuracy"] = 0.125
    files[0].write_text(json.dumps(content))
    again = campaign.run(few, [EMBEDDED], 2, tmp_path, 1)
    assert again[EMBEDDED][0][0].accuracy == 0.125
    assert again[EMBEDDED][1] == made[EMBEDDED][1]
    told = capsys.readouterr().err
    assert "2 of 2 tasks are kept in" in told and "other firmware" not in told
    # Other settings are another campaign.
    campaign.run(replace(few, seed=1), [EMBEDDED], 1, tmp_path, 1)
    assert len(list(tmp_path.iterdir())) == 2


def test_tasks_of_other_code_are_told(
    planned: campaign.Campaign,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = replace(planned, schemes=SCHEMES[:1])
    campaign.run(few, [EMBEDDED], 1, tmp_path, 1)
    monkeypatch.setattr(kept, "_python", lambda: b"other")
    capsys.readouterr()
    campaign.run(few, [EMBEDDED], 2, tmp_path, 1)
    told = capsys.readouterr().err
    assert "1 of 2 tasks are kept in" in told
    assert "picotrain: 1 of them were finished on another target, or by other firmware" in told


GOOD = {"scheme": "none", "accuracy": 0.5, "bytes": 0, "macs": 0, "rows": {}}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({}, "'format'"),
        ({"format": 1, "outcomes": [GOOD]}, "another version"),
        ({"format": 2, "outcomes": None}, "not iterable"),
        ({"format": 2, "outcomes": []}, "its schemes are others"),
        ({"format": 2, "outcomes": [GOOD, GOOD]}, "its schemes are others"),
        ({"format": 2, "outcomes": [{**GOOD, "scheme": "full NITI"}]}, "its schemes are others"),
        ({"format": 2, "outcomes": [{**GOOD, "more": 1}]}, "more"),
        *(
            ({"format": 2, "outcomes": [{**GOOD, name: value}]}, what)
            for name, value, what in [
                ("accuracy", float("nan"), "an accuracy is nan"),
                ("accuracy", 1.5, "an accuracy is 1.5"),
                ("accuracy", "high", "real number"),
                ("bytes", 1.5, "a cost is 1.5"),
                ("macs", -1, "a cost is -1"),
                ("rows", {"99": "ff"}, "rows are of layer 99"),
                ("rows", {"9": "ff"}, "rows are of layer 9"),
                ("rows", {"0": "ff"}, "has no 16 rows"),
                ("rows", {"0": "xx"}, "non-hexadecimal"),
                ("rows", {"x": "ff"}, "invalid literal"),
                ("rows", [], "no attribute"),
            ]
        ),
    ],
)
def test_what_is_no_finished_task_is_refused(
    content: object, what: str, planned: campaign.Campaign, tmp_path: Path
) -> None:
    path = tmp_path / "digits-0.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        kept.load(path, ["none"], planned.backbone)
    told = str(error.value)
    assert told.startswith(f"{path} holds no finished task (") and what in told
    assert told.endswith("); remove it")
    path.write_text(json.dumps({"format": 2, "outcomes": [GOOD]}))
    assert kept.load(path, ["none"], planned.backbone) == ([Outcome(**GOOD)], "")


def test_a_fixed_scheme_needs_a_budget_that_something_fits(
    planned: campaign.Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "FIXED_TASKS", 1)
    monkeypatch.setattr(campaign, "TUNED_ON", EMBEDDED)
    scheme = Scheme("sparse-update", "niti-static", 1e-9)
    with pytest.raises(UserError, match="sparse-update NITI 1e-09 has a budget of 1 MACs: no lay"):
        campaign.fixed_schemes(replace(planned, schemes=(scheme,)))


def test_a_fixed_scheme_is_of_the_tuning_domain(
    planned: campaign.Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "FIXED_TASKS", 1)
    monkeypatch.setattr(campaign, "TUNED_ON", EMBEDDED)
    scheme = Scheme("sparse-update", "niti-static", 0.2)
    found = campaign.fixed_schemes(replace(planned, schemes=(*SCHEMES, scheme)))
    assert list(found) == [scheme]
    head = found[scheme].rows[-1]
    assert head is not None and len(head) == campaign.FIXED_WAYS


def test_rows_of_a_task_are_bits() -> None:
    assert rows_of("05", 3).tolist() == [True, False, True]
    assert rows_of("0001", 9).tolist() == 8 * [False] + [True]
    with pytest.raises(ValueError, match="'05' has no 9 rows"):
        rows_of("05", 9)


def test_means_count_every_domain_the_same() -> None:
    def outcome(accuracy: float, rows: dict[int, str]) -> list[Outcome]:
        return [Outcome("full NITI", accuracy, 100, 1000, rows)]

    tasks = {
        "a": {0: outcome(0.5, {1: "03"}), 1: outcome(0.7, {1: "06", 4: "01"})},
        "b": {0: outcome(0.9, {4: "01"})},
    }
    together, a, b = summary.rows(tasks)
    assert a.accuracy.mean == pytest.approx(0.6) and b.accuracy.mean == 0.9
    assert together.accuracy.mean == pytest.approx(0.75)
    assert together.chosen == pytest.approx({1: 2 / 3, 4: 2 / 3})
    half = 1.959964 * np.std([0.5, 0.7], ddof=1) / 2**0.5
    assert a.accuracy.half == pytest.approx(half, rel=1e-4)
    assert together.accuracy.half == pytest.approx(half / 2, rel=1e-4)


def test_the_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["fewshot", "--domains", EMBEDDED, "--episodes", "1", "--ways", "3", "--shots", "2"]
    more = ["--schemes", "none", "full", "--rules", "priot", "--steps", "2", "--jobs", "1"]
    assert cli.main([*words, *more, "--target", "golden", "--json", "golden.json"]) == 0
    capsys.readouterr()
    Path("picotrain-results/fewshot").rename("elsewhere")
    assert cli.main([*words, *more, "--out", "found.json"]) == 0
    told = capsys.readouterr().out
    assert told.split()[:5] == ["scheme", "mean", EMBEDDED, "bytes", "MACs"]
    found = json.loads(Path("found.json").read_text())
    assert found["episodes"] == {EMBEDDED: 1}
    assert set(found["accuracies"][EMBEDDED]) == {"none", "full PRIOT"}
    assert json.loads(Path("golden.json").read_text()) == found


def test_budgets_that_read_alike_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["fewshot", "--domains", EMBEDDED, "--episodes", "1", "--ways", "3", "--shots", "2"]
    more = ["--schemes", "tinytrain", "--rules", "priot", "--steps", "2", "--jobs", "1"]
    shares = ["0.142857", repr(1 / 7), "0.1", "0.10000000001"]
    assert cli.main([*words, *more, "--budgets", *shares]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines[2:]] == ["0.142857", "0.1"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--domains", "moon"], "unknown domain 'moon'; use one of cifar100-train"),
        (["--domains", EMBEDDED, "--ways", "11"], "has 10 classes, fewer than 11 ways"),
        (["--schemes", "some"], "scheme 'some' is none"),
        (["--backbone", "nowhere.npz"], "there is no backbone at nowhere.npz"),
        (["--target", "moon"], "unknown target"),
        (["--budgets", "nan"], "nan is none; use 0 to 1"),
        (["--budgets", "0.1", "1.5"], "1.5 is none; use 0 to 1"),
    ],
)
def test_a_mistake_gets_one_sentence(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["fewshot", "--episodes", "1", "--jobs", "1", "--domains", EMBEDDED]
    assert cli.main([*few, "--schemes", "none", *words]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("picotrain: ") and sentence in told
