"""The library in a firmware of one's own: the program of docs/library.md, built as users do."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import support
from building import FIRMWARE, SANITIZED, STRICT
from picotrain.convert.export.header import header
from picotrain.device.blob import METHOD_KINDS, encode, method_numbers
from picotrain.image.elf import Elf
from picotrain.learn import methods, models
from picotrain.learn.adapt import AdaptOptions
from picotrain.places import SHIPPED
from picotrain_golden import Method, Network, Trainer
from picotrain_golden.passes import forward_pass, raw_output_error

FIRST = FIRMWARE / "examples" / "first"
MACHINE = ["-M", "microbit", "-nographic", "-semihosting"]
MACHINE += ["-global", "nrf51-soc.sram-size=0x42000", "-global", "nrf51-soc.flash-size=0x200000"]


def need(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def ran(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told(program: Path) -> str:
    """What a program says on the emulated chip, from its own folder; its main returns 0."""
    words = ["qemu-system-arm", *MACHINE, "-kernel", str(program)]
    done = subprocess.run(words, cwd=program.parent, capture_output=True, timeout=120, check=True)
    return (done.stdout + done.stderr).decode()  # QEMU has the chip's text on standard error


def page_code(language: str) -> list[str]:
    text = (SHIPPED / "docs" / "library.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, host_elf: Elf) -> Path:
    """A folder with a space in its name, with model.h, and samples.h by the page's program."""
    folder = tmp_path_factory.mktemp("a field")
    network = models.load_backbone(models.backbone_path("tinycnn", "digits"))[0]
    (folder / "model.h").write_text(header(network, encode(network, host_elf), []))
    program = next(code for code in page_code("python") if "samples.h" in code)
    old = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(program, "docs/library.md", "exec"), {})
    finally:
        os.chdir(old)
    shutil.copytree(FIRST, folder / "project")
    return folder


def expected(place: Path) -> tuple[int, int]:
    """How often golden is right before and after, of the same samples in the same order."""
    text = (place / "samples.h").read_text()
    rows = re.findall(r"\{([\d,]+)\}", text)
    images = np.array([[int(n) for n in row.split(",")] for row in rows[:-1]], np.uint8)
    labels = np.array([int(n) for n in rows[-1].split(",")], np.uint8)
    network = models.load_backbone(models.backbone_path("tinycnn", "digits"))[0]
    images = images.reshape(-1, *network.input_shape)
    method = Method("priot")
    trainer, half = Trainer(network, method), len(images) // 2

    def right() -> int:
        return int((trainer.predict(images[half:]) == labels[half:]).sum())

    before = right()
    for mu in method.schedule:
        trainer.mu = mu
        for image, label in zip(images[:half], labels[:half], strict=True):
            trainer.train_step(image, int(label))
    return before, right()


LANGUAGES = {"c11": "cc", "c++17": "c++ -x c++"}


@pytest.fixture(scope="module")
def by_make(place: Path) -> Path:
    """A folder with a makefile that includes library.mk: the program in each language, with the
    strictest warnings for what the user compiles, and the library once."""
    folder = place / "make"
    folder.mkdir()
    (folder / "picotrain").symlink_to(FIRMWARE)  # make takes no path with a space
    own = f'{" ".join(STRICT)} "-I$(PICOTRAIN)" -I.. -c $< -o $@'
    (folder / "Makefile").write_text(
        "include picotrain/library.mk\n"
        "OBJECTS := $(notdir $(PICOTRAIN_SOURCES:.c=.o))\n"
        "vpath %.c $(sort $(dir $(PICOTRAIN_SOURCES)))\n"
        ".SECONDARY:\n"
        "first-%: main-%.o $(OBJECTS)\n\tc++ $^ -o $@\n"
        + "".join(
            f"main-{language}.o: ../project/main.c\n\t{compiler} -std={language} {own}\n"
            for language, compiler in LANGUAGES.items()
        )
        + "%.o: %.c\n\tcc $(PICOTRAIN_FLAGS) -c $< -o $@\n"
    )
    return folder


@pytest.mark.parametrize("language", LANGUAGES)
def test_with_a_makefile_and_as_golden_learns(place: Path, by_make: Path, language: str) -> None:
    need("make", "cc", "c++")
    ran("make", "-j2", f"first-{language}", cwd=by_make)
    before, after = expected(place)
    assert after > before
    told = ran(f"./first-{language}", cwd=by_make)
    assert told == f"right: {before} of 64 before, {after} after\n"


@pytest.mark.parametrize(
    "options", [[], ["-DPICOTRAIN_KERNELS=vector"], ["-DPICOTRAIN_FORMS=chain"]]
)
def test_with_cmake_from_a_folder_of_ones_own(place: Path, options: list[str]) -> None:
    need("cmake", "cc", "c++")
    build = place / f"build-{''.join(options)[-5:]}"
    ran("cmake", "-S", "project", "-B", build, *paths(place), *options, cwd=place)
    ran("cmake", "--build", build, "-j2", cwd=place)
    before, after = expected(place)
    assert f"{before} of 64 before, {after} after" in ran(build / "first", cwd=place)


