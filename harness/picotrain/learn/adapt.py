"""The main job: a pre-trained network adapts to what one device sees: rotated images, or the
device's own splits where the data set has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Dataset, Split, permutation, rotate, sample
from picotrain.device.given import check_form, check_method, check_network, images_for
from picotrain.device.interface import BatchResult, Device, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.meter import CycleMeter
from picotrain.device.repeating.retrying import RetryingDevice
from picotrain.device.repeating.twice import TwiceDevice
from picotrain.device.room import check_room
from picotrain.device.versions import versions_of
from picotrain.errors import UserError, must_be, whole_number
from picotrain.learn import health, logits, plans
from picotrain.learn.calibration import FAIR, SHIPPED, calibrated_by, check
from picotrain.learn.calibration import SAMPLES as CALIBRATION_SAMPLES
from picotrain.learn.field.beginning import beginning, network_to_train
from picotrain.learn.field.state import State, state_of
from picotrain.learn.methods import DEFAULT, NAMES
from picotrain.learn.models import check_fit, network_sha256
from picotrain.learn.turning import angle_of
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network, Parameters
from picotrain_golden.network import MAX_BITS

TRAIN_STREAM = 0xFFFFFF01
TEST_STREAM = 0xFFFFFF02
ORDER_STREAM = 0xFFFFFF03
REPLAY_STREAM = 0xFFFFFF07
SAMPLES = 1024
"""Images for training and for evaluation where nothing is said; fewer if there are fewer."""
SPLITS = ("test", "validation")
"""What can be evaluated on."""


@dataclass(frozen=True)
class AdaptOptions:
    """What to adapt to, and how; what is left out is the default of `picotrain adapt` too.

    The method's `schedule` is spread evenly over the epochs. `seed` draws the images and their
    order. Samples of None: SAMPLES, or as many as the data set has; an angle of None: the data
    set's own. `plan` is one of `picotrain.learn.plans`; `backbone`, a file, is for the record.

    `calibration` is a rule of `picotrain.learn.calibration`, over `calibration_samples` images.
    `logits_exponent` is what the logits are read with (None: as the backbone says); the numbers of
    the backbone are then made anew, by `fair` unless a rule is given. So are those of an affine
    network that has none yet.
    `layer_mu` has one number per layer with weights, which is added to mu there. `replay` is the
    share of upright images mixed into every epoch, of as many as there are to adapt to. `retention`
    evaluates what the backbone was trained for too: upright images.
    """

    angle: float | None = None
    method: Method = DEFAULT
    epochs: int = 10
    seed: int = 0
    train_samples: int | None = None
    test_samples: int | None = None
    evaluate_on: str = SPLITS[0]
    plan: str = plans.NAMES[0]
    calibration: str = SHIPPED
    calibration_samples: int = CALIBRATION_SAMPLES
    layer_mu: tuple[int, ...] = ()
    replay: float = 0.0
    retention: bool = False
    backbone: str | Path = ""
    logits_exponent: int | None = None

    def __post_init__(self) -> None:
        check_method(self.method)
        changed: dict[str, Any] = {"backbone": str(self.backbone)}
        for name in ("epochs", "seed", "calibration_samples"):
            changed[name] = whole_number(name, getattr(self, name))
        for name in ("train_samples", "test_samples", "logits_exponent"):
            if (given := getattr(self, name)) is not None:
                changed[name] = whole_number(name, given)
        for name in ("angle", "replay"):
            given = getattr(self, name)
            if not isinstance(given, Real) and (name, given) != ("angle", None):
                raise UserError(f"{name} is {given!r}; give a number")
            if not isinstance(given, int | float | None):
                changed[name] = float(given)  # one of NumPy's
        if isinstance(self.layer_mu, str) or not isinstance(self.layer_mu, Iterable):
            raise UserError(f"layer_mu is {self.layer_mu!r}; give whole numbers, such as (0, 0, 1)")
        changed["layer_mu"] = tuple(whole_number("a number of layer_mu", n) for n in self.layer_mu)
        for name, value in changed.items():
            object.__setattr__(self, name, value)

    @property
    def rule(self) -> str:
        """The rule of calibration that is used, for a network that has numbers."""
        anew = self.logits_exponent is not None and self.calibration == SHIPPED
        return FAIR if anew else self.calibration

    @property
    def changes_numbers(self) -> bool:
        """Other static numbers than the backbone's are asked for."""
        return self.rule != SHIPPED or bool(self.layer_mu)

    def rule_for(self, network: Network) -> str:
        """The same for any network: one that was imported comes without numbers, which all methods
        but one need."""
        bare = bool(network.affine) and not network.calibrated and not self.method.dynamic
        return FAIR if bare and self.calibration == SHIPPED else self.rule


