"""Domains for few-shot tasks, 32x32 grey, by name; and episodes drawn from them.

A network learns from `cifar100-train`, what is tuned is tuned on `cifar100-validation`, and the
rest is for tasks that it never saw.
"""

from __future__ import annotations

from collections.abc import Callable

from picotrain.datasets.fewshot import brought, cifar100, packs, wand
from picotrain.datasets.fewshot.augment import augmented
from picotrain.datasets.fewshot.domain import Domain
from picotrain.datasets.fewshot.episodes import PUBLISHED, Episode, Rule, sample_episode
from picotrain.errors import UserError

__all__ = [
    "LEARNT_FROM",
    "NAMES",
    "PUBLISHED",
    "TUNED_ON",
    "UNSEEN",
    "Domain",
    "Episode",
    "Rule",
    "augmented",
    "load_domain",
    "sample_episode",
]

LEARNT_FROM = "cifar100-train"
TUNED_ON = "cifar100-validation"

_LOADERS: dict[str, Callable[[bool], Domain]] = {
    **{f"cifar100-{part}": cifar100.loader(part) for part in cifar100.PARTS},
    "gtsrb": packs.gtsrb,
    "omniglot": packs.omniglot,
    "flowers": packs.flowers,
    "fashion-mnist": brought.fashion_mnist,
    "mnist": brought.mnist,
    "usps": packs.usps,
    "cifar10": brought.cifar10,
    "fsdd": brought.fsdd,
    "magic-wand": wand.load,
}

NAMES = tuple(_LOADERS)
UNSEEN = NAMES[len(cifar100.PARTS) :]
"""Domains of which no network saw anything before."""


def load_domain(name: str, download: bool = True) -> Domain:
    """The domain of that name, one of `NAMES`; its files are verified, and downloaded first if they
    are missing, `download`, and such a download gives them."""
    if name not in _LOADERS:
        raise UserError(f"unknown domain {name!r}; use one of {', '.join(NAMES)}")
    return _LOADERS[name](download)
