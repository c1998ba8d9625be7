"""What a program gives that is of another type or range: one sentence, as docs/python.md says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import picotrain
from picotrain.learn.adapt import check_options
from picotrain.research.sweep.results import (
    COLUMNS,
    MEASURED,
    TYPES,
    frame_of,
    read_results,
    write_results,
)

Attempt = Callable[[], object]
ANY: Any = picotrain
"""Without its types: what is wrong here is found by mypy too."""


def said(attempt: Attempt, kind: type[Exception] = picotrain.UserError) -> str:
    with pytest.raises(kind) as caught:
        attempt()
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"name": "prio"},
            "method is 'prio', not one of infer, niti-dynamic, niti-static, priot, priot-s",
        ),
        (
            {"name": ["priot"]},
            "method is ['priot'], not one of infer, niti-dynamic, niti-static, priot, priot-s",
        ),
        ({"mu": "3"}, "mu is '3'; give a whole number"),
        ({"mu": 2.5}, "mu is 2.5; give a whole number"),
        ({"theta": "low"}, "theta is 'low'; give a whole number"),
        ({"permille": 0.1}, "permille is 0.1; give a whole number"),
        ({"seed": "1"}, "seed is '1'; give a whole number"),
        ({"easy": []}, "easy is []; give a whole number"),
        ({"later_mu": 3}, "later_mu is 3; give whole numbers, such as (3, 2)"),
        ({"later_mu": "32"}, "later_mu is '32'; give whole numbers, such as (3, 2)"),
        ({"later_mu": ("3",)}, "a step size of later_mu is '3'; give a whole number"),
        ({"mu": 99}, "mu is 99, outside -8..7"),
    ],
)
def test_methods(given: dict[str, Any], sentence: str) -> None:
    assert said(lambda: picotrain.Method(**{"name": "priot", **given}), ValueError) == sentence


def test_whole_numbers_of_numpy_and_lists_do() -> None:
    made = ANY.Method("priot", mu=np.int64(4), later_mu=[3, np.int8(2)])
    assert made == picotrain.Method("priot") == picotrain.Method("priot", mu=4, later_mu=(3, 2))
    assert hash(made) == hash(picotrain.Method("priot"))
    assert type(made.mu) is int


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"epochs": "3"}, "epochs is '3'; give a whole number"),
        ({"epochs": None}, "epochs is None; give a whole number"),
        ({"seed": 1.0}, "seed is 1.0; give a whole number"),
        ({"seed": -1}, "seed is -1; use 0 to 2^32 - 1"),
        ({"seed": 1 << 32}, "seed is 4294967296; use 0 to 2^32 - 1"),
        ({"train_samples": "all"}, "train_samples is 'all'; give a whole number"),
        ({"test_samples": 0.5}, "test_samples is 0.5; give a whole number"),
        ({"calibration_samples": "9"}, "calibration_samples is '9'; give a whole number"),
        ({"angle": "30"}, "angle is '30'; give a number"),
        ({"replay": None}, "replay is None; give a number"),
        ({"layer_mu": "0,1"}, "layer_mu is '0,1'; give whole numbers, such as (0, 0, 1)"),
        ({"layer_mu": (0, "1")}, "a number of layer_mu is '1'; give a whole number"),
        (
            {"method": "priot"},
            'the method is of type str; give a Method, such as Method("priot")',
        ),
    ],
)
def test_options(given: dict[str, Any], sentence: str) -> None:
    assert said(lambda: check_options(picotrain.AdaptOptions(**given))) == sentence


def test_options_of_numpy_and_paths_can_be_written(tmp_path: Path) -> None:
    options = ANY.AdaptOptions(
        angle=np.float32(30),
        epochs=np.int64(1),
        train_samples=np.int32(4),
        test_samples=8,
        backbone=tmp_path / "mynet.npz",
        layer_mu=[0, 0, np.int64(1), 0],
    )
    with picotrain.open_device("golden") as device:
        result = picotrain.adapt(
            device,
            picotrain.load_network("tinycnn", "digits"),
            picotrain.load_dataset("digits"),
            options,
        )
    written = json.loads(json.dumps(result.to_json()))
    assert written["backbone"] == str(tmp_path / "mynet.npz")
    assert (written["angle"], written["epochs"], written["train_samples"]) == (30, 1, 4)
    assert written["options"]["layer_mu"] == [0, 0, 1, 0]


def test_adapt_tells_how_far_it_is() -> None:
    """As the page says: before the first epoch with an empty history, and after every one."""
    seen: list[tuple[int, bool]] = []
    with picotrain.open_device("golden") as device:
        picotrain.adapt(
            device,
            picotrain.load_network("tinycnn", "digits"),
            picotrain.load_dataset("digits"),
            picotrain.AdaptOptions(epochs=2, train_samples=4, test_samples=8),
            lambda result: seen.append((len(result.history), result.complete)),
        )
    assert seen == [(0, False), (1, False), (2, True)]


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        (
            lambda: ANY.load_network(3),
            "the network's name is of type int; give a name, such as 'tinycnn', or a file",
        ),
        (
            lambda: ANY.load_network("tinycnn", 3),
            "the data set is of type int; give its name, such as 'digits'",
        ),
        (lambda: ANY.load_network("tinycnn", seed="1"), "the seed is '1'; give a whole number"),
        (lambda: ANY.load_network("tinycnn", seed=-1), "the seed is -1; use 0 to 2^32 - 1"),
        (
            lambda: ANY.load_dataset(3),
            "the data set is of type int; give its name, such as 'digits', or npz:FILE",
        ),
        (
            lambda: ANY.open_device(None),
            "the target is of type NoneType; give one of golden, host, qemu, rp2040js, renode, "
            "serial:PORT",
        ),
        (
            lambda: ANY.open_device("golden", arena_bytes="1"),
            "arena_bytes is '1'; give a whole number",
        ),
        (
            lambda: ANY.open_device("golden", arena_bytes=0),
            "arena_bytes is 0; give 1 or more, or leave it out",
        ),
        (
            lambda: ANY.open_device("host-tuned"),
            "target 'host-tuned' is host with other kernels, as tests name it; use --target host "
            '--kernels tuned, or open_device("host", kernels="tuned")',
        ),
        (
            lambda: ANY.open_device("qemu-dense"),
            "target 'qemu-dense' is qemu with other kernels, as tests name it; use --target qemu "
            '--kernels dense, or open_device("qemu", kernels="dense")',
        ),
    ],
)
def test_what_is_opened_and_loaded(attempt: Attempt, sentence: str) -> None:
    assert said(attempt) == sentence


def test_what_a_device_and_adapt_take() -> None:
    network, dataset = picotrain.load_network("tinycnn"), picotrain.load_dataset("digits")
    options, adapt = picotrain.AdaptOptions(), ANY.adapt
    a_network = 'the network is of type str; give what load_network("tinycnn") returns'
    for target in ("golden", "host"):
        with picotrain.open_device(target) as opened:
            device: Any = opened
            assert said(lambda one=device: one.load_model("tinycnn")) == a_network
            assert said(lambda one=device: one.set_method("priot")) == (
                'the method is of type str; give a Method, such as Method("priot")'
            )
            assert said(lambda one=device: adapt(one, "tinycnn", dataset, options)) == a_network
            assert said(lambda one=device: adapt(one, network, "digits", options)) == (
                'what to adapt to is of type str; give what load_dataset("digits") returns'
            )
            assert said(lambda one=device: adapt(one, network, dataset, {})) == (
                "how to adapt is of type dict; give AdaptOptions(...)"
            )


def test_files_by_their_names_as_text_or_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    defaults = {"str": "x", "int64": 1, "Int64": 1, "float64": 0.5}
    frame = frame_of([{name: defaults[TYPES[name]] for name in COLUMNS}])
    assert set(MEASURED) < set(frame.columns)
    write_results("x.csv", frame)
    for name in ("x.csv", "~/x.csv", Path("x.csv"), tmp_path / "x.csv"):
        assert read_results(name).equals(frame)
    sentence = "cannot read none.csv: No such file or directory; run the sweep that makes it"
    assert said(lambda: read_results("none.csv")) == sentence
    images, labels = np.zeros((20, 8, 8, 1), np.uint8), np.arange(20, dtype=np.uint8) % 2
    np.savez("own.npz", x=images, y=labels)
    by_text, by_path = (
        picotrain.load_dataset("npz:own.npz"),
        picotrain.load_dataset(Path("own.npz")),
    )
    assert by_text.name == by_path.name == "npz:own.npz"
    assert by_text.sha256 == by_path.sha256
