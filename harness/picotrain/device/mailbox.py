"""The device protocol: commands through the mailbox in a target's memory.

`firmware/app/pt_mailbox.h` defines the protocol; struct offsets and numbers come from the
firmware's DWARF. `docs/device-protocol.md` describes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from picotrain.device.blob import METHOD_KINDS, encode, method_numbers, word_sum
from picotrain.device.cycles import BlockCount, CallNode, Counted
from picotrain.device.explain import damage, explain, refuse_blob, region_of
from picotrain.device.given import (
    check_form,
    check_gathered,
    check_method,
    check_network,
    check_search,
    check_selection,
    checked_batch,
    checked_image,
    checked_learned,
)
from picotrain.device.interface import (
    BatchResult,
    Int8,
    Memory,
    Progress,
    TraceTensor,
    UInt8,
    split_transient,
)
from picotrain.device.room import shortage
from picotrain.device.targets.base import Target
from picotrain.errors import (
    CommandError,
    DeviceFailure,
    LinkFailure,
    MagicMismatch,
    VersionMismatch,
    whole_number,
)
from picotrain.image.elf import Elf, open_elf
from picotrain_golden import (
    Information,
    Method,
    MethodName,
    Network,
    Selected,
    Selection,
    Solver,
    learning,
)
from picotrain_golden.layers import unpacked
from picotrain_golden.plan import fused, operations

_SOLVERS = {"greedy": "PT_SOLVER_GREEDY", "true-cost": "PT_SOLVER_TRUE_COST"}

_COMMAND_SECONDS = 30.0
_IMAGE_SECONDS = 15.0
_SELECT_SECONDS = 120.0
_SLOWER = 20
"""A batch may take so many times as long for each image as the slowest one before it."""
_MOST_IMAGES = 64
"""Of one command, so that progress shows and an interrupt is served."""


class MailboxDevice:
    """The `Device` on a connected `Target`. Closes the target with itself."""

    def __init__(self, target: Target, kernels: str | None = None) -> None:
        self._target = target
        self.name = target.name
        self.kernels = kernels
        self._elf = open_elf(target.elf)
        self._commands = self._elf.enum("pt_command")
        self._errors = self._elf.enum("pt_error")
        self._tensors = self._elf.enum("pt_tensor_kind")
        self._operations = self._elf.enum("pt_operation_kind")
        self._windows = self._elf.enum("pt_window_name")
        self._input_layer = int(self._elf.enum("pt_special_layer")["PT_INPUT_LAYER"])
        self._layout = self._elf.dtype("pt_mailbox")
        self._word = np.dtype(f"{self._elf.order}u4")
        self._result = self._elf.dtype("pt_result")
        self._address = target.mailbox_address()
        self._counting = Counted(self._elf)
        self._network: Network | None = None
        self._method: Method | None = None  # in force
        self._frozen = self._head = self._fused = False
        self._selection: Selection | None = None
        self._in_force: Selection | None = None
        self._pace: dict[str, float] = {}  # seconds for an image, of commands under this method
        self.check()

    def check(self) -> None:
        """Raise MagicMismatch or VersionMismatch if this is not our device (any more)."""
        protocol = self._elf.enum("pt_protocol")
        # No more than these: one of another size may not be read as a whole.
        head = self._target.read(self._address, self._offset("size") + 4)
        mailbox = np.frombuffer(head.ljust(self._layout.itemsize, b"\0"), self._layout)[0]
        if mailbox["magic"] != protocol["PT_MAILBOX_MAGIC"]:
            raise MagicMismatch(
                f"{self.name}: no mailbox at 0x{self._address:x} (found 0x{mailbox['magic']:08x}, "
                f"expected 0x{protocol['PT_MAILBOX_MAGIC']:08x}); does the device run "
                f"{self._elf.path.name}?"
            )
        if mailbox["version"] != protocol["PT_PROTOCOL_VERSION"]:
            raise VersionMismatch(
                f"{self.name}: the device speaks protocol version {mailbox['version']}, this "
                f"harness version {protocol['PT_PROTOCOL_VERSION']}; load the matching firmware"
            )
        if mailbox["size"] != self._layout.itemsize:
            raise VersionMismatch(
                f"{self.name}: the device's mailbox has {mailbox['size']} bytes, {self._elf.path} "
                f"says {self._layout.itemsize}; load the firmware built from it"
            )

    @property
    def elf(self) -> Elf:
        """The firmware that runs, for symbols and DWARF."""
        return self._elf

    @property
    def arena_bytes(self) -> int:
        """Resets the device where it holds a model, which closes that window."""
        if not self.window("MODEL")[1]:
            self.command("RESET")
        return self.window("MODEL")[1]

    # Protocol

    def _mailbox(self) -> Any:
        data = self._target.read(self._address, self._layout.itemsize)
        return np.frombuffer(data, self._layout)[0]

    def _offset(self, field: str) -> int:
        assert self._layout.fields is not None
        return int(self._layout.fields[field][1])

    def command(
        self, name: str, arguments: Sequence[int] = (), timeout: float = _COMMAND_SECONDS
    ) -> Any:
        """Run a command and return the mailbox (a NumPy record) with its response.

        Raises CommandError where the device refuses, VersionMismatch where the mailbox changed.
        """
        words = np.zeros(8, self._word)
        words[: len(arguments)] = [argument & 0xFFFFFFFF for argument in arguments]
        self._target.write(self._address + self._offset("argument"), words.tobytes())
        number = np.array(self._commands[f"PT_CMD_{name}"], self._word)
        self._target.write(self._address + self._offset("command"), number.tobytes())
        try:
            self._target.run(timeout)
        except DeviceFailure as failure:
            failure.doing = self._in_work(name, failure.operation)
            raise
        mailbox = self._mailbox()
        if mailbox["command"] != 0:
            raise LinkFailure(f"{self.name}: the device went idle without serving {name}")
        error = int(mailbox["error"])
        if error:
            detail = tuple(int(value) for value in mailbox["detail"]["value"])
            if error not in {int(known) for known in self._errors}:
                raise LinkFailure(f"{self.name}: {name} ended with error {error}, which is none")
            error_name = self._errors(error).name
            if error_name == "PT_ERR_DAMAGED":
                raise damage(self.name, region_of(detail[0], self._elf), *detail[1:3])
            hint = explain(name, error_name, detail, self._elf)
            raise CommandError(name, error_name, detail, hint)
        if name == "RESET":
            self._network = self._method = None
            self._selection = self._in_force = None
            self._head = self._fused = False
        return mailbox

    def _in_work(self, command: str, operation: int | None) -> str:
        """A command, and the operation of its plan, which only steps have."""
        if operation is None or command not in ("TRAIN", "TRACE_NEXT"):
            return command
        if self._network is None or self._method is None:
            return command
        steps = operations(self._network, self._method, self._in_force)
        if operation >= len(steps):
            return command
        kind, layer = steps[operation]
        return f"{command}, operation {operation + 1} of {len(steps)}: {kind} of layer {layer}"

    def _passed(self, data: bytes, mailbox: Any) -> None:
        """Raise DamageFailure where a command saw, or left, other bytes in the window."""
        found = word_sum(data, self._elf)
        expected = int(mailbox["response"][1])
        if found != expected:
            raise damage(self.name, "IO", found, expected)

    def check_memory(self) -> None:
        served = self.command("CHECK")
        # Code that was damaged might not see that it was.
        if "pt_image_built" in self._elf.symbols():
            address, size = self._elf.symbol("pt_image_built"), self._elf.dtype("pt_image").itemsize
            built = np.frombuffer(self._elf.loaded(address, size), np.uint32)
            for found, expected in zip(served["response"], built, strict=False):
                if found != expected:
                    raise damage(self.name, "CODE", int(found), int(expected))

    def window(self, name: str) -> tuple[int, int]:
        """Address and size of a window; the size is 0 where it is closed."""
        window = self._mailbox()["window"][self._windows[f"PT_WINDOW_{name}"]]
        return int(window["address"]), int(window["size"])

    def read_window(self, name: str, count: int | None = None) -> bytes:
        """The first `count` bytes of a window, or all of it."""
        address, size = self.window(name)
        if count is not None and count > size:
            raise LinkFailure(f"{name} window has {size} bytes, not {count}")
        return self._target.read(address, size if count is None else count)

    def write_window(self, name: str, data: bytes) -> None:
        address, size = self.window(name)
        if len(data) > size:
            raise LinkFailure(f"{name} window has {size} bytes, {len(data)} do not fit")
        self._target.write(address, data)

    # Device

    def load_model(self, network: Network, frozen: bool = False) -> None:
        check_network(network)
        blob = encode(network, self._elf)
        self.command("RESET")
        _, room = self.window("FLASH" if frozen else "MODEL")
        if len(blob) > room:
            raise refuse_blob(network, len(blob), room, self._elf, frozen)
        self.load_blob(blob, frozen)
        self._network, self._frozen = network, frozen

    def load_blob(self, blob: bytes, frozen: bool = False) -> None:
        """Reset the device and load a blob that fits, whatever its bytes are."""
        self.command("RESET")
        self.write_window("FLASH" if frozen else "MODEL", blob)
        place = "PT_PLACE_FLASH" if frozen else "PT_PLACE_ARENA"
        self.command("LOAD_MODEL", [len(blob), int(self._elf.enum("pt_place")[place])])

    def set_method(self, method: Method) -> None:
        check_method(method)
        if self._network is not None:
            check_form(self._network, method, self._selection)
        arguments = [*method_numbers(method, self._elf).values()]
        self._method = None  # a refusal ends the one that was
        if self._fused != method.fused:
            self.command("SET_PLAN", [method.fused])
        self._fused = method.fused
        try:
            self.command("SET_METHOD", arguments)
        except CommandError as refusal:
            raise self._in_words(refusal, method) from None
        self._method = method
        self._pace = {}
        self._in_force = self._selection if method.selects else None

    def _in_words(self, refusal: CommandError, method: Method) -> CommandError:
        """A refusal for want of memory with what would fit; any other as it is."""
        if refusal.name != "PT_ERR_MEMORY" or self._network is None:
            return refusal
        room = refusal.detail[1]
        short = shortage(
            self._network,
            method,
            self._frozen,
            room,
            self._elf,
            self.name,
            selection=self._selection,
            head=self._head,
        )
        return refusal if short is None else replace(refusal, hint=short.sentence)

    def set_mu(self, mu: int) -> None:
        self.command("SET_MU", [whole_number("mu", mu)])

    def train(self, images: UInt8, labels: UInt8, progress: Progress | None = None) -> BatchResult:
        return self._batches("TRAIN", images, labels, progress)

    def evaluate(
        self, images: UInt8, labels: UInt8, progress: Progress | None = None
    ) -> BatchResult:
        return self._batches("EVALUATE", images, labels, progress)

    def _batches(
        self, command: str, images: UInt8, labels: UInt8, progress: Progress | None
    ) -> BatchResult:
        images, labels = checked_batch(self._network, images, labels)
        address, size = self.window("IO")
        if not size:
            self.command(command)  # refuses: a model or a method is missing
        most = self._fitting(images, size)
        results = np.zeros(len(images), self._result)
        cycles = 0
        for start in range(0, len(images), most):
            part = slice(start, start + most)
            batch = images[part].tobytes() + labels[part].tobytes()
            batch += bytes(-len(batch) % 4)
            count = len(images[part])
            self._target.write(address, batch)
            begun = time.monotonic()
            served = self.command(command, [count], self._bound(command, count))
            pace = (time.monotonic() - begun) / count
            self._pace[command] = max(pace, self._pace.get(command, 0.0))
            cycles += int(served["cycles"])
            data = self._target.read(address + len(batch), count * self._result.itemsize)
            self._passed(batch + data, served)
            results[part] = np.frombuffer(data, self._result)
            if progress is not None:
                progress(count)
        return BatchResult(
            results["prediction"].astype(np.int64),
            results["loss_norm"].astype(np.int64),
            results["saturated"].astype(np.int64),
            cycles or None,
        )

    def _bound(self, command: str, images: int) -> float:
        """Seconds after which a batch is not waited for any more."""
        each = min(_IMAGE_SECONDS, _SLOWER * self._pace.get(command, _IMAGE_SECONDS))
        return _COMMAND_SECONDS + each * images

    def batch_images(self, images: UInt8) -> int:
        """How many of such images one command takes."""
        return self._fitting(images, self.window("IO")[1])

    def _fitting(self, images: UInt8, room: int) -> int:
        each = int(np.prod(images.shape[1:])) + 1 + self._result.itemsize
        return max(1, min(_MOST_IMAGES, (room - 4) // each))

    def trace(self, image: UInt8, label: int) -> Iterator[TraceTensor]:
        image, label = checked_image(self._network, image, label)
        if not self.window("IO")[1]:
            self.command("TRACE_BEGIN")  # refuses: a model or a method is missing
        self.write_window("IO", image.tobytes() + bytes([label]))
        self.command("TRACE_BEGIN")
        return self._traced()

    def _traced(self) -> Iterator[TraceTensor]:
        yield TraceTensor("activation", -1, self.tensor("ACTIVATION", self._input_layer))
        learned = "scores" if self._scored else "weights"
        updates: list[Int8] = []
        while True:
            event = self.trace_next()
            kind, layer = self.operation_name(event), int(event["layer"])
            if kind == "PT_DONE":
                return
            if kind == "PT_FORWARD":
                yield from self._made_by(layer)
            elif kind == "PT_LOSS":
                if self._method is not None and self._method.goes_back:
                    yield TraceTensor("error", layer, self.tensor("ERROR", layer))
            elif kind == "PT_ERROR":
                known = self._network
                below_it: tuple[int, ...] = (layer - 1,)
                if known is not None:
                    below_it = known.learning_inputs(layer, learning(known, self._in_force))
                for below in below_it:
                    yield TraceTensor("error", below, self.tensor("ERROR", below))
            else:
                address, _ = self.window("IO")
                data = self._target.read(address, int(event["updates"]))
                updates.append(np.frombuffer(data, np.int8))
                if not event["unfinished"]:
                    yield TraceTensor("update", layer, np.concatenate(updates))
                    updates = []
                    yield TraceTensor(learned, layer, self.tensor(learned.upper(), layer))

    def _made_by(self, layer: int) -> Iterator[TraceTensor]:
        """What the forward operation of a layer made; a pair makes what its pool would."""
        known, method = self._network, self._method
        pair = known is not None and method is not None and fused(known, method)[layer]
        made = self.tensor("ACTIVATION", layer + pair)
        yield TraceTensor("activation", layer + pair, made)
        if pair:
            places = unpacked(self.tensor("PLACES", layer).view(np.uint8), made.size)
            yield TraceTensor("places", layer, places)

    def trace_next(self, bare: bool = False) -> Any:
        """The next operation of a traced step: struct pt_event. `bare`: without its updates."""
        response = self.command("TRACE_NEXT", [bare])["response"].tobytes()
        return np.frombuffer(response, self._elf.dtype("pt_event"), count=1)[0]

    def operation_name(self, event: Any) -> str:
        """The C name of an event's operation, e.g. "PT_FORWARD"."""
        return self._operations(int(event["kind"])).name

    def tensor(self, kind: str, layer: int) -> Int8:
        """A whole tensor as int8, flat, read through the io window."""
        number = self._tensors[f"PT_TENSOR_{kind}"]
        layer = whole_number("the layer", layer)
        address, room = self.window("IO")
        size = int(self.command("READ_TENSOR", [number, layer, 0, 0])["response"][0])
        pieces = []
        for offset in range(0, size, room):
            count = min(room, size - offset)
            served = self.command("READ_TENSOR", [number, layer, offset, count])
            pieces.append(self._target.read(address, count))
            self._passed(pieces[-1], served)
        return np.frombuffer(b"".join(pieces), np.int8)

    def write_tensor(self, kind: str, layer: int, offset: int, values: Int8) -> None:
        """Overwrite part of the weights or scores; what is not allowed the device refuses."""
        self.write_window("IO", values.tobytes())
        number = self._tensors[f"PT_TENSOR_{kind}"]
        served = self.command("WRITE_TENSOR", [number, layer, offset, values.size])
        self._passed(values.tobytes(), served)

    def weights(self, layer: int) -> Int8:
        return self.tensor("WEIGHTS", layer)

    def scores(self, layer: int) -> Int8:
        if not self._scored or self._untouched(layer):
            return np.zeros(0, np.int8)
        return self.tensor("SCORES", layer)

    @property
    def _scored(self) -> bool:
        return self._method is not None and self._method.scored

    def _untouched(self, layer: int) -> bool:
        """It has rows, of which none is selected."""
        layer = whole_number("the layer", layer)
        if self._in_force is None or not 0 <= layer < len(self._in_force.rows):
            return False
        return self._in_force.rows[layer] is not None and not self._in_force.count(layer)

    def put_weights(self, layer: int, values: Int8) -> None:
        self._put("weights", layer, values)

    def put_scores(self, layer: int, values: Int8) -> None:
        self._put("scores", layer, values)

    def _put(self, what: str, layer: int, values: Int8) -> None:
        """In pieces that fit the io window."""
        layer = whole_number("the layer", layer)
        number = self._tensors["PT_TENSOR_WEIGHTS"]
        size = int(self.command("READ_TENSOR", [number, layer, 0, 0])["response"][0])
        if what == "scores" and self._scored:
            number = self._tensors["PT_TENSOR_SCORES"]
            size = int(self.command("READ_TENSOR", [number, layer, 0, 0])["response"][0])
        given = checked_learned(self._method, self._in_force, what, values, size)
        _, room = self.window("IO")
        for offset in range(0, size, room):
            self.write_tensor(what.upper(), layer, offset, given[offset : offset + room])

    @property
    def has_made_head(self) -> bool:
        return self._head

    def scored_edges(self, layer: int) -> NDArray[np.int64]:
        if not self._scored or self._untouched(layer):
            return np.zeros(0, np.int64)
        every = self._method is not None and self._method.name == "priot"
        if every and self._in_force is None:
            return np.arange(self.tensor("SCORES", layer).size, dtype=np.int64)
        bitmap = self.tensor("BITMAP", layer)  # refused where the layer has none
        assert self._network is not None
        geometry = self._network.layers[layer]
        rows = bitmap.view(np.uint8).reshape(geometry.rows, -1)
        bits = np.unpackbits(rows, axis=1, bitorder="little")[:, : geometry.row_length]
        return np.flatnonzero(bits)

    def set_selection(self, selection: Selection | None) -> None:
        if self._network is not None:
            check_selection(self._network, selection)
        if self.window("MODEL")[1]:
            self.command("SET_SELECTION")  # refuses: a model is missing
        if not self.window("IO")[1]:
            self.set_method(Method("infer"))  # which opens the window that bits go through
        bits = b"" if selection is None else selection.pack()
        self.write_window("IO", bits)
        self.command("SET_SELECTION", [len(bits)])
        self._selection = selection
        if self._method is not None and (self._method.changes_weights or self._method.scored):
            self._method = None  # which another selection ends

    def selection(self) -> Selection | None:
        if self._selection is None or self._network is None or not self.window("IO")[1]:
            return self._selection  # without a method the device shows none
        return self._read_selection(self._network)

    def _read_selection(self, network: Network) -> Selection:
        """The device's, which has one."""
        layers = [i for i, layer in enumerate(network.layers) if layer.has_weights]
        bits = b"".join(self.tensor("SELECTION", index).tobytes() for index in layers)
        return Selection.unpack(network, bits)

    def fisher(self) -> Information:
        check_gathered(self._method, "fisher", "its information is read")
        assert self._network is not None
        return tuple(
            self.tensor("FISHER", index).view(f"{self._elf.order}u8") if layer.has_weights else None
            for index, layer in enumerate(self._network.layers)
        )

    def make_head(self) -> None:
        check_gathered(self._method, "prototype", "a head is made")
        self.command("MAKE_HEAD")
        self._method, self._head = None, True

    def select(
        self,
        solver: Solver,
        permille: int,
        budget_bytes: int,
        budget_macs: int,
        method: MethodName,
    ) -> Selected:
        check_gathered(self._method, "fisher", "rows are selected")
        check_search(solver, permille, budget_bytes, budget_macs, method)
        assert self._network is not None
        job = [
            int(self._elf.enum("pt_solver")[_SOLVERS[solver]]),
            *(permille, budget_bytes, budget_macs),
            int(self._elf.enum("pt_method_kind")[METHOD_KINDS[method]]),
        ]
        size, macs, *_ = self.command("SELECT", job, _SELECT_SECONDS)["response"]
        self._selection = self._read_selection(self._network)
        return Selected(self._selection, int(size), int(macs))

    def saturation(self) -> NDArray[np.int64]:
        if not self.window("SATURATION")[1]:
            self.command("CLEAR_SATURATION")  # refuses: a model or a method is missing
        counts = np.frombuffer(self.read_window("SATURATION"), self._elf.dtype("pt_saturation"))
        return np.stack([counts[name] for name in ("forward", "error", "update")], axis=1).astype(
            np.int64
        )

    def clear_saturation(self) -> None:
        self.command("CLEAR_SATURATION")

    def checkpoint(self) -> bytes:
        """The state that learns, as the device describes it."""
        size = int(self.command("CHECKPOINT")["response"][0])
        return self._target.read(self.window("IO")[0], size)

    def restore(self, data: bytes) -> None:
        if not self.window("IO")[1]:
            self.command("RESTORE", [len(data)])  # refuses: a model or a method is missing
        self.write_window("IO", data)
        self.command("RESTORE", [len(data)])

    def plan(self) -> Any:
        """struct pt_plan as a NumPy record."""
        return np.frombuffer(self.read_window("PLAN"), self._elf.dtype("pt_plan"))[0]

    def memory(self) -> Memory:
        memory = self.command("INFO")["memory"]
        on_board = memory["code"] != 0
        activations, scratch = split_transient(int(memory["transient"]), int(memory["activations"]))
        return Memory(
            code=int(memory["code"]) if on_board else None,
            statics=int(memory["statics"]) if on_board else None,
            stack=int(memory["stack_used"]) if on_board else None,
            weights=int(memory["weights"]),
            model_table=int(memory["blob"] - memory["weights"]),
            scores=int(memory["scores"]),
            activations=activations,
            scratch=scratch,
            batch=int(memory["io_minimum"]),
            model_in_flash=int(memory["blob_in_flash"]),
        )

    def blocks(self) -> list[BlockCount] | None:
        return self._counting.blocks(self._target.profile())

    def calls(self) -> list[CallNode] | None:
        """The call tree; all its cycles are those of `blocks()`, as waiting costs nothing here."""
        return self._counting.calls(self._target.calls())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._target.close()
