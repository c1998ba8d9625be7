"""The cycle plugin against rp2040js, an independent emulator that counts each instruction.

The kernels' own object files run in both, from the same memory and registers. rp2040js forgets one
cycle in PUSH with LR and in POP with PC (docs/cycle-model.md); these are counted and added, and
then both must agree to the cycle, and their memories to the byte.
"""

from __future__ import annotations

import base64
import json
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernel_cases import KERNELS, Case, case
from picotrain import places
from picotrain.device.cycles import difference, total
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.gdb import REGISTERS
from picotrain.device.targets.host import HostTarget
from picotrain.device.targets.qemu import SRAM_SIZE, QemuTarget
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.profile.bench import Bench
from support import require

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "emulation" / "rp2040js"
DRIVER = Path(__file__).parent / "rp2040js_kernels"
SNIPPETS = Path(__file__).parent / "snippets"
KERNEL_SOURCES = ROOT / "firmware" / "kernels"
SRAM = 0x20000000
FLASH_USED = 0x4000
"""rp2040js has 16 KiB of memory at 0; the vectors and the snippets need less."""

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (
        ("qemu-system-arm", "qemu-system-arm"),
        ("arm-none-eabi-gcc", "gcc-arm-none-eabi"),
        ("node", "nodejs"),
        ("npm", "npm"),
    )
]

# rp2040js


@dataclass(frozen=True)
class Count:
    """What rp2040js says: its own cycles, and how often the two instructions ran that it cuts."""

    cycles: int
    instructions: int
    pushes_with_lr: int
    pops_with_pc: int
    memory: dict[int, bytes]

    @property
    def corrected(self) -> int:
        return self.cycles + self.pushes_with_lr + self.pops_with_pc


