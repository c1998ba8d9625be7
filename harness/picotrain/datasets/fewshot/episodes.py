"""Few-shot tasks as Meta-Dataset draws them (arXiv 1903.03096, section 3.2 and its code).

All randomness is a NumPy generator of seed, domain and number of the task, so a task is the same
whatever was drawn before it.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from dataclasses import dataclass

import numpy as np

from picotrain.datasets.dataset import Split
from picotrain.datasets.fewshot.domain import Domain, Indices
from picotrain.errors import UserError, whole_number


@dataclass(frozen=True)
class Rule:
    """How tasks are drawn; the defaults are the published ones.

    Without `ways` their number is uniform in `fewest_ways`..min(`most_ways`, classes). Without
    `shots` the support set is imbalanced and at most `support` images, of a class at most
    `per_class` count for its size; with it every class has so many. `query` is the most images of
    a class that test.
    """

    ways: int | None = None
    shots: int | None = None
    fewest_ways: int = 5
    most_ways: int = 50
    query: int = 10
    support: int = 500
    per_class: int = 100


PUBLISHED = Rule()


@dataclass(frozen=True, eq=False)
class Episode:
    """A task: `support` to adapt to, `query` to be tested on, labels 0..ways-1, both by class.

    Way w is the class `classes[w]` of the domain; the other numbers are those of its images.
    """

    domain: str
    classes: tuple[int, ...]
    support: Split
    query: Split
    support_images: Indices
    query_images: Indices

    @property
    def ways(self) -> int:
        return len(self.classes)

    def digest(self) -> str:
        """sha256 of which images are in it, and where."""
        numbers = [len(self.classes), *self.classes, len(self.support_images)]
        text = np.array([*numbers, *self.support_images, *self.query_images], "<u4").tobytes()
        return hashlib.sha256(text).hexdigest()


def sample_episode(domain: Domain, seed: int, number: int, rule: Rule = PUBLISHED) -> Episode:
    """Task `number` of a domain under `seed`. UserError where the domain has none by that rule."""
    for what, value in (("the seed", seed), ("a task's number", number)):
        if not 0 <= whole_number(what, value) < 1 << 32:
            raise UserError(f"{what} is {value}; use 0 to 2^32 - 1")
    random = np.random.default_rng([seed, zlib.crc32(domain.name.encode()), number])
    chosen = _classes(domain, rule, random)
    members = [domain.members(label) for label in chosen]
    tests = _tests(domain, rule, chosen, [len(own) for own in members])
    sides = [
        _sides(domain, label, own, tests, random)
        for label, own in zip(chosen, members, strict=True)
    ]
    sizes = _shares(
        domain,
        rule,
        chosen,
        [len(own) for own in members],
        [len(left) for left, _ in sides],
        random,
    )
    support = [
        random.choice(left, size, replace=False)
        for (left, _), size in zip(sides, sizes, strict=True)
    ]
    return _episode(domain, chosen, support, [query for _, query in sides])


def _classes(domain: Domain, rule: Rule, random: np.random.Generator) -> list[int]:
    """The classes of a task, those of one family where there are any."""
    pool = np.arange(domain.classes)
    least = rule.fewest_ways if rule.ways is None else rule.ways
    if domain.families is not None:
        enough = [
            one for one in np.unique(domain.families) if (domain.families == one).sum() >= least
        ]
        if enough:
            pool = np.flatnonzero(domain.families == random.choice(enough))
        elif domain.classes >= least:
            raise UserError(
                f"no family of domain {domain.name} has {least} classes; ask for fewer ways"
            )
    if least > len(pool):
        raise UserError(
            f"domain {domain.name} has {len(pool)} classes, fewer than {least} ways; ask for "
            f"{len(pool)} ways at most"
        )
    if least < 2:
        raise UserError(f"a task cannot have {least} ways; use 2 or more")
    ways = rule.ways
    if ways is None:
        ways = int(random.integers(least, max(least, min(rule.most_ways, len(pool))) + 1))
    return [int(label) for label in random.choice(pool, ways, replace=False)]


def _tests(domain: Domain, rule: Rule, chosen: list[int], sizes: list[int]) -> int:
    """How many images of each class test."""
    smallest = min(sizes)
    label = chosen[sizes.index(smallest)]
    if smallest < 2:
        raise UserError(
            f"class {label} of domain {domain.name} has {smallest} images, too few to learn from "
            "one and be tested on another; leave it out"
        )
    if rule.shots is None:
        return min(rule.query, smallest // 2)
    if rule.shots < 1 or rule.shots + rule.query > smallest:
        raise UserError(
            f"{rule.shots} + {rule.query} images of each class are more than the {smallest} of "
            f"class {label} of domain {domain.name}, or none to learn from; ask for fewer"
        )
    return rule.query


def _sides(
    domain: Domain, label: int, own: Indices, tests: int, random: np.random.Generator
) -> tuple[Indices, Indices]:
    """The images of a class that may be learnt from, and those that test.

    Where images have tracks, half of the tracks, and more until there are enough images, are for
    the test alone.
    """
    if domain.tracks is None:
        mixed = random.permutation(own)
        return mixed[tests:], mixed[:tests]
    tracks = random.permutation(np.unique(domain.tracks[own]))
    sizes = np.array([(domain.tracks[own] == track).sum() for track in tracks])
    enough = np.flatnonzero(np.cumsum(sizes) >= tests)
    held = max(len(tracks) // 2, int(enough[0]) + 1)
    if held >= len(tracks):
        raise UserError(
            f"class {label} of domain {domain.name} has {len(tracks)} tracks, too few to learn "
            f"from one and be tested on {tests} images of others; leave it out"
        )
    testing = np.isin(domain.tracks[own], tracks[:held])
    return own[~testing], random.choice(own[testing], tests, replace=False)


def _shares(
    domain: Domain,
    rule: Rule,
    chosen: list[int],
    sizes: list[int],
    left: list[int],
    random: np.random.Generator,
) -> list[int]:
    """How many images of each class are learnt from."""
    if rule.shots is not None:
        for label, most in zip(chosen, left, strict=True):
            if most < rule.shots:
                raise UserError(
                    f"class {label} of domain {domain.name} has {most} images left to learn from, "
                    f"fewer than {rule.shots}; ask for fewer"
                )
        return [rule.shots] * len(chosen)
    if len(chosen) > rule.support:
        raise UserError(
            f"{len(chosen)} ways need as many images to learn from, more than {rule.support}; ask "
            "for fewer ways"
        )
    beta = 1.0 - random.random()  # above 0
    total = sum(math.ceil(beta * min(rule.per_class, count)) for count in left)
    total = min(rule.support, total)
    weights = np.exp(random.uniform(-math.log(2), math.log(2), len(chosen))) * sizes
    shares = weights / weights.sum()
    # As Meta-Dataset does: one for each class, and of the rest a share, rounded down.
    given = np.floor(shares * (total - len(chosen))).astype(int) + 1
    return [min(int(count), most) for count, most in zip(given, left, strict=True)]


def _episode(
    domain: Domain, chosen: list[int], support: list[Indices], query: list[Indices]
) -> Episode:
    def split(images: list[Indices]) -> tuple[Split, Indices]:
        every = np.concatenate(images)
        labels = np.repeat(np.arange(len(images), dtype=np.uint8), [len(one) for one in images])
        return Split(domain.images[every], labels), every

    learnt, learnt_images = split(support)
    tested, tested_images = split(query)
    return Episode(domain.name, tuple(chosen), learnt, tested, learnt_images, tested_images)
