"""Grids that take their numbers from what was chosen on validation images.

`.venv/bin/python -m picotrain.research.reproduce.grids NAME` prints `experiments/NAME.toml` from
the results that are there; a test holds the committed grids to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from picotrain.errors import UserError, told
from picotrain.research.reproduce import findings, horizon
from picotrain.research.reproduce.results import Candidate, Frame, cells, read
from picotrain.research.reproduce.steps import Workplace, full

_SCORED = {"PRIOT-S 10 %": "0.1", "PRIOT-S 20 %": "0.2"}
_METHODS = {
    findings.NITI_DYNAMIC: 'method = "niti-dynamic"',
    findings.NITI_STATIC: 'method = "niti-static"',
    findings.PRIOT: 'method = "priot"',
    **{
        f"{label} {how}": f'method = "priot-s"\nscored = {share}\nselect = "{select}"'
        for how, select in (("by weight", "weight"), ("at random", "random"))
        for label, share in _SCORED.items()
    },
}
DYNAMIC_EXPONENTS = (-2, -4, -6)
"""Of `lasting`: dynamic scales are there to compare with, not the question."""


def table1_mnist(place: Workplace) -> str:
    return _table1("table1-mnist", *(cells(read(place.csv(f"choose-{one}"))) for one in (30, 45)))


def table1_cifar10(place: Workplace) -> str:
    return _table1("table1-cifar10", cells(read(place.csv("choose-cifar10"))), epochs=4)


def _table1(name: str, *choices: Frame, epochs: int | None = None) -> str:
    """Each method at its own best exponent and step size, and at the best of the shared exponent.
    As many epochs as were chosen with, unless said."""
    tables = []
    for choice in choices:
        angle = float(choice["angle"].iloc[0])
        lasts = choice["epochs"].iloc[0] if epochs is None else epochs
        readings = [findings.picked(choice, exponent=e) for e in (None, findings.SHARED_EXPONENT)]
        for label in _METHODS:
            one = [findings.picked_for(label, angle, reading) for reading in readings]
            tables += [
                _table(label, f"angle = {angle:g}\nepochs = {lasts}\n{_numbers(candidate)}")
                for candidate in dict.fromkeys(one)
                if candidate is not None
            ]
    return _HEADS[name] + "".join(tables)


def _numbers(one: Candidate) -> str:
    exponent = f"logits_exponent = {one.exponent}\n" if one.exponent else ""
    return f'{exponent}mu = "{one.mu}"'


def _table(label: str, rest: str) -> str:
    return f'\n[[grid]]\nlabel = "{label}"\n{_METHODS[label]}\n{rest}\n'


def speech(place: Workplace) -> str:
    own = findings.picked(cells(read(place.csv("speech-choose"))))
    return _HEADS["speech"] + "".join(
        _table(label, _numbers(candidate)) for (label, _), candidate in own.items()
    )


def lasting(place: Workplace) -> str:
    """At the step size that all have, and at the one that was best at the end for each exponent
    and angle."""
    found = horizon.read(place.json("horizon"))
    tables = []
    for label in (findings.NITI_STATIC, findings.PRIOT, findings.NITI_DYNAMIC):
        mine = horizon.having(found, label=label)
        for angle in horizon.angles(mine):
            for exponent in horizon.exponents(mine):
                if label == findings.NITI_DYNAMIC and exponent not in DYNAMIC_EXPONENTS:
                    continue
                best = horizon.best_mu(mine, label, angle, exponent) or horizon.SAME_MU
                mus = ", ".join(f'"{mu}"' for mu in dict.fromkeys((horizon.SAME_MU, best)))
                numbers = f"angle = {angle:g}\nlogits_exponent = {exponent}\nmu = [{mus}]"
                tables.append(_table(label, numbers))
    return _HEADS["lasting"] + "".join(tables)


GRIDS: dict[str, Callable[[Workplace], str]] = {
    "table1-mnist": table1_mnist,
    "table1-cifar10": table1_cifar10,
    "speech": speech,
    "lasting": lasting,
}
_MADE = "# Printed by `.venv/bin/python -m picotrain.research.reproduce.grids {}`.\n"
_HEADS = {
    "table1-mnist": f"""\
# Table 1, MNIST: the paper's experiment on the test images. Exponents of the logits and step sizes
# are those that choose-30.toml and choose-45.toml found on validation images: every method at its
# own best, and at the step size that is best for the exponent that all have here. Random selection
# takes the numbers of selection by weight.
{_MADE.format("table1-mnist")}[base]
dataset = "mnist"
model = "tinycnn"
seeds = [0, 1, 2, 3, 4]
split = "test"
""",
    "table1-cifar10": f"""\
# Table 1, CIFAR-10: VGG11 and turned images, test split. Exponents of the logits and step sizes are
# those that choose-cifar10.toml found on validation images, as in table1-mnist.toml; PRIOT-S takes
# those of 10 % by weight.
{_MADE.format("table1-cifar10")}[base]
dataset = "cifar10"
model = "vgg11"
backbone = "build/backbones/vgg11-cifar10.npz"
seeds = [0, 1, 2, 3, 4]
split = "test"
ram_kib = 65536
""",
    "speech": f"""\
# Spoken digits: the network knows five speakers, the device adapts to the sixth (docs/speech.md).
# Exponents of the logits and step sizes are those that speech-choose.toml found on recordings that
# do not test.
{_MADE.format("speech")}[base]
dataset = [
    "fsdd-george", "fsdd-jackson", "fsdd-lucas", "fsdd-nicolas", "fsdd-theo", "fsdd-yweweler",
]
model = "tinycnn"
angle = 0
epochs = 10
seeds = [0, 1, 2, 3, 4]
split = "test"
""",
    "lasting": f"""\
# How long static NITI lasts against PRIOT, on test images: 60 epochs of 1,024 images, by the
# exponent of the logits; at the same step size, and each at the one that horizon.toml found best
# for that exponent, angle and 60 epochs on validation images.
{_MADE.format("lasting")}[base]
dataset = "mnist"
model = "tinycnn"
epochs = 60
seeds = [0, 1, 2, 3, 4]
split = "test"
calibration = "fair"
""",
}


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in GRIDS:
        raise UserError(f"name one of the grids that are chosen: {', '.join(GRIDS)}")
    print(GRIDS[arguments[0]](full()), end="")
    return 0


if __name__ == "__main__":
    sys.exit(told("grids", main))
