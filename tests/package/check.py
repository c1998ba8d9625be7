"""The wheel as its users have it: `python tests/package/check.py dist/picotrain-*.whl`.

Installs it into a fresh virtual environment outside of any checkout and runs every verb from an
empty folder with an odd name, as a user who may write nowhere else: another one, where root runs
this. Prints each step; ends with 1 at the first that is not as it should be. `--python` names the
interpreter, which that user must be able to start.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

USER = 54321
"""A user id without a name, where we are root."""
MACHINE_PATH = re.compile(rb"(?<![\w.~:/-])/(?:work|root|home|tmp|Users)/\w")
JUNK = re.compile(r"\.(o|d|pyc|so)$|(^|/)test_|node_modules")
MAY_BE_IN_HOME = {".cache/picotrain", ".cache/matplotlib", ".config/matplotlib", "work & play"}
PARTS = (
    *("firmware/Makefile", "firmware/nn/pt_trainer.c", "emulation/qemu/cycles.c"),
    *("emulation/rp2040js/pico.mjs", "emulation/renode/rp2040.repl", "emulation/rom/rom.S"),
    *("models/tinycnn.toml", "models/backbones/tinycnn-digits.npz", "experiments/example.toml"),
    *("tests/baselines/memory.json", "origin.json"),
)
BUILT = (
    *(f"microbit{kind}/picotrain.elf" for kind in ("", "-portable", "-dense", "-large", "-chain")),
    *("rp2040/picotrain.elf", "rp2040/picotrain.uf2", "rp2040/rom.bin"),
    *("rp2040-cores/picotrain.elf", "rp2040-chain/picotrain.elf", "standalone/picotrain.elf"),
)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
FEW = ("--epochs", "1", "--train-samples", "8", "--test-samples", "8")
GRID = """
[base]
dataset = "digits"
angle = 30
epochs = 1
train_samples = 16
test_samples = 16
method = "priot"
seeds = [0, 1]
[[grid]]
mu = ["3", "4"]
"""
TESTS = """
import golden
import numpy as np
from picotrain.learn import models
from picotrain_golden import Method

def test_one_step(device, target_name):
    assert golden.OURS
    network = models.initial_network(models.resolve("oddnet"), seed=1)
    device.load_model(network)
    device.set_method(Method("niti-dynamic"))
    images = np.full((1, *network.input_shape), 7, np.uint8)
    assert device.train(images, np.zeros(1, np.uint8)).predictions.shape == (1,)
"""


class Wrong(Exception):
    """What is not as it should be."""


def check(is_so: bool, what: str) -> None:
    if not is_so:
        raise Wrong(what)


def contents(wheel: Path) -> None:
    """The wheel holds what it should, nothing of tests or builds, and no path of this machine."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        shipped = {name.removeprefix("picotrain/shipped/") for name in names}
        for part in (*PARTS, *(f"build/{part}" for part in BUILT)):
            check(part in shipped, f"{part} is not in it")
        tops = {name.split("/")[0] for name in names}
        check(tops - {"picotrain", "picotrain_golden"} == {_info(names)}, f"it holds {tops}")
        junk = [name for name in names if JUNK.search(name)]
        check(not junk, f"it holds {junk[:3]}")
        for name in names:
            found = MACHINE_PATH.search(archive.read(name))
            check(found is None, f"{name} has a path of this machine: {found and found[0]!r}")
    print(f"   {wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, {len(names)} files")


