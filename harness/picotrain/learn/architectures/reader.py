"""From the document of a TOML file, or of a backbone, to an architecture."""

from __future__ import annotations

from typing import Any

from picotrain.learn.architectures import chain, graph
from picotrain.learn.architectures.architecture import Architecture, in_words
from picotrain.learn.architectures.table import Table
from picotrain_golden import Network

_OF_GRAPHS = {*graph.ALL_KINDS}.union(*(row.keys for row in graph.KINDS.values())) - set().union(
    *chain.KEYS.values()
)
"""Keys of layers that only the affine form has."""


def parse(document: dict[str, Any], source: str) -> Architecture:
    """UserError, one sentence that begins with `source`, for what docs/networks.md forbids."""
    top = Table(source, document)
    if "form" not in document:
        _check_form(top)
        return chain.parse(top)
    top.word("form", (graph.FORM,), graph.FORM)
    return graph.parse(top)


def _check_form(top: Table) -> None:
    """Raise UserError for a form that is misspelt, or left out where a layer is of the affine."""
    top.allow(graph.TOP)
    tables = top.values.get("layer")
    for index, table in enumerate(tables if isinstance(tables, list) else []):
        if not isinstance(table, dict):
            continue
        found = sorted(set(table) & _OF_GRAPHS)
        kind = table.get("kind")
        if isinstance(kind, str) and kind in graph.KINDS and kind not in chain.KEYS:
            found.insert(0, f"kind {kind}")
        if found:
            raise top.error(
                f"layer {index} has {found[0]}, which is of the affine form; write "
                f'form = "{graph.FORM}" at the top of the file'
            )


def difference(named: Architecture, network: Network) -> str:
    """The first one between two networks, the name last, in words; empty where there is none."""
    if named.affine != bool(network.affine):
        forms = ("power of two", "affine")
        return f"its form is {forms[bool(network.affine)]}, not {forms[named.affine]}"
    document = graph.document if named.affine else chain.document
    return _difference(document(named), document(network))


def _difference(named: dict[str, Any], found: dict[str, Any]) -> str:
    if named["input"] != found["input"]:
        return f"it takes images of {in_words(found['input'])}, not {in_words(named['input'])}"
    for index, (want, have) in enumerate(zip(named["layer"], found["layer"], strict=False)):
        for key in want | have:
            if want.get(key) != have.get(key):
                return f"{key} of its layer {index} is {have.get(key)}, not {want.get(key)}"
    if len(named["layer"]) != len(found["layer"]):
        return f"it has {len(found['layer'])} layers, not {len(named['layer'])}"
    if named["name"] != found["name"]:
        return f"it has the same layers, but is named {found['name']}"
    return ""
