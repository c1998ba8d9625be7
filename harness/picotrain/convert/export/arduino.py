"""`make arduino`: the library in the layout of Arduino, for boards with an RP2040.

Arduino compiles every file below `src`, so that holds one set of kernels, the chip's own, and says
in `library.properties` that it is for this architecture alone.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

from picotrain.convert.export.header import header
from picotrain.datasets import Split, load, rotated_sample
from picotrain.device.blob import encode
from picotrain.errors import told
from picotrain.image.firmware import layout
from picotrain.learn.models import backbone_path, load_backbone
from picotrain.output import tell, write_bytes
from picotrain.places import SHIPPED
from picotrain.versions import versions

OUT = Path("build/picotrain-arduino.zip")
FOLDER = "picotrain"
"""The one folder in the archive, which Arduino names the library by."""

_FOLDERS = ("nn", "nn/operators", "kernels", "kernels/cortex_m0plus")
_SUFFIXES = {".c", ".h", ".S", ".inc"}
_MACROS = "src/kernels/cortex_m0plus/pt_macros.inc"
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file, so that the same sources make the same archive."""

_PROPERTIES = """name=picotrain
version={version}
author=picotrain
maintainer=picotrain
license=Apache-2.0
sentence=Integer-only training and inference of small neural networks.
paragraph=A network learns on the board, without floating point or malloc, in RAM that you give it.
category=Data Processing
url=https://www.arduino.cc/
architectures=rp2040
includes=picotrain.h
"""
_SKETCH = """
void setup()
{
    Serial.begin(115200);
    while (!Serial) {
    }
    Serial.printf("it returned %d\\n", first());
}

void loop()
{
}
"""


def samples_header(split: Split) -> str:
    """The samples.h of docs/library.md."""
    rows = ",\n".join("{" + ",".join(map(str, image.ravel())) + "}" for image in split.images)
    return (
        "#include <stdint.h>\n"
        f"#define SAMPLES {len(split.labels)}u\n"
        f"static const uint8_t sample[SAMPLES][{split.images[0].size}] = {{{rows}}};\n"
        f"static const uint8_t label[SAMPLES] = {{{','.join(map(str, split.labels))}}};\n"
    )


def sketch(program: str) -> str:
    """The example's main.c as a sketch, which prints to the serial port what main printed."""
    before, rest = program.split("#if __STDC_HOSTED__\n")
    after = rest.split("#endif\n", 1)[1].replace("int main(void)", "static int first(void)")
    return before + after.replace("    printf(", "    Serial.printf(") + _SKETCH


def library() -> dict[str, str]:
    """Path in the library: its text."""
    firmware = SHIPPED / "firmware"
    files = {"src/picotrain.h": (firmware / "picotrain.h").read_text(encoding="utf-8")}
    for folder in _FOLDERS:
        for path in sorted((firmware / folder).iterdir()):
            if path.suffix in _SUFFIXES:
                files[f"src/{folder}/{path.name}"] = path.read_text(encoding="utf-8")
    # A library cannot define anything for the assembler: the inner loops go to SRAM by this.
    files[_MACROS] = "#define PICOTRAIN_SRAM\n" + files[_MACROS]
    network = load_backbone(backbone_path("tinycnn", "digits"))[0]
    program = firmware / "examples" / "first" / "main.c"
    files["examples/first/first.ino"] = sketch(program.read_text(encoding="utf-8"))
    files["examples/first/model.h"] = header(network, encode(network, layout()), [])
    images = rotated_sample(load("digits").train, 128, 0, 30)
    files["examples/first/samples.h"] = samples_header(images)
    version = versions().get("picotrain", "0.0.0")
    files["library.properties"] = _PROPERTIES.format(version=version)
    files["LICENSE"] = (SHIPPED / "LICENSE").read_text(encoding="utf-8")
    return files


def archive(files: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archived:
        for name, text in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}", _TIME)
            entry.external_attr = 0o644 << 16
            archived.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def main() -> None:
    write_bytes(OUT, archive(library()))
    tell("wrote", OUT)


if __name__ == "__main__":
    sys.exit(told("arduino", lambda _: main()))
