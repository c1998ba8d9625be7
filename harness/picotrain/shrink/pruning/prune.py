"""A network is trained, loses channels until it meets its limits, and is trained further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from picotrain.datasets import Dataset, Split
from picotrain.device.given import images_for
from picotrain.device.interface import Device
from picotrain.errors import DeviceFailure
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.pixels import real
from picotrain.learn.architectures.untrained import float_graph, untrained
from picotrain.learn.floating.training import FloatOptions
from picotrain.progress import progress_bar
from picotrain.quantise.quantise import Quantised
from picotrain.shrink.cycles import Milliseconds
from picotrain.shrink.groups import Groups, Kept, counts_of, resized
from picotrain.shrink.limits import Limit, Limits, check
from picotrain.shrink.measured import IMAGES, Taken, measure
from picotrain.shrink.pruning import proof
from picotrain.shrink.pruning.baselines import by_magnitude, magnitudes, uniform
from picotrain.shrink.pruning.gates import Gates
from picotrain.shrink.pruning.settling import Worth, settled
from picotrain.shrink.pruning.stages import WARM_FIX, Report, Stages
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import Parameters, larger, removed, smaller
from picotrain_golden import Method

PruneMethod = Literal["gates", "magnitude", "uniform"]
METHODS: tuple[PruneMethod, ...] = ("gates", "magnitude", "uniform")
RATE = 0.05
"""The largest step size of what follows warm-up, which has that of `pretrain`."""
_LOSS_IMAGES = 2048
_ROUNDS = 6
"""Of pruning until what is measured meets the limit on time."""
_MARGIN = 0.998
"""Of the limit on time, what the model aims at once it was wrong."""
_AGAIN = 2
"""The share of the epochs, as a divisor, that training takes after a further round."""


def again(epochs: int) -> int:
    """So many epochs follow each round of pruning but the first, which has `epochs`."""
    return max(1, epochs // _AGAIN)


@dataclass(frozen=True)
class PruneOptions:
    """`warm` trains the whole network, unless it comes trained; `train` is what all that follows
    trains by: of its epochs the first half is with gates, by method `gates`."""

    method: PruneMethod
    warm: FloatOptions
    train: FloatOptions
    ram_method: Method
    lean: bool = True


@dataclass(frozen=True, eq=False)
class Pruned:
    """The smaller network, in float its `parameters`, and how it came about. `float_accuracy`
    are those of the validation split: of the whole network, after the removal, at the end."""

    architecture: Architecture
    parameters: Parameters
    kept: Kept
    quantised: Quantised
    taken: Taken
    proofs: dict[str, proof.Proof]
    float_accuracy: dict[str, float]
    factor: float | None
    rounds: int


class Pruning:
    """One run. `say` gets lines for people, `report` the entry of each epoch."""

    def __init__(
        self,
        architecture: Architecture,
        groups: Groups,
        dataset: Dataset,
        limits: Limits,
        options: PruneOptions,
        device: Device,
        stages: Stages,
        torch: Any,
        report: Report,
        say: Callable[[str], None],
    ) -> None:
        self._whole, self._groups, self._dataset = architecture, groups, dataset
        self._limits, self._options = limits, options
        self._device, self._stages, self._torch = device, stages, torch
        self._report, self._say = report, say
        self._time = next((one.cost for one in limits if isinstance(one.cost, Milliseconds)), None)

    def run(self, pretrained: Parameters | None, keep: Callable[[Parameters], None]) -> Pruned:
        """`keep` gets the whole network when it is trained."""
        check(self._limits, self._whole.name)
        self._check_time()
        whole = self._warmed(pretrained)
        keep(whole.parameters())
        accuracy = {"whole": whole.validation_accuracy()}
        if self._time is not None:
            self._calibrate_time(whole)
        kept, worth, trained = self._chosen(whole)
        kept = self._fitted_time(kept, worth, trained)
        proofs: dict[str, proof.Proof] = {}
        # One cycle of the step size goes over what is trained with gates and without.
        cycle, skipped = self._options.train.epochs, self._searched
        for number in range(1, _ROUNDS + 1):
            options = replace(self._options.train, epochs=cycle)
            small = removed(self._whole, self._groups, kept)
            tuned = self._training(small, options, skipped=skipped)
            tuned.set_parameters(smaller(self._whole, self._groups, kept, trained.parameters()))
            if number == 1:
                accuracy["removed"] = tuned.validation_accuracy()
                self._say(
                    f"accuracy   validation {accuracy['whole']:.4f} of the whole network, "
                    f"{accuracy['removed']:.4f} without the channels, in float"
                )
            proofs["float"] = self._float_proof(kept, trained, tuned)
            self._stages.train(f"tune {number}", tuned, cycle - skipped, self._report)
            made = tuned.quantised()
            proofs["int8"] = self._int8_proof(kept, tuned, made)
            taken = self._measured(made)
            self._check_bytes(kept, taken)
            if self._in_time(taken):
                accuracy["pruned"] = tuned.validation_accuracy()
                factor = None if self._time is None else self._time.factor
                return Pruned(
                    tuned.architecture,
                    tuned.parameters(),
                    kept,
                    made,
                    taken,
                    proofs,
                    accuracy,
                    factor,
                    number,
                )
            # What was tuned goes on, with some channels less.
            trained = self._scattered(trained, kept, tuned)
            self._slower(kept, taken)
            kept = self._settled(kept, worth)
            cycle, skipped = again(self._options.train.epochs), 0
        raise DeviceFailure(
            f"after {_ROUNDS} rounds {self._time_limit.option} {self._time_limit.most:g} is still "
            f"not met: {taken.ms:.2f} ms were measured; allow more"
        )

    # Training

    def _training(
        self,
        architecture: Architecture,
        options: FloatOptions,
        gates: Gates | None = None,
        skipped: int = 0,
    ) -> GatedTraining:
        return GatedTraining(
            architecture, self._dataset, options, self._torch, self._groups, gates, skipped
        )

    def _warmed(self, pretrained: Parameters | None) -> GatedTraining:
        whole = self._training(self._whole, self._options.warm)
        if pretrained is None:
            self._stages.train("warm", whole, self._options.warm.epochs, self._report, WARM_FIX)
        else:
            whole.set_parameters(pretrained)
        return whole

    @property
    def _searched(self) -> int:
        return -(-self._options.train.epochs // 2) if self._options.method == "gates" else 0

    def _settled(self, kept: Kept, worth: Worth) -> Kept:
        priced = self._options.method == "gates"
        return settled(self._whole, self._groups, self._limits, kept, worth, priced)

    def _chosen(self, whole: GatedTraining) -> tuple[Kept, Worth, GatedTraining]:
        """The channels that stay, what each is worth, and the network that has their weights."""
        groups, limits = self._groups, self._limits
        if self._options.method != "gates":
            worth = magnitudes(self._whole, groups, whole.folded())
            if self._options.method == "uniform":
                return uniform(groups, limits, worth), worth, whole
            return by_magnitude(self._whole, groups, limits, worth), worth, whole
        loss = float(self._stages.fact("loss", lambda: whole.loss(_LOSS_IMAGES)))
        options, epochs = self._options.train, self._searched
        steps = epochs * (len(self._dataset.train) // options.batch)
        gates = Gates(groups, limits, groups.all(), loss, steps)
        search = self._training(self._whole, options, gates)
        search.set_parameters(whole.parameters())
        self._stages.train("gates", search, epochs, self._report)
        kept = self._settled(gates.kept, gates.worth)
        return kept, gates.worth, search

    def _scattered(self, trained: GatedTraining, kept: Kept, tuned: GatedTraining) -> GatedTraining:
        """The whole network with what the smaller one has learnt."""
        whole = self._training(self._whole, self._options.train)
        parts = larger(self._whole, self._groups, kept, trained.parameters(), tuned.parameters())
        whole.set_parameters(parts)
        return whole

    # Proof

    def _images(self, count: int) -> Split:
        """Of training and validation images, over and over where there are fewer."""
        splits = (self._dataset.validation, self._dataset.train)
        images = np.concatenate([one.images[:count] for one in splits])
        labels = np.concatenate([one.labels[:count] for one in splits])
        order = np.arange(count) % len(labels)
        return Split(images[order], labels[order])

    def _float_proof(self, kept: Kept, trained: GatedTraining, tuned: GatedTraining) -> proof.Proof:
        images = real(self._images(proof.IMAGES).images)
        small = float_graph(tuned.architecture, tuned.folded())
        with progress_bar("masked and removed, float", len(images)) as advance:
            found = proof.of_floats(
                self._whole, self._groups, kept, trained.folded(), small, images, advance
            )
        return found.require("float")

    def _int8_proof(self, kept: Kept, tuned: GatedTraining, made: Quantised) -> proof.Proof:
        images = images_for(made.network, self._images(proof.IMAGES).images)
        small = float_graph(tuned.architecture, tuned.folded())
        masked = proof.masked_int8(self._whole, self._groups, kept, small, made)
        with progress_bar("masked and removed, int8", len(images)) as advance:
            found = proof.of_integers(masked, made.network, images, advance)
        return found.require("int8")

    # The device

    def _measured(self, made: Quantised) -> Taken:
        split = self._images(IMAGES)
        return measure(
            self._device,
            made.network,
            self._options.ram_method,
            self._options.lean,
            split,
            timed=self._device.blocks() is not None,
        )

    def _check_bytes(self, kept: Kept, taken: Taken) -> None:
        """The device and the plan agree, and so the limits on bytes are met."""
        for limit in self._limits:
            found = {"flash": taken.flash, "ram": taken.ram}.get(limit.cost.name)
            planned = limit.cost.value(counts_of(kept))
            if found is not None and (found != planned or found > limit.most):
                raise DeviceFailure(
                    f"the device takes {found:,} bytes of {limit.cost.name}, but the plan says "
                    f"{planned:,.0f}: this is a fault of picotrain"
                )

    # Time

    @property
    def _time_limit(self) -> Limit:
        return next(one for one in self._limits if one.cost is self._time)

    def _in_time(self, taken: Taken) -> bool:
        if self._time is None:
            return True
        assert taken.ms is not None
        return taken.ms <= self._time_limit.most

    def _check_time(self) -> None:
        """Raise UserError where not even the fewest channels are fast enough, as measured: before
        long training, so of weights that were not trained; what is told allows for what they become
        (`varies`)."""
        if self._time is None:
            return
        least = resized(self._whole, self._groups, self._groups.least())
        taken = self._measured(untrained(least, 0))
        assert taken.ms is not None
        self._time.note(self._groups.least(), taken.ms)
        check((self._time_limit,), self._whole.name, measured=True)

    def _calibrate_time(self, whole: GatedTraining) -> None:
        """The model of cycles says of the whole network what is measured, if it fits there."""
        assert self._time is not None

        def find() -> float:
            try:
                taken = self._measured(whole.quantised())
            except DeviceFailure:
                return 1.0  # too large for the device: the smaller network will tell
            assert taken.cycles is not None
            self._say(f"whole      {taken.ms:.2f} ms measured")
            assert self._time is not None
            self._time.correct(self._whole, taken.cycles)
            return self._time.factor

        self._time.use(float(self._stages.fact("factor", find)))

    def _slower(self, kept: Kept, taken: Taken) -> None:
        """The model was wrong: what it says from now on is no less than what was measured."""
        assert self._time is not None and taken.cycles is not None and taken.ms is not None
        self._say(
            f"measured   {taken.ms:.2f} ms, more than the {self._time_limit.most:g} ms that the "
            "model said: pruning goes on"
        )
        if counts_of(kept) == self._groups.least():
            self._time.note(self._groups.least(), taken.ms)
        self._time.correct(removed(self._whole, self._groups, kept), taken.cycles / _MARGIN)
        check(self._limits, self._whole.name)

    def _fitted_time(self, kept: Kept, worth: Worth, trained: GatedTraining) -> Kept:
        """Before long training: prune on while the network, as it is, takes too long."""
        if self._time is None:
            return kept

        def find() -> dict[str, Any]:
            now = kept
            for _ in range(_ROUNDS):
                small = self._training(removed(self._whole, self._groups, now), self._options.train)
                small.set_parameters(smaller(self._whole, self._groups, now, trained.parameters()))
                taken = self._measured(small.quantised())
                if self._in_time(taken):
                    break
                self._slower(now, taken)
                now = self._settled(now, worth)
            assert self._time is not None
            return {
                "factor": self._time.factor,
                "kept": [one.astype(int).tolist() for one in now],
            }

        found = self._stages.fact("fitted", find)
        self._time.use(float(found["factor"]))
        return tuple(np.array(one, np.bool_) for one in found["kept"])
