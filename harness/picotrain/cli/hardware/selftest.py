"""`picotrain selftest`: faults on purpose, and whether the harness names each."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from picotrain.cli.material import random_material
from picotrain.cli.options import Verbs, add_kernels, add_verb, finish
from picotrain.device.backends import NAMES, choose_kernels, open_target
from picotrain.errors import UserError
from picotrain.hardware.selftest.faults import Bench
from picotrain.hardware.selftest.running import Outcome, selftest

_MODEL = "oddnet"
_SEED = 1
_IMAGES = 6


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "selftest",
        "Plant known faults between harness and device, one after another, and see that each is "
        "named; and that without a fault there is no difference. Nothing stays on the device.",
        "picotrain selftest --target qemu",
    )
    parser.add_argument(
        "--target",
        default="host",
        help=f"one of {', '.join(NAMES[1:])} (default: %(default)s)",
    )
    add_kernels(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    kernels = choose_kernels(options.target, options.kernels)
    if kernels is None:
        raise UserError("golden has no device to plant faults in; use --target host or qemu")
    network, split = random_material(_MODEL, _SEED, _IMAGES)
    target = open_target(options.target, kernels=kernels)
    try:
        target.connect()
        print(f"{network.name} on {options.target} ({kernels} kernels): what is said of each fault")
        found = selftest(Bench(target, network, split.images, split.labels), _show)
    finally:
        target.close()
    if found.difference:
        print(f"without a fault: {found.difference}", flush=True)
    else:
        print(f"without a fault: {found.tensors:,} tensors, {found.elements:,} elements, equal")
    print(f"{found.named} of {len(found.outcomes)} faults named, {found.seconds:.1f} s")
    finish(
        options,
        {
            "target": options.target,
            "kernels": kernels,
            "model": network.name,
            "passed": found.passed,
            "named": found.named,
            **asdict(found),
        },
    )
    return 0 if found.passed else 1


def _show(outcome: Outcome) -> None:
    state = "named " if outcome.named else "MISSED"
    said = outcome.said or "nothing"
    print(f"{state}  {outcome.name:18}  {outcome.fault}\n{'':28}{said}", flush=True)
