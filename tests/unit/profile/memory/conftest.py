"""The image of every board, its sections and its stack."""

from __future__ import annotations

import pytest

from picotrain.cli.profile.memory import BOARDS
from picotrain.profile.memory.image import Image, Sections
from picotrain.profile.memory.stack import StackReport, worst_stack
from support import require


@pytest.fixture(scope="module", params=["microbit", "rp2040"])
def image(request: pytest.FixtureRequest) -> Image:
    return Image(require(BOARDS[request.param].elf))


@pytest.fixture(scope="module")
def sections(image: Image) -> Sections:
    return image.sections()


@pytest.fixture(scope="module")
def stack(image: Image) -> StackReport:
    return worst_stack(image)
