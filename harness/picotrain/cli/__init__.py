"""`picotrain VERB`: the command line, one module per verb."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from picotrain.cli.hardware import flash, hw_test, ports, uf2
from picotrain.cli.learn import adapt, data, pretrain, targets, verify
from picotrain.cli.profile import bench, memory
from picotrain.cli.profile import profile as profile_
from picotrain.cli.research import reproduce, sweep
from picotrain.errors import DeviceFailure, UserError

_VERBS = (
    *(targets, data, pretrain, adapt, sweep, reproduce),
    *(verify, profile_, bench, memory, uf2, ports, flash, hw_test),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0, 1 for a device's failure, 2 for a user's mistake, 130 for Ctrl-C,
    141 where nobody reads its output any more."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    options.command = shlex.join(["picotrain", *given])
    try:
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"picotrain: {error}", file=sys.stderr)
        return 2
    except DeviceFailure as failure:
        print(f"picotrain: {failure.failure_class}: {failure}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Who read the output has seen enough, as `head` does; nor may the exit write any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
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
    for verb in _VERBS:
        verb.add_parser(verbs)
    return parser
