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
from picotrain.datasets.files import FileSet
from picotrain.errors import UserError

__all__ = [
    "EMBEDDED",
    "FILED",
    "LEARNT_FROM",
    "NAMES",
    "PUBLISHED",
    "TUNED_ON",
    "UNSEEN",
    "Domain",
    "Episode",
    "Rule",
    "augmented",
    "fileset",
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
    "digits": brought.digits,
}

NAMES = tuple(_LOADERS)
EMBEDDED = "digits"
"""It comes with scikit-learn, and is for trials: the tables have mnist and usps."""
UNSEEN = tuple(name for name in NAMES[len(cifar100.PARTS) :] if name != EMBEDDED)
"""Domains of which no network saw anything before."""

FILED = ("cifar100", *(pack.name for pack in packs.FILES), brought.FASHION.name, wand.FILES.name)
"""What has files that nothing else has."""


def fileset(name: str) -> FileSet:
    """The files of one of `FILED`."""
    if name == cifar100.NAME:
        return cifar100.here()
    return next(one for one in (*packs.FILES, brought.FASHION, wand.FILES) if one.name == name)


def load_domain(name: str, download: bool = True) -> Domain:
    """The domain of that name, one of `NAMES`; its files are verified, and downloaded first if they
    are missing, `download`, and such a download gives them."""
    if name not in _LOADERS:
        raise UserError(f"unknown domain {name!r}; use one of {', '.join(NAMES)}")
    return _LOADERS[name](download)
