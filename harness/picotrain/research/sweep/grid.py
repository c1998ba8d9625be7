"""The grid: a TOML file whose lists are axes; every cell is one adaptation (docs/sweep.md).

Everything is checked here, before the first cell runs. Raises UserError, one sentence that names
the file, the table, the key, the value and the fix.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

from picotrain import datasets, inputs
from picotrain.datasets import Dataset
from picotrain.device import backends
from picotrain.device.blob import blob_size
from picotrain.device.given import check_form, check_trains
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.learn import calibration, logits, methods, models
from picotrain.learn.adapt import SAMPLES, SPLITS, AdaptOptions
from picotrain.learn.turning import MOST, angle_of
from picotrain_golden import LEAST_LOGITS_EXPONENT, Method, Network, plan
from picotrain_golden.generator import Select
from picotrain_golden.method import Start, check_mu

METHODS = methods.NAMES[1:]
_RESIZABLE = ("host", "golden")

USED_BY = {
    "calibration": ("niti-static", "priot", "priot-s"),
    "threshold": ("priot", "priot-s"),
    "start": ("priot", "priot-s"),
    "scored": ("priot-s",),
    "select": ("priot-s",),
}
"""Options that only some methods use; for the others they are set to the default."""


@dataclass(frozen=True)
class Cell:
    """One adaptation. `mu`, `layer_mu` and `logits_exponent` are texts; `seed` draws the images,
    their order, scores.

    `model` is the name of the network, `backbone` the file that it is read from. `ram_kib` of None
    is what a Pico has left. Options that the method does not use have their default.
    """

    label: str
    dataset: str
    model: str
    angle: float
    method: str
    mu: str
    calibration: str
    logits_exponent: str
    threshold: int
    start: str
    scored: float
    select: str
    easy: int
    layer_mu: str
    replay: float
    retention: bool
    epochs: int
    train_samples: int
    test_samples: int
    split: str
    seed: int
    backbone: Path
    target: str
    kernels: str | None
    ram_kib: int | None

    def training_method(self) -> Method:
        """What `picotrain.learn.adapt` takes. Raises UserError for values out of range."""
        options = argparse.Namespace(
            mu=self.mu,
            threshold=self.threshold,
            scored=self.scored,
            select=self.select,
            start=self.start,
            easy=self.easy,
            seed=self.seed,
        )
        return methods.from_options(options, self.method)

    @property
    def read_with(self) -> int | None:
        """The exponent of the logits; None: the backbone's own."""
        return int(self.logits_exponent) if self.logits_exponent else None

    @property
    def layer_mus(self) -> tuple[int, ...]:
        return methods.layer_mu(self.layer_mu)


# Values of one key


@dataclass(frozen=True)
class _Key:
    """`read` returns the value in its one form, or raises ValueError; `use` is the advice."""

    read: Callable[[Any], Any]
    use: str
    axis: bool = True


def _require(fine: bool) -> None:
    if not fine:
        raise ValueError


def _text(value: Any) -> str:
    _require(isinstance(value, str) and bool(value.strip()) and "\n" not in value)
    return str(value)


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        _require(type(value) is int and low <= value <= high)
        return int(value)

    return read


def _number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        _require(type(value) in (int, float) and math.isfinite(value) and low <= value <= high)
        return float(value) + 0.0  # -0.0 is 0.0

    return read


def _choice(names: tuple[str, ...]) -> _Key:
    def read(value: Any) -> str:
        _require(isinstance(value, str) and value in names)
        return str(value)

    return _Key(read, f"one of {', '.join(names)}")


def _flag(value: Any) -> bool:
    _require(isinstance(value, bool))
    return bool(value)


def _numbers(value: Any) -> tuple[int, ...]:
    _require(isinstance(value, str))
    return tuple(int(part) for part in value.split(","))


def _schedule(value: Any) -> str:
    steps = _numbers(value)
    for step in steps:
        check_mu(step)
    return ",".join(map(str, steps))


def _logits_exponent(value: Any) -> str:
    return str(_whole(LEAST_LOGITS_EXPONENT, logits.GREATEST)(value))


def _layer_mu(value: Any) -> str:
    if value == "":
        return ""
    steps = _numbers(value)
    _require(all(-31 <= step <= 31 for step in steps))
    return ",".join(map(str, steps)) if any(steps) else ""


