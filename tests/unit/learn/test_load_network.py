"""A network by its name or file, as programs of one's own ask for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.models import load_network
from picotrain_golden import Network


def same(one: Network, other: Network) -> bool:
    """In every number: two of `Network` compare by what they are, not by what they hold."""
    if one.layers != other.layers or one.name != other.name:
        return False
    for mine, theirs in zip(one.parameters, other.parameters, strict=True):
        if (mine is None) != (theirs is None):
            return False
        if mine is None or theirs is None:
            continue
        numbers = ("exponent", "forward_shift", "error_shift", "gradient_bits", "score_bits")
        if any(getattr(mine, name) != getattr(theirs, name) for name in numbers):
            return False
        if not np.array_equal(mine.weights, theirs.weights):
            return False
    return True


def test_trained_for_a_data_set_or_in_a_file() -> None:
    file = models.backbone_path("tinycnn", "digits")
    wanted = models.load_backbone(file)[0]
    assert same(load_network("tinycnn", "digits"), wanted)
    assert same(load_network(file), wanted)
    assert same(load_network(str(file)), wanted)
    assert not same(load_network("tinycnn", "mnist"), wanted)


def test_untrained(tmp_path: Path) -> None:
    wanted = models.initial_network(models.resolve("tinycnn"), seed=3)
    assert same(load_network("tinycnn", seed=3), wanted)
    assert not same(load_network("tinycnn"), wanted)
    own = tmp_path / "own.toml"
    own.write_bytes((models.MODELS / "tinycnn.toml").read_bytes())
    assert same(load_network(own, seed=3), wanted)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("tinycnn", "mnits"), "no backbone is shipped for mnits; make one with"),
        (("tinycnn", "npz:own.npz"), "no backbone is shipped for npz:own.npz; make one with"),
        (("own.npz", "digits"), "own.npz is a backbone, trained already: leave data set 'digits'"),
        (("own.npz",), "own.npz"),
        (("tinynn",), "tinynn"),
    ],
)
def test_mistakes(given: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        load_network(*given)
    assert str(caught.value).count(sentence) >= 1 and "; " in str(caught.value).replace(":", ";")
