"""`picotrain bench` on QEMU: the cycles are the kernel's, and the same every time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from picotrain.cli import main
from picotrain.device import backends, cycles
from picotrain.device.mailbox import MailboxDevice
from picotrain.profile.bench import Bench, Job
from picotrain.profile.costs import call_costs
from picotrain_golden import linear

PROBLEM = backends.problem("qemu-portable")
pytestmark = pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM)


@pytest.fixture(scope="module")
def device() -> Iterator[MailboxDevice]:
    device = backends.open_device("qemu", kernels="portable")
    assert isinstance(device, MailboxDevice)
    yield device
    device.close()


def job(length: int, rows: int) -> Job:
    random = np.random.default_rng(length)
    return Job(
        "LINEAR_FORWARD_S8",
        {
            "INPUT": random.integers(-127, 128, length).astype(np.int8),
            "WEIGHTS": random.integers(-127, 128, (rows, length)).astype(np.int8),
        },
        {"OUTPUT": ((1, 1, rows), np.int8)},
        linear((1, 1, length), rows, False),
        shift=9,
    )


@pytest.mark.parametrize(("length", "rows"), [(1, 1), (64, 10), (123, 7)])
def test_cycles_are_those_of_the_call_tree(device: MailboxDevice, length: int, rows: int) -> None:
    """All but those of picking the kernel and its operands."""
    bench = Bench(device)
    spent = bench.cycles(job(length, rows))
    before = device.calls()
    device.command("BENCH", [0])
    after = device.calls()
    assert before is not None and after is not None
    costs = call_costs(cycles.call_difference(after, before), device.elf)
    # From flash the kernel is reached through a veneer, which then gives the node its name.
    (kernel,) = (one for one in costs.functions if "pt_linear_forward_s8" in one.name)
    assert kernel.calls == 1 and kernel.inclusive > 4 * length * rows
    assert 0 < spent - kernel.inclusive < 300
    assert bench.cycles(job(length, rows)) == spent


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for number in range(2):
        file = tmp_path / f"{number}.json"
        given = ["bench", "--kernels", "portable", "--match", "linear_forward_s8 5", "--steps", "2"]
        assert main([*given, "--json", str(file)]) == 0
        results.append(json.loads(file.read_text()))
        text = capsys.readouterr().out
    assert results[0] == results[1]
    rows = results[0]["rows"]
    assert [row["method"] for row in rows] == ["niti-static", "priot", "priot-s"]
    for row in rows:
        assert (row["kernel"], row["unit"], row["units"]) == ("LINEAR_FORWARD_S8", "MAC", 640)
        assert row["cycles_per_unit"] == {"portable": round(row["cycles"]["portable"] / 640, 4)}
        assert 5 < row["cycles_per_unit"]["portable"] < 80
        assert row["ratios"] == {}
    lines = text.splitlines()
    assert lines[1].split() == ["kernel", "layer", "method", "units", "unit", "portable"]
    assert len(lines) == 3 + len(rows)


@pytest.mark.skipif(
    any(backends.problem(name) for name in ("qemu", "qemu-dense")), reason="not built: tuned, dense"
)
def test_ratios(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    given = ["bench", "--match", "conv2d_forward_s8 2", "--steps", "1", "--json", str(file)]
    assert main(given) == 0
    for row in json.loads(file.read_text())["rows"]:
        spent, ratios = row["cycles"], row["ratios"]
        assert set(spent) == {"portable", "tuned", "dense"}
        assert ratios["portable/tuned"] == round(spent["portable"] / spent["tuned"], 3) > 1
        assert ratios["dense/tuned"] == round(spent["dense"] / spent["tuned"], 3) >= 1
