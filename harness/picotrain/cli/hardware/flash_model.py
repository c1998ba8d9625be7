"""`picotrain flash-model`: a network, and what it learned, for a device that stands alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from picotrain import datasets
from picotrain.cli.hardware.flash import add_ways, chosen_board
from picotrain.cli.options import NamedFile, Verbs, add_dataset, add_output, add_verb, finish
from picotrain.device.link.ports import Port
from picotrain.errors import UserError
from picotrain.hardware.flash import Flasher, System
from picotrain.hardware.standalone.window import MOST_EVERY, Window, fill
from picotrain.image import firmware, uf2
from picotrain.image.elf import open_elf
from picotrain.inputs import seed, whole
from picotrain.learn import calibration, methods, models
from picotrain.learn.field.state import State
from picotrain.learn.field.state_file import load_state
from picotrain.output import tell, write_bytes
from picotrain_golden import Method, Network

_OUT = Path("model.uf2")


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "flash-model",
        "Put a network, how it learns and, if you like, what it has learned into the second MiB "
        "of a Pico's flash, where a device that stands alone looks for them: as a UF2 file, and "
        "onto a board where one is named.",
        "picotrain flash-model mynet.npz --method priot --save-every 100 --port auto",
    )
    parser.add_argument(
        "network",
        action=NamedFile,
        nargs="?",
        default=Path(models.DEFAULT),
        metavar="NETWORK",
        help="a backbone (.npz), or a shipped name (default: %(default)s)",
    )
    add_dataset(parser)
    parser.add_argument(
        "--calibration",
        metavar="RULE",
        default=calibration.SHIPPED,
        help="static scales: those of the network, or made anew from images of --dataset by one of "
        f"{', '.join(calibration.RULES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--method",
        help=f"one of {', '.join(methods.NAMES)} (default: that of --state, or else "
        f"{methods.DEFAULT.name})",
    )
    methods.add_options(parser)
    parser.add_argument(
        "--seed",
        type=seed,
        metavar="N",
        help="draws what is random of the method (default: that of --state, or else 0)",
    )
    parser.add_argument(
        "--state",
        action=NamedFile,
        metavar="FILE",
        help="what `picotrain adapt --save` wrote, of that network: the device begins with it, and "
        "forgets what it learned itself (default: nothing, and its own flash for it stays)",
    )
    parser.add_argument(
        "--save-every",
        type=_images,
        default=0,
        metavar="N",
        help="the device saves what it learned after so many images; 0: when it is told to "
        "(default: %(default)s)",
    )
    add_output(parser, "--out", f"the UF2 file (default: {_OUT})")
    parser.add_argument(
        "--port",
        metavar="PORT",
        help="put it on the board at this serial port too, or auto (default: the file alone)",
    )
    add_ways(parser)
    parser.set_defaults(run=run, complete=complete)


def _images(text: str) -> int:
    value = whole(text)
    if not 0 <= value <= MOST_EVERY:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and {MOST_EVERY}")
    return value


def complete(options: argparse.Namespace) -> None:
    options.out = options.out or _OUT


def run(options: argparse.Namespace) -> int:
    if options.port is None and options.how != "auto":
        raise UserError(
            f"--{options.how} says how a board is flashed, and no board is named; give --port auto "
            f"too, or leave --{options.how} out"
        )
    port_name = None if options.port is None else chosen_board(options)
    state = None if options.state is None else load_state(options.state)
    method = _method(options, state)
    network = _network(options, state)
    elf = open_elf(firmware.require(firmware.STANDALONE))
    window = fill(network, method, elf, state, options.save_every)
    write_bytes(options.out, uf2.encode(window.parts))
    print(_for_people(network, method, window, state, options.save_every))
    tell("wrote", options.out)
    port = None if port_name is None else _flash(options, port_name, window)
    finish(
        options,
        {
            "model": network.name,
            "method": method.name,
            "mu": method.mu,
            "easy": method.easy,
            "save_every": options.save_every,
            "state": "" if options.state is None else str(options.state),
            "bytes": {
                "model": window.model,
                "room": window.room,
                "learned": window.learns,
                "sram": window.ram,
                "sram_there": window.arena,
            },
            "sectors_of_a_save": window.sectors,
            "segments": [{"address": address, "size": len(data)} for address, data in window.parts],
            "file": str(options.out),
            "port": None if port is None else port.url,
        },
    )
    return 0


def _method(options: argparse.Namespace, state: State | None) -> Method:
    """Of the options, and where they say nothing of the state."""
    if state is not None:
        known = state.method
        steps = state.run.get("step_sizes") or [known.mu]
        for name, value in {
            "method": known.name,
            "mu": str(steps[-1]),
            "threshold": known.theta,
            "scored": known.permille / 1000,
            "select": known.select,
            "start": known.start,
            "easy": known.easy,
            "seed": known.seed,
        }.items():
            if getattr(options, name) is None:
                setattr(options, name, value)
    name = options.method or methods.DEFAULT.name
    method = methods.from_options(options, name)
    if state is None:
        methods.check_used(options, name)
    if options.mu is not None and method.later_mu:
        raise UserError(
            f"--mu {options.mu} is a schedule, and a device that stands alone has one step size; "
            f"give one, such as --mu {method.mu}"
        )
    return method


def _network(options: argparse.Namespace, state: State | None) -> Network:
    if options.network.suffix in (".npz", ".toml"):
        network, _ = models.load_backbone(options.network)
    else:
        network = models.load_network(options.network, options.dataset)
    if options.calibration == calibration.SHIPPED:
        return network
    if state is not None:
        raise UserError(
            f"--calibration {options.calibration}: the state has the static scales that it was "
            "learned with; leave --calibration out"
        )
    dataset = datasets.load(options.dataset)
    models.check_fit(network, dataset)
    return calibration.calibrated_by(network, dataset, options.calibration)


def _flash(options: argparse.Namespace, port_name: str, window: Window) -> Port:
    flasher = Flasher(
        firmware.require(firmware.STANDALONE),
        port_name,
        options.baud,
        print,
        System(),
        window.parts,
        firmware.require(firmware.RP2040),
    )
    port = flasher.flash(options.how)
    print(f"{options.out.name} is on the device at {port}")
    return port


def _for_people(
    network: Network, method: Method, window: Window, state: State | None, save_every: int
) -> str:
    how = [f"{network.name}", f"{method.name}"]
    if method.trains:
        how += [f"mu {method.mu}", f"easy {method.easy}"]
    if method.scored:
        how += [f"threshold {method.theta}"]
    lines = [
        ", ".join(how),
        f"model      {window.model:,} bytes of flash, {window.room:,} are left",
        f"SRAM       {window.ram:,} of {window.arena:,} bytes",
    ]
    if window.learns:
        sectors = f"{window.sectors} sector{'' if window.sectors == 1 else 's'}"
        how_often = f"after each {save_every:,} images that taught something"
        lines.append(f"learns     {window.learns:,} bytes, {sectors} of flash a save")
        lines.append(f"saves      {how_often if save_every else 'on command'}")
    if state is not None:
        lines.append(f"state      {state.source}, epochs done: {state.epochs}")
    return "\n".join(lines)
