"""A device in training beside golden."""

from __future__ import annotations

from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.learn.verify import Comparison
from picotrain_golden import Method, Network
from support import begin, images


class Session:
    """A device in training beside golden; `goes_on` proves that a refusal changed nothing."""

    def __init__(self, device: MailboxDevice, reference: GoldenDevice, network: Network) -> None:
        self.device = device
        self.reference = reference
        self.network = network
        self.pixels, self.labels = images(network, 8)
        self._comparison: Comparison | None = None
        self._step = 0

    def begin(self, method: Method) -> None:
        self._comparison = begin(self.device, self.reference, self.network, method)

    def goes_on(self) -> None:
        assert self._comparison is not None
        self._comparison.state(self._step)
        at = self._step % len(self.pixels)
        self._comparison.traced_step(self._step, self.pixels[at], int(self.labels[at]))
        self._comparison.batch(self._step, self.pixels, self.labels, train=True)
        self._step += 1

    def evaluate(self) -> None:
        """Both devices predict all images, which counts forward saturation."""
        expected = self.reference.evaluate(self.pixels, self.labels).predictions
        assert (self.device.evaluate(self.pixels, self.labels).predictions == expected).all()

    @property
    def batch_bytes(self) -> int:
        """Of all images, their labels and results, in the io window."""
        given = self.pixels.nbytes + self.labels.nbytes
        return given + -given % 4 + 8 * len(self.labels)

    @property
    def io_size(self) -> int:
        return self.device.window("IO")[1]
