"""`picotrain capture`: labelled samples of one's own, from a board."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from functools import partial
from math import prod

from picotrain.cli.options import Verbs, add_output, add_verb, finish
from picotrain.device.link.port import SerialPort
from picotrain.device.link.ports import AUTO, find_ports, only
from picotrain.errors import UserError
from picotrain.hardware.standalone.capture import (
    LEAST_SAMPLES,
    MOST_CLASSES,
    Count,
    Recording,
    Shape,
    Unfit,
    capture,
    recorded,
)
from picotrain.hardware.standalone.lines import Lines
from picotrain.inputs import is_file, positive, whole
from picotrain.learn.architectures.architecture import in_words

_BAUD = 115200
"""Of the Pico SDK's UART."""
_MOST_PIXELS = 1 << 19


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "capture",
        "Record samples that a program on a board prints, each a line `sample PIXELS` or `sample "
        "LABEL PIXELS` with two hexadecimal digits a pixel, into a file for --dataset npz:FILE. "
        "Other lines are shown. What ends it early, Ctrl-C or a lost port, keeps what was "
        "recorded.",
        "picotrain capture --port /dev/ttyACM0 --shape 28x28 --label 3 --count 50 --out mine.npz",
    )
    parser.add_argument(
        "--port",
        metavar="PORT",
        default=AUTO,
        help="serial port, socket://HOST:PORT, or auto, the only Pico (default: %(default)s)",
    )
    parser.add_argument(
        "--baud", type=positive, default=_BAUD, help="of a UART (default: %(default)s)"
    )
    parser.add_argument(
        "--shape",
        metavar="HxW[xC]",
        help="of a sample, such as 28x28 or 1x30x3 (default: that of the file of --append)",
    )
    parser.add_argument(
        "--label",
        type=_whole,
        metavar="N",
        help="of samples whose line has none (default: it is asked for each)",
    )
    parser.add_argument(
        "--classes",
        type=positive,
        metavar="N",
        default=MOST_CLASSES,
        help="labels are 0 to N - 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--count", type=positive, metavar="N", required=True, help="how many samples to record"
    )
    parser.add_argument(
        "--append", action="store_true", help="add to the file of --out, if it is there"
    )
    add_output(parser, "--out", "the file to write (.npz)", required=True)
    parser.set_defaults(run=run)


def _shape(text: str) -> Shape:
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})(?:x(\d{1,6}))?", text, re.ASCII)
    if found is None:
        raise UserError(f"--shape {text!r} is no shape; give one such as 28x28 or 1x30x3")
    shape = (int(found[1]), int(found[2]), int(found[3] or 1))
    if not 1 <= prod(shape) <= _MOST_PIXELS:
        raise UserError(f"--shape {text} has {prod(shape):,} pixels; give 1 to {_MOST_PIXELS:,}")
    return shape


def _whole(text: str) -> int:
    value = whole(text)
    if not 0 <= value < MOST_CLASSES:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and {MOST_CLASSES - 1}")
    return value


def run(options: argparse.Namespace) -> int:
    recording = _begun(options)
    before, counted = len(recording.labels), Count()
    url = _port(options.port)
    port = SerialPort(url, options.baud)
    try:
        print(
            f"waiting for samples of {in_words(recording.shape)} at {url}; Ctrl-C ends it and "
            "keeps them",
            flush=True,
        )
        capture(
            Lines(port),
            recording,
            options.count,
            partial(_label, options, recording),
            lambda text: print(text, file=sys.stderr, flush=True),
            lambda found, label: print(f"{found:4} of {options.count}  label {label}", flush=True),
            counted,
        )
    except BaseException:
        if len(recording.labels) > before:
            recording.write(options.out)
        print(_kept(options, recording, before), file=sys.stderr)
        raise
    finally:
        port.close()
    recording.write(options.out)
    print(_kept(options, recording, before))
    classes = Counter(recording.labels)
    print("of a class: " + ", ".join(f"{one}: {classes[one]}" for one in sorted(classes)))
    if len(recording.labels) < LEAST_SAMPLES:
        print(f"a data set has at least {LEAST_SAMPLES} samples: go on with --append")
    finish(
        options,
        {
            "file": str(options.out),
            "shape": recording.shape,
            "recorded": len(recording.labels) - before,
            "samples": len(recording.labels),
            "classes": {str(one): classes[one] for one in sorted(classes)},
            "not_recorded": counted.unfit,
            "other_lines": counted.others,
        },
    )
    return 0


def _begun(options: argparse.Namespace) -> Recording:
    """What the samples are added to. UserError for options that do not go together."""
    if options.out.suffix != ".npz":
        raise UserError(f"--out {options.out} is no data set by its name; let it end in .npz")
    classes, shape = options.classes, None if options.shape is None else _shape(options.shape)
    if classes > MOST_CLASSES:
        raise UserError(f"--classes {classes}: there are at most {MOST_CLASSES}; give fewer")
    if options.label is not None and options.label >= classes:
        raise UserError(
            f"--label {options.label} is none of --classes {classes}; give 0 to {classes - 1}"
        )
    if is_file(options.out):
        if not options.append:
            raise UserError(
                f"{options.out} is there already; give --append to add to it, or another --out"
            )
        return recorded(options.out, shape, classes)
    if shape is None:
        raise UserError("give --shape, that of a sample, such as 28x28")
    return Recording(shape, classes)


def _port(name: str) -> str:
    """The port that is meant. UserError where it is not clear."""
    if name != AUTO:
        return name
    picos = [port for port in find_ports() if port.kind in ("picotrain", "pico")]
    if not picos:
        raise UserError("no Pico is plugged in; plug one in, or name a port with --port")
    return only(picos, "--port=").url


def _label(options: argparse.Namespace, recording: Recording) -> int:
    """Of a sample whose line has none: that of --label, or what somebody types."""
    if options.label is not None:
        return int(options.label)
    while True:
        print(f"label, 0 to {recording.classes - 1}: ", end="", flush=True)
        typed = sys.stdin.readline()
        if not typed:
            raise UserError("nobody is there to give a label; give --label")
        try:
            return recording.label(typed.strip())
        except Unfit as why:
            print(why, file=sys.stderr)


def _kept(options: argparse.Namespace, recording: Recording, before: int) -> str:
    new = len(recording.labels) - before
    if not new:
        return "no sample was recorded"
    more = f", {len(recording.labels)} in all" if before else ""
    return f"samples recorded: {new}{more}, in {options.out}"
