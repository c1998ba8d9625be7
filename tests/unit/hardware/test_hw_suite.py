"""The steps of the hardware test: how they end, and what they judge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from picotrain.errors import CrashFailure, LinkFailure, UserError
from picotrain.hardware.cycle_steps import CyclesDiffer, Row, _judge, choose_cases
from picotrain.hardware.suite import (
    CheckFailed,
    Finding,
    NotPossible,
    Outcome,
    Result,
    Step,
    exit_status,
    passed,
    run_suite,
)
from picotrain.profile.bench import Job
from picotrain.profile.bench_cases import Measurement

# The suite


class FakeRig:
    """A device that comes back, or does not."""

    def __init__(self, lost: str = "") -> None:
        self.lost = lost
        self.recovered = 0

    def recover(self) -> None:
        self.recovered += 1
        if self.lost:
            raise LinkFailure(self.lost)

    def close(self) -> None:
        pass


def raising(error: BaseException) -> Callable[[], Finding]:
    def run() -> Finding:
        raise error

    return run


def good() -> Finding:
    return Finding("fine", {"n": 1})


def suite(steps: list[Step], rig: FakeRig, skip: dict[str, str] | None = None) -> list[Result]:
    results: list[Result] = []
    run_suite(steps, rig, skip or {}, lambda _: None, results.append)
    return results


def outcomes(results: list[Result]) -> list[tuple[str, str, str]]:
    return [(str(one.outcome), one.failure, one.text) for one in results]


def test_every_way_that_a_step_can_end() -> None:
    crash = CrashFailure("it faulted", {"pc": 0x20000010}, "main+0x4")
    steps = [
        Step("a", "", good),
        Step("b", "", raising(NotPossible("no qemu"))),
        Step("c", "", raising(CheckFailed("wrong", {"rows": [1]}))),
        Step("d", "", raising(UserError("no permission"))),
        Step("e", "", raising(crash)),
        Step("f", "", good, ("a",)),
        Step("g", "", good, ("a", "c")),
        Step("h", "", good),
        Step("i", "", good, ("h",)),
    ]
    rig = FakeRig()
    results = suite(steps, rig, {"h": "--skip h"})
    assert outcomes(results) == [
        ("passed", "", "fine"),
        ("not run", "", "no qemu"),
        ("failed", "CHECK", "wrong"),
        ("failed", "SETUP", "no permission"),
        ("failed", "CRASH", "it faulted"),
        ("passed", "", "fine"),
        ("not run", "", "c did not pass"),
        ("skipped", "", "--skip h"),
        ("passed", "", "fine"),
    ]
    assert results[2].details == {"rows": [1]}
    assert results[4].details == {"registers": {"pc": "0x20000010"}}
    assert rig.recovered == 3
    assert not passed(results)


def test_a_lost_device_ends_the_suite() -> None:
    rig = FakeRig("nobody answers")
    steps = [Step("a", "", raising(LinkFailure("gone"))), Step("b", "", good), Step("c", "", good)]
    results = suite(steps, rig)
    assert outcomes(results)[0] == ("failed", "LINK", "gone")
    for result in results[1:]:
        assert result.outcome is Outcome.NOT_RUN
        assert result.text == "the device does not answer since a failed"
    assert rig.recovered == 1


def test_a_device_that_nothing_needs_any_more_is_not_called_back() -> None:
    rig = FakeRig()
    steps = [Step("a", "", raising(LinkFailure("gone"))), Step("b", "", good, ("a",))]
    assert suite(steps, rig)[1].text == "a did not pass"
    assert rig.recovered == 0


def test_ctrl_c_keeps_what_is_there() -> None:
    results: list[Result] = []
    steps = [
        Step("a", "", good),
        Step("b", "", raising(KeyboardInterrupt())),
        Step("c", "", good),
    ]
    with pytest.raises(KeyboardInterrupt):
        run_suite(steps, FakeRig(), {}, lambda _: None, results.append)
    assert [str(one.outcome) for one in results] == ["passed", "not run", "not run"]


def test_the_status_tells_the_user_s_mistake_from_the_device_s_failure() -> None:
    gap, setup = raising(NotPossible("x")), raising(UserError("no permission"))
    lost = raising(LinkFailure("gone"))
    for runs, status in (
        ([good], 0),
        ([setup], 2),
        ([setup, gap], 2),
        ([setup, lost], 1),
        ([lost], 1),
        ([gap], 1),
    ):
        steps = [Step(str(number), "", run) for number, run in enumerate(runs)]
        assert exit_status(suite(steps, FakeRig())) == status


def test_only_what_was_left_out_on_request_is_no_gap() -> None:
    assert not passed([])
    assert passed(suite([Step("a", "", good), Step("b", "", good)], FakeRig(), {"b": "no"}))
    assert not passed(suite([Step("a", "", raising(NotPossible("x")))], FakeRig()))


# Cycles


def test_the_limit_of_a_chip_and_of_an_emulator() -> None:
    def row(model: int, *device: int) -> Row:
        return Row("K", "", model, device)

    assert row(10000, 10100, 99999).within(exact=False)
    assert not row(10000, 10101, 10102).within(exact=False)
    assert row(100, 132).within(exact=False)
    assert not row(100, 133).within(exact=False)
    assert not row(10000, 9899).within(exact=False)
    assert row(100, 100).within(exact=True)
    assert not row(100, 100, 101).within(exact=True)
    assert (row(200, 203, 201).deviation, row(200, 203, 201).percent) == (1, 0.5)


def test_a_deviation_names_the_first_and_keeps_all() -> None:
    rows = [Row("A", "x", 1000, (1000,)), Row("B", "y", 1000, (1200, 1100))]
    with pytest.raises(
        CyclesDiffer, match=r"1 of 2 .* the first is B \(y\): model 1,000, device 1,"
    ):
        _judge(rows, exact=False)
    try:
        _judge(rows, exact=True)
    except CyclesDiffer as failure:
        assert [row["within"] for row in failure.details["rows"]] == [True, False]
    assert "largest deviation +0 cycles" in _judge(rows[:1], exact=True).text


def test_cases_are_the_smallest_and_the_largest_of_each_kernel() -> None:
    def measurement(kernel: str, what: str, units: int, jobs: int = 1) -> Measurement:
        job = Job(kernel, {})
        return Measurement(kernel, what, "priot", "MAC", units, (job,) * jobs, 1)

    chosen = choose_cases(
        [
            measurement("A", "middle", 20),
            measurement("A", "many", 300, jobs=100),
            measurement("A", "large", 90),
            measurement("B", "only", 5),
        ]
    )
    assert [(case.kernel, case.what) for case in chosen] == [
        ("A", "many priot"),
        ("A", "large priot"),
        ("B", "only priot"),
    ]
