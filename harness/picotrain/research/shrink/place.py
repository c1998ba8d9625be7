"""Where a task and a seed keep what is finished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from picotrain.research.shrink.tasks import Task


@dataclass(frozen=True)
class Place:
    """`target` measures."""

    task: Task
    seed: int
    folder: Path
    target: str

    def path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{self.task.name}-{self.seed}" / f"{name}{suffix}"


def quiet(_: object) -> None:
    """Processes side by side say nothing."""
