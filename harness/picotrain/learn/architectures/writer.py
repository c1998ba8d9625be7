"""An affine architecture as the text of a TOML file."""

from __future__ import annotations

from picotrain.learn.architectures.architecture import Architecture, Step
from picotrain.learn.architectures.graph import FORM, INPUT, SAME, same_padding
from picotrain_golden.network import Layer, Pair


def toml_of(architecture: Architecture, comment: str = "") -> str:
    """What `reader.parse` makes this architecture of. Layers that are named by others and have no
    name get one."""
    names = _names(architecture)
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += [f'form = "{FORM}"', f'name = "{architecture.name}"']
    lines += [f"input = {list(architecture.input_shape)}"]
    for index, (layer, step) in enumerate(
        zip(architecture.layers, architecture.steps, strict=True)
    ):
        lines += ["", "[[layer]]", *_table(index, layer, step, names)]
    return "\n".join(lines) + "\n"


def _names(architecture: Architecture) -> dict[int, str]:
    """Of the layers that have one, or need one."""
    names = {index: step.name for index, step in enumerate(architecture.steps) if step.name}
    taken = {INPUT, *names.values()}
    for index, layer in enumerate(architecture.layers):
        if not layer.inputs or (layer.inputs == (index - 1,) and layer.kind != "add"):
            continue
        for number in layer.inputs:
            if number >= 0 and number not in names:
                name = f"layer{number}"
                while name in taken:
                    name += "-"
                names[number] = name
                taken.add(name)
    return {-1: INPUT, **names}


def _table(index: int, layer: Layer, step: Step, names: dict[int, str]) -> list[str]:
    lines = [f'kind = "{layer.kind}"']
    if index in names:
        lines.append(f'name = "{names[index]}"')
    reads = layer.inputs or (index - 1,)
    if layer.kind == "add" or reads != (index - 1,):
        lines.append("inputs = [" + ", ".join(f'"{names[one]}"' for one in reads) + "]")
    if layer.kind == "conv2d":
        lines.append(f"channels = {layer.out_shape[2]}")
    if layer.kind == "linear":
        lines.append(f"outputs = {layer.out_shape[2]}")
    if layer.kind in ("conv2d", "depthwise", "maxpool", "avgpool"):
        lines += _window(layer)
    if layer.has_weights and not step.bias:
        lines.append("bias = false")
    if step.activation != "none":
        lines.append(f'activation = "{step.activation}"')
    return lines


def _window(layer: Layer) -> list[str]:
    whole = (layer.kernel, layer.stride, layer.padding) == (layer.in_shape[:2], (1, 1), (0, 0))
    if layer.kind == "avgpool" and whole:
        return ["global = true"]
    lines = [f"kernel = {_pair(layer.kernel)}"]
    usual = layer.kernel if layer.kind in ("maxpool", "avgpool") else (1, 1)
    if layer.stride != usual:
        lines.append(f"stride = {_pair(layer.stride)}")
    same = [same_padding(layer.in_shape[a], layer.kernel[a], layer.stride[a]) for a in (0, 1)]
    plain = tuple(
        (layer.in_shape[a] + 2 * layer.padding[a] - layer.kernel[a]) // layer.stride[a] + 1
        for a in (0, 1)
    )
    if plain == layer.out_shape[:2]:
        if layer.padding != (0, 0):
            lines.append(f"padding = {_pair(layer.padding)}")
    else:
        assert [one[0] for one in same] == list(layer.out_shape[:2])
        lines.append(f'padding = "{SAME}"')
    return lines


def _pair(values: Pair) -> str:
    return str(values[0]) if values[0] == values[1] else str(list(values))
