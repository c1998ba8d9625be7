"""What batches cost on a device."""

from __future__ import annotations

from collections.abc import Callable

from picotrain.device import cycles
from picotrain.device.interface import BatchResult, Device

CLOCK_HZ = 125_000_000
CYCLE_MODEL = "cycle model"
DEVICE_CLOCK = "the device's own clock"


class CycleMeter:
    """Cycles per image of batches: counted by the target, else by the device's own clock."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._cycles = 0
        self._images = 0
        self.by = CYCLE_MODEL

    def run(self, batch: Callable[[], BatchResult]) -> BatchResult:
        before = self._device.blocks()
        done = batch()
        after = self._device.blocks()
        spent = done.cycles
        if before is not None and after is not None:
            spent = cycles.total(after) - cycles.total(before)
        elif spent is not None:
            self.by = DEVICE_CLOCK
        if spent is not None:
            self._cycles += spent
            self._images += len(done.predictions)
        return done

    @property
    def per_image(self) -> float | None:
        return self._cycles / self._images if self._images else None

    @property
    def milliseconds(self) -> float | None:
        """Of an image, at 125 MHz."""
        return None if self.per_image is None else self.per_image / CLOCK_HZ * 1000
