"""`picotrain hw-test`: a board on the desk against golden and the cycle model."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import get_args

from picotrain import datasets, places
from picotrain.cli.hardware.flash import add_board, chosen_elf, chosen_port
from picotrain.cli.material import backbone, random_material
from picotrain.cli.options import NamedFile, Verbs, add_seed, add_verb, finish
from picotrain.datasets.dataset import USUAL_ANGLE
from picotrain.device.link.ports import is_emulator
from picotrain.device.versions import versions_of
from picotrain.errors import DeviceFailure, UserError
from picotrain.hardware.cycle_steps import Case, choose_cases
from picotrain.hardware.device_steps import Material
from picotrain.hardware.estimate import forecast
from picotrain.hardware.flash import System
from picotrain.hardware.plan import FIND, FLASH, THROUGHPUT, Plan, steps
from picotrain.hardware.report import (
    HTML_FILE,
    JSON_FILE,
    JUNIT_FILE,
    Header,
    content,
    line,
    summary,
    write_report,
)
from picotrain.hardware.rig import DeviceRig
from picotrain.hardware.suite import Outcome, Result, Step, exit_status, run_suite
from picotrain.image import uf2
from picotrain.inputs import positive
from picotrain.learn import methods, models
from picotrain.output import check_folder
from picotrain.profile.bench_cases import WARM_UP, measurements
from picotrain_golden import Method
from picotrain_golden.generator import Select

_IMAGES = 32
_ANGLE = USUAL_ANGLE
_DATASET = datasets.DEFAULT
_MODEL = models.DEFAULT
"""Of the cycles; its backbone and shapes are those of docs/results.md."""
_PLANNED = "priot"
"""The method that also runs by the other plans."""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "hw-test",
        "Find a Pico, flash it, and test it: link, every method against golden, cycles of the "
        "kernels against the model, crash and watchdog; with a report for people and for CI.",
        "picotrain hw-test --port auto --report hw-test",
    )
    add_board(parser)
    parser.add_argument("--no-flash", action="store_true", help="test what runs there already")
    parser.add_argument(
        "--steps",
        type=positive,
        default=20,
        help="training steps per method (default: %(default)s)",
    )
    parser.add_argument(
        "--method",
        default="all",
        help=f"all, or a list of {', '.join(methods.NAMES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        default=_MODEL,
        help="network of the comparison with golden: shipped name or TOML file "
        "(default: %(default)s)",
    )
    add_seed(parser, Method.seed, "draws the images and all that is random")
    parser.add_argument(
        "--bytes",
        type=positive,
        default=64 * 1024,
        metavar="N",
        help="sent each way to measure the link (default: %(default)s)",
    )
    parser.add_argument(
        "--exact", action="store_true", help="cycles must be those of the model: for emulators"
    )
    parser.add_argument(
        "--skip", default="", metavar="STEP[,STEP...]", help="leave steps out, e.g. cycles,link"
    )
    parser.add_argument(
        "--report",
        action=NamedFile,
        default=places.RESULTS / "hw-test",
        metavar="DIR",
        help="folder of the report (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    options.port = chosen_port(options)
    elf = chosen_elf(options)
    rig = DeviceRig(elf, options.baud)
    plan = _plan(options, elf)
    listed = steps(plan, rig, System(), _say)
    skip = _skipped(options, listed)
    # What would only be noticed after minutes.
    if FLASH not in skip:
        uf2.read_image(elf)
    check_folder(options.report)
    for name, reason in skip.items():
        _say(f"{name} is left out: {reason}")
    results: list[Result] = []
    started = datetime.now(UTC).isoformat(timespec="seconds")

    def keep(result: Result) -> None:
        results.append(result)
        _say(line(result))
        if result.name == THROUGHPUT and result.outcome is Outcome.PASSED:
            _say_forecast(plan, result, [one.name for one in listed if one.name not in skip])

    try:
        run_suite(listed, rig, skip, _say, keep)
    finally:
        rig.close()
        for step in listed[len(results) :]:
            keep(Result(step.name, step.title, Outcome.NOT_RUN, 0.0, "interrupted"))
        header = Header(
            started=started,
            port=options.port if rig.port is None else rig.port.url,
            firmware=elf.name,
            firmware_sha256=hashlib.sha256(elf.read_bytes()).hexdigest(),
            command=options.command,
            versions=versions_of("qemu", elf),
            emulator=is_emulator(options.port if rig.port is None else rig.port.url),
        )
        reached = any(one.name == FIND and one.outcome is Outcome.PASSED for one in results)
        # A run that met nothing says nothing of a board: what an earlier one said of it stays.
        keeps = not reached and (options.report / JSON_FILE).exists()
        if not keeps:
            write_report(options.report, header, results)
        if reached or options.json is None or not options.json.is_file():
            finish(options, content(header, results))
        _say(summary(header, results))
        if keeps:
            _say(f"nothing was connected: the report in {options.report} is of an earlier run")
        else:
            _say(f"report: {options.report}/{HTML_FILE}, {JSON_FILE}, {JUNIT_FILE}")
    return exit_status(results)


def _say_forecast(plan: Plan, measured: Result, to_come: Sequence[str]) -> None:
    try:
        text = forecast(plan, measured.details, to_come)
    except (DeviceFailure, UserError):
        return  # the steps that it is about tell what is wrong
    if text:
        _say(text)


def _plan(options: argparse.Namespace, elf: Path) -> Plan:
    dataset = datasets.load(_DATASET)
    trained = backbone(argparse.Namespace(model=_MODEL, dataset=_DATASET, backbone=None))
    count = min(options.steps, _IMAGES)
    if options.model == _MODEL:
        network, images = (
            trained,
            datasets.rotated_sample(dataset.train, count, options.seed, _ANGLE),
        )
    else:
        network, images = random_material(options.model, options.seed, count)

    @cache
    def cases() -> Sequence[Case]:
        # As many as `picotrain bench` takes for one step that has a loss error.
        shown = datasets.rotated_sample(dataset.train, WARM_UP + 35, options.seed, _ANGLE)
        return choose_cases(measurements(trained, shown, 1))

    return Plan(
        elf=elf,
        wanted=options.port,
        baud=options.baud,
        how=options.how,
        material=Material(network, images, options.steps),
        methods=_methods(options),
        cases=cases,
        exact=options.exact,
        throughput_bytes=options.bytes,
    )


def _methods(options: argparse.Namespace) -> list[tuple[str, Method, bool]]:
    """Label, method, and whether it runs with its weights in flash."""
    names = methods.NAMES if options.method == "all" else options.method.split(",")
    runs: list[tuple[str, Method, bool]] = []
    for name in names:
        method = methods.make(name, seed=options.seed)
        if name == "priot-s":
            for select in get_args(Select):
                runs.append((f"{name}-{select}", replace(method, select=select), False))
        else:
            runs.append((name, method, False))
        if name == _PLANNED:
            runs.append((f"{name}-lean", method, True))
            runs.append((f"{name}-fused", replace(method, fused=True), False))
    return runs


def _skipped(options: argparse.Namespace, listed: Sequence[Step]) -> dict[str, str]:
    """Reasons by step. `--skip link` means every step of that name or group."""
    skip: dict[str, str] = {}
    if options.no_flash:
        skip[FLASH] = "--no-flash"
    elif "://" in options.port:
        skip[FLASH] = f"{options.port} is no board that could be flashed"
    for name in filter(None, options.skip.split(",")):
        meant = [one.name for one in listed if one.name == name or one.name.startswith(f"{name}.")]
        if not meant:
            known = ", ".join(step.name for step in listed)
            raise UserError(f"--skip {name!r} is no step; the steps are {known}")
        skip |= dict.fromkeys(meant, f"--skip {name}")
    return skip


def _say(text: str) -> None:
    print(text, flush=True)
