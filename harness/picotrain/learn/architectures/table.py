"""A table of a TOML file: values by key, checked one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from picotrain.errors import UserError
from picotrain.learn.architectures.architecture import in_words
from picotrain.text import is_name
from picotrain_golden.network import MAX_DIMENSION, MAX_TERMS, MAX_WEIGHTS, Layer, Shape


@dataclass(frozen=True)
class Table:
    """`where` begins every error message."""

    where: str
    values: dict[str, Any]

    def error(self, text: str) -> UserError:
        return UserError(f"{self.where}: {text}")

    def allow(self, keys: Iterable[str]) -> None:
        known = set(keys)
        for key in self.values:
            if key not in known:
                raise self.error(f"unknown key {key!r}; use {', '.join(sorted(known))}")

    def get(self, key: str, default: object = None) -> Any:
        value = self.values.get(key, default)
        if value is None:
            raise self.error(f"{key} is missing; add it")
        return value

    def size(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.error(f"{key} is {value!r}; use a whole number from {low} to {high}")
        return value

    def pair(
        self, key: str, low: int, high: int, default: int | list[int] | None = None, more: str = ""
    ) -> tuple[int, int]:
        """[down, across], or one number for both. `more` is what else may stand there."""
        value = self.get(key, default)
        pair = value if isinstance(value, list) else [value, value]
        if len(pair) != 2 or any(type(n) is not int or not low <= n <= high for n in pair):
            raise self.error(
                f"{key} is {value!r}; use {more}a whole number from {low} to {high}, or two: "
                "[down, across]"
            )
        return pair[0], pair[1]

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.error(f"{key} is {value!r}; use true or false")
        return value

    def word(self, key: str, words: tuple[str, ...], default: str) -> str:
        value = self.get(key, default)
        if value not in words:
            raise self.error(f"{key} is {value!r}; use one of {', '.join(words)}")
        return str(value)


def head(top: Table) -> tuple[str, Shape, list[dict[str, Any]]]:
    """Name, input and the tables of the layers."""
    name = top.get("name")
    if not is_name(name):
        raise top.error(f"name is {name!r}; use 1 to 32 letters, digits, '-' and '_'")
    shape = top.get("input")
    if (
        not isinstance(shape, list)
        or len(shape) != 3
        or any(type(n) is not int or not 1 <= n <= MAX_DIMENSION for n in shape)
    ):
        raise top.error(
            f"input is {shape!r}; use [height, width, channels], each from 1 to {MAX_DIMENSION}"
        )
    tables = top.get("layer")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise top.error("layer is not a list of tables; begin each layer with [[layer]]")
    return name, (shape[0], shape[1], shape[2]), tables


def check_sizes(table: Table, layer: Layer, terms: int) -> None:
    """Raise UserError where weights or the `terms` of a sum are more than the device takes."""
    shape = in_words(layer.in_shape)
    if layer.weight_count > MAX_WEIGHTS:
        raise table.error(
            f"it has {layer.weight_count:,} weights; use fewer outputs, or make its input "
            f"{shape} smaller, for at most {MAX_WEIGHTS:,}"
        )
    if terms > MAX_TERMS:
        raise table.error(
            f"it adds up {terms:,} products, which may overflow 32 bits; make its "
            f"input {shape} smaller, for at most {MAX_TERMS:,}"
        )


def check_kernel(
    table: Table, shape: Shape, kernel: tuple[int, int], pads: tuple[int, int]
) -> None:
    """Raise UserError for a padding or kernel that its input does not allow."""
    for axis, side in enumerate(("height", "width")):
        if pads[axis] >= kernel[axis]:
            raise table.error(
                f"padding {pads[axis]} is not less than the kernel {kernel[axis]} ({side}); "
                f"use at most {kernel[axis] - 1}"
            )
        if kernel[axis] > shape[axis] + 2 * pads[axis]:
            raise table.error(
                f"kernel {kernel[axis]} is larger than its input {in_words(shape)} with padding "
                f"{pads[axis]} ({side}); use at most {shape[axis] + 2 * pads[axis]}"
            )


def check_output(table: Table, layer: Layer) -> None:
    if max(layer.out_shape) > MAX_DIMENSION:
        raise table.error(
            f"its output {in_words(layer.out_shape)} is larger than {MAX_DIMENSION}; "
            "use less padding"
        )
