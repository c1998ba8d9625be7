"""The files that verbs write: found out before the work, none lost, none overwritten by mistake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from picotrain import cli, places
from picotrain.image import firmware
from picotrain.learn import models
from support import require

SMALL = ["--train-samples", "20", "--test-samples", "10", "--epochs", "1"]


def adapt(*more: str) -> int:
    return cli.main(["adapt", "--target", "golden", *SMALL, *more])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def last(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_two_outputs_are_not_one_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pretrain", "--out", "x.npz", "--json", "./x.npz"]) == 2
    assert last(capsys) == (
        "picotrain: --json x.npz and --out x.npz are the same file; choose another for one of them"
    )
    assert list(here.iterdir()) == []


def test_no_output_is_an_input(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(models.BACKBONES / "tinycnn-digits.npz", "b.npz")
    shutil.copy(models.MODELS / "tinycnn.toml", "m.toml")
    Path("data.npz").write_bytes(b"data")
    for option, name in (
        ("--backbone", "b.npz"),
        ("--model", "m.toml"),
        ("--dataset", "npz:data.npz"),
    ):
        file = Path(name.removeprefix("npz:"))
        before = file.read_bytes()
        assert adapt(option, name, "--json", str(here / file)) == 2
        assert f"would overwrite the input {file}; choose another file" in last(capsys)
        assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["yes/a.wav", "person/b.JPG", "testing_list.txt"])
def test_no_output_is_one_of_the_files_of_a_folder(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = here / "my data" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")
    for dataset in ("speech-commands:my data", f"wake-words:{here}/my data"):
        assert adapt("--dataset", dataset, "--json", f"my data/../my data/{name}") == 2
        assert "would overwrite the input my data/" in last(capsys)
    # A new file there is none of them.
    assert adapt("--dataset", "speech-commands:my data", "--json", "my data/new.json") == 2
    assert "it has no folder of down, go" in last(capsys)
    assert file.read_bytes() == b"mine"


@pytest.mark.parametrize("verb", [["uf2"], ["pretrain"], ["prune", "--flash", "9"]])
def test_a_name_that_is_none_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    for name, sentence in (
        ("", "picotrain: --out is empty; name a file"),
        (".", "picotrain: cannot write .: it is a folder; name a file"),
    ):
        assert cli.main([*verb, "--out", name]) == 2
        assert last(capsys) == sentence
    assert cli.main(["uf2", "--elf", ""]) == 2
    assert last(capsys).startswith("picotrain: ")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["adapt", "--target", "golden", *SMALL], "--json"),
        (["pretrain"], "--out"),
        (["profile"], "--html"),
        (["profile"], "--callgrind"),
        (["verify", "--target", "host"], "--json"),
        (["sweep", "grid.toml"], "--out"),
        (["sweep", "grid.toml"], "--plot"),
        (["uf2"], "--out"),
        (["data"], "--json"),
    ],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], option: str
) -> None:
    Path("file").write_text("")
    assert cli.main([*arguments, option, "file/x.svg"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "picotrain: cannot write file/x.svg: Not a directory; choose another file\n"
    )
    long = "x" * 300
    assert cli.main([*arguments, option, long]) == 2
    assert f"cannot write {long}: File name too long" in last(capsys)


def test_a_backbone_that_finds_no_room_is_refused_before_the_epochs(here: Path) -> None:
    done = subprocess.run(
        [
            *("bash", "-c", 'ulimit -f 20; exec "$@"', "-", sys.executable, "-m", "picotrain"),
            *("pretrain", "--out", "b.npz"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    sentence = "picotrain: cannot write b.npz: File too large; choose another file\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)
    assert list(here.iterdir()) == []


def test_a_uf2_that_finds_no_room_keeps_the_good_one(here: Path) -> None:
    elf = require(firmware.RP2040)
    good = Path("good.uf2")
    good.write_bytes(b"good")
    done = subprocess.run(
        [
            *("bash", "-c", 'ulimit -f 70; exec "$@"', "-", sys.executable, "-m", "picotrain"),
            *("uf2", "--elf", str(elf), "--out", "good.uf2"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    sentence = "picotrain: cannot write good.uf2: File too large; choose another file\n"
    assert (done.returncode, done.stderr) == (2, sentence)
    assert good.read_bytes() == b"good"
    assert [path.name for path in here.iterdir()] == ["good.uf2"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--target", "host", "--ram-kib", "1"], 1),
        (["--target", "serial:/dev/no-such-port"], 2),
        (["--target", "qemu", "--ram-kib", "1"], 2),
        (["--backbone", "nowhere.npz"], 2),
    ],
)
def test_a_failed_start_keeps_an_earlier_result(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int
) -> None:
    file = here / "r.json"
    file.write_text('{"complete": true}')
    assert cli.main(["adapt", *arguments, *SMALL, "--json", str(file)]) == status
    assert file.read_text() == '{"complete": true}'
    assert "the result so far" not in capsys.readouterr().err


def test_json_to_standard_output_is_alone_there(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt("--json", "-") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["complete"] is True
    assert shown.err.splitlines()[-1].startswith("state ")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["pipe", "file"])
def test_every_name_of_standard_output(here: Path, name: str, into: str) -> None:
    command = [sys.executable, "-m", "picotrain", "ports", "--json", name]
    with Path("out").open("wb") as file:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE if into == "pipe" else file,
            stderr=subprocess.PIPE,
            check=True,
        )
    text = done.stdout if into == "pipe" else Path("out").read_bytes()
    assert set(json.loads(text)) == {"ports", "drives"}
    assert done.stderr != b""


def test_the_file_that_standard_output_goes_to_is_standard_output(here: Path) -> None:
    with Path("out").open("wb") as file:
        command = [sys.executable, "-m", "picotrain", "ports", "--json", "out"]
        subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=True)
    assert set(json.loads(Path("out").read_text())) == {"ports", "drives"}


def test_two_outputs_to_standard_output_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["uf2", "--json", "-", "--out", "-"]) == 2
    assert "--json - and --out - are the same file" in last(capsys)


def test_json_into_nothing_and_through_a_link(here: Path) -> None:
    assert cli.main(["ports", "--json", os.devnull]) == 0
    assert not Path(os.devnull).is_file()
    Path("link").symlink_to("real.json")
    assert cli.main(["ports", "--json", "link"]) == 0
    assert Path("link").is_symlink()
    assert set(json.loads(Path("real.json").read_text())) == {"ports", "drives"}


def default_name(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert adapt(*more) == 0
    return capsys.readouterr().out.splitlines()[-1].removeprefix("result: ")


def test_runs_that_differ_have_results_of_their_own(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = default_name(capsys)
    assert first.startswith("picotrain-results/adapt-tinycnn-digits-priot-golden-0-")
    assert default_name(capsys) == first
    for folder in ("a", "b"):
        Path(folder).mkdir()
        shutil.copy(models.BACKBONES / "tinycnn-digits.npz", f"{folder}/b.npz")
    variants = (
        ["--mu", "3"],
        ["--epochs", "2"],
        ["--layer-mu=0,0,0,1"],
        ["--threshold", "-9"],
        ["--replay", "0.5"],
        ["--backbone", "a/b.npz"],
        ["--backbone", "b/b.npz"],
        ["--retention"],
    )
    names = [default_name(capsys, *variant) for variant in variants]
    assert len({first, *names}) == 1 + len(variants)
    found = {f"picotrain-results/{path.name}" for path in Path("picotrain-results").iterdir()}
    assert found == {first, *names}
    assert default_name(capsys, "--backbone", "./a/../b/b.npz") == names[-2]


def test_a_mistake_leaves_no_folder_of_results(here: Path) -> None:
    assert adapt("--mu", "99") == 2
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["ports", "--json"],
        ["pretrain", "--out"],
        ["uf2", "--elf"],
        ["profile", "--run"],
        ["memory", "--budget"],
        ["hw-test", "--report"],
        ["sweep", "grid.toml", "--cells"],
        ["sweep"],
        ["adapt", "--backbone"],
        ["adapt", "--model"],
        ["adapt", "--dataset"],
    ],
)
def test_the_home_of_nobody_is_a_mistake(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert cli.main([*arguments, "~no-such-user-here/x"]) == 2
    assert capsys.readouterr().err == (
        "picotrain: ~no-such-user-here/x: ~no-such-user-here is the home folder of nobody here; "
        "write the folder out, or put ./ before the name\n"
    )
    assert list(here.iterdir()) == []


def test_the_users_own_home_is_found(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    assert cli.main(["ports", "--json", "~/ports.json"]) == 0
    assert (here / "home" / "ports.json").is_file()


def test_cells_that_cannot_be_kept_are_found_before_the_first(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picotrain.research.sweep.run._here", lambda *_: pytest.fail("a cell ran"))
    grid = str(places.SHIPPED / "experiments" / "example.toml")
    # Nobody can make a file there, root neither.
    assert cli.main(["sweep", grid, "--cells", "/proc"]) == 2
    assert last(capsys) == (
        "picotrain: cannot write into /proc: No such file or directory; choose another folder"
    )
