"""Files as memory: no page without room, wherever a device's memory lies."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets import memory_file
from picotrain.device.targets.host import HostTarget
from picotrain.device.targets.memory_file import memory_file as new_file
from picotrain.device.targets.memory_file import memory_folder, reserve
from picotrain.device.targets.qemu import QemuTarget
from picotrain.errors import LinkFailure, UserError
from picotrain.image import firmware
from picotrain_golden import Method
from support import images, require, shipped

ROOT = Path(__file__).resolve().parents[3]
MIB = 1 << 20


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test may be told anew."""
    monkeypatch.setattr(memory_file, "_told", set())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder in RAM with 1 MiB, as a container may have for /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting is not allowed here")
    yield folder
    # Lazily: a program that is about to end may still have a file there.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_reserved(file: int) -> bool:
    found = os.fstat(file)
    return found.st_blocks * 512 >= found.st_size


def trained(target: HostTarget | QemuTarget) -> list[int]:
    """What a few steps predict; their memory is touched all over."""
    device = MailboxDevice(target)
    network = shipped("tinycnn")
    device.load_model(network)
    device.set_method(Method("priot", mu=3, theta=-64, start="normal"))
    return [int(one) for one in device.train(*images(network, 4)).predictions]


def qemu(*folders: Path) -> QemuTarget:
    elf, plugin = require(firmware.MICROBIT), require(firmware.CYCLE_PLUGIN)
    return QemuTarget(elf, plugin, folders=folders)


def test_a_file_has_its_room(tmp_path: Path) -> None:
    with new_file(3 * MIB, "a memory", [tmp_path]) as file:
        assert os.fstat(file.fileno()).st_size == 3 * MIB
        assert is_reserved(file.fileno())
    assert list(tmp_path.iterdir()) == []


def test_the_next_place_is_taken_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    for _ in range(2):
        with new_file(4096, "the memory", [first, second], named=True) as file:
            assert Path(file.name).parent == second
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"picotrain: no room for 4,096 bytes in {first} (No such file or directory): "
        f"{second} holds the memory now\n"
    )


def test_no_place_at_all_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError) as error:
        new_file(4096, "the memory", [tmp_path, tmp_path])
    assert str(error.value) == (
        f"no room for the memory, 4,096 bytes, in {tmp_path} (No space left on device) or "
        f"{tmp_path} (No space left on device): free some, or name a folder with more in TMPDIR"
    )
    assert list(tmp_path.iterdir()) == []


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(memory_file.tempfile, "gettempdir", none)
    with pytest.raises(UserError, match=r"no folder for temporary files .* name another in TMPDIR"):
        memory_file.folders()


@pytest.mark.parametrize("way", ["not there", "not supported"])
def test_reserving_without_the_call_keeps_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "not there":
        monkeypatch.delattr(os, "posix_fallocate")
    else:

        def refuse(*_: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "no such operation")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
    size = 2 * MIB + 5
    content = np.random.default_rng(1).bytes(1000)
    path = tmp_path / "memory"
    with path.open("w+b") as file:
        file.write(content)
        file.truncate(size)
        file.flush()
        assert not is_reserved(file.fileno())
        reserve(file.fileno(), size)
        assert is_reserved(file.fileno())
    assert path.read_bytes() == content + bytes(size - 1000)


def test_a_small_folder_in_ram_is_left_for_another(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The host program lives in the second place, and computes what it always does."""
    program = require(firmware.HOST)
    usual = HostTarget(program, 240 * 1024)
    usual.connect()
    expected = trained(usual)
    usual.close()
    target = HostTarget(program, 240 * 1024, folders=(small, tmp_path))
    target.connect()
    try:
        told = capsys.readouterr().err
        assert told.startswith("picotrain: no room for 1,")
        assert told.endswith(
            f" bytes in {small} (No space left on device): {tmp_path} holds "
            "the host program's memory now\n"
        )
        assert trained(target) == expected
    finally:
        target.close()
    assert [one for one in tmp_path.iterdir() if one != small] == []


def test_only_a_small_folder_is_refused_before_anything_starts(small: Path) -> None:
    program = require(firmware.HOST)
    with pytest.raises(UserError, match=r"no room for the host program's memory, 1,\d+,\d+ bytes"):
        HostTarget(program, 240 * 1024, folders=(small,)).connect()
    target = QemuTarget(
        require(firmware.MICROBIT), require(firmware.CYCLE_PLUGIN), folders=(small,)
    )
    with pytest.raises(UserError, match=r"no room for QEMU's cycle counts, 4,\d+,\d+ bytes"):
        target.connect()
    assert list(small.iterdir()) == []


def test_room_that_goes_meanwhile_ends_qemu_with_a_sentence(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin takes the room itself: a sparse file would end in SIGBUS, at any block."""
    monkeypatch.setattr(memory_file, "reserve", lambda *_: None)
    target = QemuTarget(
        require(firmware.MICROBIT), require(firmware.CYCLE_PLUGIN), folders=(small,)
    )
    with pytest.raises(LinkFailure, match="no room for the counter file: No space left on device"):
        target.connect()


def test_a_folder_for_several_files_has_room_for_all(small: Path, tmp_path: Path) -> None:
    """Renode makes its memories itself, in a folder."""
    assert memory_folder(MIB // 2, "Renode's memory", [small, tmp_path]) == small
    assert memory_folder(MIB + 1, "Renode's memory", [small, tmp_path]) == tmp_path


def test_the_host_program_reserves_its_flash(small: Path) -> None:
    """As a serial device its memory is its own, and its flash a file in the folder that C names."""
    source = (ROOT / "firmware" / "boards" / "host" / "wire.c").read_text()
    assert "posix_fallocate(fileno(file), 0, (off_t)size)" in source
    # By its number, because the checkout may lie below /tmp, which is hidden then.
    with require(firmware.HOST).open("rb") as program:
        number = program.fileno()
        command = ["unshare", "-m", "sh", "-c", f'mount --bind "{small}" /tmp && "$0" "$@"']
        command += [f"/proc/self/fd/{number}", "--link", "0", "245760", str(2 * MIB)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, pass_fds=(number,)
        )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "picotrain-host: no room for 2097152 bytes of flash in a temporary file\n"
    )