@dataclass
class Task:
    """The images of one run: `train` ends with the `replayed` upright ones.

    `upright` are evaluated for retention; `dataset` is what calibration draws from; `angle` is by
    how much `train` and `test` are turned.
    """

    train: Split
    test: Split
    upright: Split | None = None
    replayed: int = 0
    dataset: Dataset | None = None
    angle: float = 0.0


@dataclass
class AdaptResult:
    """What `adapt` writes as JSON; `complete` is false while it runs or when it was interrupted.

    `begun_from` is the digest of the state that the run began with, where it was given one,
    `resumed_at` how many epochs of this run that state had done, and `begins` both in words.
    `warnings` are of a run that ended in a collapse, the last one with what to try. `deaths` are
    those of the device (`picotrain.device.repeating.retrying.Death`), each with the epoch it was
    in, 0 before the first; nothing else of the result shows that they were. So are `disagreements`
    of a device that shows each batch `twice` (`picotrain.device.repeating.twice`); the cycles are
    those of all runs of a batch, then, and of what is read and put back between them.
    """

    target: str
    dataset: str
    model: str
    angle: float
    method: str
    options: dict[str, Any]
    seed: int
    epochs: int
    train_samples: int
    test_samples: int
    evaluated_on: str
    replay_samples: int = 0
    backbone: str = ""
    network_sha256: str = ""
    kernels: str | None = None
    plan: str = "fast"
    plan_note: str = ""
    logits_exponent: int | None = None
    begun_from: str = ""
    resumed_at: int = 0
    begins: str = ""
    accuracy_before: float | None = None
    accuracy_best: float | None = None
    accuracy_final: float | None = None
    upright_before: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    saturation: list[list[dict[str, float]]] = field(default_factory=list)
    cycles_per_train_image: float | None = None
    cycles_per_infer_image: float | None = None
    cycles_by: str = ""
    ms_per_train_image_125mhz: float | None = None
    ms_per_infer_image_125mhz: float | None = None
    ram_bytes: dict[str, int | None] = field(default_factory=dict)
    model_in_flash: int = 0
    code_bytes: int | None = None
    state_sha256: str = ""
    warnings: list[str] = field(default_factory=list)
    deaths: list[dict[str, Any]] = field(default_factory=list)
    twice: bool = False
    disagreements: list[dict[str, Any]] = field(default_factory=list)
    wall_seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    units: str = (
        "accuracy: share of the evaluated images; zero_errors, skipped: share of the images shown "
        "in the epoch whose loss norm is 0, or at most easy; saturation[layer][epoch]: share of "
        "the elements that were clamped; cycles: by cycles_by, milliseconds of them at 125 MHz"
    )
    complete: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_options(options: AdaptOptions) -> None:
    """Raise UserError for what fits no data set and no device."""
    if not options.method.trains:
        raise UserError(
            f"method {options.method.name} trains nothing; use one of {', '.join(NAMES[1:])}"
        )
    if options.epochs < 1:
        raise UserError(f"{options.epochs} epochs are no adaptation; use 1 or more")
    if not 0 <= options.seed < 1 << 32:
        raise UserError(f"seed is {options.seed}; use 0 to 2^32 - 1")
    plans.check(options.plan, options.method)
    check(options.calibration)
    if options.logits_exponent is not None:
        logits.check(options.logits_exponent)
    if not 0 <= options.replay <= 1:
        raise UserError(f"replay {options.replay} is no share; use 0 to 1, e.g. 0.25")
    if options.evaluate_on not in SPLITS:
        raise UserError(f"unknown split {options.evaluate_on!r}; use {', '.join(SPLITS)}")


