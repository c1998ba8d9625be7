"""What counting cycles costs on QEMU: `make plugin-speed`, experiments/results/plugin-speed.json.

The main job on MNIST (`picotrain adapt --target qemu --dataset mnist --angle 30 --epochs 10`), with
the plugin and on the bare QEMU by turns. Seconds are processor time of QEMU's process, from its
start on; those of the harness are apart. Both must learn the same.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picotrain import datasets
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.qemu import QemuTarget
from picotrain.errors import UserError, told
from picotrain.image import firmware
from picotrain.inputs import positive
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, adapt, prepare
from picotrain.output import write_json
from picotrain.places import SHIPPED
from picotrain.versions import first_line

FILE = SHIPPED / "experiments" / "results" / "plugin-speed.json"
DATASET, MODEL, ANGLE = "mnist", "tinycnn", 30.0
EPOCHS, ROUNDS = 10, 3


@dataclass(frozen=True)
class Run:
    """Seconds of QEMU and of the harness, and what came of it; instructions and blocks of the
    plugin, None without."""

    qemu: float
    harness: float
    learned: str
    instructions: int | None = None
    blocks: int | None = None


def clock_of(pid: int) -> int:
    """The clock of another process's processor time, for `time.clock_gettime`."""
    return ~pid << 3 | 2  # clock_getcpuclockid(3)


def run(plugin: Path | None, epochs: int) -> Run:
    """The job, once."""
    network, _ = models.load_backbone(models.backbone_path(MODEL, DATASET))
    options = AdaptOptions(angle=ANGLE, epochs=epochs)
    task = prepare(datasets.load(DATASET), options)
    target = QemuTarget(firmware.require(firmware.MICROBIT), plugin)
    start = time.process_time()
    target.connect()
    with MailboxDevice(target) as device:
        result = adapt(device, network, task, options)
        harness = time.process_time() - start
        qemu = time.clock_gettime(clock_of(target.pid))
        blocks = target.profile()
    if blocks is None:
        return Run(qemu, harness, result.state_sha256)
    instructions = sum(block.instructions * block.executions for block in blocks)
    passes = sum(block.executions for block in blocks)
    return Run(qemu, harness, result.state_sha256, instructions, passes)


def measure(epochs: int, rounds: int) -> dict[str, Any]:
    """Both by turns, and what follows from the fastest of each, which others disturbed least."""
    pairs = []
    for _ in range(rounds):
        pair = run(firmware.require(firmware.CYCLE_PLUGIN), epochs), run(None, epochs)
        pairs.append(pair)
        print(f"plugin {pair[0].qemu:6.2f} s   bare {pair[1].qemu:6.2f} s", flush=True)
    counted, bare = zip(*pairs, strict=True)
    if len({one.learned for one in (*counted, *bare)}) != 1:
        raise UserError("with the plugin and without, not the same was learned: no comparison")
    instructions, blocks = counted[0].instructions, counted[0].blocks
    assert instructions is not None and blocks is not None
    plugin_s, bare_s = (min(one.qemu for one in runs) for runs in (counted, bare))
    return {
        "instructions": instructions,
        "blocks": blocks,
        "instructions_per_block": round(instructions / blocks, 2),
        "plugin_s": round(plugin_s, 2),
        "bare_s": round(bare_s, 2),
        "harness_s": round(min(one.harness for one in counted), 2),
        "plugin_giga_per_s": round(instructions / plugin_s / 1e9, 3),
        "bare_giga_per_s": round(instructions / bare_s / 1e9, 3),
        "times_bare": round(statistics.median(c.qemu / b.qemu for c, b in pairs), 3),
        "callback_ns": round((plugin_s - bare_s) / blocks * 1e9, 2),
        "block_ns": round(bare_s / blocks * 1e9, 2),
        "all_s": [[round(c.qemu, 2), round(b.qemu, 2)] for c, b in pairs],
    }


def callback_instructions(plugin: Path) -> int:
    """Of what runs before every block, to its first return: the way of nearly all of them."""
    command = ["objdump", "--disassemble=on_block", "--no-show-raw-insn", str(plugin)]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    made = re.findall(r"^ +[0-9a-f]+:\s+(\w+)", listed, re.MULTILINE)
    return made.index("ret") + 1


def processor() -> str:
    """Its name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main(arguments: Sequence[str]) -> int:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--epochs", type=positive, default=EPOCHS, help=f"default: {EPOCHS}")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, help=f"default: {ROUNDS}")
    given = parser.parse_args(arguments)
    busy = os.getloadavg()[0]
    found = {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "load_at_start": round(busy, 1),
            "qemu": first_line("qemu-system-arm", "--version"),
        },
        "epochs": given.epochs,
        "rounds": given.rounds,
        "callback_instructions": callback_instructions(firmware.require(firmware.CYCLE_PLUGIN)),
        **measure(given.epochs, given.rounds),
    }
    print(
        f"{found['plugin_giga_per_s']} G instructions/s with the plugin, "
        f"{found['bare_giga_per_s']} without: {found['callback_ns']} ns a block of "
        f"{found['instructions_per_block']} instructions"
    )
    write_json(FILE, found)
    return 0


if __name__ == "__main__":
    sys.exit(told("plugin-speed", main))
