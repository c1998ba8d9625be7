"""How the fuzz targets are run, and what is said of an input that breaks something."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("tflite", reason="tflite is not installed: pip install -e '.[convert]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[convert]'")

from fuzz import corpora, damaged, fuzzing, programs
from fuzz.programs import FOUND, HERE, ROOT, SHARES, Found, committed, name_of, outcome

_WELL = """#2	INITED cov: 80 ft: 81 corp: 1/1b
#912	NEW    cov: 93 ft: 400 corp: 9/40b
stat::number_of_executed_units: 4711
"""


def test_a_run_without_a_finding() -> None:
    assert outcome("link", 9, _WELL, 0) == Found("link", 4711, 9, 93)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "fuzz: this does not hold: an answer is a frame\n==1== ERROR: libFuzzer: deadly signal",
            "fuzz: this does not hold: an answer is a frame",
        ),
        (
            "pt_link.c:7:3: runtime error: shift exponent 40 is too large\nSUMMARY: Undefined",
            "runtime error: shift exponent 40 is too large",
        ),
        (
            "==1==ERROR: AddressSanitizer\nSUMMARY: AddressSanitizer: heap-buffer-overflow a.c:3",
            "SUMMARY: AddressSanitizer: heap-buffer-overflow a.c:3",
        ),
        ("", "it ended with exit status 77"),
    ],
)
def test_a_finding_is_one_line(said: str, told: str) -> None:
    """With the input, and how to run it again."""
    file = FOUND / "link-crash-12"
    log = f"{_WELL}{said}\nTest unit written to {file}\n"
    found = outcome("link", 9, log, 77)
    assert found.executions == 4711
    again = "; again: build/fuzz/link/fuzz build/fuzz/found/link-crash-12"
    assert found.broken == f"link: {told}{again}"


def test_what_was_not_written_is_not_named() -> None:
    assert outcome("blob", 9, "", 1) == Found("blob", 0, 9, 0, "blob: it ended with exit status 1")


@pytest.mark.parametrize(("minutes", "jobs"), [(1, 1), (1, 2), (10, 2), (2, 64)])
def test_time_is_shared(minutes: float, jobs: int) -> None:
    """By as many as run at a time; each has some."""
    shared = fuzzing.shares(list(fuzzing.EVERY), minutes, jobs)
    used = 60 * minutes * min(jobs, len(fuzzing.EVERY))
    assert abs(sum(shared.values()) - used) <= len(shared)
    assert min(shared.values()) >= 1
    assert shared["link"] == max(shared.values())


def test_every_target_has_a_small_corpus_and_seeds() -> None:
    total = 0
    for target in SHARES:
        sizes = [one.stat().st_size for one in committed(target).iterdir()]
        assert len(sizes) == corpora.size(target) > 20
        assert name_of(target) in corpora.SEEDS
        assert (HERE / f"{name_of(target)}.c").is_file()
        total += sum(sizes) if target == name_of(target) else 0
    assert total < 200_000


def test_without_clang_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    monkeypatch.setattr("sys.argv", ["fuzz"])
    assert fuzzing.main() == 2
    assert capsys.readouterr().err == (f"fuzz: {programs.MISSING}\n")


def test_what_is_not_asked_for_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged models, which are no program, want no clang either."""
    made: list[list[str]] = []

    def make(command: list[str], check: bool) -> SimpleNamespace:
        made.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(programs.shutil, "which", lambda name: "clang")
    monkeypatch.setattr(programs.subprocess, "run", make)
    for targets in (["link"], ["models", "blob-tuned", "mailbox"], list(fuzzing.EVERY)):
        programs.build(targets)
    assert [command[-1] for command in made] == [
        "PROGRAMS=link",
        "PROGRAMS=mailbox blob-tuned",
        f"PROGRAMS={' '.join(SHARES)}",
    ]
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    programs.build([fuzzing.MODELS])
    assert len(made) == 3


def test_an_importer_that_ends_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def struct_error(path: Path) -> None:
        raise IndexError("7")

    def no_sentence(path: Path) -> None:
        raise damaged.UserError("two\nlines")

    monkeypatch.setattr(damaged, "_import", struct_error)
    with pytest.raises(damaged.Broken, match="IndexError: 7"):
        damaged.imported(tmp_path)
    monkeypatch.setattr(damaged, "_import", no_sentence)
    with pytest.raises(damaged.Broken, match="no sentence"):
        damaged.imported(tmp_path)


def test_a_broken_file_is_kept_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(damaged, "_import", lambda path: 1 // 0)
    words = ["damaged", "--seconds", "9", "--seed", "5", "--found", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    assert damaged.main() == 1
    (kept,) = tmp_path.iterdir()
    assert f"{kept}: ZeroDivisionError" in capsys.readouterr().out


def test_the_line_for_a_broken_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        returncode = 1
        stdout = f'{{"executions": 12, "broken": "{ROOT}/build/fuzz/found/a.onnx: KeyError: 1"}}'

    monkeypatch.setattr(fuzzing.subprocess, "run", lambda *_, **__: Ended)
    assert fuzzing.run_models(9, 5).broken == (
        "models: KeyError: 1; again: .venv/bin/picotrain import build/fuzz/found/a.onnx --out x.npz"
    )
