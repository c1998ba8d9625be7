"""`picotrain adapt`: the main job."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from picotrain import datasets
from picotrain.cli.material import backbone, check_backbone
from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_device,
    add_logits_exponent,
    add_output,
    add_plan,
    add_verb,
    arena,
    result_file,
)
from picotrain.datasets import Dataset
from picotrain.device.backends import choose_kernels, open_device
from picotrain.device.interface import Device
from picotrain.device.repeating import retrying, twice
from picotrain.device.repeating.retrying import Death, RetryingDevice
from picotrain.device.repeating.twice import Disagreement
from picotrain.device.room import check_room
from picotrain.inputs import positive
from picotrain.learn import calibration, methods, models, plans, turning
from picotrain.learn.adapt import (
    SAMPLES,
    SPLITS,
    AdaptOptions,
    AdaptResult,
    adapt,
    check_options,
    prepare,
)
from picotrain.learn.architectures.pixels import covers_pixels, span
from picotrain.learn.field.state import State
from picotrain.learn.field.state_file import check_name, load_state, write_state
from picotrain.output import is_plain, is_standard, tell, write_json
from picotrain.quantise.graph import TensorScale
from picotrain.text import ram_line
from picotrain_golden import Method


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "adapt",
        "The main job: adapt a pre-trained network to what a device sees, such as rotated images. "
        "The result is written after every epoch, so that a run that ends early keeps it.",
        "picotrain adapt --target qemu --dataset mnist --angle 30 --method priot --epochs 10",
    )
    add_device(parser, default_target="qemu")
    parser.add_argument(
        "--method",
        default=methods.DEFAULT.name,
        help=f"one of {', '.join(methods.NAMES[1:])} (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=positive,
        default=AdaptOptions.epochs,
        metavar="N",
        help="passes over the training images (default: %(default)s)",
    )
    for samples, what in (("--train-samples", "to adapt to"), ("--test-samples", "to evaluate on")):
        parser.add_argument(
            samples,
            type=positive,
            metavar="N",
            help=f"images {what} (default: {SAMPLES}, or all there are)",
        )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default=AdaptOptions.evaluate_on,
        help="what to evaluate on (default: %(default)s)",
    )
    add_plan(parser)
    rules = "; ".join(f"{name}: {rule.description}" for name, rule in calibration.RULES.items())
    parser.add_argument(
        "--calibration",
        metavar="RULE",
        default=AdaptOptions.calibration,
        help="static scales: those of the backbone, or made anew from training images. "
        f"{rules} (default: %(default)s)",
    )
    add_logits_exponent(parser, "the backbone's own")
    parser.add_argument(
        "--layer-mu",
        default="",
        metavar="N,N...",
        help="added to mu, one number per layer with weights, written as --layer-mu=-1,0,0,1 "
        "(default: nothing)",
    )
    parser.add_argument(
        "--replay",
        type=float,
        default=AdaptOptions.replay,
        metavar="SHARE",
        help="mix so many upright training images into every epoch, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--retention", action="store_true", help="evaluate the upright images too, every epoch"
    )
    add_output(
        parser,
        "--save",
        "keep what was learned in this file (.npz), anew after every epoch: for --resume, bake and "
        "infer",
    )
    parser.add_argument(
        "--resume",
        action=NamedFile,
        metavar="FILE",
        help="go on from such a file, to the same bytes as without a stop; --epochs counts those "
        "that are done. With other images or another seed it is a new run that begins there",
    )
    parser.add_argument(
        "--retry-device",
        type=positive,
        metavar="N",
        help="start the device anew where it crashes, hangs or is lost, up to N times: it gets "
        "back what it had learned and goes on with the batch that was lost, to the same bytes; "
        "each death is told and counted (default: the first one ends the run)",
    )
    parser.add_argument(
        "--twice",
        action="store_true",
        help="show each batch twice from the same state, so that a bit that flips while the device "
        "works is seen: where the two differ, a third run decides, and it is told and counted. "
        "Takes twice as long",
    )
    methods.add_options(parser)
    methods.add_fused(parser)
    parser.set_defaults(run=run, complete=complete, replaced={"resume": "save"})


def complete(options: argparse.Namespace) -> None:
    """The name of the result, where none is given."""
    if options.json is None:
        model = Path(options.model or options.backbone or models.DEFAULT).stem
        mine = datasets.own(options.dataset)
        data = (mine[1] if mine else Path(options.dataset)).stem
        method = options.method if options.plan == "fast" else f"{options.method}-{options.plan}"
        angle = () if options.angle is None else (f"{options.angle:g}",)
        about = (model, data, *angle, method, options.target, options.seed)
        options.json = result_file(options, "adapt", *about)


def run(options: argparse.Namespace) -> int:
    method = methods.from_options(options, options.method)
    methods.check_used(options, options.method)
    choice = AdaptOptions(
        options.angle,
        method,
        options.epochs,
        options.seed,
        options.train_samples,
        options.test_samples,
        options.split,
        options.plan,
        calibration=options.calibration,
        layer_mu=methods.layer_mu(options.layer_mu),
        replay=options.replay,
        retention=options.retention,
        backbone="" if options.backbone is None else str(options.backbone),
        logits_exponent=options.logits_exponent,
    )
    check_options(choice)
    state = _state(options, method)
    check_backbone(options, method)
    choose_kernels(options.target, options.kernels)  # refuses unknown ones before work starts
    dataset = datasets.load(options.dataset)
    network = backbone(options, dataset)
    models.check_fit(network, dataset)
    plans.check_fused(network, method)
    _note_pixels(options, dataset)
    task = prepare(dataset, choice)
    replayed = f" (and {task.replayed} upright)" if task.replayed else ""
    so_far: list[AdaptResult] = []

    def report(result: AdaptResult) -> None:
        # Nothing is written before there is an epoch: an earlier result outlives a failed start.
        seconds = result.wall_seconds - (so_far[-1].wall_seconds if so_far else 0.0)
        so_far.append(replace(result))
        if len(so_far) == 1:
            upright = _upright(result.upright_before)
            if result.begins:
                print(result.begins)
            print(f"before     accuracy {result.accuracy_before:.4f}{upright}", flush=True)
            return
        if result.complete or is_plain(options.json):
            write_json(options.json, result.to_json())
        epoch = result.history[-1]
        print(
            f"epoch {epoch['epoch']:3}  accuracy {epoch['accuracy']:.4f}"
            f"{_upright(epoch['upright_accuracy'])}  train {epoch['train_accuracy']:.4f}  "
            f"loss norm {epoch['loss_norm']:5.1f}  "
            f"mu {epoch['mu']}  took {seconds:5.1f} s, {result.wall_seconds:.1f} s in all",
            flush=True,
        )

    kept: list[State] = []

    def keep(learned: State) -> None:
        write_state(options.save, learned)
        kept[:] = [learned]

    device = _device(options)
    try:
        check_room(device, network, method, options.plan == "lean")
        # Only now: nothing is announced that cannot start.
        print(
            f"{network.name} on {options.dataset} {turning.in_words(task.angle)}, "
            f"{method.name} on {options.target}: "
            f"{len(task.train.labels) - task.replayed} training{replayed} and "
            f"{len(task.test.labels)} {options.split} images{plans.told_fused(network, method)}"
        )
        keeper = None if options.save is None else keep
        result = adapt(device, network, task, choice, report, resume=state, keep=keeper)
    except BaseException:
        if len(so_far) > 1:
            if not is_plain(options.json):
                write_json(options.json, so_far[-1].to_json())
            if not is_standard(options.json):
                print(f"the result so far is in {options.json}", file=sys.stderr)
            if kept:
                done = f"what was learned in {kept[-1].epochs} epochs"
                print(f"{done} is in {options.save}", file=sys.stderr)
        raise
    finally:
        device.close()
    print(_summary(result))
    if kept:
        print(f"learned: {options.save}")
    tell("result", options.json)
    for warning in result.warnings:
        print(f"warning: {warning}")
    return 0


def _device(options: argparse.Namespace) -> Device:
    start = partial(
        open_device,
        options.target,
        arena(options),
        options.kernels,
        _tell_disagreement if options.twice else None,
    )
    if options.retry_device is None:
        return start()
    deaths = 0

    def notice(death: Death) -> None:
        nonlocal deaths
        deaths += 1
        print(
            f"death {deaths} of at most {options.retry_device}, in {death.during}: "
            f"{death.message}; the device is started anew",
            flush=True,
        )

    return RetryingDevice(start, options.retry_device, notice)


def _tell_disagreement(one: Disagreement) -> None:
    print(one.message, flush=True)


def _state(options: argparse.Namespace, method: Method) -> State | None:
    """What is resumed; what it is not for is told before anything else is done."""
    if options.save is not None:
        check_name("--save", options.save)
    if options.resume is None:
        return None
    state = load_state(options.resume)
    state.check_method(method)
    return state


def _note_pixels(options: argparse.Namespace, dataset: Dataset) -> None:
    """Of a file's network that means something else by its int8: nothing would fail, nor learn."""
    means = models.load_backbone(options.backbone)[1].get("input") if options.backbone else None
    if means is None or dataset.quantised:
        return
    low, high = span(TensorScale(means["scale"], means["zero"]))
    if not covers_pixels(low, high):
        print(
            f"note: the input of {options.backbone.name} covers {low:.4g} to {high:.4g}, and "
            "pixels 0 to 255 are spread over all of that; where they mean something else, "
            "quantise them yourself and give int8 images",
            file=sys.stderr,
        )


def _upright(accuracy: float | None) -> str:
    return "" if accuracy is None else f"  upright {accuracy:.4f}"


def _summary(result: AdaptResult) -> str:
    lines = [
        f"accuracy   before {result.accuracy_before:.4f}  best {result.accuracy_best:.4f}  "
        f"final {result.accuracy_final:.4f}"
    ]
    for what, count, milliseconds in (
        ("training", result.cycles_per_train_image, result.ms_per_train_image_125mhz),
        ("inference", result.cycles_per_infer_image, result.ms_per_infer_image_125mhz),
    ):
        if count is not None:
            lines.append(
                f"{what:10} {count:,.0f} cycles, {milliseconds:.1f} ms an image "
                f"({result.cycles_by} at 125 MHz)"
            )
    lines.append(ram_line(result.ram_bytes, result.model_in_flash))
    if result.plan_note:
        lines.append(result.plan_note)
    if result.deaths:
        lines.append(f"deaths     {retrying.in_words(result.deaths)}")
    if result.twice:
        lines.append(f"differed   {twice.in_words(result.disagreements)}; cycles are of all runs")
    lines.append(f"state      sha256 {result.state_sha256}")
    return "\n".join(lines)
