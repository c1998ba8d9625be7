"""One kernel on the device, on operands of our choice: to test it alone, and to count its cycles.

`firmware/app/pt_bench.h` defines the job and says which operands each kernel takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.device import cycles
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import LinkFailure, UserError
from picotrain_golden import Affine, Layer

Operand = NDArray[Any]

_FILL = 0xA5
"""Of memory that no kernel may touch, and of outputs and scratch before it runs."""

_ALIGNMENT = 4
_JOB_ALIGNMENT = 8


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
        self._modes = elf.enum("pt_bench_mode")
        self._scratch: dict[tuple[str, Layer | None], int] = {}
        device.command("RESET")
        _, self._size = device.window("MODEL")

    def run(self, job: Job, layout: Layout = Layout()) -> Result:
        """Run a job once. Raises CommandError where the device refuses it."""
        return self.run_all([(job, layout)])[0]

    def run_all(self, jobs: Sequence[tuple[Job, Layout]]) -> list[Result]:
        """Run each job once, in as few commands as the window allows.

        Raises CommandError at the first that the device refuses.
        """
        self._learn_scratch([job for job, _ in jobs])
        made = [self._image(job, layout, self._scratch_of(job)) for job, layout in jobs]
        finished = self._send([image for image, _ in made], "RUN")
        return [
            self._result(job, places, image, after)
            for (job, _), (image, places), after in zip(jobs, made, finished, strict=True)
        ]

    def _result(
        self, job: Job, places: Mapping[str, tuple[int, int]], image: bytes, finished: bytes
    ) -> Result:
        after = np.frombuffer(finished, np.uint8)
        allowed = np.zeros(len(image), bool)
        for name in ("next", "answer"):
            allowed[self._field(name)] = True
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
        return Result(self._answer(finished), operands, [int(offset) for offset in strayed])

    def _field(self, name: str) -> slice:
        """The bytes of a word of the job."""
        assert self._type.fields is not None
        offset = int(self._type.fields[name][1])
        return slice(offset, offset + 4)

    def _answer(self, finished: bytes) -> int:
        return int.from_bytes(finished[self._field("answer")], "little")

    def _send(self, images: Sequence[bytes], mode: str) -> list[bytes]:
        """Jobs and their operands, one behind the other, and what became of them."""
        finished: list[bytes] = []
        while len(finished) < len(images):
            count, size = 0, 0
            for image in images[len(finished) :]:
                if count and size + len(image) > self._size:
                    break
                count, size = count + 1, size + len(image)
            batch = [bytearray(image) for image in images[len(finished) : len(finished) + count]]
            for one in batch[:-1]:
                one[self._field("next")] = len(one).to_bytes(4, "little")
            self._device.write_window("MODEL", b"".join(batch))
            self._device.command("BENCH", [int(self._modes[f"PT_BENCH_{mode}"])])
            after = self._device.read_window("MODEL", size)
            for one in batch:
                finished.append(after[: len(one)])
                after = after[len(one) :]
        return finished

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
        self._learn_scratch([job])
        image, places = self._image(job, layout, self._scratch_of(job))
        self._device.write_window("MODEL", image)
        return image, places

    def _learn_scratch(self, jobs: Sequence[Job]) -> None:
        """Ask the device how much scratch kernels want on layers that it was not asked about."""
        unknown = {
            (job.kernel, job.layer): job
            for job in jobs
            if job.layer is not None and (job.kernel, job.layer) not in self._scratch
        }
        images = [self._image(job, Layout(), 0)[0] for job in unknown.values()]
        for key, finished in zip(unknown, self._send(images, "SCRATCH_SIZE"), strict=True):
            self._scratch[key] = self._answer(finished)

    def _scratch_of(self, job: Job) -> int:
        return 0 if job.layer is None else self._scratch[job.kernel, job.layer]

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
        end += -end % _JOB_ALIGNMENT
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