KEYS = {
    "label": _Key(_text, "one line of text", axis=False),
    "dataset": _Key(_text, datasets.CHOICES),
    "model": _Key(_text, "the name of a network or the path of a TOML file"),
    "backbone": _Key(_text, "the path of a backbone (.npz)"),
    "method": _choice(METHODS),
    "angle": _Key(_number(-MOST, MOST), f"degrees from {-MOST} to {MOST}"),
    "calibration": _choice((calibration.SHIPPED, *calibration.RULES)),
    "logits_exponent": _Key(
        _logits_exponent, f"a whole number from {LEAST_LOGITS_EXPONENT} to {logits.GREATEST}"
    ),
    "mu": _Key(_schedule, 'a schedule as text, each value from -8 to 7, e.g. "3" or "5,4,3,2"'),
    "threshold": _Key(_whole(-127, 127), "a whole number from -127 to 127"),
    "start": _choice(get_args(Start)),
    "scored": _Key(_number(0.001, 1), "a share from 0.001 to 1, e.g. 0.1 for 10 %"),
    "select": _choice(get_args(Select)),
    "easy": _Key(_whole(0, 4095), "a whole number from 0 to 4095"),
    "layer_mu": _Key(
        _layer_mu, 'text, one number from -31 to 31 per layer with weights, e.g. "0,0,1,0"'
    ),
    "replay": _Key(_number(0, 1), "a share from 0 to 1"),
    "retention": _Key(_flag, "true or false"),
    "epochs": _Key(_whole(1, 100_000), "a whole number from 1"),
    "train_samples": _Key(_whole(1, 1 << 31), "a whole number from 1"),
    "test_samples": _Key(_whole(1, 1 << 31), "a whole number from 1"),
    "split": _choice(SPLITS),
    "target": _Key(_text, f"one of {', '.join(backends.NAMES[:-1])}"),
    "kernels": _Key(_text, "the name of a set of kernels"),
    "ram_kib": _Key(_whole(1, 1 << 22), "a whole number of KiB"),
    "seeds": _Key(_whole(0, (1 << 32) - 1), "whole numbers from 0 to 2^32 - 1"),
}
"""In the order of the axes: the last one, `seeds`, varies fastest."""


# Files


def load_grid(path: Path) -> list[Cell]:
    """The cells of a grid file: table after table, the axes in the order of KEYS."""
    document = inputs.read_toml(path)
    for key in document:
        if key not in ("base", "grid"):
            raise UserError(f"{path}: unknown key {key!r}; use [base] and [[grid]]")
    base, grids = document.get("base", {}), document.get("grid")
    if not isinstance(base, dict):
        raise UserError(f"{path}: base is {base!r}; write it as a table, [base]")
    if not isinstance(grids, list) or not grids or not all(isinstance(g, dict) for g in grids):
        raise UserError(f"{path}: there is no [[grid]]; write at least one such table")
    shared = _axes(f"{path}: [base]", base)
    cells: list[Cell] = []
    seen: dict[Cell, str] = {}
    for number, table in enumerate(grids, start=1):
        where = f"{path}: [[grid]] {number}"
        for values in _product({**shared, **_axes(where, table)}):
            cell = _cell(where, values)
            if cell in seen:
                raise UserError(_duplicate(where, seen[cell], cell, values))
            seen[cell] = where
            cells.append(cell)
    _distinguishable(path, cells)
    return cells


def _axes(where: str, table: dict[str, Any]) -> dict[str, list[Any]]:
    """Every key with the list of its values, each in its one form."""
    axes: dict[str, list[Any]] = {}
    for key, given in table.items():
        kind = KEYS.get(key)
        if kind is None:
            raise UserError(f"{where}: unknown key {key!r}; use {', '.join(KEYS)}")
        if isinstance(given, list) and not kind.axis:
            raise UserError(f"{where}: {key} is {given!r}; use {kind.use}, not a list")
        values = given if isinstance(given, list) else [given]
        if not values:
            raise UserError(f"{where}: {key} is an empty list; give it a value, or leave it out")
        axes[key] = []
        for value in values:
            try:
                read = kind.read(value)
            except ValueError:
                raise UserError(f"{where}: {key} is {value!r}; use {kind.use}") from None
            if read in axes[key]:
                raise UserError(f"{where}: {key} has {value!r} twice; leave one of them out")
            axes[key].append(read)
    return axes


