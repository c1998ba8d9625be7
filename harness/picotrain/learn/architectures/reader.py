"""From the document of a TOML file, or of a backbone, to an architecture."""

from __future__ import annotations

from typing import Any

from picotrain.learn.architectures import chain, graph
from picotrain.learn.architectures.architecture import Architecture, in_words
from picotrain.learn.architectures.table import Table
from picotrain_golden import Network


def parse(document: dict[str, Any], source: str) -> Architecture:
    """UserError, one sentence that begins with `source`, for what docs/networks.md forbids."""
    top = Table(source, document)
    if "form" not in document:
        return chain.parse(top)
    top.word("form", (graph.FORM,), graph.FORM)
    return graph.parse(top)


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
