"""`picotrain profile`: cycles per image."""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from picotrain import datasets
from picotrain.cli.material import check_backbone
from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_device,
    add_output,
    add_plan,
    add_verb,
    finish,
)
from picotrain.cli.profile.of_run import leave_open, network_of, settle
from picotrain.datasets import Split
from picotrain.device.backends import KERNELS, backend_of, choose_kernels, open_device
from picotrain.device.given import images_for
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.versions import versions_of
from picotrain.errors import UserError
from picotrain.inputs import positive
from picotrain.learn import methods, models, plans
from picotrain.learn.turning import angle_of, in_words
from picotrain.output import tell, write_text
from picotrain.profile import gate
from picotrain.profile import views as profile_views
from picotrain.profile.baseline import (
    Comparison,
    check_conditions,
    compare,
    make_baseline,
    parse_percent,
    read_baseline,
)
from picotrain.profile.memory.arena import timeline_of_record
from picotrain.profile.memory.budget import BUDGET, read_budget
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.stack import worst_stack
from picotrain.profile.profile import COUNTING, Profile, no_counts, profile, require_same_results
from picotrain.profile.report.content import ReportContent, Subject, report_content
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
        "--method",
        default=methods.DEFAULT.name,
        help=f"one of {', '.join(methods.NAMES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=positive,
        default=32,
        metavar="N",
        help="to train on and to predict, the mean of which counts (default: %(default)s)",
    )
    parser.add_argument(
        "--by",
        choices=profile_views.VIEWS,
        default="layer",
        help="what to list (default: %(default)s)",
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
        action=NamedFile,
        metavar="FILE",
        help="what `picotrain adapt --json` wrote: profile that network, data, method and plan",
    )
    parser.add_argument(
        "--no-worst-case",
        dest="worst_case",
        action="store_false",
        help="leave out the same images without skipped zeros (qemu, tuned kernels)",
    )
    parser.add_argument(
        "--baseline",
        action=NamedFile,
        metavar="FILE",
        help="fail where cycles grew since that profile (--json)",
    )
    parser.add_argument(
        "--max-regress",
        default="0.5%",
        metavar="PERCENT",
        help="with --baseline: growth allowed, such as 0.5%% or 2%% (default: %(default)s)",
    )
    add_output(parser, "--junit", "with --baseline: write JUnit XML, a test case for each number")
    add_output(parser, "--summary", "with --baseline: write a table in Markdown")
    add_plan(parser)
    methods.add_options(parser)
    methods.add_fused(parser)
    leave_open(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    pinned, limit = _baseline(options)
    adaptation = settle(options)
    method = methods.from_options(options, options.method)
    if adaptation is None:
        methods.check_used(options, options.method)
    plans.check(options.plan, method)
    check_backbone(options, method)
    if backend_of(options.target) not in COUNTING:
        raise UserError(no_counts(options.target))
    frozen = options.plan == "lean"
    dataset = datasets.load(options.dataset)
    network = network_of(options, dataset, adaptation, method)
    plans.check_fused(network, method)
    options.angle = angle_of(dataset, options.angle)
    split = datasets.rotated_sample(dataset.train, options.images, options.seed, options.angle)
    split = replace(split, images=images_for(network, split.images))
    _check_calls(options)
    kernels = choose_kernels(options.target, options.kernels)
    conditions = {
        "unit": "Cortex-M0+ cycles per image, zero wait states",
        "target": options.target,
        "model": network.name,
        "network_sha256": models.network_sha256(network),
        "dataset": options.dataset,
        "angle": options.angle,
        "seed": options.seed,
        "images": len(split),
        "images_sha256": _images_sha256(split),
        "method": method.name,
        **_numbers(method),
        "plan": plans.named(options.plan, method, network),
        "kernels": kernels,
    }
    if pinned is not None:
        check_conditions(pinned, conditions)
    device = open_device(options.target, kernels=options.kernels)
    try:
        assert isinstance(device, MailboxDevice)
        result, samples = profile(device, network, method, split, frozen)
        elf, arena = device.elf, timeline_of_record(device.plan(), device.elf)
    finally:
        device.close()
    worst = None
    if options.worst_case and kernels == "tuned" and "dense" in KERNELS[backend_of(options.target)]:
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
        **conditions,
        "plan_note": plans.note(options.plan),
        "firmware": {
            "file": f"{elf.path.parent.name}/{elf.path.name}",
            "sha256": elf.digest.hex(),
            "compiler": elf.compiler,
        },
        "versions": versions_of(options.target, elf.path),
    }
    comparison = None
    if pinned is not None:
        comparison = compare(pinned, make_baseline(content), limit)
        content["comparison"] = comparison.to_json()
    if options.html is not None or options.json is not None:
        image = Image(elf.path)
        report = report_content(
            _subject(options, network, method, result.images, content["versions"]),
            network,
            adaptation,
            result,
            worst,
            samples,
            elf,
            arena,
            image.sections(),
            worst_stack(image),
            read_budget() if BUDGET.is_file() and device.name == "qemu" else None,
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
    return 0 if comparison is None else _tell(options, comparison, title)


def _check_calls(options: argparse.Namespace) -> None:
    """Raises UserError for what needs a call tree, where the target follows no calls."""
    if backend_of(options.target) != "renode":
        return
    for name in ("html", "callgrind", "speedscope", "collapsed"):
        if getattr(options, name) is not None:
            raise UserError(
                f"--{name} shows chains of calls, which target {options.target} does not follow; "
                "leave it out, or use --target qemu"
            )


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


def _baseline(options: argparse.Namespace) -> tuple[dict[str, Any] | None, float]:
    """The baseline, if there is one, and the growth that it allows; read before the long work."""
    limit = parse_percent(options.max_regress)
    if options.baseline is not None:
        return read_baseline(options.baseline), limit
    for name in ("junit", "summary"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name} tells of a comparison; add --baseline FILE, or leave it out")
    return None, limit


def _numbers(method: Method) -> dict[str, Any]:
    """Those that the method uses; None for the others, so that they make no difference."""
    scored, sparse = method.name in ("priot", "priot-s"), method.name == "priot-s"
    return {
        "mu": method.mu if method.trains else None,
        "theta": method.theta if scored else None,
        "permille": method.permille if sparse else None,
        "select": method.select if sparse else None,
        "start": method.start if scored else None,
        "easy": method.easy if method.trains else None,
    }


def _images_sha256(split: Split) -> str:
    digest = hashlib.sha256(str(split.images.shape).encode())
    digest.update(split.images.tobytes() + split.labels.tobytes())
    return digest.hexdigest()


def _subject(
    options: argparse.Namespace,
    network: Network,
    method: Method,
    images: int,
    known: dict[str, str],
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
        plans.named(options.plan, method, network),
        plans.note(options.plan),
    )


def _write_html(path: Path, report: ReportContent) -> None:
    # Only here: the plots' library takes longer to import than most verbs to run.
    from picotrain.profile.report.render import render

    write_text(path, render(report))
    tell("report", path)


def _tell(options: argparse.Namespace, comparison: Comparison, title: str) -> int:
    """1 where something grew beyond what the baseline allows, each named."""
    if options.junit is not None:
        write_text(options.junit, gate.junit(comparison, title))
    if options.summary is not None:
        write_text(options.summary, gate.markdown(comparison, title))
    for regression in comparison.regressions:
        print(f"picotrain: {regression}", file=sys.stderr)
    if not comparison.regressions:
        print(f"within {options.max_regress} of {options.baseline}")
    return 1 if comparison.regressions else 0
