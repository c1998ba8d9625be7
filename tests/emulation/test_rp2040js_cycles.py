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
from numpy.typing import NDArray
from support import require

from golden import Layer, conv2d, maxpool2
from harness import firmware
from harness.cycles import difference, total
from harness.elf import open_elf
from harness.gdb import REGISTERS
from harness.targets.qemu import SRAM_SIZE, QemuTarget

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "emulation" / "rp2040js"
INSTALLED = ROOT / "build" / "rp2040js"
DRIVER = Path(__file__).parent / "rp2040js_kernels"
SNIPPETS = Path(__file__).parent / "snippets"
OBJECTS = firmware.BUILD / "cortex-m0plus"
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


@pytest.fixture(scope="session")
def rp2040js() -> Path:
    """The folder with rp2040js of the version asked for, installed if npm can; else a skip."""
    wanted = json.loads((PACKAGE / "package.json").read_text())["dependencies"]["rp2040js"]
    manifest = INSTALLED / "node_modules" / "rp2040js" / "package.json"
    if manifest.is_file() and json.loads(manifest.read_text())["version"] == wanted:
        return INSTALLED
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGE / name, INSTALLED / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(
            command, cwd=INSTALLED, capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm cannot install rp2040js {wanted}: no answer for 120 s")
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        pytest.skip(f"npm cannot install rp2040js {wanted}: {'; '.join(reasons[:2])}")
    return INSTALLED


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


class Memory:
    """Places the arguments of a call one after the other, with reproducible contents."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.contents: list[tuple[int, bytes]] = []
        self.random = np.random.default_rng(20040)

    def put(self, data: bytes) -> int:
        address = self.address
        self.contents.append((address, data))
        self.address += (len(data) + 3) // 4 * 4
        return address

    def space(self, size: int) -> int:
        return self.put(b"\xa5" * size)

    def values(self, low: int, high: int, size: int, dtype: str) -> NDArray[Any]:
        return self.random.integers(low, high, size, endpoint=True).astype(dtype)

    def s8(self, size: int) -> int:
        return self.put(self.values(-127, 127, size, "i1").tobytes())

    def sparse_s8(self, size: int) -> int:
        """About half of it zeros: activations behind a ReLU, errors."""
        return self.put(np.maximum(self.values(-127, 127, size, "i1"), 0).tobytes())

    def s32(self, size: int, limit: int = 1 << 20) -> int:
        return self.put(self.values(-limit, limit, size, "<i4").tobytes())

    def shape(self, layer: Layer) -> int:
        numbers = (*layer.in_shape, *layer.out_shape, *layer.kernel, layer.stride, *layer.padding)
        return self.put(struct.pack("<6H6B", *numbers, 0))


CONV = conv2d((9, 7, 3), channels=5, kernel=(3, 3), stride=1, padding=(1, 1), relu=True)
CONV_STRIDED = conv2d((10, 8, 4), 3, kernel=(3, 2), stride=2, padding=(0, 1), relu=True)
POOL = maxpool2((9, 8, 5))


def linear_forward_s8(memory: Memory) -> list[int]:
    inputs, weights = memory.sparse_s8(101), memory.s8(101 * 7)
    return [inputs, weights, 101, 7, 10, 0, memory.space(7)]


def linear_forward_s32(memory: Memory) -> list[int]:
    return [memory.sparse_s8(64), memory.s8(64 * 5), 64, 5, memory.space(20)]


def linear_accumulate_s32(memory: Memory) -> list[int]:
    return [-77 & 0xFFFFFFFF, memory.s8(123), 123, memory.s32(123)]


def conv2d_forward_s8(memory: Memory, layer: Layer = CONV) -> list[int]:
    patch, outputs = layer.row_length, int(np.prod(layer.out_shape))
    shape = memory.shape(layer)
    inputs, weights = memory.s8(int(np.prod(layer.in_shape))), memory.s8(patch * layer.rows)
    return [shape, inputs, weights, 9, 1, memory.space(patch), memory.space(outputs)]


def conv2d_forward_s8_strided(memory: Memory) -> list[int]:
    return conv2d_forward_s8(memory, CONV_STRIDED)


def conv2d_error_row_s32(memory: Memory) -> list[int]:
    shape, error = memory.shape(CONV), memory.sparse_s8(int(np.prod(CONV.out_shape)))
    return [shape, 2, error, memory.s8(CONV.row_length), memory.s32(int(np.prod(CONV.in_shape)))]


def conv2d_gradient_row_s32(memory: Memory) -> list[int]:
    shape, inputs = memory.shape(CONV), memory.s8(int(np.prod(CONV.in_shape)))
    error = memory.sparse_s8(int(np.prod(CONV.out_shape)))
    return [shape, 3, inputs, error, memory.space(4 * CONV.row_length)]


def maxpool2_forward_s8(memory: Memory) -> list[int]:
    shape, inputs = memory.shape(POOL), memory.s8(int(np.prod(POOL.in_shape)))
    return [shape, inputs, memory.space(int(np.prod(POOL.out_shape)))]


def maxpool2_error_s8(memory: Memory) -> list[int]:
    shape, inputs = memory.shape(POOL), memory.sparse_s8(int(np.prod(POOL.in_shape)))
    error = memory.s8(int(np.prod(POOL.out_shape)))
    return [shape, inputs, error, 1, memory.space(int(np.prod(POOL.in_shape)))]


def requantize_s8(memory: Memory) -> list[int]:
    return [memory.s32(150), 150, 13, 1, memory.space(150)]


def requantize_error_s8(memory: Memory) -> list[int]:
    return [memory.s32(151), memory.sparse_s8(151), 151, 13, memory.space(151)]


def max_abs_s32(memory: Memory) -> list[int]:
    return [memory.s32(99), 99]


def update_weights_s8(memory: Memory) -> list[int]:
    return [memory.s8(75), memory.s32(75), 75, 15, memory.space(75)]


def update_scores_s8(memory: Memory) -> list[int]:
    scores, weights, gradient = memory.s8(77), memory.s8(77), memory.s32(77)
    return [scores, weights, gradient, 77, 9, 12, memory.space(77)]


def update_sparse_scores_s8(memory: Memory) -> list[int]:
    scores, bitmap = memory.s8(80), memory.put(memory.values(0, 255, 10, "u1").tobytes())
    weights, gradient = memory.s8(80), memory.s32(80)
    saturated = memory.put(bytes(4))
    return [scores, bitmap, weights, gradient, 80, 9, 12, memory.space(80), saturated]


def mask_weights_s8(memory: Memory) -> list[int]:
    return [memory.s8(88), memory.s8(88), -64 & 0xFFFFFFFF, 88, memory.space(88)]


CASES: dict[str, Callable[[Memory], list[int]]] = {
    function.__name__: function
    for function in (
        linear_forward_s8,
        linear_forward_s32,
        linear_accumulate_s32,
        conv2d_forward_s8,
        conv2d_forward_s8_strided,
        conv2d_error_row_s32,
        conv2d_gradient_row_s32,
        maxpool2_forward_s8,
        maxpool2_error_s8,
        requantize_s8,
        requantize_error_s8,
        max_abs_s32,
        update_weights_s8,
        update_scores_s8,
        update_sparse_scores_s8,
        mask_weights_s8,
    )
}


def link(output: Path, *inputs: str) -> Path:
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib"]
    subprocess.run([*command, "-o", str(output), *inputs], check=True)
    return output


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object files of the firmware's kernels with a driver that calls any of them."""
    require(firmware.MICROBIT)
    objects = sorted(map(str, (OBJECTS / "kernels").glob("*.o")))
    objects.append(str(OBJECTS / "boards" / "cortex_m0" / "memory.o"))
    elf = tmp_path_factory.mktemp("rp2040js") / "kernels.elf"
    script = ["-T", str(DRIVER / "kernels.ld")]
    return link(elf, *script, str(SNIPPETS / "runtime.S"), str(DRIVER / "call.S"), *objects)


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


@pytest.mark.parametrize("case", CASES)
def test_kernels_take_the_same_cycles(
    start: Callable[[Path], QemuTarget], kernels: Path, rp2040js: Path, case: str
) -> None:
    symbol = open_elf(kernels).symbol
    memory = Memory(symbol("arena"))
    arguments = CASES[case](memory)
    words = [*arguments, *[0] * (10 - len(arguments))]
    function = symbol(f"pt_{case.removesuffix('_strided')}") | 1

    target = start(kernels)
    for address, data in memory.contents:
        target.write(address, data)
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
    other = count(rp2040js, before, state, begin, end, done)
    report(case, f"QEMU {cycles}", other)
    assert cycles > 500
    assert after != before
    assert other.memory == after
    assert other.corrected == cycles


# Each kind of instruction, by the snippets whose cycles were counted by hand


UNCOUNTED = {"runtime", "fault", "endless"}


@pytest.mark.parametrize("name", sorted({path.stem for path in SNIPPETS.glob("*.S")} - UNCOUNTED))
def test_snippets_take_the_cycles_counted_by_hand(
    start: Callable[[Path], QemuTarget], tmp_path: Path, rp2040js: Path, name: str
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
    other = count(rp2040js, memory, state, symbol("snippet") & ~1, caller + 8, caller + 8)
    report(name, f"by hand {symbol('expected_cycles')}", other)
    target.run(10.0)
    assert other.memory == snapshot(target)
    assert other.corrected == symbol("expected_cycles")
