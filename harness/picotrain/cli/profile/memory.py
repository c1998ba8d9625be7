"""`picotrain memory`: flash and RAM, the arena, the stack."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from picotrain.cli.material import check_backbone, noise, random_material
from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_backbone,
    add_model,
    add_plan,
    add_seed,
    add_verb,
    finish,
)
from picotrain.datasets import Split
from picotrain.device.backends import KERNELS, form_missed, open_device, problem
from picotrain.device.blob import blob_size
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.room import fits_flash
from picotrain.device.versions import versions_of
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.image.firmware import MODEL_FLASH
from picotrain.learn import methods, models, plans
from picotrain.profile.memory.arena import (
    Timeline,
    arena_uses,
    blob_in_arena,
    timeline_of_plan,
    timeline_of_record,
)
from picotrain.profile.memory.budget import check_budget, present, read_budget
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.stack import worst_stack
from picotrain.profile.memory.text import (
    render_arenas,
    render_sections,
    render_stack,
    render_symbols,
    render_timeline,
)
from picotrain_golden import Method, Network, plan


@dataclass(frozen=True)
class Board:
    """An image, and the target that runs it to read its plan and its painted stack."""

    target: str
    kernels: str

    @property
    def elf(self) -> Path:
        return KERNELS[self.target][self.kernels]


BOARDS = {
    "microbit": Board("qemu", "tuned"),
    "microbit-chain": Board("qemu", "chain"),
    "microbit-affine": Board("qemu", "affine"),
    "rp2040": Board("rp2040js", "tuned"),
    "rp2040-cores": Board("rp2040js", "cores"),
    "rp2040-chain": Board("rp2040js", "chain"),
    "rp2040-affine": Board("rp2040js", "affine"),
}


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "memory",
        "Flash and RAM by section and symbol, the arena over time, the stack's worst case.",
        "picotrain memory --board rp2040 --method priot",
    )
    parser.add_argument(
        "--board", choices=BOARDS, default="microbit", help="whose image (default: %(default)s)"
    )
    add_model(parser)
    add_backbone(parser, "an untrained one")
    parser.add_argument(
        "--method",
        default=methods.DEFAULT.name,
        help=f"one of {', '.join(methods.NAMES)} (default: %(default)s)",
    )
    add_seed(parser, Method.seed, "draws the network and its two images")
    parser.add_argument(
        "--budget",
        action=NamedFile,
        metavar="FILE",
        help="fail where it is exceeded",
    )
    add_plan(parser)
    methods.add_options(parser)
    methods.add_fused(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    method = methods.from_options(options, options.method)
    methods.check_used(options, options.method)
    plans.check(options.plan, method)
    budget = None if options.budget is None else read_budget(options.budget)
    check_backbone(options, method)
    network = _network(options)
    board = BOARDS[options.board]
    words, instead = form_missed(network.affine, board.kernels)
    if words:
        whole = options.board.removesuffix(f"-{board.kernels}")
        raise UserError(
            f"network {network.name} is {words}, which firmware {options.board} does not know; say "
            f"--board {whole}, or --board {whole}-{instead}"
        )
    plans.check_fused(network, method)
    image = Image(firmware.require(board.elf))
    sections, stack = image.sections(), worst_stack(image)
    lean = options.plan == "lean"
    planned = plan(network, method, blob_in_arena(network, image.symbols, options.plan))
    timeline, painted = timeline_of_plan(planned, network, method), None
    missing = problem(board.target)
    untaken = f"for want of target {board.target}: {missing}" if missing else ""
    room = image.symbols.symbol("pt_arena_end") - image.symbols.symbol("pt_arena_start")
    if planned.total > room:
        untaken = (
            f"as {method.name} with plan {options.plan} does not fit: it needs {planned.total:,} "
            f"bytes, the arena has {room:,}"
        )
    elif lean and not fits_flash(network, image.symbols):
        untaken = f"as the flash has {MODEL_FLASH:,} bytes for a model"
    if not untaken:
        timeline, painted = _on_device(board, *_material(options, network), method, lean)
    uses = arena_uses(image.symbols, network)
    in_flash = blob_size(network, image.symbols) if lean else 0
    print(render_sections(sections))
    print("\nlargest symbols\n" + render_symbols(sections))
    print(f"\narena of {network.name}, {method.name}\n" + render_timeline(timeline))
    if lean:
        print(f"in flash, not in the arena: model {in_flash:,} of {MODEL_FLASH:,} bytes")
    print(f"\narena of {options.board}, by method with default options\n" + render_arenas(uses))
    print("\nstack\n" + render_stack(stack, painted))
    if untaken:
        print(f"painted high-water mark: not taken, {untaken}")
    finish(
        options,
        {
            "unit": "bytes",
            "board": options.board,
            "model": network.name,
            "method": method.name,
            "plan": plans.named(options.plan, method, network),
            "plan_note": plans.note(options.plan),
            "model_in_flash": in_flash,
            "sections": asdict(sections),
            "arena": asdict(timeline),
            "arena_by_method": [asdict(one) for one in uses],
            "stack": {**asdict(stack), "painted": painted},
            "painted_note": f"not taken, {untaken}" if untaken else "",
            "versions": versions_of("" if missing else board.target, board.elf),
        },
    )
    if budget is None:
        return 0
    exceeded = check_budget(budget, present(image))
    for sentence in exceeded:
        print(f"picotrain: {sentence}", file=sys.stderr)
    if not exceeded:
        print(f"\nwithin {options.budget}")
    return 1 if exceeded else 0


def _network(options: argparse.Namespace) -> Network:
    """The network, which may have no static numbers yet: they take no room."""
    if options.backbone is None:
        architecture = models.resolve(options.model or models.DEFAULT)
        return models.initial_network(architecture, options.seed)
    network, _ = models.load_backbone(options.backbone)
    if options.model is not None:
        models.check_same(models.resolve(options.model), network, options.backbone)
    return network


def _material(options: argparse.Namespace, network: Network) -> tuple[Network, Split]:
    """The network as it can run, and two images of noise."""
    if options.backbone is None:
        return random_material(options.model, options.seed, 2)
    return network, noise(network, options.seed, 2)


def _on_device(
    board: Board, network: Network, split: Split, method: Method, frozen: bool
) -> tuple[Timeline, int | None]:
    """The device's own plan, and the deepest its stack got on the images, in bytes."""
    device = open_device(board.target, kernels=board.kernels)
    try:
        if not isinstance(device, MailboxDevice):
            raise UserError(f"target {board.target} has no plan to read")
        device.load_model(network, frozen=frozen)
        device.set_method(method)
        if method.trains:
            device.train(split.images, split.labels)
        device.evaluate(split.images, split.labels)
        return timeline_of_record(device.plan(), device.elf), device.memory().stack
    finally:
        device.close()
