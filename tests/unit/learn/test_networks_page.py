"""docs/networks.md: its example is the shipped network; keys and bounds are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.architectures import chain, graph
from picotrain.learn.architectures.architecture import Architecture
from picotrain_golden.network import (
    MAX_AFFINE_LAYERS,
    MAX_AFFINE_OUTPUTS,
    MAX_CLASSES,
    MAX_DIMENSION,
    MAX_KERNEL,
    MAX_LAYERS,
    MAX_TERMS,
    MAX_WEIGHTS,
)
from support import described

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "networks.md").read_text(encoding="utf-8")
SMALL = """name = "small"
input = [9, 9, 1]
[[layer]]
kind = "{kind}"
{keys}
[[layer]]
kind = "linear"
outputs = 2
"""
WORKS = {
    ("conv2d", "channels"): "4",
    ("conv2d", "kernel"): "3",
    ("conv2d", "stride"): "2",
    ("conv2d", "padding"): "1",
    ("conv2d", "relu"): "true",
    ("linear", "outputs"): "4",
    ("linear", "relu"): "true",
}
REQUIRED = {("conv2d", "channels"), ("conv2d", "kernel"), ("linear", "outputs")}


def block() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def rows(title: str = "| `kind` |") -> dict[tuple[str, str], tuple[str, str]]:
    """Meaning and default by kind and key, as the page has them."""
    found, kind = {}, ""
    table = PAGE[PAGE.index(title) :].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        named, key, meaning, default = (cell.strip(" `") for cell in line.strip("|").split("|"))
        kind = named or kind
        if key:
            found[kind, key] = meaning, default
    return found


def load(folder: Path, kind: str, keys: dict[str, str], text: str = SMALL) -> Architecture:
    lines = "\n".join(f"{key} = {value}" for key, value in keys.items())
    return described(folder, text.format(kind=kind, keys=lines))


def test_the_example_is_the_shipped_network(tmp_path: Path) -> None:
    assert block() == (models.MODELS / "tinycnn.toml").read_text(encoding="utf-8")
    file = tmp_path / "mine.toml"
    file.write_text(block(), encoding="utf-8")
    assert models.load(file) == models.resolve("tinycnn")


def test_the_shipped_networks_are_named() -> None:
    said = PAGE[PAGE.index("name of a shipped one") : PAGE.index("This one, whole")]
    assert sorted(re.findall(r"`([^`]+)`", said)) == models.shipped()


def test_every_key_is_listed() -> None:
    keys = {(kind, key) for kind, keys in chain.KEYS.items() for key in keys if key != "kind"}
    assert set(rows()) == keys == set(WORKS)


@pytest.mark.parametrize(("kind", "key"), WORKS)
def test_a_key_is_required_or_has_its_default(tmp_path: Path, kind: str, key: str) -> None:
    default = rows()[kind, key][1]
    full = {name: value for (of, name), value in WORKS.items() if of == kind}
    rest = {name: value for name, value in full.items() if name != key}
    assert (default == "required") == ((kind, key) in REQUIRED)
    if default == "required":
        with pytest.raises(UserError, match=f"{key} is missing"):
            load(tmp_path, kind, rest)
    else:
        left_out = load(tmp_path, kind, rest)
        assert left_out == load(tmp_path, kind, rest | {key: default})
        assert left_out != load(tmp_path, kind, full)


def test_the_bounds_are_those_of_the_code() -> None:
    meanings = {key: meaning for key, (meaning, _) in rows().items()}
    assert meanings["conv2d", "channels"].endswith(f"1 to {MAX_DIMENSION}")
    assert meanings["linear", "outputs"] == f"1 to {MAX_DIMENSION}"
    assert meanings["conv2d", "kernel"].startswith(f"1 to {MAX_KERNEL},")
    assert meanings["conv2d", "padding"].startswith(f"0 to {MAX_KERNEL - 1} ")
    for text in (
        f"each 1 to {MAX_DIMENSION} |",
        f"1 to {MAX_LAYERS} of them",
        f"classes, 2 to {MAX_CLASSES},",
        f"at most {MAX_WEIGHTS:,} weights",
        f"more than {MAX_TERMS:,} terms",
    ):
        assert text in PAGE


# Graphs

GRAPH = """form = "affine"
name = "small"
input = [9, 9, 1]
[[layer]]
name = "first"
kind = "conv2d"
channels = 1
kernel = 1
[[layer]]
kind = "{kind}"
{keys}
[[layer]]
kind = "linear"
outputs = 2
"""
GRAPH_WORKS = {
    **WORKS,
    **{(kind, "bias"): "false" for kind in ("conv2d", "depthwise", "linear")},
    **{(kind, "kernel"): "3" for kind in ("depthwise", "maxpool", "avgpool")},
    **{(kind, "stride"): "2" for kind in ("depthwise", "maxpool", "avgpool")},
    **{(kind, "padding"): "1" for kind in ("depthwise", "maxpool", "avgpool")},
    ("avgpool", "global"): "true",
}
for _kind in ("conv2d", "linear"):
    del GRAPH_WORKS[_kind, "relu"]


def test_every_key_of_a_graph_is_listed() -> None:
    keys = {(kind, key) for kind, row in graph.KINDS.items() for key in row.keys}
    assert set(rows("| `kind` of a graph |")) == keys == set(GRAPH_WORKS)
    table = PAGE[PAGE.index("| key of every layer |") :].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(graph.ALL_KINDS)
    assert ", ".join(f'`"{one}"`' for one in graph.ACTIVATIONS[:2]) in PAGE
    assert f"1 to {MAX_AFFINE_LAYERS} layers" in PAGE
    assert f"the classes, 2 to {MAX_AFFINE_OUTPUTS}." in PAGE


@pytest.mark.parametrize(("kind", "key"), sorted(GRAPH_WORKS))
def test_a_key_of_a_graph_is_required_or_has_its_default(
    tmp_path: Path, kind: str, key: str
) -> None:
    default = rows("| `kind` of a graph |")[kind, key][1]
    full = {name: value for (of, name), value in GRAPH_WORKS.items() if of == kind}
    full.pop("global", None)
    rest = {name: value for name, value in full.items() if name != key}
    if default == "required":
        with pytest.raises(UserError, match=f"{key} is missing"):
            load(tmp_path, kind, rest, GRAPH)
        return
    given = {"the kernel": full.get("kernel", "")}.get(default, default)
    left_out = load(tmp_path, kind, rest, GRAPH)
    assert left_out == load(tmp_path, kind, rest | {key: given}, GRAPH)
    other = {key: GRAPH_WORKS[kind, key]} if key == "global" else full
    assert left_out != load(tmp_path, kind, other, GRAPH)


def test_the_graph_of_the_page_is_the_shipped_one() -> None:
    shown = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
    assert shown in (models.MODELS / "resnet8.toml").read_text(encoding="utf-8")