def _product(axes: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    keys = [key for key in KEYS if key in axes]
    for values in product(*(axes[key] for key in keys)):
        yield dict(zip(keys, values, strict=True))


# Cells


def _cell(where: str, given: dict[str, Any]) -> Cell:
    """The cell of these values, with the defaults of `picotrain adapt`, checked as a whole."""
    name = given.get("method", methods.DEFAULT.name)
    defaults = methods.make(name)
    used = {key: value for key, value in given.items() if name in USED_BY.get(key, METHODS)}
    dataset_name = given.get("dataset", datasets.DEFAULT)
    # Before the data set: what cannot train fits none.
    if "backbone" in given:
        _load(where, inputs.named(given["backbone"]).resolve())
    dataset = _found(where, "dataset", dataset_name, load_dataset)
    model, backbone, network = _backbone(where, given, dataset_name)
    _fit(where, network, dataset)
    split = used.get("split", AdaptOptions.evaluate_on)
    try:
        angle = angle_of(dataset, used.get("angle"))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    train = _count(where, used, "train_samples", dataset, "train")
    test = _count(where, used, "test_samples", dataset, split)
    replay = used.get("replay", AdaptOptions.replay)
    if round(replay * train) > len(dataset.train):
        raise UserError(
            f"{where}: replay is {replay:g}, {round(replay * train)} upright images, but data set "
            f"{dataset_name} has {len(dataset.train)}; use a smaller share"
        )
    target, kernels, ram_kib = _device(where, used)
    cell = Cell(
        label=used.get("label", name),
        dataset=dataset_name,
        model=model,
        angle=angle,
        method=name,
        mu=used.get("mu", ",".join(map(str, defaults.schedule))),
        calibration=_rule(used),
        logits_exponent=used.get("logits_exponent", ""),
        threshold=used.get("threshold", defaults.theta),
        start=used.get("start", defaults.start),
        scored=used.get("scored", defaults.permille / 1000),
        select=used.get("select", defaults.select),
        easy=used.get("easy", defaults.easy),
        layer_mu=used.get("layer_mu", ""),
        replay=replay,
        retention=used.get("retention", AdaptOptions.retention),
        epochs=used.get("epochs", AdaptOptions.epochs),
        train_samples=train,
        test_samples=test,
        split=split,
        seed=used.get("seeds", AdaptOptions.seed),
        backbone=backbone,
        target=target,
        kernels=kernels,
        ram_kib=ram_kib,
    )
    try:
        check_form(network, cell.training_method())
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    _check_layer_mu(where, cell, network)
    _check_logits(where, cell, network)
    _check_memory(where, cell)
    return cell


def _rule(used: dict[str, Any]) -> str:
    """Of calibration. Another exponent of the logits asks for other numbers than the shipped."""
    rule: str = used.get("calibration", calibration.SHIPPED)
    anew = "logits_exponent" in used and rule == calibration.SHIPPED
    return calibration.FAIR if anew else rule


def _found(where: str, key: str, value: str, load: Callable[[str], Any]) -> Any:
    """What `load` makes of a value; its complaint begins with the place."""
    try:
        return load(value)
    except UserError as error:
        raise UserError(f"{where}: {key} {value!r}: {error}") from error


@lru_cache(maxsize=8)
def load_dataset(name: str) -> Dataset:
    """`datasets.load`, once per process."""
    return datasets.load(name)


@lru_cache(maxsize=8)
def load_network(path: Path) -> Network:
    """The network in a backbone file, which can train, once per process; nobody changes it."""
    network, _ = models.load_backbone(path)
    check_trains(network)
    return network


def _load(where: str, path: Path) -> Network:
    found: Network = _found(where, "backbone", str(path), lambda text: load_network(Path(text)))
    return found


def _backbone(where: str, given: dict[str, Any], dataset: str) -> tuple[str, Path, Network]:
    """Name of the network, the file of its weights, and what is in it."""
    architecture = _found(where, "model", given.get("model", models.DEFAULT), models.resolve)
    if "backbone" in given:
        path = inputs.named(given["backbone"]).resolve()
    elif datasets.own(dataset):
        raise UserError(
            f"{where}: no backbone is shipped for {dataset}; make one with `picotrain pretrain` "
            "and name it with the key backbone"
        )
    else:
        path = models.backbone_path(architecture.name, dataset)
    network = _load(where, path)
    if "model" in given or "backbone" not in given:
        try:
            models.check_same(architecture, network, path)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    return network.name, path, network


def _fit(where: str, network: Network, dataset: Dataset) -> None:
    takes, has = tuple(network.input_shape), tuple(dataset.image_shape)
    if takes != has or dataset.classes > network.classes:
        advice = dataset.label_advice(network.classes)
        raise UserError(
            f"{where}: network {network.name} takes images {list(takes)} of {network.classes} "
            f"classes, but data set {dataset.name} has {list(has)} of {dataset.classes}; {advice}"
        )


def _count(where: str, used: dict[str, Any], key: str, dataset: Dataset, split: str) -> int:
    """How many images of a split to draw."""
    images = dataset.splits.get(f"device-{split}", dataset.splits[split])
    count: int = used.get(key, min(SAMPLES, len(images)))
    if count > len(images):
        raise UserError(
            f"{where}: {key} is {count}, but data set {dataset.name} has {len(images)} such "
            f"images; use at most {len(images)}"
        )
    return count


def _device(where: str, used: dict[str, Any]) -> tuple[str, str | None, int | None]:
    target, ram_kib = used.get("target", "host"), used.get("ram_kib")
    if target not in backends.NAMES[:-1]:
        raise UserError(f"{where}: target is {target!r}; use {KEYS['target'].use}")
    try:
        kernels = backends.choose_kernels(target, used.get("kernels"))
    except UserError as error:
        raise UserError(f"{where}: kernels: {error}") from error
    remedy = backends.problem(target)
    if remedy:
        raise UserError(f"{where}: target {target} does not work here: {remedy}")
    if ram_kib is not None and target not in _RESIZABLE:
        raise UserError(
            f"{where}: ram_kib is {ram_kib}, but the memory of target {target} is fixed; use "
            "target host or golden, or leave it out"
        )
    return target, kernels, ram_kib


def _check_layer_mu(where: str, cell: Cell, network: Network) -> None:
    layers = sum(layer.has_weights for layer in network.layers)
    if not cell.layer_mu:
        return
    if cell.method == "niti-dynamic":
        raise UserError(
            f"{where}: layer_mu is {cell.layer_mu!r}, but niti-dynamic takes its scales from each "
            "tensor; leave layer_mu out"
        )
    if len(cell.layer_mus) != layers:
        raise UserError(
            f"{where}: layer_mu is {cell.layer_mu!r}, {len(cell.layer_mus)} numbers, but network "
            f"{cell.model} has {layers} layers with weights; use {layers} numbers"
        )


def _check_logits(where: str, cell: Cell, network: Network) -> None:
    if cell.read_with is not None:
        try:
            logits.moved(network, cell.read_with)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error


def _check_memory(where: str, cell: Cell) -> None:
    """Of the devices whose memory can be chosen; the others say so themselves."""
    if cell.target not in _RESIZABLE:
        return
    needed = _arena_bytes(cell.backbone, replace(cell.training_method(), mu=0, later_mu=(), seed=0))
    ram_kib = cell.ram_kib or firmware.pico_arena_bytes() // 1024
    if needed > ram_kib * 1024:
        given = "not given, so that of a Pico" if cell.ram_kib is None else "too small"
        raise UserError(
            f"{where}: ram_kib is {given}, {ram_kib}, but {cell.model} with {cell.method} needs "
            f"{-(-needed // 1024)}; use at least that"
        )


@lru_cache(maxsize=256)
def _arena_bytes(backbone: Path, method: Method) -> int:
    network = load_network(backbone)
    return plan(network, method, blob_size(network, firmware.layout())).total


# Cells that could be mistaken for each other


def _duplicate(where: str, before: str, cell: Cell, values: dict[str, Any]) -> str:
    idle = [key for key in USED_BY if key in values and cell.method not in USED_BY[key]]
    why = f" ({cell.method} does not use {', '.join(idle)})" if idle else ""
    what = f"{cell.method}, mu {cell.mu}, angle {cell.angle:g}, seed {cell.seed}"
    first = "itself" if before == where else before.rpartition(": ")[2]
    return (
        f"{where}: the cell {cell.label!r}, {what} is there already, in {first}{why}; leave one "
        "out, or give it another label"
    )


def _distinguishable(path: Path, cells: list[Cell]) -> None:
    """Refuse cells that differ only in what the results file has no column for."""
    hidden = ("backbone", "retention", "target", "kernels", "ram_kib")
    first: dict[tuple[Any, ...], Cell] = {}
    for cell in cells:
        shown = tuple(value for name, value in vars(cell).items() if name not in hidden)
        other = first.setdefault(shown, cell)
        if other is not cell:
            differing = [name for name in hidden if getattr(cell, name) != getattr(other, name)]
            raise UserError(
                f"{path}: two cells {cell.label!r} differ only in {', '.join(differing)}, which "
                "the results have no column for; give them different labels"
            )
