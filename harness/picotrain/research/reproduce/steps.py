"""The steps of `picotrain reproduce`: sweeps, costs, traces. Each leaves one or more files in the
folder of results, from which the page is made; what is finished is not run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.output import write_json
from picotrain.places import IN_CHECKOUT, MADE_BACKBONES, RESULTS, SHIPPED
from picotrain.research.fewshot import measure as fewshot
from picotrain.research.keywords import measure as keywords
from picotrain.research.reproduce import backbones, collapse, costs, horizon
from picotrain.research.reproduce.results import Frame, condensed
from picotrain.research.shrink import measure as smaller
from picotrain.research.shrink.page import file_of
from picotrain.research.shrink.tasks import SMALL, TASKS
from picotrain.research.sweep.grid import load_grid
from picotrain.research.sweep.results import write_results
from picotrain.research.sweep.run import CELLS, Store, frame, plan, sweep
from picotrain.research.watch import measure as watch

EXPERIMENTS = SHIPPED / "experiments"
_MADE = MADE_BACKBONES.relative_to(SHIPPED) if IN_CHECKOUT else MADE_BACKBONES
_CIFAR10 = (
    f"it needs the data set cifar10 and {_MADE}/vgg11-cifar10.npz, which "
    f"`{models.to_make('vgg11', 'cifar10')}` makes with PyTorch"
)
_SPEECH = (
    "it needs the data set fsdd and its six backbones, which "
    f"`{models.to_make(models.DEFAULT, 'fsdd-SPEAKER')}` makes"
)
_KEYWORDS = (
    "it needs the data set fsdd, MLPerf Tiny's kws_ref_model.tflite, the package tflite, QEMU and "
    "the ARM compiler"
)
_WATCH = "it needs the data set watch, PyTorch (extra train), QEMU and the ARM compiler"
_FEWSHOT = (
    'it needs the data sets of docs/data.md, "Domains of few-shot tasks", QEMU and the ARM compiler'
)
_TRAINED = "PyTorch (extra train), QEMU and the ARM compiler"
_SMALLER_DIGITS = f"it needs the data set fsdd, {_TRAINED}"
_SMALLER_PHOTOGRAPHS = f"it needs the data set cifar10, {_TRAINED}"
_BACKBONES = f"it describes what is in {_MADE}"


@dataclass(frozen=True)
class Workplace:
    """Where the steps of a full or a small run find their grids and leave what they make."""

    small: bool
    grids: Path
    results: Path
    page: Path
    jobs: int | None = None
    cells: Path = CELLS
    keep_stale: bool = False

    @property
    def figures(self) -> Path:
        return self.page.parent / "figures"

    @property
    def sparse_page(self) -> Path:
        """Of sparse updates, beside the page of results."""
        return self.page.with_name("tinytrain.md")

    @property
    def smaller_page(self) -> Path:
        """Of smaller networks."""
        return self.page.with_name("smaller.md")

    @property
    def dataset(self) -> str:
        """What costs and traces are measured on."""
        return "digits" if self.small else "mnist"

    def csv(self, sweep: str) -> Path:
        return self.results / f"{sweep}.csv"

    def json(self, name: str) -> Path:
        return self.results / f"{name}.json"


def full() -> Workplace:
    """In a checkout the committed results and their page; installed, a folder of the user's."""
    if not IN_CHECKOUT:
        folder = RESULTS / "reproduce"
        return Workplace(False, EXPERIMENTS, folder / "results", folder / "results.md")
    return Workplace(False, EXPERIMENTS, EXPERIMENTS / "results", SHIPPED / "docs" / "results.md")


def small(folder: Path = RESULTS / "reproduce-fast") -> Workplace:
    return Workplace(True, EXPERIMENTS / "fast", folder / "results", folder / "results.md")


@dataclass(frozen=True)
class Step:
    """`run` raises UserError where something that it needs is not there.

    `needs` says what that can be, for the page; `large` steps need so much that the small version
    leaves them out. `histories`: every epoch is kept, not only those before, best and last.
    """

    name: str
    what: str
    run: Callable[[Workplace, Step], None]
    needs: str = ""
    histories: bool = False
    large: bool = False


def _sweep(place: Workplace, step: Step) -> None:
    rows = _rows(place, step)
    write_results(place.csv(step.name), rows if step.histories else condensed(rows))


def _runs(place: Workplace, step: Step) -> None:
    """A sweep of which every epoch is kept, but little of each."""
    horizon.write(place.json(step.name), _rows(place, step))


def _rows(place: Workplace, step: Step) -> Frame:
    grid = place.grids / f"{step.name}.toml"
    if not grid.is_file():
        raise UserError(f"there is no {grid.name} in {grid.parent.name}")
    jobs = plan(load_grid(grid))
    store = Store(place.cells, place.keep_stale)
    errors = sweep(jobs, store, place.jobs)
    if errors:
        digest, error = next(iter(errors.items()))
        raise UserError(f"{len(errors)} of {len(jobs)} cells failed, {digest} first: {error}")
    return frame(jobs, store)