def count(
    package: Path,
    memory: dict[int, bytes],
    registers: list[int],
    begin: int,
    end: int,
    until: int,
) -> Count:
    """Run rp2040js from `registers` (r0 to pc) to `until`; count from `begin` to `end`."""
    job = {
        "memories": [
            {"address": address, "data": base64.b64encode(data).decode()}
            for address, data in memory.items()
        ],
        "registers": registers,
        "apsr": 0,
        "begin": begin,
        "end": end,
        "until": until,
        "limit": 5_000_000,
    }
    done = subprocess.run(
        ["node", str(PACKAGE / "count.mjs"), str(package)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    after = {one["address"]: base64.b64decode(one["data"]) for one in result.pop("memories")}
    return Count(memory=after, **result)


# The kernels

SETS = {
    "portable": ("portable", places.BUILD / "cortex-m0plus-portable", firmware.MICROBIT_PORTABLE),
    "tuned": ("cortex_m0plus", places.BUILD / "cortex-m0plus", firmware.MICROBIT),
}
"""The folder of the sources, that of their objects, and what is built with them."""

RUNS_A_JOB = (
    *("app/pt_bench", "app/pt_bench_affine", "nn/pt_model", "nn/pt_crc32", "nn/pt_error_scale"),
    *("boards/cortex_m0/memcpy", "boards/cortex_m0/memset"),
)


def busiest(kernel: str) -> Case:
    """Of some cases the one with the most operands that are not zero."""

    def busy(one: Case) -> int:
        return sum(int(np.count_nonzero(values)) for values in one.job.inputs.values())

    return max((case(kernel, number) for number in range(40)), key=busy)


def link(output: Path, *inputs: str) -> Path:
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib"]
    subprocess.run([*command, "-o", str(output), *inputs], check=True)
    return output


@pytest.fixture(scope="session", params=SETS)
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object files of a set of kernels, and of what runs a job, with a driver that calls it."""
    sources, folder, built = SETS[request.param]
    require(built)
    found = [*KERNEL_SOURCES.glob("*.c"), *(KERNEL_SOURCES / sources).glob("*.[cS]")]
    names = [str(path.relative_to(ROOT / "firmware").with_suffix("")) for path in sorted(found)]
    operators = (ROOT / "firmware").glob("nn/operators/*.c")
    runs = [*RUNS_A_JOB, *(f"nn/operators/{path.stem}" for path in sorted(operators))]
    objects = [str(folder / f"{name}.o") for name in (*names, *runs)]
    elf = tmp_path_factory.mktemp("rp2040js") / "kernels.elf"
    script = ["-T", str(DRIVER / "kernels.ld")]
    inputs = [str(SNIPPETS / "runtime.S"), str(DRIVER / "call.S"), *objects, "-lgcc"]
    return link(elf, *script, *inputs)


@pytest.fixture(scope="session")
def image_of() -> Iterator[Callable[[Case], bytes]]:
    """The job of a case with its operands, as a device would be given it."""
    target = HostTarget(require(firmware.HOST), 1 << 18)
    target.connect()
    bench = Bench(MailboxDevice(target))
    yield lambda one: bench._prepare(one.job, one.layout)[0]
    target.close()


@pytest.fixture
def start() -> Iterator[Callable[[Path], QemuTarget]]:
    """Start QEMU with the plugin; it is closed when the test ends."""
    plugin = require(firmware.CYCLE_PLUGIN)
    targets: list[QemuTarget] = []

    def launch(elf: Path) -> QemuTarget:
        targets.append(QemuTarget(elf, plugin))
        targets[-1].connect()
        return targets[-1]

    yield launch
    for target in targets:
        target.close()


def snapshot(target: QemuTarget) -> dict[int, bytes]:
    return {0: target.read(0, FLASH_USED), SRAM: target.read(SRAM, SRAM_SIZE)}


def registers(target: QemuTarget, pc: int) -> list[int]:
    """The core registers of the stopped device, r0 to pc, but at another pc."""
    return [*(target.registers()[name] for name in REGISTERS[:-1]), pc]


def report(name: str, expected: str, other: Count) -> None:
    print(
        f"{name}: {expected}, rp2040js {other.cycles} + {other.pushes_with_lr} PUSH with LR "
        f"+ {other.pops_with_pc} POP with PC = {other.corrected} "
        f"({other.instructions} instructions)"
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_take_the_same_cycles(
    start: Callable[[Path], QemuTarget],
    kernels: Path,
    package: Path,
    image_of: Callable[[Case], bytes],
    kernel: str,
) -> None:
    """pt_bench_run on one job: the check of it, and the kernel."""
    symbol = open_elf(kernels).symbol
    wanted = busiest(kernel)
    image = image_of(wanted)
    window = symbol("arena")
    value = window + len(image) + -len(image) % 4
    arguments = [window, len(image), 0, value, value + 4]
    words = [*arguments, *[0] * (10 - len(arguments))]
    function = symbol("pt_bench_run") | 1

    target = start(kernels)
    target.write(window, image)
    target.write(symbol("call"), struct.pack("<11I", *words[:4], function, *words[4:]))
    before, state = snapshot(target), registers(target, symbol("snippet") & ~1)
    profile = target.profile()
    target.run(10.0)
    after, reading = snapshot(target), target.profile()
    assert profile is not None
    assert reading is not None
    counted = [range(symbol("kernels_start"), symbol("kernels_end"))]
    counted.append(range(symbol("begin"), symbol("end")))
    blocks = difference(reading, profile)
    cycles = total(block for block in blocks if any(block.pc in one for one in counted))

    begin, end, done = symbol("begin"), symbol("end"), symbol("done")
    other = count(package, before, state, begin, end, done)
    report(kernel, f"QEMU {cycles}", other)
    assert cycles > 500
    assert after != before
    assert int.from_bytes(target.read(value, 4), "little") == wanted.answer
    assert other.memory == after
    assert other.corrected == cycles


# Each kind of instruction, by the snippets whose cycles were counted by hand


UNCOUNTED = {"runtime", "fault", "endless", "supervisor_call"}
"""Of exceptions rp2040js counts nothing."""


@pytest.mark.parametrize("name", sorted({path.stem for path in SNIPPETS.glob("*.S")} - UNCOUNTED))
def test_snippets_take_the_cycles_counted_by_hand(
    start: Callable[[Path], QemuTarget], tmp_path: Path, package: Path, name: str
) -> None:
    script = [f"-Wa,-I{SNIPPETS}", "-T", str(SNIPPETS / "snippet.ld")]
    elf = link(
        tmp_path / "snippet.elf",
        *script,
        str(SNIPPETS / "runtime.S"),
        str(SNIPPETS / f"{name}.S"),
    )
    symbol = open_elf(elf).symbol
    target = start(elf)
    caller = symbol("reset") & ~1
    state, memory = registers(target, caller + 4), snapshot(target)
    other = count(package, memory, state, symbol("snippet") & ~1, caller + 8, caller + 8)
    report(name, f"by hand {symbol('expected_cycles')}", other)
    target.run(10.0)
    assert other.memory == snapshot(target)
    assert other.corrected == symbol("expected_cycles")
