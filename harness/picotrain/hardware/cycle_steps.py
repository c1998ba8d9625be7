"""The cycles that the chip counts beside those of the cycle model (docs/cycle-model.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from picotrain.device.backends import open_device, problem
from picotrain.device.mailbox import MailboxDevice
from picotrain.hardware.rig import DeviceRig
from picotrain.hardware.suite import CheckFailed, Finding, NotPossible, Say
from picotrain.profile.bench import Bench, Job
from picotrain.profile.bench_cases import Measurement

LIMIT_SHARE = 0.01
LIMIT_CYCLES = 32
"""How far a chip may be from the model: our choice, 1 % or 32 cycles, whichever is more. A chip on
USB has an interrupt in each frame of 1 ms, about 97 cycles or 0.08 %, which the model does not
count; without USB it has none."""
REPEATS = 3
"""Of each job on a chip; the least counts, because an interrupt can only add."""
SLOWEST = 100
"""How many times slower than the chip an emulator may be on a busy machine; rp2040js is some 6
times. For so long an exact job is not asked after: on the UART each question of 31 bytes is four
interrupts, 1,260 cycles."""
LEAST_SILENCE = 0.02
"""Seconds; an emulator may begin late."""
PLACES = 3
"""Of a deviation in percent."""
_MODEL = "qemu"


@dataclass(frozen=True)
class Case:
    """One run of one kernel."""

    kernel: str
    what: str
    job: Job


@dataclass(frozen=True)
class Row:
    """Cycles of a case by the model, and on the device run by run."""

    kernel: str
    what: str
    model: int
    device: tuple[int, ...]

    @property
    def deviation(self) -> int:
        return min(self.device) - self.model

    @property
    def percent(self) -> float:
        """Of the model's cycles; rounded here once, for every place that shows it."""
        return round(100 * self.deviation / self.model, PLACES)

    def within(self, exact: bool) -> bool:
        if exact:
            return set(self.device) == {self.model}
        return abs(self.deviation) <= max(LIMIT_CYCLES, LIMIT_SHARE * self.model)


def signed_percent(percent: float) -> str:
    """A deviation for people, the same everywhere: +0.087 %."""
    return f"{percent:+.{PLACES}f} %"


def choose_cases(measurements: Iterable[Measurement]) -> list[Case]:
    """Of each kernel the smallest and the largest job."""
    by_kernel: dict[str, list[Measurement]] = {}
    for one in measurements:
        by_kernel.setdefault(one.kernel, []).append(one)
    cases = []
    for kernel, found in by_kernel.items():
        found.sort(key=lambda one: one.units / len(one.jobs))
        for one in (found[0], found[-1])[: len(found)]:
            what = f"{one.what} {one.method}".strip()
            cases.append(Case(kernel, what, one.jobs[0]))
    return cases


def cycles(rig: DeviceRig, cases: Iterable[Case], exact: bool, say: Say) -> Finding:
    """Every case on the device and by the model. `exact`: no cycle more or less is allowed."""
    remedy = problem(_MODEL)
    if remedy:
        raise NotPossible(f"the cycle model is counted on {_MODEL}: {remedy}")
    target = rig.target()
    clock_hz = target.hello().clock_hz
    if clock_hz == 0:
        raise NotPossible("this device has no clock that counts cycles")
    modelled = open_device(_MODEL)
    assert isinstance(modelled, MailboxDevice)
    rows = []
    try:
        model, device = Bench(modelled), Bench(rig.device())
        for case in cases:
            expected = model.cycles(case.job)
            if exact:
                target.silence = LEAST_SILENCE + SLOWEST * expected / clock_hz
            runs = tuple(device.cycles(case.job) for _ in range(1 if exact else REPEATS))
            row = Row(case.kernel, case.what, expected, runs)
            say(
                f"  {row.kernel.lower():20} {row.what:38} model {row.model:>9,} "
                f"device {min(runs):>9,} {row.deviation:+6,} {signed_percent(row.percent):>9}"
            )
            rows.append(row)
    finally:
        target.silence = 0.0
        modelled.close()
    return _judge(rows, exact)


class CyclesDiffer(CheckFailed):
    """Too many cycles, or too few."""

    failure_class = "CYCLES"


def _judge(rows: list[Row], exact: bool) -> Finding:
    allowed = "0 cycles" if exact else f"{100 * LIMIT_SHARE:g} % or {LIMIT_CYCLES} cycles"
    worst = max(rows, key=lambda row: abs(row.deviation) / row.model)
    details = {
        "unit": "clock cycles; deviation of the device from the cycle model",
        "allowed": allowed,
        "largest": {"kernel": worst.kernel, "percent": worst.percent},
        "rows": [
            {
                **asdict(row),
                "deviation": row.deviation,
                "percent": row.percent,
                "within": row.within(exact),
            }
            for row in rows
        ],
    }
    outside = [row for row in rows if not row.within(exact)]
    if outside:
        first = outside[0]
        raise CyclesDiffer(
            f"{len(outside)} of {len(rows)} runs deviate by more than {allowed}; the first is "
            f"{first.kernel} ({first.what}): model {first.model:,}, device {min(first.device):,} "
            f"({signed_percent(first.percent)})",
            details,
        )
    kernels = len({row.kernel for row in rows})
    return Finding(
        f"{kernels} kernels, {len(rows)} runs; largest deviation {worst.deviation:+,} cycles "
        f"({signed_percent(worst.percent)}, {worst.kernel}), allowed {allowed}",
        details,
    )
