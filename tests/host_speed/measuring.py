"""How fast the host firmware is: `make host-speed`, into experiments/results/host-speed.json.

    PYTHONPATH=tests python3 -m host_speed.measuring [--against FILE] [--network FILE] [--rounds N]

tinycnn beside naive.c, which has the same bits; and the firmware beside another build of it, that
of an older commit, on tinycnn and on VGG11. All of it is processor time of one core, the two of a
pair one after the other in every round, of each the least. What is not measured this time stays in
the file as it was.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from host_speed import twin
from performance.plugin_speed import clock_of
from picotrain import datasets
from picotrain.datasets import Split, rotated_sample
from picotrain.device.interface import BatchResult, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.host import HostTarget
from picotrain.errors import DeviceFailure, UserError, told
from picotrain.image import firmware
from picotrain.inputs import positive, read_json
from picotrain.learn import methods, models
from picotrain.output import write_json
from picotrain.places import BUILD, SHIPPED
from picotrain.text import table
from picotrain_golden import Network

FILE = SHIPPED / "experiments" / "results" / "host-speed.json"
METHODS = ("infer", "niti-static", "priot", "priot-s", "niti-dynamic")
ANGLE, SEED = 30.0, 0
IMAGES = {"tinycnn": 1024, "vgg11": 128}
_ARENA = 256 << 20
_SETS = {
    "amx-int8": "__AMX_INT8__",
    "avx512-vnni": "__AVX512VNNI__",
    "avx2": "__AVX2__",
    "neon": "__ARM_NEON",
}
"""Instruction sets, and what a compiler says where it uses them."""

Row = dict[str, Any]


def instruction_sets() -> list[str]:
    """Of those that matter here, what the firmware was compiled for."""
    macros = (BUILD / "host.machine").read_text(encoding="utf-8")
    return [name for name, macro in _SETS.items() if f"#define {macro} " in macros]


def _device(elf: Path, network: Network, name: str) -> tuple[MailboxDevice, int]:
    target = HostTarget(elf, _ARENA)
    target.connect()
    device = MailboxDevice(target)
    device.load_model(network)
    device.set_method(methods.make(name, seed=SEED))
    return device, target.pid


def _timed(device: MailboxDevice, pid: int, name: str, split: Split) -> tuple[BatchResult, float]:
    """What the images came to, and the processor time that the firmware's process took."""
    clock = clock_of(pid)
    start = time.clock_gettime(clock)
    run = device.evaluate if name == "infer" else device.train
    result = run(split.images, split.labels)
    return result, time.clock_gettime(clock) - start


def _row(rounds: Sequence[tuple[float, float]], images: int, same: bool) -> Row:
    """Of pairs of seconds, the other's and ours: of each the least, disturbed least."""
    other, ours = (min(pair[side] for pair in rounds) / images for side in (0, 1))
    return {
        "images": images,
        "other_us": round(1e6 * other, 1),
        "ours_us": round(1e6 * ours, 1),
        "images_per_second": round(1 / ours),
        "times": round(other / ours, 2),
        "same": same,
    }


def beside_naive(network: Network, split: Split, name: str, rounds: int) -> Row:
    """tinycnn by naive.c and by the firmware; `same`: predictions and what was learned agree."""
    program = twin.build(BUILD / "host-speed")
    pairs, same = [], True
    for _ in range(rounds):
        device, pid = _device(firmware.HOST, network, name)
        with device:
            scored = name == "priot"
            given = twin.job(device, network, methods.make(name, seed=SEED), split)
            size = len(twin.learned(device, network, scored)[0])
            answer = twin.run(program, given, len(split), size)
            result, seconds = _timed(device, pid, name, split)
            same &= bool(np.array_equal(result.predictions, answer.predictions))
            same &= twin.learned(device, network, scored) == (answer.weights, answer.scores)
        pairs.append((answer.seconds, seconds))
    return _row(pairs, len(split), same)


def beside_older(older: Path, network: Network, split: Split, name: str, rounds: int) -> Row:
    """Another build of the firmware and this one; `same`: the digests and predictions agree."""
    pairs, found = [], set()
    for _ in range(rounds):
        taken = []
        for elf in (older, firmware.HOST):
            device, pid = _device(elf, network, name)
            with device:
                result, seconds = _timed(device, pid, name, split)
                found.add((state_sha256(device, network), result.predictions.tobytes()))
            taken.append(seconds)
        pairs.append((taken[0], taken[1]))
    return _row(pairs, len(split), len(found) == 1)


def _split(dataset: str, model: str) -> Split:
    return rotated_sample(datasets.load(dataset).test, IMAGES[model], SEED, ANGLE)


def _part(names: Sequence[str], what: str, measure: Callable[[str], Row]) -> dict[str, Row]:
    rows = {name: measure(name) for name in names}
    shown = [
        [name, *(str(row[key]) for key in ("other_us", "ours_us", "images_per_second", "times"))]
        for name, row in rows.items()
    ]
    print(f"\n{what}\n{table(shown, ['', 'us', 'ours', 'images/s', 'times'])}", flush=True)
    if not all(row["same"] for row in rows.values()):
        raise UserError(f"{what}: not the same bits, so no comparison")
    return rows


def _check_older(elf: Path, network: Network) -> None:
    """Raises UserError unless the program takes a network as ours does."""
    try:
        _device(elf, network, "infer")[0].close()
    except DeviceFailure as error:
        raise UserError(
            f"{elf} is no older picotrain-host that runs here: {error}; give the one that "
            "`make -C firmware host` made of another commit"
        ) from error


def measure(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, Row]]]:
    """The parts that were asked for, each as it is done; what they need is looked at before."""
    tiny, _ = models.load_backbone(models.backbone_path("tinycnn", "mnist"))
    split, rounds, older = _split("mnist", "tinycnn"), arguments.rounds, arguments.against
    large = photographs = None
    if arguments.network is not None:
        large, _ = models.load_backbone(arguments.network)
        photographs = _split("cifar10", "vgg11")
        models.check_fit(large, datasets.load("cifar10"))
    if older is not None:
        _check_older(older, tiny)
    yield (
        "naive",
        _part(
            twin.METHODS,
            "tinycnn: naive C, the firmware",
            lambda name: beside_naive(tiny, split, name, rounds),
        ),
    )
    if older is None:
        return
    yield (
        "tinycnn",
        _part(
            METHODS,
            "tinycnn: the older firmware, this one",
            lambda name: beside_older(older, tiny, split, name, rounds),
        ),
    )
    if large is not None and photographs is not None:
        yield (
            "vgg11",
            _part(
                METHODS,
                f"{large.name}: the older firmware, this one",
                lambda name: beside_older(older, large, photographs, name, rounds),
            ),
        )


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text} is no file")
    return Path(text)


def main(arguments: Sequence[str]) -> int:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--against", type=_file, metavar="FILE", help="an older picotrain-host")
    parser.add_argument("--network", type=_file, metavar="FILE", help="a backbone of vgg11")
    parser.add_argument("--rounds", type=positive, default=9, help="of each pair (default: 9)")
    given = parser.parse_args(arguments)
    if given.network is not None and given.against is None:
        parser.error("--network is run beside an older firmware: name that with --against FILE")
    by = {
        "architecture": platform.machine(),
        "instruction_sets": instruction_sets(),
        "rounds": given.rounds,
    }
    kept = read_json(FILE, "remove it") if FILE.exists() else {}
    for name, rows in measure(given):
        kept[name] = {"by": by, "methods": rows}
        write_json(FILE, kept)
    return 0


if __name__ == "__main__":
    sys.exit(told("host-speed", main))
