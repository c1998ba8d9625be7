"""The networks that are made smaller, what they learn, and within which limits.

Epochs are our choice: what two cores can train in hours. Limits are too: from a half of what the
whole network takes to a tenth, of RAM as near as the least that one channel a layer takes allows;
of VGG11's flash from a twentieth to a two-hundredth, and flash alone: what a Pico's holds, and the
eightieth that the paper names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from picotrain import datasets
from picotrain.datasets import Dataset
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.float_pretrain import suited
from picotrain.learn.floating.training import FloatOptions
from picotrain.places import SHIPPED
from picotrain.shrink.depth import training
from picotrain.shrink.pruning import prune
from picotrain.shrink.pruning.made import Asked
from picotrain.shrink.pruning.prune import METHODS, PruneMethod

SEEDS = 3
NETWORKS = SHIPPED / "experiments" / "networks"


@dataclass(frozen=True)
class Task:
    """A network, by name or file, and what it learns. `warm`: epochs of the whole network; `tune`:
    those while channels go and after; `cut`: those behind a cut, of these `cuts`; without any there
    is no depth pruning. It adapts to data set `adapts_to`, turned by `angle` (None: as it is): so
    many `samples` (None: as `adapt`) for `adapt` epochs, in `orders` orders, of each of which the
    samples are its own. `images`: so many of a split, the first, are all that is used of it; it is
    trained `seeds` times anew, and pruned by these `methods`. `steps`: the images of one, and their
    largest size, of which what follows warm-up has a half; None for those of `pretrain`."""

    name: str
    model: str
    dataset: str
    warm: int
    tune: int
    limits: tuple[tuple[str, Asked], ...]
    adapts_to: str
    cut: int = 0
    cuts: tuple[str, ...] = ()
    angle: float | None = None
    samples: int | None = None
    adapt: int = 5
    orders: int = 3
    images: Mapping[str, int] = field(default_factory=dict)
    seeds: int = SEEDS
    methods: tuple[PruneMethod, ...] = METHODS
    steps: tuple[int, float] | None = None

    @property
    def network(self) -> str:
        """What `model` is called."""
        return Path(self.model).stem

    @property
    def limit(self) -> str:
        """The limits of the network that is cut too, and that adapts."""
        return self.limits[1][0]

    def load(self) -> tuple[Architecture, Dataset]:
        architecture, dataset = models.resolve(self.model), datasets.load(self.dataset)
        models.check_fit(architecture, dataset)
        fewer = {name: dataset.splits[name].take(np.arange(n)) for name, n in self.images.items()}
        return architecture, replace(dataset, splits={**dataset.splits, **fewer})

    def warming(self, dataset: Dataset, seed: int) -> FloatOptions:
        base = suited(dataset)
        batch, rate = self.steps or (base.batch, base.rate)
        return replace(base, int8_epochs=0, seed=seed, epochs=self.warm, batch=batch, rate=rate)

    def tuning(self, dataset: Dataset, seed: int) -> FloatOptions:
        rate = prune.RATE if self.steps is None else self.steps[1] / 2
        return replace(self.warming(dataset, seed), epochs=self.tune, rate=rate)

    def cutting(self, dataset: Dataset, seed: int) -> FloatOptions:
        warm = self.warming(dataset, seed)
        return replace(warm, epochs=self.cut, rate=training.RATE, decay=0.0)


SPEECH = Task(
    "speech",
    "ds-cnn",
    "spoken-digits-without-theo",
    warm=30,
    tune=20,
    limits=(
        ("loose", Asked(flash=15_000, ram=19_000, ms=44)),
        ("middle", Asked(flash=7_500, ram=14_000, ms=22)),
        ("tight", Asked(flash=4_000, ram=11_500, ms=11)),
    ),
    cut=20,
    cuts=("layer2", "layer4", "layer6"),
    adapts_to="spoken-digits-theo",
)
PICTURES = Task(
    "pictures",
    "mobilenet-v1-32",
    "cifar10",
    warm=10,
    tune=6,
    limits=(
        ("loose", Asked(flash=120_000, ram=24_000, ms=80)),
        ("middle", Asked(flash=50_000, ram=19_500, ms=40)),
        ("tight", Asked(flash=20_000, ram=17_000, ms=22)),
    ),
    cut=3,
    cuts=("layer12", "layer16"),
    adapts_to="cifar10",
    angle=30,
)
RESIDUAL = Task(
    "residual",
    "resnet8",
    "cifar10",
    warm=8,
    tune=4,
    limits=(
        ("loose", Asked(flash=41_000, ram=45_000, ms=200)),
        ("middle", Asked(flash=20_000, ram=32_000, ms=100)),
        ("tight", Asked(flash=7_000, ram=23_000, ms=45)),
    ),
    adapts_to="cifar10",
    angle=30,
)
DEEP = Task(
    "deep",
    str(NETWORKS / "vgg11-affine.toml"),
    "cifar10",
    warm=6,
    tune=8,
    limits=(
        ("loose", Asked(flash=460_000, ram=42_500, ms=240)),
        ("middle", Asked(flash=115_000, ram=28_000, ms=80)),
        ("tight", Asked(flash=46_000, ram=21_000, ms=40)),
        ("flash a 9th", Asked(flash=1_048_576)),
        ("flash an 80th", Asked(flash=115_000)),
    ),
    adapts_to="cifar10",
    angle=30,
    images={"train": 4_000, "validation": 1_000, "test": 2_000},
    seeds=3,
    methods=("gates", "magnitude"),
    steps=(64, 0.01),
)
"""Its epoch of all images takes 7 minutes of a core: hence its few images, and so small batches
that an epoch still has 62 steps. Its norms do not follow the batch: at the step size of `pretrain`
it comes to rest where it is right on 43 % of the validation images, here on 62 %."""
SMALL = Task(
    "digits",
    str(NETWORKS / "digits-graph.toml"),
    "digits",
    warm=2,
    tune=2,
    limits=(("loose", Asked(flash=9_000)), ("tight", Asked(flash=5_000, ram=12_000, ms=8))),
    cut=1,
    cuts=("sum",),
    adapts_to="digits",
    angle=30,
    samples=32,
    adapt=1,
    orders=1,
    seeds=1,
)
"""The small version's: its numbers mean nothing."""
TASKS = {task.name: task for task in (SPEECH, PICTURES, RESIDUAL, DEEP)}
