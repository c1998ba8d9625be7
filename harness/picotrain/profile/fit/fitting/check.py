"""Predicted against measured cycles of networks that the cost model was not fitted to: `make
fit-check` writes experiments/results/fit.json and the tables of docs/fit.md."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from picotrain import datasets
from picotrain.datasets import Split, rotated_sample
from picotrain.device.given import images_for
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError, told
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.output import write_json, write_text
from picotrain.places import SHIPPED
from picotrain.profile.fit.fitting.drawn import architecture
from picotrain.profile.fit.fitting.fitted import CHECK_SEED
from picotrain.profile.fit.fitting.material import METHODS, images, material, some_rows
from picotrain.profile.fit.fitting.measure import measure, open_counter
from picotrain.profile.fit.model import CostModel, load
from picotrain.profile.fit.observe import observe
from picotrain.profile.fit.prepare import INFER, calibrated, trains
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network, Selection

FILE = SHIPPED / "experiments" / "results" / "fit.json"
PAGE = SHIPPED / "docs" / "fit.md"
BEGIN, END = "<!-- make fit-check -->", "<!-- end -->"
IMAGES = 2
_DRAWN_AFFINE, _DRAWN_CHAINS = 6, 4
_UNTRAINED = ("vgg11", "mobilenet-v1-025")
"""Networks whose training steps no Pico holds, and which take long."""
_SELECTED = ("ds-cnn", "mobilenet-v2-few", "mobilenet-v2-pico", "motion", "proxyless-few")
_ANGLE = 30


@dataclass(frozen=True)
class Subject:
    name: str
    network: Network
    images: Split
    shown: str


def untrained(name: str) -> Subject:
    """A shipped network, and noise."""
    return Subject(name, *material(models.resolve(name), CHECK_SEED, IMAGES), "noise")


def tinycnn() -> Subject:
    """What knows its images upright, and sees them turned."""
    digits = datasets.load("digits")
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "digits"))
    split = rotated_sample(digits.train, 4 * IMAGES, 0, _ANGLE)
    split = Split(images_for(network, split.images), split.labels)
    return Subject("tinycnn, pre-trained", network, split, f"digits, {_ANGLE} degrees")


def few() -> Subject:
    """What was trained to learn from few samples."""
    network, _ = models.load_backbone(models.BACKBONES / "mobilenet-v2-few-meta.npz")
    split = images(network.input_shape, network.classes, CHECK_SEED, 4)
    network = calibrated(network, split)
    split = Split(split.images[:IMAGES], split.labels[:IMAGES])
    return Subject("mobilenet-v2-few, pre-trained", network, split, "noise")


def drawn(made: Architecture, seed: int) -> Subject:
    return Subject(made.name, *material(made, seed, IMAGES), "noise")


def subjects() -> dict[str, Callable[[], Subject]]:
    """The shipped networks, untrained and pre-trained, and drawn ones of other seeds."""
    found: dict[str, Callable[[], Subject]] = {
        name: partial(untrained, name) for name in models.shipped()
    }
    found |= {"tinycnn, pre-trained": tinycnn, "mobilenet-v2-few, pre-trained": few}
    for affine, count in ((True, _DRAWN_AFFINE), (False, _DRAWN_CHAINS)):
        for seed in range(CHECK_SEED, CHECK_SEED + count):
            made = architecture(seed, affine)
            found[made.name] = partial(drawn, made, seed)
    return found


def chosen(names: Sequence[str]) -> list[Callable[[], Subject]]:
    """Those of these names, or all where there is none. Raises UserError for another name."""
    every = subjects()
    for name in names:
        if name not in every:
            raise UserError(f"{name!r} is no row of the table; use one of {', '.join(every)}")
    return [every[name] for name in names or every]


def compared(
    model: CostModel, device: MailboxDevice, subject: Subject, method: Method
) -> dict[str, Any]:
    """Mean cycles of an inference, or of those training steps that have a loss error."""
    network, split = subject.network, subject.images
    found = measure(device, network, method, split)
    seen = observe(network, method, split)
    if method.trains:
        kept = [number for number, norm in enumerate(found.losses) if norm]
        seen, totals = [seen[i] for i in kept], [found.train[i] for i in kept]
    else:
        totals = found.infer
    usual = model.predict(network, method, [model.usual_activity(network)])
    return {
        "measured": fmean(totals),
        "predicted": model.predict(network, method, seen).total,
        "usual": usual.total,
    }


def selected(
    model: CostModel, device: MailboxDevice, subject: Subject, method: Method, chosen: Selection
) -> dict[str, Any]:
    """Mean cycles of the backward pass that updates some rows of some layers."""
    network, split = subject.network, subject.images
    found = measure(device, network, method, split, chosen)
    backward = [
        sum(cost for (phase, _), cost in one.items() if phase in ("error", "update"))
        for one in found.operations
    ]
    seen = observe(network, method, split, chosen)
    usual = [model.usual_activity(network)]
    return {
        "measured": fmean(backward),
        "predicted": model.predict(network, method, seen, chosen).backward,
        "usual": model.predict(network, method, usual, chosen).backward,
    }


def make(every: Sequence[Callable[[], Subject]]) -> dict[str, Any]:
    model = load()
    found: list[dict[str, Any]] = []
    with open_counter(large=True) as device, progress_bar("check", len(every), "net") as advance:
        for made in every:
            subject = made()
            network = subject.network
            row: dict[str, Any] = {
                "network": subject.name,
                "form": "affine" if network.affine else "power of two",
                "shown": subject.shown,
                "macs": sum(layer.macs for layer in network.layers if layer.has_weights),
                "steps": {"infer": compared(model, device, subject, INFER)},
                "selected": {},
            }
            if subject.name not in _UNTRAINED:
                for method in METHODS:
                    if trains(network, method):
                        row["steps"][method.name] = compared(model, device, subject, method)
            if subject.name in _SELECTED:
                chosen = some_rows(network, CHECK_SEED)
                for method in (Method("niti-dynamic"), Method("niti-static"), Method("priot")):
                    row["selected"][method.name] = selected(model, device, subject, method, chosen)
            found.append(row)
            advance(1)
    return {"images": IMAGES, "networks": found}


def error(one: dict[str, Any], by: str = "predicted") -> float:
    return float(one[by] / one["measured"] - 1)


def summary(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each method, and of selections: how many networks, mean and worst error."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in content["networks"]:
        for name, one in row["steps"].items():
            groups.setdefault(name, []).append(one)
        for name, one in row["selected"].items():
            groups.setdefault(f"{name}, selected rows, backward", []).append(one)
    return {name: _summed(every) for name, every in groups.items()}


def _summed(every: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"networks": len(every)}
    for by, suffix in (("predicted", ""), ("usual", "_usual")):
        errors = [abs(error(one, by)) for one in every]
        found |= {f"mean{suffix}": fmean(errors), f"worst{suffix}": max(errors)}
    return found


def tables(content: dict[str, Any]) -> str:
    lines = [
        "| step | networks | mean error | worst error | of usual activity | worst |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in summary(content).items():
        shares = (_percent(one[key]) for key in ("mean", "worst", "mean_usual", "worst_usual"))
        lines.append(f"| {name} | {one['networks']} | {' | '.join(shares)} |")
    lines += [
        "",
        "| network | images | inference, measured | predicted | error | PRIOT step | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["networks"]:
        infer, step = row["steps"]["infer"], row["steps"].get("priot")
        cells = [
            row["network"],
            row["shown"],
            f"{infer['measured']:,.0f}",
            f"{infer['predicted']:,.0f}",
            _signed(error(infer)),
            "" if step is None else f"{step['measured']:,.0f}",
            "" if step is None else _signed(error(step)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f} %"


def page(text: str, content: dict[str, Any]) -> str:
    """The page with its tables."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{tables(content)}\n{END}{rest.split(END, 1)[1]}"


def main(names: Sequence[str]) -> int:
    """With names, those rows are shown and nothing is written."""
    every = chosen(names)
    content = make(every)
    if names:
        print(tables(content))
        return 0
    write_json(FILE, content)
    path = Path(PAGE)
    write_text(path, page(path.read_text(encoding="utf-8"), content))
    for name, one in summary(content).items():
        print(
            f"{name}: {one['networks']} networks, {_percent(one['mean'])}, {_percent(one['worst'])}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(told("fit-check", main))
