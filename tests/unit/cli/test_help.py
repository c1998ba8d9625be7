"""Every option of every verb says what it is, and names its default in one way."""

from __future__ import annotations

import argparse
import re

import pytest

from picotrain import cli
from picotrain.cli.hardware import uf2
from picotrain.learn import models


def options_of(verb: str) -> list[argparse.Action]:
    parser = cli._parser([verb])
    [verbs] = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return list(verbs.choices[verb]._actions)


def name_of(action: argparse.Action) -> str:
    return (action.option_strings or [action.dest])[-1]


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_option_has_a_text(verb: str) -> None:
    actions = options_of(verb)
    assert {"--help", "--json"} <= {name_of(one) for one in actions}
    assert [name_of(one) for one in actions if not one.help] == []


@pytest.mark.parametrize("verb", cli.VERBS)
def test_defaults_are_named_in_one_way(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    for action in options_of(verb):
        text = str(action.help)
        # Neither "(X)" alone, nor a text that is nothing but a default.
        assert not text.startswith("default")
        assert "default" not in re.sub(r"\(default: ", "", text).replace("%(default)s", ""), text
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    # What is built lies elsewhere for an installed picotrain; only uf2 says where it writes to.
    said = " ".join(capsys.readouterr().out.split())
    assert "default: None" not in said and "tests/" not in said
    assert "build/" not in said.replace(f"or {uf2._SHOWN})", "")


VALUES = ("target", "dataset", "model", "method", "epochs", "steps", "images", "seed", "board")
VALUES += ("port", "baud", "report", "bytes", "by", "split", "plan", "replay", "arithmetic")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_what_has_a_default_names_it(verb: str) -> None:
    for action in options_of(verb):
        # A file that no option names is not written: --report is one for fewshot.
        if action.dest in VALUES and action.metavar != "FILE":
            assert "(default: " in str(action.help), name_of(action)


SHAPES = {"digits": (28, 28, 1), "cifar10": (32, 32, 3)}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_default_network_takes_the_images_of_the_default_data_set(verb: str) -> None:
    default = {action.dest: action.default for action in options_of(verb)}
    model, dataset = (default.get(name) for name in ("model", "dataset"))
    if isinstance(model, str) and isinstance(dataset, str):
        assert models.resolve(model).input_shape == SHAPES[dataset], (model, dataset)
