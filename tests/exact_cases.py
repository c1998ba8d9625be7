"""Every method on small networks of both forms, tensor by tensor, and a digest of what was learned:
one comparison with golden for devices that no whole suite runs on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import support
import trainable_affine
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.learn.verify import Comparison, VerifyReport, verify, verify_selected
from picotrain_golden import Histograms, Network, calibrated, observe

_STEPS, _IMAGES = 2, 4
_SELECTING = ("niti-dynamic", "niti-static", "priot")
_SHARE = 300
"""Of the rows, in thousandths."""


METHODS = {
    "infer": support.INFER,
    **{name: method for name, method in support.METHODS.items() if not method.fused},
}
"""Of every form of a plan the one that a network is tested most with."""
FEW = ("niti-dynamic", "priot", "priot-s-random-normal")
"""Of the methods, for devices whose commands take some milliseconds; with one graph."""


def networks(graphs: int) -> Iterator[Network]:
    """Of both forms: a chain, and graphs, of which four have every kind of layer."""
    yield support.shipped("oddnet")
    for seed in range(graphs):
        network = trainable_affine.trainable_network(seed)
        histograms = Histograms.empty(network)
        for image, label in zip(*support.images(network, _IMAGES, seed), strict=True):
            histograms.add(observe(network, image, int(label)))
        yield calibrated(network, histograms)


def compare(
    device: MailboxDevice, names: Sequence[str] = tuple(METHODS), graphs: int = 4
) -> tuple[int, int, str]:
    """These methods, and of graphs selections and heads too: tensors, elements, digest. Raises
    MismatchFailure for the first element that differs."""
    golden = GoldenDevice(device.elf, device.arena_bytes)
    digest = hashlib.sha256()
    reports: list[VerifyReport] = []
    for network in networks(graphs):
        given = support.images(network, _IMAGES)
        for method in (METHODS[name] for name in names):
            comparison = support.begin(device, golden, network, method)
            reports.append(verify(comparison, *given, _STEPS, method.trains))
            digest.update(state_sha256(device, network).encode())
        for name in _SELECTING if network.affine else ():
            if name not in names:
                continue
            for side in (golden, device):
                side.load_model(network)
            comparison = Comparison(golden, device, network)
            reports.append(verify_selected(comparison, METHODS[name], *given, _STEPS, _SHARE))
            digest.update(state_sha256(device, network).encode())
    tensors = sum(report.tensors for report in reports)
    return tensors, sum(report.elements for report in reports), digest.hexdigest()
