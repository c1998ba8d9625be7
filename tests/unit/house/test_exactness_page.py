"""`make exactness`: what it builds, what it wants installed, and what it has found."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from exact_cases import compare
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.host import HostTarget
from picotrain.errors import BuildFailure, MismatchFailure
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.inputs import read_json
from reliability import exactness, page
from reliability.exactness import ALL, SHORT, build, missing
from support import require


def test_both_byte_orders_and_word_sizes_and_all_levels() -> None:
    assert len({one.name for one in ALL}) == len(ALL) == 26
    assert {one.name for one in SHORT} == {"x86-64-clang-O3", "s390x-gcc-O2"}
    for machine in ("x86-64", "armhf", "s390x"):
        for compiler in ("gcc", "clang"):
            levels = {
                one.level for one in ALL if (one.machine.name, one.compiler) == (machine, compiler)
            }
            assert levels == {"-O0", "-O1", "-O2", "-O3"}
    assert {one.machine.about for one in ALL} == {
        *("64-bit, little-endian", "32-bit, little-endian"),
        *("64-bit, big-endian", "32-bit, big-endian"),
    }


def test_what_is_missing_is_named_with_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if "s390x" in tool else f"/bin/{tool}")
    assert missing(SHORT) == (
        "make exactness needs s390x-linux-gnu-gcc, qemu-s390x; install them with `apt-get install "
        "--no-install-recommends gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user`"
    )
    monkeypatch.setattr(shutil, "which", lambda tool: f"/bin/{tool}")
    assert missing(ALL) == ""


def test_what_the_compiler_says_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(exactness, "_FOLDER", tmp_path)
    monkeypatch.setattr(exactness.Machine, "compiler", lambda *_: "no-such-compiler")
    with pytest.raises(BuildFailure, match=r"x86-64-clang-O3: .*no-such-compiler"):
        build(SHORT[0], 1)


@pytest.fixture
def host(host_elf: Elf) -> Iterator[MailboxDevice]:
    target = HostTarget(require(firmware.HOST), 8 << 20)
    target.connect()
    yield MailboxDevice(target)
    target.close()


def test_the_comparison_compares(host: MailboxDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, elements, digest = compare(host)
    assert (tensors, elements) == (5645, 271679)
    assert len(digest) == 64
    tensor = MailboxDevice.tensor

    def changed(self: MailboxDevice, kind: str, layer: int):  # type: ignore[no-untyped-def]
        found = tensor(self, kind, layer)
        return found ^ 1 if (kind, layer) == ("ERROR", 2) else found

    monkeypatch.setattr(MailboxDevice, "tensor", changed)
    with pytest.raises(MismatchFailure, match=r"^step 0, layer 2, error\["):
        compare(host)


def test_every_combination_that_was_run_has_the_same_bits() -> None:
    found = read_json(page.file_of("exactness"), "make exactness")["outcomes"]
    names = [f"{one['machine']}-{one['compiler']}{one['level']}" for one in found]
    assert names == [one.name for one in ALL]
    assert {(one["tensors"], one["elements"]) for one in found} == {(5645, 271679)}
    assert len({one["digest"] for one in found}) == 1
