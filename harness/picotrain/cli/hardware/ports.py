"""`picotrain ports`: what is plugged in."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from picotrain.cli.options import Verbs, add_verb, finish
from picotrain.hardware.drives import by_label, find_drives, system_places, why_none
from picotrain.hardware.ports import find_ports
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
    drives = find_drives(places)
    if ports:
        rows = [[port.url, port.what, port.product, port.serial_number] for port in ports]
        print(table(rows, ["port", "what it is", "name", "number"]))
    else:
        print("no serial port on USB")
    for drive in drives:
        print(f"{drive}: a Pico in BOOTSEL; `picotrain flash` writes the firmware there")
    if not drives and by_label(places) is not None:
        print(why_none(places))
    finish(
        options, {"ports": [asdict(port) for port in ports], "drives": [str(one) for one in drives]}
    )
    return 0
