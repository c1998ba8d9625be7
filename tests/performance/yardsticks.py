"""Figures of docs/performance.md: `make performance`, experiments/results/performance.json.

    PYTHONPATH=tests python3 -m performance.yardsticks [NETWORK ...]

tinycnn on MNIST turned by 30 degrees: our kernels, what a plain float program of the same network
takes, and, of each NETWORK that is named (a file of `picotrain import`), an inference of random
bytes. What is not named stays in the file as it was, if it is of this compiler. Of the code of
others: others.toml.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from performance import beside
from picotrain import datasets
from picotrain.datasets import Split, rotated_sample
from picotrain.device.backends import open_device
from picotrain.device.interface import cycles_spent
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError, told
from picotrain.inputs import read_json
from picotrain.learn import methods, models
from picotrain.output import write_json
from picotrain.places import BUILD
from picotrain.profile.profile import FLOOR, Profile, profile
from picotrain.versions import first_line
from picotrain_golden import Network

HERE = Path(__file__).parent
IMAGES, ANGLE, SEED = 256, 30.0, 0
METHODS = ("infer", "priot", "niti-static")
SETTINGS = {
    "portable": ("portable", False),
    "tuned": ("tuned", False),
    "fused": ("tuned", True),
    "dense": ("dense", False),
    "dense_fused": ("dense", True),
}
"""Kernels, and whether convolution, ReLU and pooling are one operation."""
FLOAT = BUILD / "performance"
FLOATS = {"plain": [], "skipping": ["-DSKIP_ZEROS"]}
COMPILER = "arm-none-eabi-gcc"

Figures = dict[str, Any]


def _profile(kernels: str, network: Network, name: str, fused: bool, split: Split) -> Profile:
    device = open_device("qemu", kernels=kernels)
    with device:
        assert isinstance(device, MailboxDevice)
        method = replace(methods.make(name, seed=SEED), fused=fused)
        return profile(device, network, method, split)[0]


def ours(network: Network, split: Split) -> Figures:
    """Mean cycles of an inference, and of a step with a loss error; multiply-accumulates."""
    found: Figures = {}
    for name in METHODS:
        row: Figures = {}
        for setting, (kernels, fused) in SETTINGS.items():
            made = _profile(kernels, network, name, fused, split)
            spent = made.infer if name == "infer" else made.train_with_error
            assert spent is not None
            row[setting] = round(spent)
            if setting == "tuned":
                row["macs"] = made.macs(train=name != "infer")
                row["floor"] = round(FLOOR * row["macs"])
        print(name, row, flush=True)
        found[name] = row
    return found


def _header(network: Network, split: Split) -> str:
    """network.h of soft_float.c: its function is that of the network, but for the rounding."""
    held = [one for one in network.parameters if one is not None]
    lines = ["#include <stdint.h>"]
    for at, one in enumerate(held, 1):
        values = ",".join(map(str, one.weights.ravel().tolist()))
        lines += [
            f"static const int8_t network_{at}[{one.weights.size}] = {{{values}}};",
            f"#define NETWORK_SCALE_{at} (1.0f / {1 << one.forward_shift}.0f)",
        ]
    pixels = ",".join(map(str, (split.images[0].ravel() >> 1).tolist()))
    lines += [
        f"static const int8_t network_image[{split.images[0].size}] = {{{pixels}}};",
        f"static const int network_label = {int(split.labels[0])};",
    ]
    return "\n".join([*lines, ""])


def build_float(network: Network, split: Split, folder: Path, options: Sequence[str]) -> Path:
    """soft_float.c for a Cortex-M0+, with this network and the first image."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.h").write_text(_header(network, split), encoding="utf-8")
    elf = folder / "soft_float.elf"
    command = [COMPILER, "-mcpu=cortex-m0plus", "-mthumb", "-O2", "-ffreestanding", "-nostdlib"]
    command += ["-Wall", "-Wextra", "-Werror", *options, f"-I{folder}"]
    command += [str(HERE / "soft_float.c"), "-T", str(HERE / "soft_float.ld"), "-lgcc"]
    subprocess.run([*command, "-o", str(elf)], check=True)
    return elf


def cycles_to(elf: Path, end: str) -> int:
    """Of a step, until `end`, by `picotrain cycles`."""
    command = [sys.executable, "-m", "picotrain", "cycles", "--elf", str(elf), "--json", "-"]
    command += ["--from", "step", "--to", end, "--timeout", "300"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout)["cycles"])


def floats(network: Network, split: Split) -> Figures:
    """Cycles of the float program: its forward pass and its step."""
    found: Figures = {}
    for name, options in FLOATS.items():
        elf = build_float(network, split, FLOAT / name, options)
        found[name] = {what: cycles_to(elf, end) for what, end in beside.ENDS.items()}
        print(name, found[name], flush=True)
    return found


def float_bytes(elf: Path) -> Figures:
    """What the float program keeps in RAM: its weights, and all else."""
    command = ["arm-none-eabi-nm", "--print-size", "--radix=d", str(elf)]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {"weights": 0, "others": 0}
    for line in listed.splitlines():
        # A variable has a size beside its address; labels of the linker have none.
        if (words := line.split()) and len(words) == 4 and words[2] in "bBdD":
            found["weights" if words[3].startswith("weights_") else "others"] += int(words[1])
    return found


def inference(network: Network) -> Figures:
    """Of an imported network, its weights in flash, of random bytes."""
    random = np.random.default_rng(SEED)
    image = random.integers(0, 256, (1, *network.input_shape), dtype=np.uint8)
    row: Figures = {}
    for kernels in ("portable", "tuned"):
        with open_device("qemu", kernels=kernels) as device:
            assert isinstance(device, MailboxDevice)
            device.load_model(network, frozen=True)
            device.set_method(methods.make("infer"))
            before = cycles_spent(device)
            device.evaluate(image, np.zeros(1, np.uint8))
            row[kernels] = cycles_spent(device) - before
    print(network.name, row, flush=True)
    return row


def kept_networks(held: Figures, measured: Collection[str], compiler: str) -> Figures:
    """Rows of the file that are not measured now. Raises UserError for one of another compiler."""
    kept = {name: row for name, row in held.items() if name not in measured}
    other = {name: row["compiler"] for name, row in kept.items() if row["compiler"] != compiler}
    if other:
        raise UserError(
            f"{beside.FILE.name} has {', '.join(other)} by another compiler than {compiler}: "
            f"{', '.join(sorted(set(other.values())))}; name their files too, in NETWORKS"
        )
    return kept


def main(arguments: Sequence[str]) -> int:
    """Measure and write: the file, and the page of it."""
    paths = [Path(name) for name in arguments]
    for path in paths:
        if not path.is_file():
            raise UserError(f"there is no network {path}: make it with `picotrain import`")
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "mnist"))
    split = rotated_sample(datasets.load("mnist").train, IMAGES, SEED, ANGLE)
    kept = read_json(beside.FILE, "remove it") if beside.FILE.exists() else {}
    compiler = first_line(COMPILER, "--version")
    imported = {one.name: one for one, _ in map(models.load_backbone, paths)}
    networks = kept_networks(kept.get("networks", {}), imported, compiler)
    for name, one in imported.items():
        networks[name] = inference(one) | {"compiler": compiler}
    found = {
        "images": IMAGES,
        "compiler": compiler,
        "ours": ours(network, split),
        "float": floats(network, split),
        "float_bytes": float_bytes(FLOAT / "plain" / "soft_float.elf"),
        "networks": networks,
    }
    write_json(beside.FILE, found)
    beside.write()
    return 0


if __name__ == "__main__":
    sys.exit(told("performance", main))
