"""What `total` of the RAM means: the same on every target, or it is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from picotrain.device import backends
from picotrain.device.interface import Memory
from picotrain.text import ram_line
from picotrain_golden import Method
from support import shipped

BOARD = Memory(23552, 2712, 1064, 52040, 240, 52040, 12620, 16964, 796)
ON_CHIP = ("code", "statics", "stack")


def test_total_is_all_or_nothing() -> None:
    assert (BOARD.total, BOARD.network) == (162_028, 134_700)
    for part in ON_CHIP:
        less = replace(BOARD, **{part: None})
        assert (less.total, less.network) == (None, 134_700)
        assert less.by_part()["total"] is None
    assert replace(BOARD, stack=0).total == 162_028 - 1064
    assert replace(BOARD, model_in_flash=9).total == 162_028


def test_the_line_says_which_parts_are_whose() -> None:
    network = (
        "network 134,700 (weights 52,040  model_table 240  scores 52,040  activations 12,620  "
        "scratch 16,964  batch 796)"
    )
    assert ram_line(BOARD.by_part()) == (
        f"RAM bytes  total 162,028  code 23,552  statics 2,712  stack 1,064  {network}"
    )
    unknown = replace(BOARD, code=None, statics=None, stack=None)
    assert ram_line(unknown.by_part(), 1234) == (
        f"RAM bytes  {network}; a board adds its code, static data and stack\n"
        "in flash   model 1,234"
    )


@pytest.mark.parametrize("method", ["infer", "niti-static", "priot"])
def test_every_target_that_works_here_means_the_same(method: str) -> None:
    """The network takes the same everywhere; a total has all of its parts, or is not told."""
    seen = {}
    for name in ("golden", "host", "qemu", "rp2040js", "renode"):
        if backends.problem(name):
            continue
        device = backends.open_device(name)
        try:
            device.load_model(shipped("tinycnn"))
            device.set_method(Method(method, start="normal"))  # type: ignore[arg-type]
            seen[name] = device.memory().by_part()
        finally:
            device.close()
    if not seen:
        pytest.skip("no target works here: run `make firmware`")
    for name, parts in seen.items():
        assert parts["network"] == seen["golden"]["network"], name
        if name in ("golden", "host"):
            assert [parts[part] for part in ("total", *ON_CHIP)] == [None] * 4
        else:
            on_chip = [parts[part] for part in ON_CHIP]
            assert all(size for size in on_chip)
            assert parts["total"] == sum(size or 0 for size in (*on_chip, parts["network"]))