def prepare(dataset: Dataset, options: AdaptOptions) -> Task:
    """Draw the images, and rotate them unless the data set has splits of the device's own.

    Raises UserError where the data set has too few, or for options that do not fit it.
    """
    check_options(options)
    own = "device-train" in dataset.splits
    angle = angle_of(dataset, options.angle)
    seen = dataset.splits["device-train"] if own else dataset.train
    before = dataset.splits[options.evaluate_on]
    after = dataset.splits[f"device-{options.evaluate_on}"] if own else before
    train_count = _count(options.train_samples, seen)
    test_count = _count(options.test_samples, after)
    upright_count = min(test_count, len(before.labels)) if own else test_count
    train = sample(seen, train_count, options.seed, TRAIN_STREAM)
    test = sample(after, test_count, options.seed, TEST_STREAM)
    upright = sample(before, upright_count, options.seed, TEST_STREAM)
    replayed = _replay(dataset.train, None if own else train_count, train_count, options)
    return Task(
        Split(
            np.concatenate([rotate(train.images, angle), replayed.images]),
            np.concatenate([train.labels, replayed.labels]),
        ),
        Split(rotate(test.images, angle), test.labels),
        upright,
        len(replayed.labels),
        dataset,
        angle,
    )


def _count(wanted: int | None, split: Split) -> int:
    return min(SAMPLES, len(split)) if wanted is None else wanted


def _replay(split: Split, taken: int | None, count: int, options: AdaptOptions) -> Split:
    """`options.replay` times `count` images of a split, drawn on a stream of their own.

    `taken` is how many the adaptation drew from the same split: those come last, so that the two
    share none unless there are too few others.
    """
    wanted = round(options.replay * count)
    if wanted > len(split):
        raise UserError(
            f"replay {options.replay} asks for {wanted} upright images, but there are "
            f"{len(split)}; use a smaller share"
        )
    order = permutation(len(split), options.seed, REPLAY_STREAM)
    if taken is not None:
        theirs = permutation(len(split), options.seed, TRAIN_STREAM)[:taken]
        mine = ~np.isin(order, theirs)
        order = np.concatenate([order[mine], order[~mine]])
    return split.take(order[:wanted])


def configured(network: Network, task: Task, options: AdaptOptions) -> Network:
    """A copy of the network with the static numbers that `calibration`, `logits_exponent` and
    `layer_mu` ask for.

    A layer's mu is taken off its gradient_bits and score_bits, which stay within 0..31: the update
    shift is their difference to mu. Raises UserError for what does not fit the network or method.
    """
    result = _calibrated(network, task, options)
    if not options.layer_mu:
        return result
    given = ",".join(map(str, options.layer_mu))
    weighted = [held for held in result.parameters if held is not None]
    if len(options.layer_mu) != len(weighted):
        raise UserError(
            f"layer_mu {given} has {len(options.layer_mu)} numbers, but {network.name} has "
            f"{len(weighted)} layers with weights; give one for each"
        )
    if options.method.dynamic:
        raise UserError(
            f"layer_mu {given} does not work with {options.method.name}, which takes the range of "
            "each gradient as it comes; omit it, or use a method with static scales"
        )
    own_mu = iter(options.layer_mu)
    result.parameters = tuple(
        None if held is None else _with_mu(held, next(own_mu)) for held in result.parameters
    )
    return result


def _calibrated(network: Network, task: Task, options: AdaptOptions) -> Network:
    dataset, rule = task.dataset, options.rule_for(network)
    if rule == SHIPPED:
        return network.copy()
    if dataset is None:
        raise UserError(f"calibration {rule} needs a data set to look at; use {SHIPPED}")

    def by_rule(given: Network) -> Network:
        return calibrated_by(given, dataset, rule, options.calibration_samples, angle=task.angle)

    if options.logits_exponent is None:
        return by_rule(network)
    return logits.calibrated_at(network, options.logits_exponent, by_rule)


