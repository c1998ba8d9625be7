"""Many tasks of many domains, side by side; a task that is finished is kept."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from picotrain.datasets.fewshot import (
    PUBLISHED,
    TUNED_ON,
    Domain,
    Rule,
    load_domain,
    sample_episode,
)
from picotrain.device.backends import open_device
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.architectures.architecture import in_words
from picotrain.learn.fewshot.heads import with_head
from picotrain.output import check_folder
from picotrain.progress import progress_bar
from picotrain.research.fewshot import kept
from picotrain.research.fewshot.schemes import Scheme, added, budget, without_head
from picotrain.research.fewshot.task import Outcome, Settings, gather, run_task
from picotrain.research.sweep import pool
from picotrain_golden import Network, Selection, select
from picotrain_golden.sparse.solvers import MOST, BudgetError

FIXED_WAYS, FIXED_TASKS = 10, 20
"""Of the tasks on which the fixed scheme is found."""

_IMAGE = (32, 32, 1)
"""Of every domain."""


@dataclass(frozen=True, eq=False)
class Campaign:
    """`rule` draws the tasks; number n of a domain is the same in every campaign of one seed."""

    backbone: Network
    schemes: tuple[Scheme, ...]
    settings: Settings
    rule: Rule = PUBLISHED
    seed: int = 0
    target: str = "host"

    def describe(self) -> dict[str, Any]:
        """All that decides a task's outcome but for the code."""
        return {
            "network_sha256": models.network_sha256(self.backbone),
            "schemes": [scheme.label for scheme in self.schemes],
            "settings": asdict(self.settings),
            "rule": asdict(self.rule),
            "seed": self.seed,
        }

    def digest(self) -> str:
        text = json.dumps({"format": kept.FORMAT, **self.describe()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


Tasks = dict[str, dict[int, list[Outcome]]]
"""Outcomes by domain and number of the task."""


def run(
    campaign: Campaign,
    domains: Sequence[str],
    episodes: int,
    place: Path,
    processes: int | None = None,
) -> Tasks:
    """Tasks 0..episodes-1 of every domain, each domain's turn by turn, so that what has been done
    at any moment is even; finished ones are kept in a folder below `place`. Raises UserError for a
    domain that is missing, before anything runs."""
    _check(campaign)
    folder = place / campaign.digest()
    check_folder(folder)
    loaded = {name: load_domain(name) for name in domains}
    with open_device(campaign.target) as device:
        device.load_model(with_head(campaign.backbone, 2), frozen=True)
    wanted = [(name, number) for number in range(episodes) for name in domains]
    found: Tasks = {name: {} for name in domains}
    labels = [scheme.label for scheme in campaign.schemes]
    code = kept.code_of(campaign.target)
    missing, stale = [], 0
    for name, number in wanted:
        held = kept.load(_path(folder, name, number), labels, campaign.backbone)
        if held is None:
            missing.append((name, number))
        else:
            found[name][number] = held[0]
            stale += held[1] not in (code, "")
    _tell_kept(len(wanted) - len(missing), len(wanted), stale, folder)
    if missing:
        fixed = fixed_schemes(campaign)
        jobs = [(campaign, loaded[name], number, fixed) for name, number in missing]
        made = pool.results(_one, jobs, processes, "finished tasks are kept")
        with closing(made), progress_bar("tasks", len(jobs), "task") as advance:
            for name, number, outcomes in made:
                kept.save(_path(folder, name, number), outcomes, code)
                found[name][number] = outcomes
                advance(1)
    return {name: dict(sorted(tasks.items())) for name, tasks in found.items()}


_Job = tuple[Campaign, Domain, int, dict[Scheme, Selection]]


def _one(job: _Job) -> tuple[str, int, list[Outcome]]:
    campaign, domain, number, fixed = job
    episode = sample_episode(domain, campaign.seed, number, campaign.rule)
    with open_device(campaign.target) as device:
        outcomes = run_task(
            device,
            campaign.backbone,
            episode,
            domain.mirror,
            campaign.schemes,
            campaign.settings,
            campaign.seed + number,
            fixed,
        )
    return domain.name, number, outcomes


def _path(folder: Path, domain: str, number: int) -> Path:
    return folder / f"{domain}-{number}.json"


def _check(campaign: Campaign) -> None:
    network = campaign.backbone
    if network.input_shape != _IMAGE:
        raise UserError(
            f"network {network.name} takes images of {in_words(network.input_shape)}, but those of "
            f"tasks are {in_words(_IMAGE)}; use another network"
        )


def _tell_kept(done: int, wanted: int, stale: int, folder: Path) -> None:
    if done:
        print(f"{done} of {wanted} tasks are kept in {folder}", file=sys.stderr)
    if stale:
        print(
            f"picotrain: {stale} of them were finished on another target, or by other firmware "
            "or Python; remove that folder to run them again",
            file=sys.stderr,
        )


def fixed_schemes(campaign: Campaign) -> dict[Scheme, Selection]:
    """The selection of each `sparse-update`: what `true-cost` selects by the information of tasks
    of the domain that is tuned on, summed."""
    wanted = [scheme for scheme in campaign.schemes if scheme.name == "sparse-update"]
    if not wanted:
        return {}
    domain = load_domain(TUNED_ON)
    rule = Rule(ways=FIXED_WAYS)
    network = with_head(campaign.backbone, FIXED_WAYS)
    gathered = []
    with (
        open_device(campaign.target) as device,
        progress_bar("fixed scheme", FIXED_TASKS, "task") as advance,
    ):
        for number in range(FIXED_TASKS):
            episode = sample_episode(domain, campaign.seed, number, rule)
            gathered.append(gather(device, campaign.backbone, episode))
            advance(1)
    information = added(gathered)
    made = {}
    for scheme in wanted:
        method = campaign.settings.method(scheme, 0)
        macs = budget(network, method, scheme.share)
        permille = campaign.settings.permille
        ask = partial(select, network, method, information, "true-cost", permille, MOST, macs)
        try:
            found = ask(lean=True, head=True).selection
        except BudgetError as error:
            raise UserError(f"{scheme.label} has a budget of {macs} MACs: {error}") from error
        made[scheme] = without_head(found)
    return made
