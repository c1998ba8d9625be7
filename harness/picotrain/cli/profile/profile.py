"""`picotrain profile`: cycles per image."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from picotrain import datasets
from picotrain.cli.material import backbone, check_fit
from picotrain.cli.options import (
    Verbs,
    add_device,
    add_output,
    add_plan,
    add_verb,
    finish,
    positive,
)
from picotrain.datasets import Split
from picotrain.device.backends import choose_kernels, open_device
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.versions import versions_of
from picotrain.errors import UserError
from picotrain.learn import methods, plans
from picotrain.learn.turning import angle_of, in_words
from picotrain.output import write_text
from picotrain.profile import baseline
from picotrain.profile import views as profile_views
from picotrain.profile.memory.arena import timeline_of_record
from picotrain.profile.memory.budget import BUDGET, read_budget
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.stack import worst_stack
from picotrain.profile.profile import Profile, profile, require_same_results
from picotrain.profile.report.content import ReportContent, Subject, report_content
from picotrain.profile.report.run_file import Expected, Run, read_run
from picotrain.text import ram_line
from picotrain_golden import Method, Network


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "profile",
        "Cycles per image for training and inference, in total and by layer and phase.",
        "picotrain profile --target qemu --method priot --images 32",
    )
    add_device(parser, default_target="qemu")
    parser.add_argument(
        "--method", default=methods.DEFAULT.name, help=f"one of {', '.join(methods.NAMES)}"
    )
    parser.add_argument("--images", type=positive, default=32)
    parser.add_argument(
        "--by", choices=profile_views.VIEWS, default="layer", help="what to list (%(default)s)"
    )
    for name, what in (
        ("callgrind", "for KCachegrind and callgrind_annotate"),
        ("speedscope", "for speedscope.app"),
        ("collapsed", "for flamegraph.pl"),
    ):
        add_output(parser, f"--{name}", f"write a file {what}")
    add_output(parser, "--html", "write a report to look at")
    parser.add_argument(
        "--run",
        dest="run_file",
        type=Path,
        metavar="FILE",
        help="for --html and --json: the result of `picotrain adapt --json`",
    )
    parser.add_argument(
        "--no-worst-case",
        dest="worst_case",
        action="store_false",
        help="leave out the same images without skipped zeros (qemu, tuned kernels)",
    )
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="fail where cycles grew")
    parser.add_argument("--max-regress", default="0.5%", metavar="SHARE", help="growth allowed")
    add_plan(parser)
    methods.add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    method = methods.from_options(options, options.method)
    plans.check(options.plan, method)
    frozen = options.plan == "lean"
    dataset = datasets.load(options.dataset)
    network = backbone(options)
    check_fit(network.name, network.input_shape, network.classes, dataset)
    options.angle = angle_of(dataset, options.angle)
    adaptation = _adaptation(options, network)
    split = datasets.rotated_sample(dataset.train, options.images, options.seed, options.angle)
    device = open_device(options.target, kernels=options.kernels)
    try:
        if not isinstance(device, MailboxDevice):
            raise UserError(f"target {options.target} does not count cycles; use --target qemu")
        result, samples = profile(device, network, method, split, frozen)
        elf, arena = device.elf, timeline_of_record(device.plan(), device.elf)
    finally:
        device.close()
    kernels = choose_kernels(options.target, options.kernels)
    worst = None
    if options.worst_case and kernels == "tuned":
        worst = _worst_case(options.target, network, method, split, frozen)
        require_same_results(result, worst)
    title = (
        f"{network.name}, {method.name}, {result.images} images of {options.dataset} "
        f"{in_words(options.angle)}; cycle model at 125 MHz"
    )
    print(title)
    if options.by == "function":
        print(profile_views.by_function(samples, elf, result.images))
    elif options.by == "line":
        print(profile_views.by_line(samples, elf, result.images))
    elif options.by == "instruction":
        print(profile_views.by_instruction(samples, elf))
    else:
        print(profile_views.by_layer(result, worst))
    print(ram_line(result.ram_bytes, result.model_in_flash))
    if frozen:
        print(plans.LEAN_NOTE)
    content = {
        **asdict(result),
        "worst_case": None if worst is None else asdict(worst),
        "model": network.name,
        "method": method.name,
        "plan": options.plan,
        "plan_note": plans.note(options.plan),
        "kernels": kernels,
        "dataset": options.dataset,
        "angle": options.angle,
        "seed": options.seed,
        "unit": "Cortex-M0+ cycles per image, zero wait states",
        "versions": versions_of(options.target, elf.path),
    }
    if options.html is not None or options.json is not None:
        image = Image(elf.path)
        report = report_content(
            _subject(options, network, result.images, content["versions"]),
            network,
            adaptation,
            result,
            worst,
            samples,
            elf,
            arena,
            image.sections(),
            worst_stack(image),
            read_budget() if BUDGET.is_file() else None,
        )
        finish(options, {**content, "report": asdict(report)})
        if options.html is not None:
            _write_html(options.html, report)
    if options.callgrind is not None:
        profile_views.write_callgrind(options.callgrind, samples, elf, title)
    if options.speedscope is not None:
        profile_views.write_speedscope(options.speedscope, samples, elf, title)
    if options.collapsed is not None:
        profile_views.write_collapsed(options.collapsed, samples, elf)
    return 0 if options.baseline is None else _compare(options, content)


def _worst_case(
    target: str, network: Network, method: Method, split: Split, frozen: bool
) -> Profile:
    """The same with kernels that leave out no zero."""
    device = open_device(target, kernels="dense")
    try:
        assert isinstance(device, MailboxDevice)
        return profile(device, network, method, split, frozen)[0]
    finally:
        device.close()


def _adaptation(options: argparse.Namespace, network: Network) -> Run | None:
    if options.run_file is None:
        return None
    if options.html is None and options.json is None:
        raise UserError(f"--run {options.run_file} is for a report; add --html FILE or --json FILE")
    layers = len(network.layers)
    expected = Expected(network.name, options.method, options.dataset, options.angle, layers)
    return read_run(options.run_file, expected)


def _subject(
    options: argparse.Namespace, network: Network, images: int, known: dict[str, str]
) -> Subject:
    return Subject(
        network.name,
        options.method,
        options.dataset,
        options.angle,
        options.seed,
        images,
        options.target,
        options.command,
        known,
        plans.note(options.plan),
    )


def _write_html(path: Path, report: ReportContent) -> None:
    # Only here: the plots' library takes longer to import than most verbs to run.
    from picotrain.profile.report.render import render

    write_text(path, render(report))
    print(f"report: {path}")


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
