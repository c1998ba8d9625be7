"""Where a run begins: at the backbone, or at what an earlier one learned."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from picotrain.datasets import Split
from picotrain.errors import UserError, must_be
from picotrain.learn.field.state import State
from picotrain.learn.models import network_sha256
from picotrain_golden import Network

if TYPE_CHECKING:
    from picotrain.learn.adapt import AdaptResult, Task

_COPIED: tuple[str, ...] = (
    "dataset",
    "angle",
    "seed",
    "epochs",
    "train_samples",
    "replay_samples",
    "test_samples",
)
_COPIED += ("evaluated_on", "accuracy_before", "upright_before", "history", "saturation")
_WENT_BEFORE = ("accuracy_before", "upright_before", "history", "saturation")


@dataclass
class Beginning:
    """`epochs` of this run are done. `evaluates` says what is evaluated before the first epoch:
    nothing, where `before` has it."""

    stream: str
    evaluation: str
    epochs: int = 0
    evaluates: Literal["backbone", "state", ""] = "backbone"
    before: dict[str, Any] = field(default_factory=dict)
    step_sizes: list[int] = field(default_factory=list)

    def put_into(self, result: AdaptResult) -> None:
        """What came of the epochs that are done, where they were evaluated on the same images."""
        for name in _WENT_BEFORE if self.before else ():
            setattr(result, name, deepcopy(self.before[name]))

    def in_words(self, source: str, planned: list[int]) -> str:
        """How a run begins with a state; `planned` are the step sizes of all its epochs."""
        if self.evaluates == "state":
            return f"begins with what {source} has learned; the images, or their order, are new"
        line = f"goes on from {source}: epoch {self.epochs + 1} of {len(planned)}"
        if planned[: self.epochs] != self.step_sizes:
            were, are = (
                ",".join(map(str, sizes)) for sizes in (self.step_sizes, planned[: self.epochs])
            )
            line += (
                f"; mu was {were} so far, where one run of {len(planned)} epochs has {are}, so the "
                "end is not the same as of that run"
            )
        return line

    def run(self, result: AdaptResult) -> dict[str, Any]:
        """What a state keeps of the run: nothing of the target, so that it is the same on all."""
        return {
            **{name: deepcopy(getattr(result, name)) for name in _COPIED},
            "calibration": result.options["calibration"],
            "step_sizes": list(self.step_sizes),
            "stream_sha256": self.stream,
            "evaluation_sha256": self.evaluation,
        }


def network_to_train(state: State, backbone: Network, configured: Network | None) -> Network:
    """That of the state; `configured` is what the user's options make of the backbone, if there
    are any. UserError where they make another one."""
    must_be("what to resume", state, State, 'give what load_state("state.npz") returns')
    network = state.network_of(backbone)
    if configured is not None and network_sha256(configured) != state.network_sha256:
        raise UserError(
            f"{state.source} was learned with other static numbers than these options make; leave "
            "--calibration, --logits-exponent and --layer-mu out, as the state has them"
        )
    return network


def beginning(
    state: State | None, task: Task, seed: int, epochs: int, retention: bool
) -> Beginning:
    """Of a run that shows these images in the order of this seed. UserError where it has none of
    its epochs left."""
    upright = task.upright if retention else None
    made = Beginning(_digest(seed, task.train), _digest(seed, task.test, upright))
    if state is None:
        return made
    if state.run.get("stream_sha256") != made.stream:
        made.evaluates = "state"
        return made
    if state.epochs >= epochs:
        raise UserError(
            f"{state.source} has {state.epochs} epochs done, and {epochs} are asked for; give "
            f"--epochs {state.epochs + 1} or more, which counts those that are done"
        )
    made.epochs = state.epochs
    made.step_sizes = list(state.run["step_sizes"])
    if state.run["evaluation_sha256"] == made.evaluation:
        made.evaluates, made.before = "", state.run
    return made


def _digest(seed: int, *splits: Split | None) -> str:
    digest = hashlib.sha256(str(seed).encode())
    for split in splits:
        if split is not None:
            digest.update(str(split.images.shape).encode())
            digest.update(split.images.tobytes() + split.labels.tobytes())
    return digest.hexdigest()
