"""A list of steps, carried out one after the other, and what came of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from picotrain.errors import CrashFailure, DeviceFailure, UserError

Say = Callable[[str], None]

SETUP = "SETUP"
"""The class of a UserError in a step: a port, file or option that cannot be used."""


class Outcome(StrEnum):
    """`NOT_RUN` is a gap that the user did not ask for, so the suite did not pass; `SKIPPED` is."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"
    SKIPPED = "skipped"


class NotPossible(Exception):
    """A step cannot run here; the text says why."""


class CheckFailed(DeviceFailure):
    """The device answers, but not as it should; `details` go into the report."""

    failure_class = "CHECK"

    def __init__(self, text: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.details = details or {}


@dataclass(frozen=True)
class Finding:
    """What a step that passed has to say: a sentence, and numbers for the report."""

    text: str
    details: dict[str, Any] = field(default_factory=dict)


class Rig(Protocol):
    """What steps work on."""

    def recover(self) -> None:
        """After a failure: the device answers again. Raises DeviceFailure where it does not."""

    def close(self) -> None:
        """Give everything back; may be called twice."""


@dataclass(frozen=True)
class Step:
    """`needs` names steps without which this one cannot run."""

    name: str
    title: str
    run: Callable[[], Finding]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came of a step; `failure` is the class of a failure."""

    name: str
    title: str
    outcome: Outcome
    seconds: float
    text: str
    failure: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def passed(results: Sequence[Result]) -> bool:
    """Whether every step ran and passed, but those that the user left out."""
    return bool(results) and all(
        result.outcome in (Outcome.PASSED, Outcome.SKIPPED) for result in results
    )


def exit_status(results: Sequence[Result]) -> int:
    """As of every verb: 0, 1 for a device's failure, 2 where nothing but the user's input failed.

    A gap with no failure is a 1 too.
    """
    if passed(results):
        return 0
    failures = {result.failure for result in results if result.outcome is Outcome.FAILED}
    return 2 if failures == {SETUP} else 1


def run_suite(
    steps: Sequence[Step],
    rig: Rig,
    skip: Mapping[str, str],
    say: Say,
    keep: Callable[[Result], None],
) -> None:
    """Run the steps in order, and hand each result to `keep` as soon as it is there.

    `skip` gives reasons by step. After a failure the device is called back; where it does not come,
    what is left is not run. Ctrl-C ends the suite: what is left is not run, and KeyboardInterrupt
    is raised again.
    """
    outcomes: dict[str, Outcome] = {}
    ended = ""
    interrupt: KeyboardInterrupt | None = None
    for number, step in enumerate(steps):
        missing = _missing(step, outcomes)
        if step.name in skip:
            result = Result(step.name, step.title, Outcome.SKIPPED, 0.0, skip[step.name])
        elif ended or missing:
            reason = ended or f"{missing[0]} did not pass"
            result = Result(step.name, step.title, Outcome.NOT_RUN, 0.0, reason)
        else:
            say(f"{step.name}: {step.title}")
            try:
                result = _attempt(step)
            except KeyboardInterrupt as stop:
                interrupt, ended = stop, "interrupted"
                result = Result(step.name, step.title, Outcome.NOT_RUN, 0.0, ended)
        outcomes[step.name] = result.outcome
        keep(result)
        rest = [one for one in steps[number + 1 :] if one.name not in skip]
        if result.outcome is Outcome.FAILED and any(not _missing(one, outcomes) for one in rest):
            ended = _recover(rig, step, say)
    if interrupt is not None:
        raise interrupt


def _attempt(step: Step) -> Result:
    start = time.monotonic()

    def result(outcome: Outcome, text: str, failure: str = "", **details: Any) -> Result:
        seconds = time.monotonic() - start
        return Result(step.name, step.title, outcome, seconds, text, failure, details)

    try:
        found = step.run()
    except NotPossible as reason:
        return result(Outcome.NOT_RUN, str(reason))
    except UserError as error:
        return result(Outcome.FAILED, str(error), SETUP)
    except CrashFailure as crash:
        registers = {name: f"0x{value:08x}" for name, value in crash.registers.items()}
        return result(Outcome.FAILED, str(crash), crash.failure_class, registers=registers)
    except CheckFailed as failure:
        return result(Outcome.FAILED, str(failure), failure.failure_class, **failure.details)
    except DeviceFailure as failure:
        return result(Outcome.FAILED, str(failure), failure.failure_class)
    return result(Outcome.PASSED, found.text, **found.details)


def _missing(step: Step, outcomes: Mapping[str, Outcome]) -> list[str]:
    """What the step needs and did not pass. What the user left out is not missed."""
    fine = (Outcome.PASSED, Outcome.SKIPPED)
    return [name for name in step.needs if outcomes.get(name) not in fine]


def _recover(rig: Rig, step: Step, say: Say) -> str:
    """Why no step can run any more; empty where the device works."""
    say(f"{step.name} failed: connecting to the device anew")
    try:
        rig.recover()
    except (DeviceFailure, UserError) as failure:
        say(f"it does not come back: {failure}")
        return f"the device does not answer since {step.name} failed"
    return ""
