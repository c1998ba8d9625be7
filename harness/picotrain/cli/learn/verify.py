"""`picotrain verify`: a device and golden side by side."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from typing import get_args

from picotrain import datasets
from picotrain.cli.material import backbone, check_backbone, check_kernels, noise, random_material
from picotrain.cli.options import (
    Verbs,
    add_device,
    add_logits_exponent,
    add_plan,
    add_verb,
    arena,
    finish,
)
from picotrain.datasets import Split
from picotrain.device.backends import arena_bytes, choose_kernels, open_device
from picotrain.device.blob import blob_size
from picotrain.device.given import check_form, images_for
from picotrain.device.interface import Device
from picotrain.device.room import Roomy, Shortage, fits_flash, missing
from picotrain.errors import UserError
from picotrain.image.firmware import layout
from picotrain.inputs import positive
from picotrain.learn import logits, methods, models, plans
from picotrain.learn.calibration import FAIR, calibrated_by, of_images
from picotrain.learn.turning import angle_of, in_words
from picotrain.learn.verify import Comparison, verify, verify_selected
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network, fused, plan, validate_training
from picotrain_golden.generator import Select

RANDOM = "random"
"""Instead of a data set: noise, and an untrained network where no backbone is named."""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "verify",
        "Run a device and golden side by side and compare every tensor of every step.",
        "picotrain verify --target qemu --method priot --steps 100 --seed 1",
    )
    add_device(parser, default_target="host", default_dataset=False)
    parser.add_argument(
        "--method",
        default="all",
        help=f"all, or a list of {', '.join(methods.NAMES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=positive,
        default=20,
        metavar="N",
        help="images, one at a time, for each method (default: %(default)s)",
    )
    parser.add_argument(
        "--selected",
        type=float,
        metavar="SHARE",
        help="affine networks: train so large a share of the rows of the layers that Fisher "
        "information selects, and compare that, the selections and a head from prototypes too",
    )
    add_logits_exponent(parser, "the backbone's own")
    add_plan(parser)
    methods.add_options(parser)
    methods.add_fused(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.method != "all":
        named = options.method.split(",")
        check_backbone(options, *(methods.from_options(options, name) for name in named))
        methods.check_used(options, *named)
    if options.logits_exponent is not None:
        check_backbone(options)
    permille = _permille(options)
    network, split, material = _verify_material(options)
    if permille is not None:
        _check_selects(network)
    prepared = _verified_methods(options, network)
    chosen = [method for _, method in prepared]
    plans.check_fused(network, *chosen)
    pairs = any(any(fused(network, method)) for method in chosen)
    kernels = choose_kernels(options.target, options.kernels)
    room = arena(options) or arena_bytes(options.target, options.kernels)
    golden, device = open_device("golden", room), _device_to_verify(options)
    exponent = network.logits_exponent
    form = f"{'affine, ' if network.affine else ''}logits exponent {exponent}"
    print(
        f"{network.name}, {material}: {options.target} ({kernels} kernels) against golden, "
        f"plan {options.plan}{', fused' if pairs else ''}, {form}, "
        f"seed {options.seed}{_share_in_words(permille)}"
    )
    results, skipped = [], []
    try:
        for label, method in prepared:
            # Of a selection the first to fit is what it is made by.
            first = method if permille is None else Method("fisher")
            frozen, short = _placed((golden, device), network, first, options)
            if short is not None and options.method == "all":
                needs = f"needs {short.need:,} bytes of {short.room:,}; {short.advice}"
                print(f"skipped {label}: {needs}", flush=True)
                skipped.append((label, short))
                continue
            if short is not None:
                raise short.error()
            left = _room_left((golden, device), network, frozen)
            for side in (golden, device):
                side.load_model(network, frozen=frozen)
            comparison = Comparison(golden, device, network)
            given = (split.images, split.labels, options.steps)
            # Of a selection there are two runs.
            runs = options.steps * (1 if permille is None else 2)
            with progress_bar(label, runs, "step") as advance:
                if permille is None:
                    comparison.start(method)
                    done = verify(comparison, *given, method.trains, advance)
                else:
                    done = verify_selected(
                        comparison, method, *given, permille, frozen, left, advance
                    )
            own = any(fused(network, method))
            print(
                f"{label:17} {done.steps} steps, {done.batches} batches: {done.tensors:,} tensors, "
                f"{done.elements:,} elements, 0 differences"
                f"{', plan lean' if frozen and options.plan != 'lean' else ''}"
                f"{', not fused' if pairs and not own else ''}",
                flush=True,
            )
            plan = "lean" if frozen else "fast"
            results.append(
                {"method": label, "plan": plan, "fused": own, **asdict(done), "differences": 0}
            )
    finally:
        golden.close()
        device.close()
    finish(
        options,
        {
            "target": options.target,
            "kernels": kernels,
            "model": network.name,
            "logits_exponent": exponent,
            "plan": options.plan,
            "fused": pairs,
            "plan_note": plans.note(options.plan),
            "seed": options.seed,
            "selected": options.selected,
            "runs": results,
            "skipped": [
                {"method": label, "needs": short.need, "room": short.room}
                for label, short in skipped
            ],
        },
    )
    if not results:
        print("picotrain: no method fits, so nothing was compared", file=sys.stderr)
    return 0 if results else 1


def _permille(options: argparse.Namespace) -> int | None:
    """Of --selected."""
    share: float | None = options.selected
    if share is None:
        return None
    if not 0.001 <= share <= 1:
        raise UserError(
            f"--selected {share} is no share; use 0.001 to 1, e.g. 0.25 for a quarter of the rows"
        )
    return round(share * 1000)


def _share_in_words(permille: int | None) -> str:
    return "" if permille is None else f", {permille / 10:g} % of the rows of selected layers"


def _room_left(sides: tuple[Device, Device], network: Network, frozen: bool) -> int:
    """Of the smaller arena, beside the blob and an image."""
    room = min(side.arena_bytes for side in sides if isinstance(side, Roomy))
    planned = plan(network, Method("infer"), 0 if frozen else blob_size(network, layout()))
    return room - planned.blob - planned.io_minimum


def _check_selects(network: Network) -> None:
    try:
        # It asks for the least of all methods that selections have to do with.
        validate_training(network, Method("fisher"))
    except ValueError as error:
        raise UserError(f"{error}; leave --selected out, or use another network") from None


def _placed(
    sides: tuple[Device, Device], network: Network, method: Method, options: argparse.Namespace
) -> tuple[bool, Shortage | None]:
    """Whether the weights go to flash: as was asked, or where only that fits and no method was
    named; and what is missing where nothing fits."""
    lean = options.plan == "lean"
    named = options.method != "all"
    may_move = not named and plans.allows("lean", method) and fits_flash(network)
    short = first = None
    for frozen in (lean, True) if may_move else (lean,):
        short = missing(sides, network, method, frozen, choice=named)
        if short is None:
            return frozen, None
        first = first or short
    return lean, first


def _verify_material(options: argparse.Namespace) -> tuple[Network, Split, str]:
    count = min(options.steps, 32)
    name = models.resolve(options.model or models.DEFAULT).name
    named = options.backbone if options.dataset is None else None
    if named and models.load_backbone(named)[0].affine:
        # It was imported: no data set of ours is likely to be what it was trained on.
        options.dataset = RANDOM
    if options.dataset is None:
        shipped = models.backbone_path(name, datasets.DEFAULT).is_file()
        options.dataset = datasets.DEFAULT if shipped or options.backbone else RANDOM
    if options.dataset == RANDOM and options.backbone:
        network = backbone(options)
        split = noise(network, options.seed, count)
        if options.logits_exponent is not None:
            if not network.affine:
                raise UserError(
                    "--logits-exponent needs a data set to calibrate on; name a --dataset"
                )
            network = logits.moved(network, options.logits_exponent)
        return _with_numbers(network, split), split, "on random images"
    if options.dataset == RANDOM:
        check_kernels(options, models.resolve(options.model or models.DEFAULT))
        network, split = random_material(options.model, options.seed, count)
        if options.logits_exponent is not None:
            network = logits.moved(network, options.logits_exponent)
        return network, split, "untrained, on random images"
    dataset = datasets.load(options.dataset)
    network = backbone(options, dataset)
    models.check_fit(network, dataset)
    options.angle = angle_of(dataset, options.angle)
    if options.logits_exponent is not None:
        network = logits.calibrated_at(
            network,
            options.logits_exponent,
            lambda moved: calibrated_by(moved, dataset, FAIR, angle=options.angle),
        )
    split = datasets.rotated_sample(dataset.train, count, options.seed, options.angle)
    split = replace(split, images=images_for(network, split.images))
    network = _with_numbers(network, split)
    return network, split, f"on {options.dataset} {in_words(options.angle)}"


def _with_numbers(network: Network, split: Split) -> Network:
    """The network, with numbers from these images where an affine one that trains has none."""
    if not network.affine or network.calibrated or not _allowed(network, Method("priot")):
        return network
    return of_images(network, split)


def _allowed(network: Network, method: Method) -> bool:
    """If the network can run the method."""
    try:
        check_form(network, method)
    except UserError:
        return False
    return True


def _verified_methods(options: argparse.Namespace, network: Network) -> list[tuple[str, Method]]:
    """Label and method of each run.

    `all` takes what plan and network allow, and PRIOT-S with both selections.
    """
    if options.method != "all":
        names = options.method.split(",")
        runs = [(name, methods.from_options(options, name)) for name in names]
        for _, method in runs:
            if options.selected is None:
                plans.check(options.plan, method)
            elif not method.selects:
                raise UserError(
                    f"method {method.name} takes no selection; use niti-dynamic, niti-static or "
                    "priot with --selected"
                )
        return runs
    runs = []
    for name in methods.NAMES:
        method = methods.from_options(options, name)
        if name == "priot-s":
            for select in get_args(Select):
                runs.append((f"{name} ({select})", replace(method, select=select)))
        else:
            runs.append((name, method))
    return [
        (label, method)
        for label, method in runs
        if _allowed(network, method)
        and (plans.allows(options.plan, method) if options.selected is None else method.selects)
    ]


def _device_to_verify(options: argparse.Namespace) -> Device:
    if options.target == "golden":
        raise UserError("golden against golden shows nothing; use --target host or qemu")
    return open_device(options.target, arena(options), options.kernels)