def paths(place: Path) -> list[str]:
    return [f"-DPICOTRAIN={FIRMWARE}", f"-DSAMPLES={place}"]


def test_of_a_c_library_it_needs_two_functions(by_make: Path) -> None:
    """As picotrain.h says; what else is missing of the objects is the compiler's own."""
    need("make", "cc", "nm")
    ran("make", "-j2", "first-c11", cwd=by_make)
    objects = [path.name for path in by_make.glob("*.o") if not path.name.startswith("main-")]
    ran("cc", "-r", "-nostdlib", *objects, "-o", "whole", cwd=by_make)
    wanted = ran("nm", "-u", "whole", cwd=by_make).split()[1::2]
    assert len(objects) > 40
    assert {name for name in wanted if not name.startswith("_")} == {"memcpy", "memset"}


def test_the_kernels_of_the_project_that_adds_the_library_hold(tmp_path: Path) -> None:
    """By a plain variable, as projects set it; and it is told which they are."""
    need("cmake", "cc")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(parent LANGUAGES C ASM)\n"
        f'set(PICOTRAIN_KERNELS vector)\nadd_subdirectory("{FIRMWARE}" picotrain)\n'
    )
    assert "-- picotrain: kernels vector\n" in ran("cmake", "-S", ".", "-B", "b", cwd=tmp_path)


@pytest.mark.parametrize("cxx", ["OFF", "ON"])
def test_on_an_emulated_chip_with_its_timed_code_in_sram(place: Path, cxx: str) -> None:
    need("cmake", "arm-none-eabi-gcc", "arm-none-eabi-g++", "arm-none-eabi-nm", "qemu-system-arm")
    build = place / "chip"  # the library is the same, and is built once
    toolchain = "-DCMAKE_TOOLCHAIN_FILE=cortex-m0/toolchain.cmake"
    own = [toolchain, *paths(place), f"-DAS_CXX={cxx}"]
    ran("cmake", "-S", "project", "-B", build, *own, cwd=place)
    ran("cmake", "--build", build, "-j2", cwd=place)
    # main returns 0 where the network is right more often; anything else is an error's number.
    told(build / "first")
    places = {
        name: int(address, 16)
        for address, _, name in re.findall(
            r"^(\w+) (\w) (\w+)$", ran("arm-none-eabi-nm", build / "first", cwd=place), re.MULTILINE
        )
    }
    for name in ("pt_trainer_train", "pt_conv2d_forward_s8", "pt_lanes_row_s32", "pt_operators"):
        assert places[name] >= 0x20000000, name
    for name in ("main", "pt_model_open", "pt_plan_make"):
        assert places[name] < 0x00200000, name


def test_no_two_sources_of_one_set_of_kernels_share_a_name() -> None:
    """Arduino, and many a project file, put all objects into one folder."""
    for kernels in ("cortex_m0plus", "portable"):
        folders = ("nn", "nn/operators", "kernels", f"kernels/{kernels}")
        files = [path for folder in folders for path in (FIRMWARE / folder).glob("*.[cS]")]
        names = [path.stem for path in files]
        double = sorted({name for name in names if names.count(name) > 1})
        assert double == KNOWN[kernels], "a name of two files"


KNOWN: dict[str, list[str]] = {"cortex_m0plus": [], "portable": []}


# What the network says


PROGRAM = """#include <stdio.h>
#include "net.h"
#include "picotrain.h"

PT_ARENA(arena, 1u << 20);
static struct pt_trainer trainer;
static uint8_t image[1 << 16];

int main(void)
{
    struct pt_detail why;
    const struct pt_method infer = pt_method_of(PT_INFER);
    pt_trainer_reset(&trainer, arena, sizeof arena_words);
    if (pt_trainer_open_flash(&trainer, NAME, sizeof NAME, &why) != PT_OK ||
        pt_trainer_method(&trainer, &infer, &why) != PT_OK) {
        return 2;
    }
    while (fread(image, 1, trainer.plan.image_size, stdin) == trainer.plan.image_size) {
        const uint32_t prediction = pt_trainer_predict(&trainer, image).prediction;
        printf("%u %u", prediction, pt_trainer_confidence(&trainer));
        for (uint32_t i = 0; i < trainer.model.header->classes; ++i) {
            printf(" %d", pt_trainer_logits(&trainer)[i]);
        }
        printf("\\n");
    }
    return 0;
}
"""