def _info(names: set[str]) -> str:
    return next(name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA"))


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Time and digest of every file, but for what Python compiles."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@dataclass
class Desk:
    """Where a user works: an empty folder in a home, both with odd names."""

    binaries: Path
    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "work & play"

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "picotrain"

    def start(self, command: Sequence[str], **variables: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{self.binaries}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            **{name: os.environ[name] for name in ("npm_config_registry",) if name in os.environ},
            **variables,
        }
        away = {} if os.getuid() else {"user": USER, "group": USER, "extra_groups": []}
        return subprocess.Popen(
            [str(self.binaries / command[0]), *command[1:]],
            cwd=self.folder,
            env={name: text for name, text in environment.items() if text},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **away,  # type: ignore[call-overload]
        )

    def run(self, *command: str, status: int = 0, **variables: str) -> str:
        """What it said, on stdout and then on stderr."""
        process = self.start(command, **variables)
        out, err = process.communicate(timeout=300)
        said = f"{out}\n{err}"
        check("Traceback" not in said, f"{' '.join(command)} ended in a traceback:\n{said}")
        check(
            process.returncode == status,
            f"{' '.join(command)} ended with {process.returncode}, not {status}:\n{said[-2000:]}",
        )
        return said

    def result(self, *command: str) -> Any:
        """The JSON of a verb."""
        self.run(*command, "--json", "result.json")
        return json.loads((self.folder / "result.json").read_text())


def targets(desk: Desk) -> None:
    """All say that they work, and nothing is compiled to find out."""
    found = {one["name"]: one["works"] for one in desk.result("picotrain", "targets")}
    for name in ("golden", "host", "qemu", "rp2040js"):
        check(found[name], f"target {name} does not work")
    check(not list(desk.cache.glob("built-*")), "`picotrain targets` compiled something")


def together(desk: Desk) -> None:
    """Two that start together, with nothing compiled: one compiles, both work."""
    command = ("picotrain", "adapt", "--target", "host", *FEW, "--json")
    pair = [desk.start([*command, f"{n}.json"]) for n in range(2)]
    said = [process.communicate(timeout=300) for process in pair]
    check([process.returncode for process in pair] == [0, 0], f"one failed: {said}")
    check(sum("compiling the firmware" in err for _, err in said) == 1, "both compiled")
    left = [str(path) for path in desk.cache.rglob(".making-*")]
    check(not left, f"half of a build was left: {left}")


def adapt(desk: Desk) -> None:
    states = {}
    for target in ("golden", "host", "qemu", "rp2040js"):
        result = desk.result("picotrain", "adapt", "--target", target, *FEW)
        states[target] = result["state_sha256"]
    check(len(set(states.values())) == 1, f"the states differ: {states}")


def verify(desk: Desk) -> None:
    for target in ("host", "qemu", "rp2040js"):
        desk.run("picotrain", "verify", "--target", target, "--method", "priot", "--steps", "2")


def profile(desk: Desk) -> None:
    result = desk.result("picotrain", "profile", "--images", "1", "--html", "report.html")
    check("report" in result, "there is no report in it")
    check((desk.folder / "report.html").stat().st_size > 10_000, "the report is empty")


def uf2(desk: Desk) -> None:
    desk.run("picotrain", "uf2")
    (site,) = desk.binaries.parent.glob("lib/*/site-packages")
    ours = site / "picotrain" / "shipped" / "build" / "rp2040" / "picotrain.uf2"
    check((desk.folder / "picotrain.uf2").read_bytes() == ours.read_bytes(), "it is another one")


def flash_model(desk: Desk) -> None:
    """The program of a device that stands alone is in the wheel, and says what its model takes."""
    result = desk.result("picotrain", "flash-model", "--save-every", "9")
    check(result["bytes"]["sram"] <= result["bytes"]["sram_there"], f"{result}")
    check((desk.folder / "model.uf2").stat().st_size % 512 == 0, "model.uf2 has half a block")


def hw_test(desk: Desk) -> None:
    machine = desk.start(["python", "-m", "picotrain.device.targets.rp2040js", "--usb", "0"])
    try:
        assert machine.stdout is not None
        port = json.loads(machine.stdout.readline())["usb"]
        short = ("--model", "oddnet", "--steps", "1", "--bytes", "4096", "--method", "infer,priot")
        url = f"socket://127.0.0.1:{port}"
        desk.run("picotrain", "hw-test", "--port", url, *short, "--skip", "cycles")
    finally:
        machine.kill()
        machine.communicate()
    check((desk.folder / "picotrain-results/hw-test/report.html").is_file(), "no report")


def sweep(desk: Desk) -> None:
    (desk.folder / "grid.toml").write_text(GRID)
    made = desk.result("picotrain", "sweep", "grid.toml", "--jobs", "2")["results"]
    check(made.startswith("picotrain-results/"), made)
    rows = (desk.folder / made).read_text().splitlines()
    check(len(rows) == 9, f"{len(rows)} lines, not a header and 4 cells of 2 epochs")
    listed = desk.run("picotrain", "sweep", "grid.toml", "--list")
    check("4 of 4 cells are done" in listed, f"the cells are not kept: {listed}")


def reproduce(desk: Desk) -> None:
    said = desk.run("picotrain", "reproduce", "--fast")
    check("picotrain-results/reproduce-fast/results.md" in said, said)
    said = desk.run("picotrain", "reproduce", "--only", "backbones", status=1)
    check("picotrain-results/reproduce/results.md" in said, said)


def memory(desk: Desk) -> None:
    for board in ("microbit", "rp2040"):
        stack = desk.result("picotrain", "memory", "--board", board)["stack"]
        compiled = [frame for frame in stack["frames"] if frame["compiler"] is not None]
        check(bool(compiled) and stack["worst"] > 0, f"{board}: no frame of the compiler's")
        check(stack["painted"] is not None, f"{board}: the stack's mark was not taken")


def programs(desk: Desk) -> None:
    """Those of docs/python.md print what it shows."""
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```\n\nprints.*?```\n(.*?)```", page, re.DOTALL)
    count = len(re.findall(r"^prints\b", page, re.MULTILINE))
    check(len(shown) == count >= 3, f"docs/python.md has {len(shown)} of {count} programs")
    for program, result in shown:
        (desk.folder / "program.py").write_text(program)
        said = desk.run("python", "program.py")
        check(result in said, said)


def plugin(desk: Desk) -> None:
    """In a project with a `golden` of its own."""
    (desk.folder / "golden").mkdir(exist_ok=True)
    (desk.folder / "golden" / "__init__.py").write_text("OURS = True\n")
    (desk.folder / "test_own.py").write_text(TESTS)
    names = ("golden", "host", "qemu", "rp2040js")
    chosen = [text for name in names for text in ("--picotrain-target", name)]
    said = desk.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen)
    check("4 passed" in said, said)


def sentences(desk: Desk) -> None:
    """What is missing is named in one sentence, which is all that is said."""
    verb = ("picotrain", "adapt", "--target", "host", *FEW)
    empty = desk.folder / "no tools"
    empty.mkdir(exist_ok=True)
    elsewhere = str(desk.home / ".cache" / "picotrain" / "third")
    cases: list[tuple[str, int, dict[str, str]]] = [
        ("install the Debian packages make gcc", 1, {"PATH": str(empty)}),
        (
            "No such file or directory; set PICOTRAIN_CACHE to a folder",
            2,
            {"PICOTRAIN_CACHE": "/proc/x"},
        ),
        ("File name too long; set PICOTRAIN_CACHE", 2, {"PICOTRAIN_CACHE": "/tmp/" + "n" * 300}),
        ("XDG_CACHE_HOME is 'here', which is no absolute path", 2, {"XDG_CACHE_HOME": "here"}),
    ]
    if not os.getuid():
        closed = desk.home.parent / "closed"
        closed.mkdir(mode=0o700)
        cases.append((f"user {USER} has no home folder", 2, {"HOME": ""}))
        cases.append(("Permission denied; set PICOTRAIN", 2, {"PICOTRAIN_CACHE": f"{closed}/x"}))
    for sentence, status, variables in cases:
        kept = {"PICOTRAIN_CACHE": elsewhere} if "PATH" in variables else {}
        said = desk.run(*verb, status=status, **kept, **variables).strip()
        check(sentence in said, f"instead of {sentence!r}: {said}")
        told = desk.run("picotrain", "targets", **kept, **variables)
        check("host         works" not in told, f"`picotrain targets` promises too much: {told}")
    desk.run("picotrain", "--help", HOME="")


STEPS: tuple[Callable[[Desk], None], ...] = (
    *(targets, together, adapt, verify, profile, uf2, flash_model, hw_test, sweep, reproduce),
    memory,
    *(programs, plugin, sentences),
)


def usable_python(named: str | None) -> str:
    """An interpreter that another user can start, too: one in root's home is none."""
    for candidate in [named] if named else [sys.executable, "/usr/bin/python3"]:
        real = Path(candidate).resolve()
        closed = [folder for folder in real.parents if not folder.stat().st_mode & 1]
        if os.getuid() or not closed:
            return str(real)
    raise SystemExit("there is no Python that another user could start; name one by --python")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python")
    parser.add_argument("--only", nargs="+", metavar="STEP", help="these steps")
    options = parser.parse_args()
    top = Path(tempfile.mkdtemp(prefix="picotrain-package-"))
    desk = Desk(top / "venv" / "bin", top / "it's home (v2)")
    try:
        print("== contents", flush=True)
        contents(options.wheel)
        print("== install", flush=True)
        _install(options, desk, top)
        (site,) = (top / "venv").glob("lib/*/site-packages")
        before = snapshot(site)
        for step in STEPS:
            if options.only and step.__name__ not in options.only:
                continue
            began = monotonic()
            print(f"== {step.__name__}", end="", flush=True)
            step(desk)
            print(f" ({monotonic() - began:.1f} s)", flush=True)
        print("== nothing was written elsewhere", flush=True)
        _unchanged(desk, before, snapshot(site))
    except (Wrong, OSError, subprocess.SubprocessError) as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print("the package works")
    return 0


def _install(options: argparse.Namespace, desk: Desk, top: Path) -> None:
    top.chmod(0o755)
    desk.folder.mkdir(parents=True)
    if not os.getuid():
        for folder in (desk.home, desk.folder):
            os.chown(folder, USER, USER)
    subprocess.run([usable_python(options.python), "-m", "venv", str(top / "venv")], check=True)
    pip = [str(desk.binaries / "python"), "-m", "pip", "install", "-q"]
    pip += ["--disable-pip-version-check", "--progress-bar", "off"]
    pip += [str(options.wheel.resolve()), "pytest>=8,<10"]
    subprocess.run(pip, check=True, cwd=top, umask=0o022)


def _unchanged(desk: Desk, before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    check(not changed, f"site-packages changed: {changed[:5]}")
    deep = [path.relative_to(desk.home) for path in desk.home.rglob("*") if path.is_file()]
    tops = {"/".join(path.parts[:2]) if path.parts[0][0] == "." else path.parts[0] for path in deep}
    check(tops <= MAY_BE_IN_HOME, f"in the home folder are {sorted(tops - MAY_BE_IN_HOME)}")


if __name__ == "__main__":
    sys.exit(main())
