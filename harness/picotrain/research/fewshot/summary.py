"""What came of a campaign: means over tasks, and what each scheme costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.learn.fewshot.prototypes import Interval
from picotrain.research.fewshot.campaign import Campaign, Tasks
from picotrain.research.fewshot.schemes import BUDGETED
from picotrain.research.fewshot.task import Outcome, rows_of
from picotrain_golden import Network


@dataclass(frozen=True)
class Row:
    """A scheme over the tasks of one domain, or of all, `domain` empty: there each domain counts
    the same, and the interval is that of a mean of means.

    `bytes` and `macs` are means over the tasks; `chosen` is in how many of them a row of a layer
    learned, as a share, by the layer's index.
    """

    scheme: str
    domain: str
    accuracy: Interval
    bytes: float
    macs: float
    chosen: dict[int, float]


def rows(tasks: Tasks) -> list[Row]:
    """Of every scheme, over all domains and then of each."""
    first = next(outcomes for found in tasks.values() for outcomes in found.values())
    made = []
    for place, scheme in enumerate(one.scheme for one in first):
        by_domain = {
            domain: [outcomes[place] for outcomes in found.values()]
            for domain, found in tasks.items()
            if found
        }
        each = [_row(scheme, domain, own) for domain, own in by_domain.items()]
        mean = _together([one.accuracy for one in each])
        together = _row(scheme, "", [one for own in by_domain.values() for one in own])
        made.append(Row(scheme, "", mean, together.bytes, together.macs, together.chosen))
        made += each
    return made


def _row(scheme: str, domain: str, outcomes: list[Outcome]) -> Row:
    layers = sorted({layer for one in outcomes for layer in one.rows})
    return Row(
        scheme,
        domain,
        Interval.of([one.accuracy for one in outcomes]),
        fmean(one.bytes for one in outcomes),
        fmean(one.macs for one in outcomes),
        {layer: fmean(layer in one.rows for one in outcomes) for layer in layers},
    )


def outcomes_of(tasks: Tasks, scheme: str, domain: str = "") -> list[Outcome]:
    """Of a scheme on the tasks of one domain, or of all, in the order of their numbers."""
    return [
        one
        for name, found in tasks.items()
        if domain in ("", name)
        for outcomes in found.values()
        for one in outcomes
        if one.scheme == scheme
    ]


def channels(network: Network, outcomes: Sequence[Outcome]) -> dict[int, NDArray[np.int64]]:
    """In how many of a thousand tasks each row of a layer learned, by the layer's index. Not of the
    head, whose rows are each task's own classes."""
    made = {}
    for index in sorted({layer for one in outcomes for layer in one.rows}):
        if index == len(network.layers) - 1:
            continue
        count = network.layers[index].rows
        learned = [rows_of(one.rows[index], count) for one in outcomes if index in one.rows]
        made[index] = np.rint(1000 * np.sum(learned, axis=0) / len(outcomes)).astype(np.int64)
    return made


def condensed(campaign: Campaign, tasks: Tasks) -> dict[str, Any]:
    """The file of results: what the page needs, and the accuracy of every task.

    Accuracies are in the order of the tasks' numbers, which are 0 and on, in one text. `channels`
    has what `channels` returns over all domains, a layer's rows in one text; `chosen` is of all
    domains, too.
    """
    schemes = [scheme.label for scheme in campaign.schemes]
    return {
        **campaign.describe(),
        "episodes": {domain: len(found) for domain, found in tasks.items()},
        "accuracies": {
            domain: {
                scheme: " ".join(
                    f"{one.accuracy:.4f}" for one in outcomes_of(tasks, scheme, domain)
                )
                for scheme in schemes
            }
            for domain in tasks
        },
        "rows": [
            {
                "scheme": row.scheme,
                "domain": row.domain,
                "accuracy": row.accuracy.mean,
                "half": row.accuracy.half,
                "bytes": row.bytes,
                "macs": row.macs,
                "chosen": {str(layer): round(share, 4) for layer, share in row.chosen.items()}
                if not row.domain
                else {},
            }
            for row in rows(tasks)
        ],
        "channels": {
            scheme.label: {
                str(layer): " ".join(map(str, found))
                for layer, found in channels(
                    campaign.backbone, outcomes_of(tasks, scheme.label)
                ).items()
            }
            for scheme in campaign.schemes
            if scheme.name in BUDGETED
        },
    }


def difference(campaign: Mapping[str, Any], one: str, other: str) -> Interval:
    """How much more accurate a scheme is than another, task by task; each domain counts the same.

    `campaign` is what `condensed` returned.
    """
    each = [
        Interval.of(
            [
                float(a) - float(b)
                for a, b in zip(found[one].split(), found[other].split(), strict=True)
            ]
        )
        for found in campaign["accuracies"].values()
    ]
    return _together(each)


def _together(domains: list[Interval]) -> Interval:
    """Each domain counts the same."""
    half = sum(one.half**2 for one in domains) ** 0.5 / len(domains)
    return Interval(fmean(one.mean for one in domains), half)
