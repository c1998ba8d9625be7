"""`picotrain cycles`: cycles of any program for a Cortex-M0+."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from picotrain.cli.options import NamedFile, Verbs, add_output, add_verb, finish
from picotrain.device.backends import problem
from picotrain.device.versions import versions_of
from picotrain.errors import CrashFailure, TimeoutFailure, UserError
from picotrain.image import firmware, uf2
from picotrain.inputs import positive, positive_number, read_bytes
from picotrain.output import write_json, write_text
from picotrain.profile import exports, gate
from picotrain.profile.baseline import Comparison, parse_percent
from picotrain.profile.costs import Costs, call_costs
from picotrain.profile.foreign import result as results
from picotrain.profile.foreign.machines import Machine, QemuProgram, Rp2040jsProgram
from picotrain.profile.foreign.passes import Counted, Place, Run, Wanted
from picotrain.profile.foreign.program import BRANCH_TO_ITSELF, BREAKPOINT, Program

TARGETS = ("qemu", "rp2040js")
_ALL = "all"
_LINK_AGAIN = "link it again"
_UF2_AGAIN = "make it again, as with `picotrain uf2 --elf`"
_BY_CALLS = ("speedscope", "collapsed")


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "cycles",
        "Cycles of a program for a Cortex-M0+ that picotrain did not build, by function.",
        "picotrain cycles --elf mine.elf --from crc32 --to crc32_done",
    )
    parser.add_argument(
        "--elf", action=NamedFile, metavar="FILE", help="the linked program, with its symbols"
    )
    parser.add_argument(
        "--uf2", action=NamedFile, metavar="FILE", help="what is in flash instead (rp2040js)"
    )
    parser.add_argument(
        "--target",
        choices=TARGETS,
        default="qemu",
        help="rp2040js is a whole RP2040 with its peripherals (default: %(default)s)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="SYMBOL",
        help="count from here, or an address as 0x10000234 (default: the reset)",
    )
    parser.add_argument(
        "--to",
        dest="end",
        metavar="SYMBOL",
        help="count until before this (default: the end, a bkpt or a branch to itself)",
    )
    parser.add_argument(
        "--function", metavar="SYMBOL", help="count from its call until it has returned"
    )
    parser.add_argument(
        "--passes",
        default="1",
        metavar="N",
        help=f"how often, or {_ALL}: until the program ends (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=positive_number,
        default=60.0,
        metavar="SECONDS",
        help="of this machine's time, for all passes (default: 60)",
    )
    for name, what in (
        ("callgrind", "for KCachegrind and callgrind_annotate"),
        ("speedscope", "for speedscope.app"),
        ("collapsed", "for flamegraph.pl"),
    ):
        add_output(parser, f"--{name}", f"write a file {what}")
    add_output(parser, "--write-baseline", "write the numbers, to compare with later")
    parser.add_argument(
        "--baseline",
        action=NamedFile,
        metavar="FILE",
        help="fail where cycles grew since that was written (or a --json)",
    )
    parser.add_argument(
        "--max-regress",
        default="0%",
        metavar="PERCENT",
        help="with --baseline: growth allowed, such as 0.5%% (default: %(default)s)",
    )
    add_output(parser, "--junit", "with --baseline: write JUnit XML, a test case for each number")
    add_output(parser, "--summary", "with --baseline: write a table in Markdown")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    limit = parse_percent(options.max_regress)
    passes = _passes(options)
    _check(options)
    pinned = None if options.baseline is None else results.read_baseline(options.baseline)
    program = None if options.elf is None else Program(options.elf)
    wanted = _wanted(options, program, passes)
    start, end = _way(wanted)
    if pinned is not None:
        known = {"unit": results.UNIT, "target": options.target, "from": start, "to": end}
        results.check_conditions(pinned, known)
    if missing := problem(options.target):
        raise UserError(f"target {options.target} does not work here: {missing}")
    machine, ends = _machine(options, program)
    place = program.symbolise if program is not None else _bare
    try:
        counted = Run(machine, ends, place, wanted).count()
        if program is not None:
            results.check_instructions(counted.blocks, program)
    except (CrashFailure, TimeoutFailure):
        if program is not None and machine.is_on:
            results.check_instructions(machine.reading().blocks, program)
        raise
    finally:
        machine.close()
    costs = results.attribute(counted.blocks, program)
    lines = results.functions(counted, costs, program)
    result = results.content(counted, lines, options.target, start, end, _known(options, program))
    result["versions"] = versions_of(options.target, None)
    print(results.text(result))
    if program is not None:
        _export(options, program, counted, costs, f"{_name(options)}, {start} to {end}")
    comparison = None
    if pinned is not None:
        comparison = results.compare(pinned, result, limit)
        result["comparison"] = comparison.to_json()
    finish(options, result)
    if options.write_baseline is not None:
        write_json(options.write_baseline, results.make_baseline(result))
    worse = 0 if comparison is None else _tell(options, comparison)
    if counted.status:
        print(
            f"picotrain: the program says that it failed: status {counted.status}", file=sys.stderr
        )
    return 1 if counted.status else worse


def _passes(options: argparse.Namespace) -> int | None:
    if options.passes == _ALL:
        return None
    try:
        return positive(options.passes)
    except (ValueError, argparse.ArgumentTypeError):
        raise UserError(f"--passes {options.passes}: give a number above 0, or {_ALL}") from None


def _check(options: argparse.Namespace) -> None:
    """Raises UserError for options that do not go together."""
    if options.elf is None and options.uf2 is None:
        raise UserError("there is no program: give --elf FILE, or --uf2 FILE with rp2040js")
    if options.uf2 is not None and options.target != "rp2040js":
        raise UserError("--uf2 is for an RP2040: add --target rp2040js")
    if options.function is not None and (options.start is not None or options.end is not None):
        raise UserError("--function counts from call to return: leave out --from and --to, or it")
    repeats = options.function is not None or (
        options.start is not None and options.end is not None
    )
    if options.passes != "1" and not repeats:
        raise UserError(
            f"--passes {options.passes}: the reset and the program's end come once; give --from "
            "and --to, or --function"
        )
    for name in ("junit", "summary"):
        if getattr(options, name) is not None and options.baseline is None:
            raise UserError(f"--{name} tells of a comparison; add --baseline FILE, or leave it out")
    for name in _BY_CALLS:
        if getattr(options, name) is not None and options.target == "rp2040js":
            raise UserError(
                f"--{name} shows chains of calls, which target rp2040js does not follow; leave it "
                "out, or use --target qemu"
            )
    if options.elf is None and options.callgrind is not None:
        raise UserError("--callgrind wants symbols; give the program's --elf too")


def _wanted(options: argparse.Namespace, program: Program | None, passes: int | None) -> Wanted:
    def place(option: str, text: str | None) -> Place | None:
        if text is None:
            return None
        if program is not None:
            return Place(text, program.code_at(text, option))
        if not text.lower().startswith("0x"):
            raise UserError(f"{option} {text}: names are in the program's --elf; give it too")
        try:
            return Place(text, int(text, 16) & ~1)
        except ValueError:
            raise UserError(f"{option} {text}: no hexadecimal number") from None

    start = place("--function" if options.function else "--from", options.function or options.start)
    end = place("--to", options.end)
    returns = options.function is not None
    return Wanted(start, end, returns, passes, options.timeout)


def _way(wanted: Wanted) -> tuple[str, str]:
    start = "reset" if wanted.start is None else wanted.start.name
    if wanted.returns:
        return start, "its return"
    return start, "the end" if wanted.end is None else wanted.end.name


def _machine(
    options: argparse.Namespace, program: Program | None
) -> tuple[Machine, dict[int, int]]:
    if options.target == "qemu":
        assert program is not None
        plugin = firmware.require(firmware.CYCLE_PLUGIN)
        return QemuProgram(program, plugin), program.ends
    path = options.uf2 or options.elf
    data = read_bytes(path, "give the UF2 file, or the program's .elf")
    if not data.startswith((b"UF2\n", b"\x7fELF")) and path.suffix != ".bin":
        raise UserError(f"{path} is no UF2 file; give the one that the drive of a Pico takes")
    outside = [at for at, _ in program.placed() if at not in uf2.FLASH] if program else []
    if outside:
        raise UserError(
            f"{options.elf} is loaded to 0x{outside[0]:08x}, which is not in a Pico's flash; link "
            "it to 0x10000000, or use --target qemu for one with its vectors at 0"
        )
    segments = uf2.read_image(path, _LINK_AGAIN, _UF2_AGAIN)
    if program is None:
        ends = _ends_of(segments)
    else:
        ends = program.ends
        if options.uf2 is not None:
            _check_same(segments, program, options)
    return Rp2040jsProgram(segments, str(path), program), ends


def _ends_of(segments: list[uf2.Segment]) -> dict[int, int]:
    """Of bytes without an ELF file, each halfword that would end the program."""
    found = {}
    for address, data in segments:
        for at in range(0, len(data) - 1, 2):
            opcode = int.from_bytes(data[at : at + 2], "little")
            if opcode >> 8 == BREAKPOINT or opcode == BRANCH_TO_ITSELF:
                found[address + at] = opcode
    return found


def _check_same(segments: list[uf2.Segment], program: Program, options: argparse.Namespace) -> None:
    for address, data in program.placed():
        held = next((one for one in segments if one[0] <= address < one[0] + len(one[1])), None)
        at = 0 if held is None else address - held.address
        if held is None or held.data[at : at + len(data)] != data:
            raise UserError(
                f"{options.uf2} is not of the build of {options.elf}: they differ at "
                f"0x{address:08x} or behind; give the files of one build"
            )


def _name(options: argparse.Namespace) -> str:
    path: Path = options.uf2 or options.elf
    return path.name


def _known(options: argparse.Namespace, program: Program | None) -> dict[str, str]:
    """Of the program, for whoever compares."""
    if program is not None:
        digest, compiler = program.digest.hex(), _compiler(program)
    else:
        data = read_bytes(options.uf2, "give the UF2 file")
        digest, compiler = hashlib.sha256(data).hexdigest(), ""
    return {"file": _name(options), "sha256": digest, "compiler": compiler}


def _compiler(program: Program) -> str:
    try:
        return program.compiler
    except Exception:  # broken debugging information, which pyelftools meets with many of them
        return ""


def _bare(pc: int) -> str:
    return f"0x{pc:08x}"


def _export(
    options: argparse.Namespace, program: Program, counted: Counted, costs: Costs, title: str
) -> None:
    if options.callgrind is not None:
        calls = call_costs(counted.nodes, program) if counted.nodes else None
        write_text(options.callgrind, exports.callgrind(program, costs, calls, title))
    if options.speedscope is not None:
        write_json(options.speedscope, exports.speedscope(program, counted.nodes, title))
    if options.collapsed is not None:
        write_text(options.collapsed, exports.collapsed(program, counted.nodes))


def _tell(options: argparse.Namespace, comparison: Comparison) -> int:
    """1 where something grew beyond what the baseline allows, each named."""
    title = _name(options)
    writers: tuple[tuple[Path | None, Callable[[Comparison, str], str]], ...] = (
        (options.junit, gate.junit),
        (options.summary, gate.markdown),
    )
    for path, made in writers:
        if path is not None:
            write_text(path, made(comparison, title))
    for regression in comparison.regressions:
        print(f"picotrain: {regression}", file=sys.stderr)
    if not comparison.regressions:
        print(f"within {options.max_regress} of {options.baseline}")
    return 1 if comparison.regressions else 0
