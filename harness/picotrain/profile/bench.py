"""One kernel on the device, on operands of our choice: to test it alone, and to count its cycles.

`firmware/app/pt_bench.h` defines the job and says which operands each kernel takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.device import cycles
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, LinkFailure, UserError
from picotrain_golden import Affine, Layer

Operand = NDArray[Any]

_FILL = 0xA5
"""Of memory that no kernel may touch, and of outputs and scratch before it runs."""

_ALIGNMENT = 4


@dataclass(frozen=True)
class Job:
    """A kernel and its operands, by the names of `firmware/app/pt_bench.h` without PT_BENCH_.

    `inputs` are what it reads or changes in place, `outputs` the shapes and types of what it
    writes; scratch is not named, the device says how much it needs. Of an affine layer the
    factors, bias, multiplier and shift of each row, are the operand that `factors` makes.
    """

    kernel: str
    inputs: Mapping[str, Operand]
    outputs: Mapping[str, tuple[tuple[int, ...], type]] = field(default_factory=dict)
    layer: Layer | None = None
    masks: str = "ALL_EDGES"
    count: int = 0
    shift: int = 0
    gradient_shift: int = 0
    relu: bool = False
    threshold: int = 0
    affine: Affine | None = None


def factors(affine: Affine) -> Operand:
    """The operand FACTORS: int32 [n, 3]."""
    count = affine.multiplier.size
    bias = affine.bias if affine.bias.size else np.zeros(count, np.int32)
    return np.stack([bias, affine.multiplier, affine.shift], axis=1).astype(np.int32)


@dataclass(frozen=True)
class Result:
    """What the kernel returned, every operand afterwards, and the window where it strayed.

    `strayed` are offsets of bytes around the operands that changed.
    """

    answer: int
    operands: dict[str, Operand]
    strayed: list[int]


@dataclass(frozen=True)
class Layout:
    """Where operands lie: `guard` untouched bytes around each, and `skew` bytes off alignment.

    int32 operands and scratch are aligned whatever the skew. `order` permutes the operands.
    """

    guard: int = 0
    skew: tuple[int, ...] = (0,)
    order: tuple[int, ...] = ()


class Bench:
    """Runs jobs on a device, which it resets: no model is loaded then."""

    def __init__(self, device: MailboxDevice) -> None:
        self._device = device
        elf = device.elf
        self._type = elf.dtype("pt_bench_job")
        self._kernels = elf.enum("pt_bench_kernel")
        self._masks = elf.enum("pt_bench_masks")
        self._names = {
            name.removeprefix("PT_BENCH_"): int(value)
            for name, value in elf.enum("pt_bench_operand_name").__members__.items()
            if name != "PT_BENCH_OPERANDS"
        }
        self._scratch: dict[tuple[str, Layer], int] = {}
        device.command("RESET")
        _, self._size = device.window("MODEL")

    def run(self, job: Job, layout: Layout = Layout()) -> Result:
        """Run a job once. Raises CommandError where the device refuses it."""
        image, places = self._prepare(job, layout)
        answer = int(self._device.command("BENCH", [0])["response"][0])
        after = np.frombuffer(self._device.read_window("MODEL", len(image)), np.uint8)
        allowed = np.zeros(len(image), bool)
        operands: dict[str, Operand] = {}
        for name, (offset, size) in places.items():
            allowed[offset : offset + size] = True
            data = after[offset : offset + size]
            if name in job.inputs:
                like = job.inputs[name]
                operands[name] = np.frombuffer(data.tobytes(), like.dtype).reshape(like.shape)
            elif name in job.outputs:
                shape, kind = job.outputs[name]
                operands[name] = np.frombuffer(data.tobytes(), kind).reshape(shape)
        strayed = np.flatnonzero((after != np.frombuffer(image, np.uint8)) & ~allowed)
        return Result(answer, operands, [int(offset) for offset in strayed])

    def cycles(self, job: Job) -> int:
        """Cycles of the kernel and the calls to it: of the command, less one that only checks.

        Counted by the target where it can, else by the device's own clock.
        """
        self._prepare(job, Layout())
        return self._spent(dry=0) - self._spent(dry=1)

    def _spent(self, dry: int) -> int:
        before = self._device.blocks()
        clocked = int(self._device.command("BENCH", [dry])["cycles"])
        after = self._device.blocks()
        if before is not None and after is not None:
            return cycles.total(after) - cycles.total(before)
        if not clocked:
            raise UserError(f"target {self._device.name} does not count cycles; use --target qemu")
        return clocked

    def _prepare(self, job: Job, layout: Layout) -> tuple[bytes, dict[str, tuple[int, int]]]:
        """Write the job and its operands; what was written, and where each operand lies."""
        scratch = self._scratch_size(job)
        image, places = self._image(job, layout, scratch)
        self._device.write_window("MODEL", image)
        return image, places

    def _scratch_size(self, job: Job) -> int:
        """The scratch of a kernel on a layer, as the device asks for it."""
        if job.layer is None or job.layer.kind == "maxpool2":
            return 0
        key = (job.kernel, job.layer)
        if key not in self._scratch:
            self._device.write_window("MODEL", self._image(job, Layout(), 0)[0])
            try:
                self._device.command("BENCH", [1])
                self._scratch[key] = 0
            except CommandError as refused:
                operand, _, _, needed = refused.detail
                if refused.name != "PT_ERR_OPERAND" or operand != self._names["SCRATCH"]:
                    raise
                self._scratch[key] = needed
        return self._scratch[key]

    def _image(
        self, job: Job, layout: Layout, scratch: int
    ) -> tuple[bytes, dict[str, tuple[int, int]]]:
        parts: list[tuple[str, int, bool]] = [
            (name, values.nbytes, values.dtype.itemsize > 1) for name, values in job.inputs.items()
        ]
        parts += [
            (name, int(np.prod(shape)) * np.dtype(kind).itemsize, np.dtype(kind).itemsize > 1)
            for name, (shape, kind) in job.outputs.items()
        ]
        if scratch:
            parts.append(("SCRATCH", scratch, True))
        if layout.order:
            parts = [parts[number] for number in layout.order if number < len(parts)]
        places: dict[str, tuple[int, int]] = {}
        end = self._type.itemsize
        for number, (name, size, aligned) in enumerate(parts):
            offset = end + layout.guard
            offset += -offset % _ALIGNMENT
            offset += 0 if aligned else layout.skew[number % len(layout.skew)]
            places[name] = (offset, size)
            end = offset + size
        end += layout.guard
        if end > self._size:
            raise LinkFailure(f"the window has {self._size} bytes, {end} do not fit")
        image = bytearray([_FILL]) * end
        image[: self._type.itemsize] = self._record(job, places)
        for name, values in job.inputs.items():
            offset, size = places[name]
            image[offset : offset + size] = values.tobytes()
        return bytes(image), places

    def _record(self, job: Job, places: Mapping[str, tuple[int, int]]) -> bytes:
        record = np.zeros(1, self._type)[0]
        record["kernel"] = self._kernels[f"PT_BENCH_{job.kernel}"]
        record["masks"] = self._masks[f"PT_BENCH_{job.masks}"]
        for name in ("count", "shift", "gradient_shift", "relu", "threshold"):
            record[name] = getattr(job, name)
        if job.affine is not None:
            zeros = job.affine.zero_in
            record["zero_in"][: len(zeros)] = zeros
            for name in ("zero_out", "low", "high"):
                record[name] = getattr(job.affine, name)
        if job.layer is not None:
            shape, layer = record["shape"], job.layer
            shape["in_h"], shape["in_w"], shape["in_c"] = layer.in_shape
            shape["out_h"], shape["out_w"], shape["out_c"] = layer.out_shape
            shape["kernel_h"], shape["kernel_w"] = layer.kernel
            shape["padding_h"], shape["padding_w"] = layer.padding
            shape["stride_h"], shape["stride_w"] = layer.stride
        for name, (offset, size) in places.items():
            operand = record["operand"][self._names[name]]
            operand["offset"], operand["size"] = offset, size
        return bytes(record.tobytes())