def _with_mu(held: Parameters, mu: int) -> Parameters:
    return replace(
        held,
        gradient_bits=min(max(held.gradient_bits - mu, 0), MAX_BITS),
        score_bits=min(max(held.score_bits - mu, 0), MAX_BITS),
    )


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch (from 1) shows the training images."""
    return permutation(count, (seed * 0x10001 + epoch) & 0xFFFFFFFF, ORDER_STREAM)


def mu_at(schedule: tuple[int, ...], epoch: int, epochs: int) -> int:
    """The schedule's value for an epoch (from 1)."""
    return schedule[(epoch - 1) * len(schedule) // epochs]


def _given(network: Network, split: Split) -> Split:
    return replace(split, images=images_for(network, split.images))


def _saturated_shares(
    counts: NDArray[np.int64], network: Network, images: int, method: Method, scored: list[int]
) -> list[dict[str, float]]:
    shares = []
    for index, layer in enumerate(network.layers):
        elements = {
            "forward": int(np.prod(layer.out_shape)),
            "error": int(np.prod(layer.in_shape)) if network.learning_inputs(index) else 0,
            "update": scored[index] if method.scored else layer.weight_count,
        }
        shares.append(
            {
                name: float(count) / (images * elements[name])
                if layer.has_weights and elements[name]
                else 0.0
                for name, count in zip(elements, counts[index], strict=True)
            }
        )
    return shares


def adapt(
    device: Device,
    network: Network,
    data: Dataset | Task,
    options: AdaptOptions,
    report: Callable[[AdaptResult], None] = lambda _: None,
    *,
    resume: State | None = None,
    keep: Callable[[State], None] | None = None,
) -> AdaptResult:
    """Adapt `network` on `device`; `report` is called before the first epoch and after each.

    `keep` is given what was learned after each epoch, and `resume` is what it was given before.
    With the same images, seed and options the run then goes on where that stopped, to the same
    bytes as if it never had; `epochs` counts those that are done. With others it is a new run that
    begins with what was learned, and `accuracy_before` is of that.

    `data` is a data set, or what `prepare` drew from it. `network` is as it was loaded: what
    `configured` makes of it is done here. Batch size 1. `accuracy_before` is the backbone's own,
    without any method; `accuracy_best` the best after any epoch, which looks at the evaluated
    images to choose the epoch, as the papers do; `accuracy_final` that after the last.
    """
    check_network(network)
    must_be("what to adapt to", data, (Dataset, Task), 'give what load_dataset("digits") returns')
    must_be("how to adapt", options, AdaptOptions, "give AdaptOptions(...)")
    check_form(network, options.method)
    start = time.monotonic()
    task = data if isinstance(data, Task) else prepare(data, options)
    if task.dataset is not None:
        check_fit(network, task.dataset)
    # Calibration takes long, and changes no size.
    check_room(device, network, options.method, options.plan == "lean")
    method, rule, backbone_sha256 = (
        options.method,
        options.rule_for(network),
        network_sha256(network),
    )
    begun = beginning(resume, task, options.seed, options.epochs, options.retention)
    if resume is None:
        network = configured(network, task, options)
    else:
        resume.check_method(method)
        backbone_sha256 = resume.backbone_sha256
        made = configured(network, task, options) if options.changes_numbers else None
        network = network_to_train(resume, network, made)
        rule = rule if made else resume.run.get("calibration", rule)
    step_sizes = [
        mu_at(method.schedule, epoch, options.epochs) for epoch in range(1, options.epochs + 1)
    ]
    train, test = _given(network, task.train), _given(network, task.test)
    upright = None if task.upright is None else _given(network, task.upright)
    result = AdaptResult(
        target=device.name,
        dataset="" if task.dataset is None else task.dataset.name,
        model=network.name,
        angle=task.angle,
        method=method.name,
        options={
            **{name: value for name, value in asdict(method).items() if name != "later_mu"},
            "mu": list(method.schedule),
            "calibration": rule,
            "calibration_samples": options.calibration_samples,
            "layer_mu": list(options.layer_mu),
            "replay": options.replay,
        },
        seed=options.seed,
        epochs=options.epochs,
        train_samples=len(train.labels) - task.replayed,
        test_samples=len(test.labels),
        evaluated_on=options.evaluate_on,
        replay_samples=task.replayed,
        backbone=str(options.backbone),
        network_sha256=network_sha256(network),
        kernels=device.kernels,
        plan=options.plan,
        plan_note=plans.note(options.plan),
        logits_exponent=network.logits_exponent,
        begun_from="" if resume is None else resume.sha256(network),
        resumed_at=begun.epochs,
        begins="" if resume is None else begun.in_words(resume.source, step_sizes),
        versions=versions_of(
            device.name,
            device.elf.path if isinstance(device, MailboxDevice | RetryingDevice) else None,
        ),
    )
    training, inference = CycleMeter(device), CycleMeter(device)

    def evaluated(split: Split, label: str) -> BatchResult:
        with progress_bar(label, len(split), alive=True) as advance:
            return inference.run(partial(device.evaluate, split.images, split.labels, advance))

    def accuracy(split: Split, label: str) -> float:
        return float(evaluated(split, label).correct(split.labels)) / len(split)

    def upright_accuracy(label: str) -> float | None:
        if not options.retention or upright is None:
            return None
        return accuracy(upright, f"{label} upright")

    def note(noted: list[dict[str, Any]], told: Sequence[Any]) -> None:
        """Those that are new, with the epoch."""
        epoch = len(result.history)
        noted += [{"epoch": epoch, **asdict(one)} for one in told[len(noted) :]]

    def update() -> None:
        accuracies = [epoch["accuracy"] for epoch in result.history]
        result.accuracy_best = max(accuracies, default=None)
        result.accuracy_final = accuracies[-1] if accuracies else None
        result.cycles_by = inference.by
        result.cycles_per_train_image = training.per_image
        result.cycles_per_infer_image = inference.per_image
        result.ms_per_train_image_125mhz = training.milliseconds
        result.ms_per_infer_image_125mhz = inference.milliseconds
        memory = device.memory()
        result.ram_bytes = memory.by_part()
        result.model_in_flash = memory.model_in_flash
        result.code_bytes = memory.code
        result.state_sha256 = state_sha256(device, network)
        device.check_memory()
        if isinstance(device, RetryingDevice):
            note(result.deaths, device.deaths)
        if isinstance(device, RetryingDevice | TwiceDevice):
            result.twice = device.twice
            note(result.disagreements, device.disagreements)
        result.wall_seconds = round(time.monotonic() - start, 3)
        report(result)

    device.load_model(network, frozen=options.plan == "lean")
    if begun.evaluates == "backbone":
        device.set_method(Method("infer"))
        result.accuracy_before = accuracy(test, "before")
        result.upright_before = upright_accuracy("before")
    device.set_method(method)
    if resume is not None:
        resume.write_to(device, network)
    if begun.evaluates == "state":
        result.accuracy_before = accuracy(test, "before")
        result.upright_before = upright_accuracy("before")
    inference = CycleMeter(device)
    scored = [
        len(device.scored_edges(index)) if layer.has_weights else 0
        for index, layer in enumerate(network.layers)
    ]
    result.saturation = [[] for _ in network.layers]
    begun.put_into(result)
    update()
    for epoch in range(begun.epochs + 1, options.epochs + 1):
        mu = step_sizes[epoch - 1]
        device.set_mu(mu)
        device.clear_saturation()
        order = epoch_order(len(train.labels), options.seed, epoch)
        images, labels = train.images[order], train.labels[order]
        label = f"epoch {epoch}/{options.epochs}"
        with progress_bar(label, len(labels), alive=True) as advance:
            done = training.run(partial(device.train, images, labels, advance))
        counts = device.saturation()
        seen = evaluated(test, f"{label} test")
        for layer, shares in zip(
            result.saturation,
            _saturated_shares(counts, network, len(labels), method, scored),
            strict=True,
        ):
            layer.append(shares)
        result.history.append(
            {
                "epoch": epoch,
                "mu": mu,
                "train_accuracy": float(done.correct(labels)) / len(labels),
                "loss_norm": float(done.loss_norms.mean()),
                "zero_errors": float((done.loss_norms == 0).mean()),
                "skipped": float((done.loss_norms <= method.easy).mean()),
                "accuracy": float(seen.correct(test.labels)) / len(test),
                "upright_accuracy": upright_accuracy(label),
            }
        )
        begun.step_sizes.append(mu)
        if keep is not None:
            run = begun.run(result)
            keep(state_of(device, network, method, backbone_sha256, epoch, 0, run))
        result.complete = epoch == options.epochs
        before = result.accuracy_before
        if result.complete and before is not None:
            result.warnings = health.of_run(
                [before, *(one["accuracy"] for one in result.history)],
                seen.predictions,
                test.labels,
                done.loss_norms,
                [shares["forward"] for shares in result.saturation[-1]],
                method,
                network.logits_exponent,
            )
        update()
    return result
