"""The writer of results: checked before, whole or not at all, written through where it must be."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from picotrain import output
from picotrain.errors import UserError

LONG = "x" * 300
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can do it")


@pytest.fixture
def umask() -> Callable[[int], None]:
    def set_(mask: int) -> None:
        os.umask(mask)

    before = os.umask(0o022)
    os.umask(before)
    yield set_
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_the_umask(
    tmp_path: Path, umask: Callable[[int], None], mask: int, expected: int
) -> None:
    umask(mask)
    output.write_text(tmp_path / "new" / "file", "µ\n")
    assert mode(tmp_path / "new" / "file") == expected
    assert (tmp_path / "new" / "file").read_bytes() == b"\xc2\xb5\n"
    assert names(tmp_path / "new") == ["file"]


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o640)
    output.write_text(file, "new")
    assert (file.read_text(), mode(file)) == ("new", 0o640)


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    real, link, dangling = tmp_path / "a" / "real", tmp_path / "link", tmp_path / "dangling"
    real.parent.mkdir()
    real.write_text("old")
    link.symlink_to(real)
    dangling.symlink_to("a/new")
    for path in (link, dangling):
        output.check(path)
        output.write_text(path, "new")
        assert path.is_symlink()
        assert path.read_text() == "new"
    assert real.read_text() == "new"
    assert names(tmp_path / "a") == ["new", "real"]


def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    output.check(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    output.write_json(fifo, {"a": 1})
    reader.join(10)
    assert json.loads(read[0]) == {"a": 1}
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@AS_ROOT
def test_a_device_is_written_through_even_by_root(tmp_path: Path) -> None:
    null = tmp_path / "null"
    os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    output.check(null)
    output.write_text(null, "nothing")
    assert stat.S_ISCHR(null.stat().st_mode)
    full = tmp_path / "full"
    os.mknod(full, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    with pytest.raises(UserError, match="full: No space left on device; choose another file"):
        output.write_text(full, "nothing")


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        output.check(path)
    return str(caught.value)


def test_what_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for name, why in (
        (".", "it is a folder; name a file"),
        ("file/x", "Not a directory; choose another file"),
        (LONG, "File name too long; choose another file"),
        (f"new/{LONG}", "File name too long; choose another file"),
        (f"new/{LONG}/x", "File name too long; choose another file"),
        ("loop", "Too many levels of symbolic links; choose another file"),
    ):
        assert refusal(tmp_path / name) == f"cannot write {tmp_path / name}: {why}"
    output.check(tmp_path / "new" / "folder" / "x")
    assert names(tmp_path) == ["file", "loop"]


@AS_ROOT
def test_a_closed_folder_and_a_read_only_file_are_found_before_the_work(tmp_path: Path) -> None:
    closed, file = tmp_path / "closed", tmp_path / "file"
    closed.mkdir(mode=0o755)
    file.write_text("old")
    file.chmod(0o444)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        for path in (closed / "x", closed / "new" / "x", file):
            assert refusal(path) == f"cannot write {path}: Permission denied; choose another file"
    finally:
        os.seteuid(0)


def limited(command: str, limit: int) -> subprocess.CompletedProcess[str]:
    """A program that may write files of so many bytes only, as on a full disk."""
    program = f"from pathlib import Path\nfrom picotrain import output\n{command}"
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def test_without_room_the_good_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("good")
    done = limited(f"output.write_bytes(Path({str(file)!r}), bytes(10_000))", 5_000)
    assert f"UserError: cannot write {file}: File too large; choose another file" in done.stderr
    assert (file.read_text(), names(tmp_path)) == ("good", ["file"])
    done = limited(f"output.check(Path({str(file)!r}), 10_000)", 5_000)
    assert f"UserError: cannot write {file}: File too large" in done.stderr
    assert (file.read_text(), names(tmp_path)) == ("good", ["file"])
    assert limited(f"output.check(Path({str(file)!r}), 5_000)", 5_000).stderr == ""


@AS_ROOT
def test_on_a_full_disk_the_good_file_stays(tmp_path: Path) -> None:
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        file = tmp_path / "file"
        output.write_bytes(file, b"good")
        with pytest.raises(UserError, match=f"{file}: No space left on device"):
            output.write_bytes(file, bytes(100_000))
        with pytest.raises(UserError, match=f"{file}: No space left on device"):
            output.check(file, 100_000)
        assert (file.read_bytes(), names(tmp_path)) == (b"good", ["file"])
        # A mount of its own cannot be replaced, only written.
        subprocess.run(["mount", "--bind", str(file), str(file)], check=True)
        output.write_bytes(file, b"new")
        subprocess.run(["umount", str(file)], check=True)
        assert (file.read_bytes(), names(tmp_path)) == (b"new", ["file"])
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_an_interrupt_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("good")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        output.write_text(file, "new")
    assert (file.read_text(), names(tmp_path)) == ("good", ["file"])


def test_an_output_is_no_input_and_no_other_output(tmp_path: Path) -> None:
    one, link, other = tmp_path / "one", tmp_path / "link", tmp_path / "other"
    one.write_text("")
    link.symlink_to(one)
    with pytest.raises(UserError, match=r"--out .*one and --json .*link are the same file; choose"):
        output.check_apart([("--out", one), ("--json", link)], [])
    with pytest.raises(UserError, match=r"--json .*link would overwrite the input .*one; choose"):
        output.check_apart([("--out", other), ("--json", link)], [one])
    new = tmp_path / "new"
    with pytest.raises(UserError, match="are the same file"):
        output.check_apart([("--out", new), ("--json", tmp_path / "." / "new")], [])
    (tmp_path / "way").symlink_to(tmp_path)  # to a file that neither name finds yet
    with pytest.raises(UserError, match="are the same file"):
        output.check_apart([("--out", new), ("--json", tmp_path / "way" / "new")], [])
    with pytest.raises(UserError, match="are the same file"):
        output.check_apart([("--out", output.STANDARD), ("--json", output.STANDARD)], [])
    null = Path(os.devnull)
    output.check_apart([("--out", null), ("--json", null), ("--html", other)], [one, null])


def test_a_second_run_does_not_write_to_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks, home = tmp_path / "locks", tmp_path / "home"
    locks.mkdir()
    home.mkdir()
    (home / "small.npz.lock").write_text("somebody's")
    (home / "link.npz").symlink_to(home / "small.npz")
    monkeypatch.setattr("tempfile.tempdir", str(locks))
    before = sorted(home.iterdir())
    for place in (home, home / "small.npz", home / "new" / "small.npz", home / ("x" * 252)):
        said = f"another run writes to {place}; wait until it ends, or choose another --out"
        for _ in range(2):
            with output.alone(place):
                with pytest.raises(UserError, match=re.escape(said)), output.alone(place):
                    pass
                with output.alone(home / "other.npz"):
                    pass
    with output.alone(home / "small.npz"), pytest.raises(UserError), output.alone(before[0]):
        pass
    with output.alone(Path("-")), output.alone(Path("-")):
        pass
    assert sorted(home.iterdir()) == before and before[1].read_text() == "somebody's"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"^cannot write .*nowhere"), output.alone(home):
        pass


def test_a_name_with_a_nul_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="embedded null"):
        output.write_text(tmp_path / "a\0b", "")


def test_what_is_no_text_is_shown_by_its_number(tmp_path: Path) -> None:
    output.write_text(tmp_path / "file", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "file").read_bytes() == b"caf\\udce9"


def test_errors_that_the_system_names_keep_their_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quota(*_: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(Path, "replace", quota)
    with pytest.raises(UserError, match="Disk quota exceeded; choose another file"):
        output.write_text(tmp_path / "file", "new")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "C.UTF-8"},
    ],
)
def test_text_is_utf_8_in_any_locale(tmp_path: Path, locale: dict[str, str]) -> None:
    program = (
        "import locale, sys\nfrom pathlib import Path\nfrom picotrain import inputs, output\n"
        "output.write_text(Path('file'), '90.0 \\xb1 2.1 \\u2192')\n"
        "assert inputs.read_text(Path('file'), '') == '90.0 \\xb1 2.1 \\u2192'\n"
        "print(locale.getpreferredencoding(False))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **locale},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.strip() == "UTF-8") == ("UTF-8" in locale["LC_ALL"])
    assert (tmp_path / "file").read_bytes() == "90.0 ± 2.1 →".encode()