def said(network: Network, images: np.ndarray) -> list[list[int]]:
    """By golden: the class, its share in 128ths, and the logits."""
    weights = [None if held is None else held.weights for held in network.parameters]
    rows = []
    for image in images:
        done = forward_pass(network, weights, image[None], dynamic=False)
        best = int(done.logits[0].argmax())
        share = 128 + int(raw_output_error(network, done, best).reshape(-1)[best])
        rows.append([best, share, *map(int, done.logits[0])])
    return rows


@pytest.mark.parametrize("which", ["oddnet", "tinycnn", "affine"])
def test_logits_and_how_sure_it_is(
    tmp_path: Path, host_elf: Elf, sanitized_library: Path, which: str
) -> None:
    need("cc")
    if which == "affine":
        network = models.load_backbone(models.BACKBONES / "mobilenet-v2-few-pre.npz")[0]
    elif which == "oddnet":
        network = support.shipped("oddnet")
    else:
        network = models.load_backbone(models.backbone_path("tinycnn", "digits"))[0]
    text = header(network, encode(network, host_elf), [])
    (tmp_path / "net.h").write_text(text)
    name = re.search(r"uint8_t (pt_network_\w+)\[", text)
    assert name is not None
    (tmp_path / "main.c").write_text(PROGRAM.replace("NAME", name[1]))
    flags = ["-std=c11", *SANITIZED, *STRICT, f"-I{FIRMWARE}", "-I."]
    ran("cc", *flags, "main.c", sanitized_library, "-o", "program", cwd=tmp_path)
    images = np.random.default_rng(3).integers(0, 256, (40, *network.input_shape), np.uint8)
    done = subprocess.run(
        [tmp_path / "program"], input=images.tobytes(), capture_output=True, check=True
    )
    found = [list(map(int, line.split())) for line in done.stdout.decode().splitlines()]
    wanted = said(network, images)
    assert found == wanted
    assert len({row[1] for row in wanted}) > 1
    assert all(0 < row[1] <= 128 for row in wanted)


# A model begins with all rows

REOPENED = """#include <stdio.h>
#include "net.h"
#include "picotrain.h"

PT_ARENA(arena, 1u << 20);
static struct pt_trainer trainer;

int main(void)
{
    struct pt_detail why;
    const struct pt_method method = pt_method_of(PT_PRIOT_S);
    pt_trainer_reset(&trainer, arena, sizeof arena_words);
    for (int again = 0; again < 2; ++again) {
        if (pt_trainer_open_flash(&trainer, NAME, sizeof NAME, &why) != PT_OK) {
            return 2;
        }
        const int whole = pt_trainer_method(&trainer, &method, &why);
        const int selected = pt_trainer_select_last(&trainer, &why);
        printf("%d %d %d\\n", whole, selected, pt_trainer_method(&trainer, &method, &why) != PT_OK);
    }
    return 0;
}
"""


def test_a_selection_holds_until_the_next_model(
    tmp_path: Path, host_elf: Elf, sanitized_library: Path
) -> None:
    """Under one PRIOT-S is refused."""
    need("cc")
    network = support.shipped("oddnet")
    (tmp_path / "net.h").write_text(header(network, encode(network, host_elf), []))
    (tmp_path / "main.c").write_text(REOPENED.replace("NAME", "pt_network_oddnet"))
    flags = ["-std=c11", *SANITIZED, *STRICT, f"-I{FIRMWARE}", "-I."]
    ran("cc", *flags, "main.c", sanitized_library, "-o", "program", cwd=tmp_path)
    assert ran(tmp_path / "program", cwd=tmp_path) == "0 0 1\n0 0 1\n"


# What a method begins with


DEFAULTS = """#include <stdio.h>
#include "picotrain.h"

int main(void)
{
    for (uint32_t kind = 0; kind < PT_METHOD_KINDS; ++kind) {
        const struct pt_method m = pt_method_of((enum pt_method_kind)kind);
        printf("%u %d %d %u %u %u %u %u\\n", m.kind, m.mu, m.threshold, m.permille, m.selection,
               m.start, m.seed, m.easy);
    }
    return 0;
}
"""


def test_a_method_has_the_defaults_of_golden_and_of_adapt(tmp_path: Path, host_elf: Elf) -> None:
    need("cc")
    (tmp_path / "main.c").write_text(DEFAULTS)
    ran("cc", "-std=c11", *STRICT, f"-I{FIRMWARE}", "main.c", "-o", "program", cwd=tmp_path)
    found = [list(map(int, line.split())) for line in ran("./program", cwd=tmp_path).splitlines()]
    parser = argparse.ArgumentParser()
    methods.add_options(parser)
    parser.set_defaults(seed=AdaptOptions.seed)
    asked = parser.parse_args([])
    wanted = []
    for name in METHOD_KINDS:
        method = Method(name)  # type: ignore[arg-type]
        if name in methods.NAMES:
            assert methods.from_options(asked, name) == method
        wanted.append(list(method_numbers(method, host_elf).values()))
    assert found == sorted(wanted)
    assert len(found) == 7
