"""Where results go: an owner is kept, and no name is refused only when the work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from picotrain import cli, output
from picotrain.errors import UserError

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")


@AS_ROOT
def test_a_file_of_somebody_else_stays_theirs(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    os.chown(file, 1234, 2345)
    output.write_text(file, "new")
    assert (file.read_text(), file.stat().st_uid, file.stat().st_gid) == ("new", 1234, 2345)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a.json/../a.json", "No such file or directory"),
        ("new/../../x.json", "No such file or directory"),
        ("real.json/x", "Not a directory"),
        ("real.json/../x", "Not a directory"),
    ],
)
def test_a_way_back_through_what_is_no_folder_is_refused(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "real.json").write_text("{}")
    for act in (output.check, lambda path: output.write_text(path, "new")):
        with pytest.raises(UserError) as caught:
            act(tmp_path / name)
        assert str(caught.value) == f"cannot write {tmp_path / name}: {why}; choose another file"
    assert [path.name for path in tmp_path.iterdir()] == ["real.json"]


def test_a_way_back_through_a_folder_is_fine(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / ".." / "x.json"
    output.check(path)
    output.write_text(path, "new")
    assert (tmp_path / "x.json").read_text() == "new"


@pytest.mark.parametrize("name", ["newd/", "newd/.", "newd//", "a/b/"])
@pytest.mark.parametrize("command", [["ports", "--json"], ["uf2", "--out"]])
def test_a_name_that_ends_as_a_folder_is_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, name]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"picotrain: cannot write {name}: it is a folder; name a file\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_child_has_all_three_streams(tmp_path: Path, redirection: str) -> None:
    """Else the first file that it opens itself gets the number, and what it prints goes there."""
    child = "exec 5>&1 6>&2 7<&0"
    program = (
        "import os, subprocess, sys\n"
        "from pathlib import Path\n"
        "from picotrain.streams import guarded\n"
        "with guarded():\n"
        "    own = open('file', 'w')\n"
        "    assert own.fileno() > 2\n"
        f"    code = subprocess.run(['sh', '-c', {child!r}], close_fds=True).returncode\n"
        "Path('code').write_text(str(code))\n"
    )
    command = ["bash", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, program]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "code").read_text() == "0"
    assert (tmp_path / "file").read_text() == ""
