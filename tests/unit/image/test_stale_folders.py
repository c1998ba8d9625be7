"""What a compile that was killed leaves in the cache goes with the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from picotrain.image.making import locked, working_folder


def test_stale_folders_go_and_others_stay(tmp_path: Path) -> None:
    stale, other = tmp_path / ".making-abc" / "build", tmp_path / "host"
    stale.mkdir(parents=True)
    (stale / "half.o").touch()
    other.mkdir()
    with locked(tmp_path), working_folder(tmp_path, ".making-") as folder:
        assert sorted(tmp_path.iterdir()) == sorted([tmp_path / ".lock", folder, other])
        assert list(folder.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".lock", other]


def test_it_goes_after_a_failure_too(tmp_path: Path) -> None:
    with pytest.raises(KeyError), working_folder(tmp_path, ".making-") as folder:
        (folder / "half.o").touch()
        raise KeyError
    assert list(tmp_path.iterdir()) == []
