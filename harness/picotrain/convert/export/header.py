"""A model blob as a C header, for a firmware of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from picotrain_golden import Network

_ROW = 16
_ALIGNMENT = 8
"""PT_MODEL_ALIGNMENT of firmware/nn/pt_model.h."""


def identifier(name: str) -> str:
    """That of a network's array, in C."""
    return "pt_network_" + re.sub(r"\W", "_", name, flags=re.ASCII)


def header(network: Network, blob: bytes, lines: Iterable[str]) -> str:
    """C11 text, which is C++11 too. `lines` are for its comment: layers, and how it was made."""
    name = identifier(network.name)
    upper = name.upper()
    rows = [
        " ".join(f"0x{byte:02x}," for byte in blob[at : at + _ROW])
        for at in range(0, len(blob), _ROW)
    ]
    comment = [
        f"{network.name}, a network of picotrain (picotrain.h). From flash:",
        "",
        f"    pt_trainer_open_flash(&trainer, {name}, {upper}_SIZE, &why);",
        "",
        *(line.replace("*/", "* /") for line in lines),
    ]
    return "\n".join(
        [
            "/*",
            *(f" * {line}".rstrip() for line in comment),
            " */",
            f"#ifndef {upper}_H",
            f"#define {upper}_H",
            "",
            "#include <stdint.h>",
            "",
            f'#define {upper}_NAME "{network.name}"',
            f"#define {upper}_SIZE {len(blob)}u",
            "",
            "#ifdef __cplusplus",
            f"#define {upper}_ALIGNED alignas({_ALIGNMENT})",
            "#else",
            f"#define {upper}_ALIGNED _Alignas({_ALIGNMENT})",
            "#endif",
            "",
            f"{upper}_ALIGNED static const uint8_t {name}[{upper}_SIZE] = {{",
            *(f"    {row}" for row in rows),
            "};",
            "",
            "#endif",
            "",
        ]
    )
