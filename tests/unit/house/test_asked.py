"""Numbers that runners of campaigns are given: the good ones, and what is said of others."""

from __future__ import annotations

import ast
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from flips import flipping
from fuzz import fuzzing
from host_speed import measuring
from mutants import running
from picotrain.device.link import throughput
from picotrain.errors import DeviceFailure, UserError, told
from picotrain.hardware import campaign
from picotrain.inputs import read_json
from picotrain.learn import models
from reliability import asked, exactness, stress


def test_numbers() -> None:
    assert (asked.share("0.2"), asked.share("1")) == (0.2, 1.0)
    assert [asked.jobs(text) for text in ("0", "1", "20")] == [1, 1, 20]


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (asked.jobs, ["-1", "-3", "2.5", "x", "", "9" * 23]),
        (asked.share, ["0", "2", "nan"]),
    ],
)
def test_what_is_none(read: Callable[[str], float], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ArgumentTypeError, match=f"^'?{text}'? is "):
            read(text)


ROOT = Path(__file__).resolve().parents[3]
RUNNERS = sorted(
    path
    for folder in ("tests", "harness", "experiments")
    for path in (ROOT / folder).rglob("*.py")
    if "add_argument(" in path.read_text(encoding="utf-8")
    and not path.is_relative_to(ROOT / "harness" / "picotrain" / "cli")
    and not path.is_relative_to(ROOT / "harness" / "picotrain" / "learn")
)
"""Of all but the verbs, whose numbers tests/unit/cli knows."""


@pytest.mark.parametrize("path", RUNNERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_runner_takes_a_number_without_bounds(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    types = [one.value for call in calls for one in call.keywords if one.arg == "type"]
    assert not [one for one in types if isinstance(one, ast.Name) and one.id in ("int", "float")]


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (running.main, ["--jobs", "-3"], "-3 is less than 0: give how many run at a time"),
        (running.main, ["--sample", "0"], "0 is less than 1"),
        (exactness.main, ["--jobs", "-1"], "-1 is less than 0: give how many run at a time"),
        (fuzzing.main, ["--jobs", "-1"], "-1 is less than 0: give how many run at a time"),
        (fuzzing.main, ["--minutes", "nan"], "'nan' is not a number above 0"),
        (stress.main, ["host", "--minutes", "nan"], "'nan' is not a number above 0"),
        (stress.main, ["host", "--minutes", "inf"], "'inf' is not a number above 0"),
        (stress.main, ["host", "--minutes", "-1"], "'-1' is not a number above 0"),
        (flipping.main, ["--seed", "x"], "'x' is not a whole number"),
        (campaign.main, ["--frames", "0"], "0 is less than 1"),
        (throughput.main, ["x", "--bytes", "-1"], "-1 is less than 1"),
    ],
)
def test_a_runner_refuses_what_is_out_of_bounds(
    main: Callable[[Sequence[str]], int],
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (stress.main, ["host", "nothere"], "^unknown target 'nothere'; use one of "),
        (stress.main, ["host", "golden"], "^target 'golden' has no memory to open"),
        (flipping.main, ["--target", "nothere"], "^unknown target 'nothere'; use one of "),
        (running.main, ["--area", "nosuch"], "^no mutant is of nosuch; areas are app, "),
        (
            running.main,
            ["--file", "firmware/app/pt_app.c", "--file", "typo.c", "--file", "pt_app.c"],
            r"^no mutant is of typo\.c, pt_app\.c; name files by their paths from the root, as ",
        ),
    ],
)
def test_a_runner_names_what_is_not_there(
    main: Callable[[Sequence[str]], int], arguments: list[str], said: str
) -> None:
    """Before it measures anything."""
    with pytest.raises(UserError, match=said):
        main(arguments)


def test_a_mistake_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(arguments: Sequence[str]) -> int:
        raise UserError("x is wrong") if arguments else DeviceFailure("it died")

    monkeypatch.setattr("sys.argv", ["runner", "x"])
    assert (told("runner", fails), capsys.readouterr().err) == (2, "runner: x is wrong\n")
    monkeypatch.setattr("sys.argv", ["runner"])
    assert (told("runner", fails), capsys.readouterr().err) == (1, "runner: it died\n")


OTHERS = (
    *("picotrain/__main__.py", "targets/rp2040js.py", "fuzz/damaged.py", "package/check.py"),
    *("targets/renode_release.py", "targets/node_package.py", "link/throughput.py"),
)
"""The verbs, two whose parent reads what they say, one that imports nothing from here, and three
that tell it in words of their own."""
MAINS = sorted(
    path
    for folder in ("tests", "harness", "experiments")
    for path in (ROOT / folder).rglob("*.py")
    if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")
    and not path.as_posix().endswith(OTHERS)
)


@pytest.mark.parametrize("path", MAINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_runner_shows_a_traceback_for_a_mistake(path: Path) -> None:
    assert "    sys.exit(told(" in path.read_text(encoding="utf-8")


def test_host_speed_looks_before_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = SimpleNamespace(name="cifar10", image_shape=(3, 32, 32), classes=10)
    monkeypatch.setattr(measuring, "_part", lambda *_: pytest.fail("it measured"))
    monkeypatch.setattr(measuring, "_split", lambda *_: None)
    monkeypatch.setattr(measuring.datasets, "load", lambda _: photographs)
    monkeypatch.setattr(measuring, "FILE", tmp_path / "x.json")
    junk = tmp_path / "junk.npz"
    junk.write_bytes(b"junk")
    digits = str(models.backbone_path("tinycnn", "digits"))
    for given, said in (
        (["--against", "/bin/true"], "^/bin/true is no older picotrain-host that runs here: "),
        (["--against", "/bin/true", "--network", str(junk)], "junk.npz"),
        (["--against", "/bin/true", "--network", digits], "takes images of"),
    ):
        with pytest.raises(UserError, match=said):
            measuring.main(given)


def test_host_speed_keeps_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parts(_: object) -> Iterator[tuple[str, dict[str, object]]]:
        yield "naive", {"infer": {"times": 2.0}}
        raise DeviceFailure("the second part")

    monkeypatch.setattr(measuring, "measure", parts)
    monkeypatch.setattr(measuring, "FILE", tmp_path / "x.json")
    with pytest.raises(DeviceFailure, match="the second part"):
        measuring.main([])
    assert read_json(tmp_path / "x.json", "")["naive"]["methods"] == {"infer": {"times": 2.0}}
