"""What the command line imports: a verb's module when it is named, and heavy libraries last."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from picotrain import cli

HEAVY = {"matplotlib", "pandas", "scipy", "sklearn", "torch", "joblib", "jinja2", "distributed"}
PRINT_MODULES = "print('\\n'.join(sys.modules), file=sys.stderr)"


def loaded(*arguments: str) -> set[str]:
    """The modules that a run of the command line has loaded when it ends."""
    program = (
        "import sys\n"
        "from picotrain.cli import main\n"
        f"try: code = main({list(arguments)!r})\n"
        "except SystemExit as stop: code = stop.code\n"
        f"{PRINT_MODULES}\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_help_imports_no_verb_and_no_library() -> None:
    modules = loaded("--help")
    ours = {name for name in modules if name.startswith("picotrain.")}
    assert ours == {
        *("picotrain.cli", "picotrain.errors", "picotrain.inputs"),
        "picotrain.stopping",
        "picotrain.streams",
    }
    assert not modules & (HEAVY | {"numpy", "elftools", "serial", "tqdm", "picotrain_golden"})


@pytest.mark.parametrize("verb", ["data", "targets", "uf2", "ports"])
def test_a_light_verb_imports_no_heavy_library(verb: str) -> None:
    arguments = ["uf2", "--help"] if verb == "uf2" else [verb]
    modules = loaded(*arguments)
    assert any(name == f"picotrain.cli.{cli.VERBS[verb][0]}.{verb}" for name in modules)
    assert not modules & HEAVY
    others = set(cli.VERBS) - {verb}
    named = {name.rsplit(".", 1)[-1].replace("_", "-") for name in modules if ".cli." in name}
    assert not named & others


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_its_help_with_an_example(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([verb, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: picotrain {verb} ")
    assert f"example: picotrain {verb}" in " ".join(text.split())
    assert "--json FILE" in text


def test_help_has_one_line_for_each_verb(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for verb, (_, line) in cli.VERBS.items():
        found = [one for one in lines if re.match(rf"\s+{verb}\s", one)]
        assert found == [one for one in found if one.endswith(line)]
        assert len(found) == 1, verb


def test_without_a_verb_there_is_the_help_and_the_status_of_a_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "hw-test" in shown.err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert re.fullmatch(
        rf"picotrain {re.escape(version('picotrain'))}( \(commit [\w.-]+\))?\n",
        capsys.readouterr().out,
    )


def test_an_unknown_verb_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["adopt"])
    assert stopped.value.code == 2
    assert "invalid choice: 'adopt' (choose from 'targets', 'data'" in capsys.readouterr().err
