"""The network of these tests, and a session that trains it."""

from __future__ import annotations

import pytest

import support
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain_golden import Network
from session import Session
from support import METHODS


@pytest.fixture
def network() -> Network:
    return support.shipped("oddnet")


@pytest.fixture
def session(mailbox: MailboxDevice, reference: GoldenDevice, network: Network) -> Session:
    """Trains oddnet by static NITI."""
    session = Session(mailbox, reference, network)
    session.begin(METHODS["niti-static"])
    return session
