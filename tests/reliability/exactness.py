"""The portable kernels on other machines and under other compilers: the bits of golden.

    cd tests && python3 -m reliability.exactness [--short] [--jobs N]

Each combination is the host program, built with the plain portable C and linked statically; what is
not for this machine runs in qemu-user. The harness drives it as every device, and compares every
tensor with golden.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exact_cases import compare
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.host import HostTarget
from picotrain.errors import BuildFailure, DeviceFailure, told
from picotrain.image.elf import open_elf
from picotrain.inputs import read_json
from picotrain.places import BUILD, SHIPPED
from reliability import asked, page

_FOLDER = BUILD / "exactness"
_ARENA = 8 << 20


@dataclass(frozen=True)
class Machine:
    """One that programs are built for; `triple` and `runner` are empty for this one."""

    name: str
    about: str
    triple: str = ""
    runner: str = ""
    packages: tuple[str, ...] = ()
    levels: tuple[str, ...] = ("-O2", "-O3", "-O0", "-O1")
    """How it is optimised."""

    def compiler(self, name: str) -> str:
        """The command, of "gcc" or "clang"."""
        if not self.triple:
            return name
        return f"{self.triple}-gcc" if name == "gcc" else f"clang --target={self.triple}"


MACHINES = (
    Machine("x86-64", "64-bit, little-endian"),
    Machine(
        *("armhf", "32-bit, little-endian", "arm-linux-gnueabihf", "qemu-arm"),
        ("gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"),
    ),
    Machine(
        *("s390x", "64-bit, big-endian", "s390x-linux-gnu", "qemu-s390x"),
        ("gcc-s390x-linux-gnu", "libc6-dev-s390x-cross"),
    ),
    Machine(
        *("powerpc", "32-bit, big-endian", "powerpc-linux-gnu", "qemu-ppc"),
        ("gcc-powerpc-linux-gnu", "libc6-dev-powerpc-cross"),
        ("-O2",),
    ),
)


@dataclass(frozen=True)
class Combination:
    """A machine, a compiler and how it optimises."""

    machine: Machine
    compiler: str
    level: str

    @property
    def name(self) -> str:
        return f"{self.machine.name}-{self.compiler}{self.level}"

    @property
    def folder(self) -> Path:
        return _FOLDER / self.name

    @property
    def needs(self) -> tuple[tuple[str, str], ...]:
        """(program, Debian's packages that hold it)."""
        machine = self.machine
        cross = (f"{machine.triple}-gcc", " ".join(machine.packages))
        own = (self.compiler, self.compiler)
        if not machine.triple:
            return (own,)
        # clang takes the libraries of the other.
        found = (cross,) if self.compiler == "gcc" else (own, cross)
        return (*found, (machine.runner, "qemu-user"))


ALL = tuple(
    Combination(machine, compiler, level)
    for machine in MACHINES
    for compiler in ("gcc", "clang")
    for level in machine.levels
)
SHORT = tuple(one for one in ALL if one.name in ("x86-64-clang-O3", "s390x-gcc-O2"))
"""Both byte orders and both compilers, for CI."""


@dataclass(frozen=True)
class Outcome:
    """What was compared and found equal, and a digest of all that was learned there."""

    machine: str
    about: str
    compiler: str
    level: str
    version: str
    tensors: int
    elements: int
    digest: str
    seconds: float


def missing(combinations: tuple[Combination, ...]) -> str:
    """A sentence about what is not installed; empty where nothing is missing."""
    lacks: dict[str, str] = {}
    for one in combinations:
        lacks |= {tool: held for tool, held in one.needs if shutil.which(tool) is None}
    if not lacks:
        return ""
    packages = " ".join(dict.fromkeys(lacks.values()))
    return (
        f"make exactness needs {', '.join(lacks)}; install them with "
        f"`apt-get install --no-install-recommends {packages}`"
    )


def build(one: Combination, jobs: int) -> Path:
    """The program. Raises BuildFailure with what the compiler says."""
    firmware = SHIPPED / "firmware"  # make takes no path with a space in it: those from here
    command = ["make", "-s", f"-j{jobs}", "-C", str(firmware), "host-plain"]
    command += [
        f"BUILD={os.path.relpath(one.folder, firmware)}",
        f"CC={one.machine.compiler(one.compiler)}",
    ]
    command += [f"HOST_OPTIMISE={one.level} -static"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        wrong = [line for line in said if "warning:" not in line] or ["make failed"]
        raise BuildFailure(f"{one.name}: {wrong[0]}")
    return one.folder / "host-plain" / "picotrain-host"


def run(one: Combination, jobs: int) -> Outcome:
    """Build it and compare it."""
    begun = time.monotonic()
    program = build(one, jobs)
    runner = (one.machine.runner,) if one.machine.runner else ()
    target = HostTarget(program, _ARENA, runner=runner)
    try:
        target.connect()
        tensors, elements, digest = compare(MailboxDevice(target))
    finally:
        target.close()
    version = open_elf(program).compiler
    return Outcome(
        *(one.machine.name, one.machine.about, one.compiler, one.level, version),
        *(tensors, elements, digest, time.monotonic() - begun),
    )


def keep(outcome: Outcome) -> None:
    """Beside those of other combinations, in their order."""
    file = page.file_of("exactness")
    held = read_json(file, "make it anew")["outcomes"] if file.is_file() else []
    found = {_name(one): one for one in held} | {_name(asdict(outcome)): asdict(outcome)}
    page.keep("exactness", {"outcomes": [found[one.name] for one in ALL if one.name in found]})


def _name(outcome: dict[str, Any]) -> str:
    return f"{outcome['machine']}-{outcome['compiler']}{outcome['level']}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true", help="two combinations, nothing is kept")
    parser.add_argument("--jobs", type=asked.jobs, default=1, help="of make (default: %(default)s)")
    options = parser.parse_args(arguments)
    combinations = SHORT if options.short else ALL
    if lacks := missing(combinations):
        print(lacks, file=sys.stderr)
        return 2
    digests = set()
    for one in combinations:
        try:
            outcome = run(one, options.jobs)
        except DeviceFailure as failure:
            print(f"{one.name}: {failure.told}", file=sys.stderr)
            return 1
        digests.add(outcome.digest)
        print(
            f"{one.name:18} {outcome.tensors:,} tensors, {outcome.elements:,} elements, "
            f"0 differences, digest {outcome.digest[:12]}, {outcome.seconds:.1f} s",
            flush=True,
        )
        if not options.short:
            keep(outcome)
    if len(digests) != 1:
        print("the digests differ, though every tensor was equal to golden's", file=sys.stderr)
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(told("exactness", main))
