"""`picotrain VERB`: the command line, one module per verb, which is imported when it is named."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from picotrain.errors import DeviceFailure, UserError
from picotrain.inputs import reason
from picotrain.stopping import status_of, stoppable
from picotrain.streams import guarded

VERBS = {
    "targets": ("learn", "which backends work here, and what the others need"),
    "data": ("learn", "list, fetch and verify data sets"),
    "info": ("learn", "what is in a backbone: layers, scales, logits exponent"),
    "pretrain": ("learn", "train and calibrate a network to start from"),
    "prune": ("shrink", "fewer channels, within limits of bytes, MACs and milliseconds"),
    "depth-prune": ("shrink", "fewer layers: a network cut behind a block, with a small head"),
    "metatrain": ("learn", "train a network to start from for tasks of few samples"),
    "adapt": ("learn", "the main job: adapt a network to rotated images on a device"),
    "infer": ("learn", "what a network or a saved state does with images, by class"),
    "bake": ("learn", "what was learned becomes weights: no scores are left"),
    "sweep": ("research", "a grid of adaptations; one that was stopped goes on"),
    "fewshot": ("research", "tasks of few samples, by every scheme of sparse updates"),
    "reproduce": ("research", "the papers' experiments, and the page of their results"),
    "verify": ("learn", "a device and golden side by side, tensor by tensor"),
    "import": ("convert", "make a backbone of a .tflite or .onnx file"),
    "export": ("convert", "a backbone as a blob, a C header or a .tflite file"),
    "check": ("convert", "such a file here and in TFLite Micro, tensor by tensor"),
    "fit": ("profile", "before any training: RAM, flash, cycles, and if it fits"),
    "profile": ("profile", "cycles by layer, function or line, and a report to look at"),
    "cycles": ("profile", "cycles of any Cortex-M0+ program, by function, with a gate"),
    "bench": ("profile", "cycles of every kernel alone"),
    "memory": ("profile", "flash and RAM by symbol, the arena over time, the stack"),
    "uf2": ("hardware", "the file that a Pico's USB drive takes"),
    "ports": ("hardware", "serial ports and Picos that are plugged in"),
    "flash": ("hardware", "put the firmware on a Pico"),
    "capture": ("hardware", "labelled samples that a board prints, as a data set"),
    "flash-model": ("hardware", "a network and what it learned, for a Pico that stands alone"),
    "selftest": ("hardware", "plant faults on a target, and see that each is named"),
    "hw-test": ("hardware", "test a Pico on the desk, with a report"),
}
"""Name: the folder of its module, and its line in `picotrain --help`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0, 1 for a device's failure, 2 for a user's mistake, 130 for Ctrl-C,
    143 for SIGTERM, 129 for SIGHUP, 141 where nobody reads its output any more. 1 too where
    standard output could not be written: the run went on without it. Help, and options that do not
    parse, end in SystemExit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    stopped: SystemExit | None = None
    with guarded() as (out, err), stoppable():
        try:
            code = _run(given)
        except SystemExit as stop:
            stopped, code = stop, int(stop.code or 0)
        with suppress(BrokenPipeError):
            out.flush()
        if isinstance(out.failure, BrokenPipeError):
            code = 141
        elif out.failure is not None and code == 0:
            print(
                f"picotrain: cannot write to standard output: {reason(out.failure)}; "
                "send it elsewhere",
                file=err,
            )
            code = 1
        err.flush()
    if stopped is not None:
        raise SystemExit(code)
    return code


def _run(given: Sequence[str]) -> int:
    try:
        parser = _parser(given)
        if not given:
            parser.print_help(sys.stderr)
            return 2
        options = parser.parse_args(given)
        options.command = shlex.join(["picotrain", *given])
        # Only here: help needs none of it.
        from picotrain.cli.options import outputs

        with outputs(options):
            code = int(options.run(options))
            sys.stdout.flush()
        return code
    except UserError as error:
        print(f"picotrain: {error}", file=sys.stderr)
        return 2
    except DeviceFailure as failure:
        print(f"picotrain: {failure.told}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 141  # who read the output has seen enough, as `head` does
    except KeyboardInterrupt as stop:
        print("picotrain: interrupted", file=sys.stderr)
        return status_of(stop)


class _Version(argparse.Action):
    """Found out only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from picotrain.versions import versions

        known = versions()
        commit = f" (commit {known['commit']})" if "commit" in known else ""
        print(f"picotrain {known.get('picotrain', 'not installed')}{commit}")
        parser.exit()


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """With the options of the verb that is named, and the lines of all others."""
    parser = argparse.ArgumentParser(
        prog="picotrain",
        description="Integer-only on-device training for the Raspberry Pi Pico.",
        epilog="example: picotrain adapt --target qemu --dataset digits --angle 30 --method priot",
    )
    parser.add_argument(
        *("-V", "--version"), action=_Version, nargs=0, help="print the version and exit"
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    named = next((word for word in given if not word.startswith("-")), None)
    for name, (folder, line) in VERBS.items():
        if name == named:
            module = import_module(f"{__name__}.{folder}.{name.replace('-', '_')}")
            module.add_parser(verbs)
        else:
            verbs.add_parser(name, help=line)
    return parser
