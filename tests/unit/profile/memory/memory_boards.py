"""What tests of the memory share: boards, methods, and golden's timeline."""

from __future__ import annotations

import pytest

import support
from picotrain.cli.profile.memory import BOARDS
from picotrain.device.blob import blob_size
from picotrain.image.elf import Elf
from picotrain.profile.memory.arena import Timeline, timeline_of_plan
from picotrain.profile.memory.image import Image
from picotrain_golden import Method, plan
from support import INFER, METHODS

FIVE = {
    "infer": INFER,
    "niti-dynamic": METHODS["niti-dynamic"],
    "niti-static": METHODS["niti-static"],
    "priot": METHODS["priot"],
    "priot-s": METHODS["priot-s-weight-normal"],
}
CROSS = "arm-none-eabi-"


def board_of(image: Image) -> str:
    return next(name for name, board in BOARDS.items() if board.elf == image.path)


rp2040_only = pytest.mark.parametrize("image", ["rp2040"], indirect=True, scope="module")


def golden_timeline(method: Method, elf: Elf) -> Timeline:
    network = support.shipped("tinycnn")
    planned = plan(network, method, blob_size(network, elf))
    return timeline_of_plan(planned, network, method)
