"""`picotrain VERB`: the command line."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from golden import Histograms, Network, calibrated, observe
from golden.generator import words
from harness import baseline, datasets, firmware, methods, models, profile_views
from harness.adapt import AdaptOptions, AdaptResult, adapt, prepare
from harness.backends import NAMES as TARGETS
from harness.backends import availability, open_device
from harness.datasets import Dataset, Split, rotate, sample
from harness.device import Device
from harness.errors import DeviceFailure, UserError
from harness.firmware import BUILD
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
from harness.output import table, write_json
from harness.pretrain import PretrainOptions, pretrain, static_numbers
from harness.profile import profile
from harness.progress import progress_bar
from harness.verify import Comparison, verify
from harness.versions import versions

RANDOM = "random"
RANDOM_LOGITS_EXPONENT = -4
VERIFY_STREAM = 0xFFFFFF05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0, 1 for a device's failure, 2 for a user's mistake, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except UserError as error:
        print(f"picotrain: {error}", file=sys.stderr)
        return 2
    except DeviceFailure as failure:
        print(f"picotrain: {failure.failure_class}: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("picotrain: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="picotrain",
        description="Integer-only on-device training for the Raspberry Pi Pico.",
        epilog="example: picotrain adapt --target qemu --dataset digits --angle 30 --method priot",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb(
        name: str, run: Callable[[argparse.Namespace], int], help_: str, example: str
    ) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help_, description=help_, epilog=f"example: {example}")
        sub.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
        sub.set_defaults(run=run)
        return sub

    verb(
        "targets",
        run_targets,
        "Which backends work here, and what to do about those that do not.",
        "picotrain targets",
    )

    data = verb("data", run_data, "List, fetch and verify data sets.", "picotrain data fetch mnist")
    data.add_argument("action", nargs="?", choices=("list", "fetch", "verify"), default="list")
    data.add_argument("name", nargs="?", help="a data set; without one, verify takes all")

    make = verb(
        "pretrain",
        run_pretrain,
        "Train a backbone in integers (NITI, dynamic scales, batch 1) and calibrate static shifts.",
        "picotrain pretrain --model tinycnn --dataset digits --out backbone.npz",
    )
    make.add_argument("--model", default="tinycnn", help="shipped name or TOML file")
    make.add_argument("--dataset", default="digits", help="mnist, digits, cifar10 or npz:FILE")
    make.add_argument("--out", type=Path, required=True, metavar="FILE", help="the backbone (.npz)")
    make.add_argument("--epochs", type=_positive, default=5)
    make.add_argument("--mu", default="3,2,2,1,1", metavar="N[,N...]", help="step size schedule")
    make.add_argument("--seed", type=_seed, default=0)
    make.add_argument("--calibration-samples", type=_positive, default=2048)
    make.add_argument(
        "--calibration-angle",
        type=_angle_bound,
        default=45,
        help="turn the calibration images by up to this many degrees",
    )
    make.add_argument("--target", default="host", help=f"one of {', '.join(TARGETS)}")
    _add_ram(make)

    job = verb(
        "adapt",
        run_adapt,
        "The main job: adapt a pre-trained network to rotated images on a device.",
        "picotrain adapt --target qemu --dataset mnist --angle 30 --method priot --epochs 10",
    )
    _add_device(job, default_target="qemu")
    job.add_argument("--method", default="priot", help=f"one of {', '.join(methods.NAMES[1:])}")
    job.add_argument("--epochs", type=_positive, default=10)
    job.add_argument("--train-samples", type=_positive, help="default: 1024, or all there are")
    job.add_argument("--test-samples", type=_positive, help="default: 1024, or all there are")
    job.add_argument(
        "--split", choices=("test", "validation"), default="test", help="what to evaluate on"
    )
    methods.add_options(job)

    check = verb(
        "verify",
        run_verify,
        "Run a device and golden side by side and compare every tensor of every step.",
        "picotrain verify --target qemu --method priot --steps 100 --seed 1",
    )
    _add_device(check, default_target="host", default_dataset=None)
    check.add_argument(
        "--method", default="all", help=f"all, or a list of {', '.join(methods.NAMES)}"
    )
    check.add_argument("--steps", type=_positive, default=20)
    methods.add_options(check)

    look = verb(
        "profile",
        run_profile,
        "Cycles per image for training and inference, in total and by layer and phase.",
        "picotrain profile --target qemu --method priot --images 32",
    )
    _add_device(look, default_target="qemu")
    look.add_argument("--method", default="priot", help=f"one of {', '.join(methods.NAMES)}")
    look.add_argument("--images", type=_positive, default=32)
    look.add_argument(
        "--by", choices=profile_views.VIEWS, default="layer", help="what to list (%(default)s)"
    )
    for name, what in (
        ("callgrind", "for KCachegrind and callgrind_annotate"),
        ("speedscope", "for speedscope.app"),
        ("collapsed", "for flamegraph.pl"),
    ):
        look.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write a file {what}")
    look.add_argument("--baseline", type=Path, metavar="FILE", help="fail where cycles grew")
    look.add_argument("--max-regress", default="0.5%", metavar="SHARE", help="growth allowed")
    methods.add_options(look)

    memory = verb(
        "memory",
        run_memory,
        "Flash and RAM by section and symbol, the arena over time, the stack's worst case.",
        "picotrain memory --method priot --budget tests/baselines/memory.json",
    )
    memory.add_argument("--model", default="tinycnn", help="shipped name or TOML file")
    memory.add_argument("--method", default="priot", help=f"one of {', '.join(methods.NAMES)}")
    memory.add_argument("--seed", type=_seed, default=0)
    memory.add_argument("--budget", type=Path, metavar="FILE", help="fail where it is exceeded")
    methods.add_options(memory)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _angle_bound(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 180:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 180")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 32:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 2^32 - 1")
    return value


def _add_ram(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ram-kib",
        type=_positive,
        metavar="N",
        help="arena of golden and host (default: what a Pico has left)",
    )


def _add_device(
    parser: argparse.ArgumentParser, default_target: str, default_dataset: str | None = "digits"
) -> None:
    parser.add_argument(
        "--target", default=default_target, help=f"one of {', '.join(TARGETS)} (%(default)s)"
    )
    parser.add_argument("--model", default="tinycnn", help="shipped name or TOML file")
    parser.add_argument(
        "--dataset", default=default_dataset, help="mnist, digits, cifar10 or npz:FILE"
    )
    parser.add_argument("--backbone", type=Path, metavar="FILE", help="default: the shipped one")
    parser.add_argument("--angle", type=float, default=30.0, help="rotation in degrees")
    parser.add_argument("--seed", type=_seed, default=0)
    _add_ram(parser)


def _arena(options: argparse.Namespace) -> int | None:
    return None if options.ram_kib is None else options.ram_kib * 1024


def _finish(options: argparse.Namespace, content: Any) -> None:
    if options.json is not None:
        write_json(options.json, content)


def run_targets(options: argparse.Namespace) -> int:
    report = availability()
    rows = [[entry.name, "works" if entry.works else "missing", entry.what] for entry in report]
    print(table(rows, ["target", "state", "what it is"]))
    for entry in report:
        if not entry.works:
            print(f"{entry.name}: {entry.remedy}")
    _finish(options, [asdict(entry) for entry in report])
    return 0


def run_data(options: argparse.Namespace) -> int:
    if options.action == "list":
        states = datasets.describe()
    elif options.action == "fetch":
        if options.name is None:
            raise UserError(f"fetch needs a data set; use one of {', '.join(datasets.NAMES)}")
        states = [datasets.fetch(options.name)]
    else:
        names = [options.name] if options.name else datasets.NAMES
        states = [datasets.verify(name) for name in names]
    rows = [[s.name, s.state, f"{s.bytes:,}", s.where] for s in states]
    print(table(rows, ["data set", "state", "bytes", "where"]))
    for state in states:
        if state.detail:
            print(f"{state.name}: {state.detail}")
    _finish(options, [asdict(state) for state in states])
    return 0


def run_pretrain(options: argparse.Namespace) -> int:
    architecture = models.resolve(options.model)
    dataset = datasets.load(options.dataset)
    _check_fit(architecture.name, architecture.input_shape, architecture.classes, dataset)
    choice = PretrainOptions(
        options.epochs,
        methods.schedule(options.mu),
        options.seed,
        options.calibration_samples,
        options.calibration_angle,
    )
    for value in choice.mu:
        _checked_mu(value)
    device = open_device(options.target, _arena(options))
    try:
        network, histograms, history = pretrain(
            device, architecture, dataset, choice, lambda entry: print(_describe_epoch(entry))
        )
    finally:
        device.close()
    info = {
        "command": "picotrain " + shlex.join(_pretrain_command(options)),
        "dataset": options.dataset,
        "dataset_sha256": dataset.sha256,
        "options": {**asdict(choice), "mu": list(choice.mu)},
        "history": history,
        "static": static_numbers(network),
        "versions": {name: text for name, text in versions().items() if name != "commit"},
    }
    models.save_backbone(options.out, network, info, histograms)
    print(f"wrote {options.out}")
    _finish(options, info)
    return 0


def _checked_mu(value: int) -> None:
    if not -8 <= value <= 7:
        raise UserError(f"--mu has {value}, outside -8..7; use e.g. 3,2,2,1,1")


def _pretrain_command(options: argparse.Namespace) -> list[str]:
    """The command that makes this backbone again; paths are left as given."""
    return [
        "pretrain",
        *("--model", options.model, "--dataset", options.dataset),
        *("--epochs", str(options.epochs), "--mu", options.mu, "--seed", str(options.seed)),
        *("--calibration-samples", str(options.calibration_samples)),
        *("--calibration-angle", str(options.calibration_angle)),
        *("--out", str(options.out)),
    ]


def _describe_epoch(entry: dict[str, Any]) -> str:
    return (
        f"epoch {entry['epoch']:2}  mu {entry['mu']}  train {entry['train_accuracy']:.4f}  "
        f"validation {entry['validation_accuracy']:.4f}"
    )


def _check_fit(name: str, input_shape: tuple[int, ...], classes: int, dataset: Dataset) -> None:
    if tuple(dataset.image_shape) != tuple(input_shape):
        raise UserError(
            f"network {name} takes images of {_shape(input_shape)}, data set {dataset.name} has "
            f"{_shape(dataset.image_shape)}; use another network or data set"
        )
    if dataset.classes > classes:
        raise UserError(
            f"network {name} has {classes} classes, data set {dataset.name} has "
            f"{dataset.classes}; use another network or data set"
        )


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)


def _backbone(options: argparse.Namespace) -> Network:
    architecture = models.resolve(options.model)
    path = options.backbone or models.backbone_path(architecture.name, options.dataset)
    if options.backbone is None and options.dataset not in datasets.NAMES:
        raise UserError(
            f"no backbone is shipped for {options.dataset}; make one with `picotrain pretrain` and "
            "name it with --backbone"
        )
    network, _ = models.load_backbone(path)
    return network


def run_adapt(options: argparse.Namespace) -> int:
    if options.method == "infer":
        raise UserError("method infer trains nothing; use one of " + ", ".join(methods.NAMES[1:]))
    method, mu = methods.from_options(options, options.method)
    dataset = datasets.load(options.dataset)
    network = _backbone(options)
    _check_fit(network.name, network.input_shape, network.classes, dataset)
    choice = AdaptOptions(
        options.target,
        options.dataset,
        options.angle,
        method,
        options.epochs,
        mu,
        options.seed,
        options.train_samples,
        options.test_samples,
        options.split,
    )
    task = prepare(dataset, choice)
    if options.json is None:
        angle = f"{options.angle:g}"
        stem = Path(options.dataset.removeprefix("npz:")).stem
        parts = ("adapt", network.name, stem, angle, method.name, options.target, options.seed)
        options.json = BUILD / "results" / ("-".join(str(part) for part in parts) + ".json")
    print(
        f"{network.name} on {options.dataset} rotated by {options.angle:g} degrees, "
        f"{method.name} on {options.target}: {len(task.train.labels)} training and "
        f"{len(task.test.labels)} {options.split} images"
    )

    write_json(options.json, {"complete": False})

    def report(result: AdaptResult) -> None:
        write_json(options.json, result.to_json())
        if not result.history:
            print(f"before     accuracy {result.accuracy_before:.4f}", flush=True)
            return
        epoch = result.history[-1]
        print(
            f"epoch {epoch['epoch']:3}  accuracy {epoch['accuracy']:.4f}  "
            f"train {epoch['train_accuracy']:.4f}  loss norm {epoch['loss_norm']:5.1f}  "
            f"mu {epoch['mu']}  {result.wall_seconds:6.1f} s",
            flush=True,
        )

    device = open_device(options.target, _arena(options))
    try:
        result = adapt(device, network, task, choice, report)
    except BaseException:
        if options.json.is_file():
            print(f"the result so far is in {options.json}", file=sys.stderr)
        raise
    finally:
        device.close()
    print(_summary(result))
    print(f"result: {options.json}")
    return 0


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
                "(cycle model at 125 MHz)"
            )
    lines.append(_ram(result.ram_bytes))
    lines.append(f"state      sha256 {result.state_sha256}")
    return "\n".join(lines)


def _ram(parts: dict[str, int | None]) -> str:
    known = {name: size for name, size in parts.items() if size is not None}
    return "RAM bytes  " + "  ".join(f"{name} {size:,}" for name, size in known.items())


def _random_material(model: str, seed: int, images: int) -> tuple[Network, Split]:
    """An untrained network, calibrated on noise, and noise to feed it."""
    network = models.initial_network(models.resolve(model), seed)
    size = int(np.prod(network.input_shape))
    noise = words(seed, VERIFY_STREAM, images * size + images)
    pixels = (noise[: images * size] >> 24).astype(np.uint8)
    labels = (noise[images * size :] % network.classes).astype(np.uint8)
    split = Split(pixels.reshape(images, *network.input_shape), labels)
    histograms = Histograms.empty(network)
    for image, label in zip(split.images, split.labels, strict=True):
        histograms.add(observe(network, image, int(label)))
    network = calibrated(network, histograms)
    # Without training the logits may be too small for a loss error; their scale is free to choose.
    head = network.of(len(network.layers) - 1)
    head.exponent += max(0, RANDOM_LOGITS_EXPONENT - network.logits_exponent)
    return network, split


def _verify_material(options: argparse.Namespace) -> tuple[Network, Split, str]:
    count = min(options.steps, 32)
    name = models.resolve(options.model).name
    if options.dataset is None:
        shipped = models.backbone_path(name, "digits").is_file()
        options.dataset = "digits" if shipped or options.backbone else RANDOM
    if options.dataset == RANDOM:
        network, split = _random_material(options.model, options.seed, count)
        return network, split, "untrained, on random images"
    dataset = datasets.load(options.dataset)
    network = _backbone(options)
    _check_fit(network.name, network.input_shape, network.classes, dataset)
    split = sample(dataset.train, count, options.seed, VERIFY_STREAM)
    split = replace(split, images=rotate(split.images, options.angle))
    return network, split, f"on {options.dataset} rotated by {options.angle:g} degrees"


def _verified_methods(options: argparse.Namespace) -> list[tuple[str, argparse.Namespace]]:
    """(label, options) of each run; `all` takes PRIOT-S with both selections."""
    names = methods.NAMES if options.method == "all" else options.method.split(",")
    runs = []
    for name in names:
        if name == "priot-s" and options.method == "all":
            for select in ("random", "weight"):
                chosen = argparse.Namespace(**{**vars(options), "select": select})
                runs.append((f"priot-s ({select})", chosen))
        else:
            runs.append((name, options))
    return runs


def run_verify(options: argparse.Namespace) -> int:
    network, split, material = _verify_material(options)
    runs = _verified_methods(options)
    prepared = [
        (label, *methods.from_options(chosen, label.split(" ")[0])) for label, chosen in runs
    ]
    print(f"{network.name}, {material}: {options.target} against golden, seed {options.seed}")
    golden, device = open_device("golden", _arena(options)), _device_to_verify(options)
    results = []
    try:
        for label, method, _ in prepared:
            for side in (golden, device):
                side.load_model(network)
                side.set_method(method)
            comparison = Comparison(golden, device, network)
            with progress_bar(label, options.steps, "step") as advance:
                done = verify(
                    comparison, split.images, split.labels, options.steps, method.trains, advance
                )
            print(
                f"{label:17} {done.steps} steps, {done.batches} batches: {done.tensors:,} tensors, "
                f"{done.elements:,} elements, 0 differences",
                flush=True,
            )
            results.append({"method": label, **asdict(done), "differences": 0})
    finally:
        golden.close()
        device.close()
    _finish(
        options,
        {"target": options.target, "model": network.name, "seed": options.seed, "runs": results},
    )
    return 0


def _device_to_verify(options: argparse.Namespace) -> Device:
    if options.target == "golden":
        raise UserError("golden against golden shows nothing; use --target host or qemu")
    return open_device(options.target, _arena(options))


def run_profile(options: argparse.Namespace) -> int:
    method, _ = methods.from_options(options, options.method)
    dataset = datasets.load(options.dataset)
    network = _backbone(options)
    _check_fit(network.name, network.input_shape, network.classes, dataset)
    split = sample(dataset.train, options.images, options.seed, VERIFY_STREAM)
    split = replace(split, images=rotate(split.images, options.angle))
    device = open_device(options.target)
    try:
        if not isinstance(device, MailboxDevice):
            raise UserError(f"target {options.target} does not count cycles; use --target qemu")
        result, samples = profile(device, network, method, split)
        elf = device.elf
    finally:
        device.close()
    title = (
        f"{network.name}, {method.name}, {result.images} images of {options.dataset} rotated by "
        f"{options.angle:g} degrees; cycle model at 125 MHz"
    )
    print(title)
    if options.by == "function":
        print(profile_views.by_function(samples, elf, result.images))
    elif options.by == "line":
        print(profile_views.by_line(samples, elf, result.images))
    else:
        print(profile_views.by_layer(result))
    print(_ram(result.ram_bytes))
    content = {
        **asdict(result),
        "model": network.name,
        "method": method.name,
        "dataset": options.dataset,
        "angle": options.angle,
        "seed": options.seed,
        "unit": "Cortex-M0+ cycles per image, zero wait states",
        "versions": versions(options.target),
    }
    _finish(options, content)
    if options.callgrind is not None:
        profile_views.write_callgrind(options.callgrind, samples, elf, title)
    if options.speedscope is not None:
        profile_views.write_speedscope(options.speedscope, samples, elf, title)
    if options.collapsed is not None:
        profile_views.write_collapsed(options.collapsed, samples, elf)
    return 0 if options.baseline is None else _compare(options, content)


def run_memory(options: argparse.Namespace) -> int:
    method, _ = methods.from_options(options, options.method)
    network, split = _random_material(options.model, options.seed, 2)
    image = Image(firmware.require(firmware.MICROBIT))
    sections, stack = image.sections(), worst_stack(image)
    device = open_device("qemu")
    try:
        if not isinstance(device, MailboxDevice):
            raise UserError("target qemu has no plan to read")
        device.load_model(network)
        device.set_method(method)
        if method.trains:
            device.train(split.images, split.labels)
        device.evaluate(split.images, split.labels)
        timeline = timeline_of_record(device.plan(), device.elf)
        painted = device.memory().stack
    finally:
        device.close()
    print(render_sections(sections))
    print("\nlargest symbols\n" + render_symbols(sections))
    print(f"\narena of {network.name}, {method.name}\n" + render_timeline(timeline))
    print("\nstack\n" + render_stack(stack, painted))
    _finish(
        options,
        {
            "unit": "bytes",
            "model": network.name,
            "method": method.name,
            "sections": asdict(sections),
            "arena": asdict(timeline),
            "stack": {**asdict(stack), "painted": painted},
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


def _compare(options: argparse.Namespace, content: dict[str, Any]) -> int:
    """1 where something grew beyond what the baseline allows, each named."""
    regressions = baseline.compare(
        baseline.read_baseline(options.baseline),
        baseline.make_baseline(content),
        baseline.parse_percent(options.max_regress),
    )
    for regression in regressions:
        print(f"picotrain: {regression}", file=sys.stderr)
    if not regressions:
        print(f"within {options.max_regress} of {options.baseline}")
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())
