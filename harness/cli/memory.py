"""`picotrain memory`: flash and RAM, the arena, the stack."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from harness import firmware, methods, plans
from harness.backends import open_device
from harness.cli.material import random_material
from harness.cli.options import Verbs, add_plan, add_verb, finish, seed
from harness.errors import UserError
from harness.mailbox import MailboxDevice
from harness.memory.arena import timeline_of_record
from harness.memory.budget import check_budget, present, read_budget
from harness.memory.image import Image
from harness.memory.stack import worst_stack
from harness.memory.text import (
    render_sections,
    render_stack,
    render_symbols,
    render_timeline,
)
from harness.versions import versions


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "memory",
        "Flash and RAM by section and symbol, the arena over time, the stack's worst case.",
        "picotrain memory --method priot --budget tests/baselines/memory.json",
    )
    parser.add_argument("--model", default="tinycnn", help="shipped name or TOML file")
    parser.add_argument("--method", default="priot", help=f"one of {', '.join(methods.NAMES)}")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--budget", type=Path, metavar="FILE", help="fail where it is exceeded")
    add_plan(parser)
    methods.add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    method, _ = methods.from_options(options, options.method)
    plans.check(options.plan, method)
    network, split = random_material(options.model, options.seed, 2)
    image = Image(firmware.require(firmware.MICROBIT))
    sections, stack = image.sections(), worst_stack(image)
    device = open_device("qemu")
    try:
        if not isinstance(device, MailboxDevice):
            raise UserError("target qemu has no plan to read")
        device.load_model(network, frozen=options.plan == "lean")
        device.set_method(method)
        if method.trains:
            device.train(split.images, split.labels)
        device.evaluate(split.images, split.labels)
        timeline = timeline_of_record(device.plan(), device.elf)
        memory = device.memory()
    finally:
        device.close()
    print(render_sections(sections))
    print("\nlargest symbols\n" + render_symbols(sections))
    print(f"\narena of {network.name}, {method.name}\n" + render_timeline(timeline))
    if options.plan == "lean":
        print(f"in flash, not in the arena: model {memory.model_in_flash:,} bytes")
    print("\nstack\n" + render_stack(stack, memory.stack))
    finish(
        options,
        {
            "unit": "bytes",
            "model": network.name,
            "method": method.name,
            "plan": options.plan,
            "plan_note": plans.note(options.plan),
            "model_in_flash": memory.model_in_flash,
            "sections": asdict(sections),
            "arena": asdict(timeline),
            "stack": {**asdict(stack), "painted": memory.stack},
            "versions": versions("qemu"),
        },
    )
    if options.budget is None:
        return 0
    exceeded = check_budget(read_budget(options.budget), present(image))
    for sentence in exceeded:
        print(f"picotrain: {sentence}", file=sys.stderr)
    if not exceeded:
        print(f"\nwithin {options.budget}")
    return 1 if exceeded else 0