def _costs(place: Workplace, step: Step) -> None:
    write_json(place.json(step.name), costs.measure(place.dataset, 8 if place.small else 256))


def _keywords(place: Workplace, step: Step) -> None:
    write_json(place.json(step.name), keywords.measure(place.jobs))


def _watch(place: Workplace, step: Step) -> None:
    measure = watch.measure_small if place.small else watch.measure
    write_json(place.json(step.name), measure(place.jobs))


def _fewshot(place: Workplace, step: Step) -> None:
    for name, content in fewshot.measure(place.small, place.jobs):
        write_json(place.json(f"{step.name}-{name}"), content)


def _smaller(place: Workplace, step: Step) -> None:
    task = SMALL if place.small else TASKS[step.name.removeprefix("smaller-")]
    found = smaller.measure(task, task.seeds, processes=place.jobs)
    write_json(place.results / file_of(task.name), found)


def _backbones(place: Workplace, step: Step) -> None:
    write_json(place.json(step.name), backbones.collect())


def _collapse(place: Workplace, step: Step) -> None:
    for run in collapse.RUNS:
        images = 192 if place.small else None
        name = f"{step.name}-{run.name}"
        write_json(place.json(name), collapse.measure(run, place.dataset, images))


_STEPS = (
    Step("choose-30", "exponents and step sizes at 30 degrees, on validation images", _sweep),
    Step("choose-45", "exponents and step sizes at 45 degrees, on validation images", _sweep),
    Step("table1-mnist", "Table 1, MNIST", _sweep),
    Step("horizon", "60 epochs by exponent and step size, on validation images", _runs),
    Step("lasting", "Figure 3: static NITI and PRIOT over 60 epochs", _runs),
    Step("map", "exponent by calibration rule by step size, for every method", _runs),
    Step("ablation", "PRIOT, one thing changed at a time", _sweep),
    Step("collapse", "Figure 2: static NITI's collapse, traced", _collapse),
    Step("costs", "Table 2: cycles and bytes", _costs, "it needs QEMU and the ARM compiler"),
    Step("backbones", "backbones that are not committed", _backbones, _BACKBONES, large=True),
    Step(
        "speech-choose", "exponents and step sizes for spoken digits", _sweep, _SPEECH, large=True
    ),
    Step("speech", "spoken digits", _sweep, _SPEECH, large=True),
    Step("keywords", "an imported keyword spotter adapts", _keywords, _KEYWORDS, large=True),
    Step("watch", "a watch gets to know its wearer", _watch, _WATCH),
    Step("fewshot", "sparse updates on few-shot tasks", _fewshot, _FEWSHOT),
    Step("smaller-speech", "a keyword spotter made smaller", _smaller, _SMALLER_DIGITS),
    *(
        Step(f"smaller-{name}", what, _smaller, _SMALLER_PHOTOGRAPHS, large=True)
        for name, what in (
            ("pictures", "MobileNet made smaller"),
            ("residual", "ResNet8 made smaller"),
            ("deep", "VGG11 made smaller, eighty times and more"),
        )
    ),
    Step(
        "choose-cifar10",
        "step sizes of VGG11, on validation images",
        _sweep,
        _CIFAR10,
        large=True,
    ),
    Step("table1-cifar10", "Table 1, CIFAR-10", _sweep, _CIFAR10, histories=True, large=True),
)
STEPS = {step.name: step for step in _STEPS}


def choose(names: list[str] | None) -> list[Step]:
    """The steps of these names, or all; what is no name means all that begin with it and a hyphen,
    as `smaller`. UserError for an unknown name."""
    chosen = set() if names else {*STEPS}
    for name in names or []:
        found = [one for one in STEPS if one == name] or [
            one for one in STEPS if one.startswith(f"{name}-")
        ]
        if not found:
            raise UserError(
                f"unknown step {name!r}; use {', '.join(STEPS)}, or how the names of several begin "
                "before a hyphen, as smaller for all of smaller-"
            )
        chosen.update(found)
    return [step for name, step in STEPS.items() if name in chosen]


def run(steps: list[Step], place: Workplace, say: Callable[[str], None]) -> dict[str, str]:
    """Run the steps; returns why of those that could not run, by name. Others go on."""
    missing: dict[str, str] = {}
    for step in steps:
        say(f"{step.name}: {step.what}")
        try:
            if place.small and step.large:
                raise UserError(f"the small version leaves it out: {step.needs}")
            step.run(place, step)
        except UserError as error:
            missing[step.name] = str(error)
            say(f"{step.name} did not run: {error}")
    return missing
