"""`picotrain ports`: what is plugged in."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from picotrain.cli.options import Verbs, add_verb, finish
from picotrain.device.link.ports import find_ports
from picotrain.hardware.drives import by_label, find_waiting, system_places, why_none
from picotrain.text import table


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "ports",
        "Which serial ports and BOOTSEL drives are plugged in, and which are picotrain devices.",
        "picotrain ports",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    ports, places = find_ports(), system_places()
    waiting = find_waiting(places)
    drives = [board.drive for board in waiting if board.drive is not None]
    if ports:
        rows = [[port.url, port.what, port.product, port.serial_number] for port in ports]
        print(table(rows, ["port", "what it is", "name", "number"]))
    else:
        print("no serial port on USB")
    for board in waiting:
        name = f" --port {board.drive}" if len(waiting) > 1 and board.drive else ""
        print(f"{board}: a Pico in BOOTSEL; `picotrain flash{name}` writes the firmware there")
    if not drives and by_label(places) is not None:
        print(why_none(places))
    finish(
        options, {"ports": [asdict(port) for port in ports], "drives": [str(one) for one in drives]}
    )
    return 0
