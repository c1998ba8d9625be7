"""Running a sweep: the same bytes however it is run, and what happens when something goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from picotrain import cli
from picotrain.errors import CrashFailure, UserError
from picotrain.research.sweep import cell as cells_module
from picotrain.research.sweep.cell import job_of, key_of, portable, run_job
from picotrain.research.sweep.grid import load_grid
from picotrain.research.sweep.results import MEASURED, read_results
from picotrain.research.sweep.run import Store, check_scheduler

GRID = """
[base]
epochs = 3
train_samples = 120
test_samples = 40
seeds = [0, 1, 2, 3]

[[grid]]
label = "static"
method = "niti-static"
mu = ["1", "3,2"]

[[grid]]
label = "PRIOT"
method = "priot"
retention = true
"""
CELLS, EPOCHS = 12, 3
PATIENCE = 300.0


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "small.toml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="module")
def finished(grid: Path) -> Path:
    """The folder of a sweep that nothing interrupted: results.csv and cells/."""
    folder = grid.parent / "finished"
    assert sweep(grid, folder) == 0
    return folder


def arguments(grid: Path, folder: Path, *more: str) -> list[str]:
    places = ["--out", str(folder / "results.csv"), "--cells", str(folder / "cells")]
    return ["sweep", str(grid), *places, *(more or ("--jobs", "1"))]


def sweep(grid: Path, folder: Path, *more: str) -> int:
    return cli.main(arguments(grid, folder, *more))


def start(grid: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    """A sweep as the leader of a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "picotrain", *arguments(grid, folder, *more)],
        start_new_session=True,
        # Tests that run in the background ignore Ctrl-C, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_cells(process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob("cells/*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no cell was finished"
        time.sleep(0.002)


def test_the_results_say_what_every_cell_did(finished: Path) -> None:
    frame = read_results(finished / "results.csv")
    assert len(frame) == CELLS * (1 + EPOCHS)
    assert list(frame["label"].unique()) == ["static", "PRIOT"]
    assert list(frame["mu"].unique()) == ["1", "3,2", "4,3,2"]
    assert list(frame["epoch"][:4]) == [0, 1, 2, 3]
    assert list(frame["seed"][::4]) == 3 * [0, 1, 2, 3]
    falling = frame[(frame["mu"] == "3,2") & (frame["seed"] == 0)]
    assert falling["mu_now"].isna().tolist() == [True, False, False, False]
    assert falling["mu_now"].tolist()[1:] == [3, 3, 2]
    # Nothing has trained before epoch 1; the upright images were asked for with PRIOT only.
    trained = [name for name in MEASURED if name.startswith(("train", "zero", "sat", "loss"))]
    assert frame.loc[frame["epoch"] == 0, trained].isna().all(axis=None)
    assert not frame.loc[frame["epoch"] > 0, trained].isna().any(axis=None)
    upright = frame.groupby("label")["upright_accuracy"].count()
    assert upright.to_dict() == {"static": 0, "PRIOT": 16}
    assert frame["cell"].str.fullmatch("[0-9a-f]{16}").all()
    assert frame["state_sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert frame["cell"].nunique() == frame["state_sha256"].nunique() == CELLS


def test_a_cell_is_what_adapt_does(finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapt.json"
    small = ["--epochs", "3", "--train-samples", "120", "--test-samples", "40", "--seed", "1"]
    how = ["--target", "host", "--method", "niti-static", "--mu", "3,2", "--json", str(file)]
    assert cli.main(["adapt", *how, *small]) == 0
    adapted = json.loads(file.read_text())
    frame = read_results(finished / "results.csv")
    mine = frame[(frame["mu"] == "3,2") & (frame["seed"] == 1)]
    assert mine["accuracy"].tolist() == [
        adapted["accuracy_before"],
        *(epoch["accuracy"] for epoch in adapted["history"]),
    ]
    assert set(mine["state_sha256"]) == {adapted["state_sha256"]}
    for kind in ("forward", "error", "update"):
        largest = [
            max(layer[epoch][kind] for layer in adapted["saturation"]) for epoch in range(EPOCHS)
        ]
        assert mine[f"saturated_{kind}"].tolist()[1:] == largest
    logits = [epoch["forward"] for epoch in adapted["saturation"][-1]]
    assert mine["saturated_logits"].tolist()[1:] == logits


def test_a_sweep_says_its_throughput(
    grid: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, *done = sorted((finished / "cells").iterdir())
    (tmp_path / "cells").mkdir()
    for cell in done:
        (tmp_path / "cells" / cell.name).write_bytes(cell.read_bytes())
    summary = tmp_path / "summary.json"
    how = ("--jobs", "1", "--json", str(summary))
    assert sweep(grid, tmp_path, *how) == 0
    assert "throughput: 1 cells in " in capsys.readouterr().out
    found = json.loads(summary.read_text())["throughput"]
    frame = read_results(finished / "results.csv")
    label = frame.loc[frame["cell"] == left.stem, "label"].iloc[0]
    upright = {"static": 0, "PRIOT": 40}[label]
    assert found["images"] == EPOCHS * 120 + (EPOCHS + 1) * (40 + upright)
    assert found["cells"] == 1
    assert found["cells_per_minute"] == pytest.approx(60 / found["seconds"], rel=0.01)
    assert found["images_per_second"] == pytest.approx(found["images"] / found["seconds"], rel=0.01)
    assert sweep(grid, tmp_path, *how) == 0
    assert "throughput" not in capsys.readouterr().out
    assert json.loads(summary.read_text())["throughput"] is None


def test_cells_that_differ_in_how_they_learn_share_their_images(grid: Path) -> None:
    first, second = (
        job
        for job in map(job_of, load_grid(grid))
        if job.cell.seed == 1 and job.cell.label == "static"
    )
    cells_module._prepared.cache_clear()
    assert run_job(first).state_sha256 != run_job(second).state_sha256
    assert cells_module._prepared.cache_info()[:2] == (1, 1)


def test_a_killed_sweep_goes_on_and_ends_with_the_same_bytes(
    grid: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(grid, tmp_path, "--jobs", "2")
    wait_for_cells(process, tmp_path)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*.json")}
    assert 1 <= len(kept) < CELLS
    assert not (tmp_path / "results.csv").exists()
    assert sweep(grid, tmp_path) == 0
    assert f"{len(kept)} done, {CELLS - len(kept)} to run" in capsys.readouterr().out
    assert (tmp_path / "results.csv").read_bytes() == (finished / "results.csv").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_ctrl_c_ends_with_one_sentence_and_keeps_what_is_done(grid: Path, tmp_path: Path) -> None:
    process = start(grid, tmp_path, "--jobs", "2")
    wait_for_cells(process, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "cells are kept, the same command goes on" in errors.strip().splitlines()[-1]
    done = len(list(tmp_path.glob("cells/*.json")))
    assert f"interrupted; {done} of {CELLS} cells are kept" in errors


def test_two_processes_give_the_same_bytes(grid: Path, finished: Path, tmp_path: Path) -> None:
    assert sweep(grid, tmp_path, "--jobs", "2") == 0
    assert (tmp_path / "results.csv").read_bytes() == (finished / "results.csv").read_bytes()


def test_a_dask_cluster_gives_the_same_bytes(grid: Path, finished: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        assert sweep(grid, tmp_path, "--scheduler", cluster.scheduler_address) == 0
    assert (tmp_path / "results.csv").read_bytes() == (finished / "results.csv").read_bytes()
    ours, theirs = ({p.name for p in f.glob("cells/*.json")} for f in (tmp_path, finished))
    assert ours == theirs


@pytest.mark.parametrize("address", ["", "here", "tcp://host", "two words:1"])
def test_what_is_no_address_of_a_scheduler(address: str) -> None:
    with pytest.raises(UserError, match=r"is no address; use e\.g\. tcp://"):
        check_scheduler(address)


def test_a_finished_sweep_runs_nothing(
    grid: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished / "results.csv").read_bytes()
    monkeypatch.setattr(cells_module, "open_device", lambda *_: pytest.fail("a cell was run"))
    out = tmp_path / "again.csv"
    assert sweep(grid, finished, "--out", str(out), "--jobs", "1") == 0
    assert out.read_bytes() == before


def test_a_cell_that_fails_is_told_and_the_others_are_kept(
    grid: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    adapt = cells_module.adapt

    def breaks(device: object, network: object, task: object, options: object, *rest: object):  # type: ignore[no-untyped-def]
        if options.method.name == "priot" and options.seed == 1:  # type: ignore[attr-defined]
            raise CrashFailure("HardFault in pt_train")
        return adapt(device, network, task, options, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(cells_module, "adapt", breaks)
        summary = tmp_path / "summary.json"
        assert sweep(grid, tmp_path, "--jobs", "1", "--json", str(summary)) == 1
    errors = capsys.readouterr().err
    assert "PRIOT, digits, angle 30, mu 4,3,2, calibration shipped, seed 1" in errors
    assert "failed: CRASH: HardFault in pt_train" in errors
    failed = json.loads(summary.read_text())["failed"]
    assert list(failed.values()) == ["CRASH: HardFault in pt_train"]
    frame = read_results(tmp_path / "results.csv")
    assert len(frame) == (CELLS - 1) * (1 + EPOCHS)
    assert not frame["cell"].isin(failed).any()
    assert sweep(grid, tmp_path) == 0
    assert (tmp_path / "results.csv").read_bytes() == (finished / "results.csv").read_bytes()


def test_the_list_shows_what_is_done(
    grid: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [job_of(one) for one in load_grid(grid)]
    outcome = Store(finished / "cells").load(jobs[2])
    assert outcome is not None
    Store(tmp_path / "cells").save(jobs[2], outcome)
    assert sweep(grid, tmp_path, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:-1]] == [
        [job.digest, "done" if job is jobs[2] else "open"] for job in jobs
    ]
    assert lines[-1] == "1 of 12 cells are done"
    assert not (tmp_path / "results.csv").exists()


def test_cells_of_other_code_run_again(
    grid: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = load_grid(grid)[0]
    job = job_of(cell)
    outcome = Store(finished / "cells").load(job)
    assert outcome is not None
    monkeypatch.setattr(cells_module, "_python_digest", lambda: b"other")
    changed = job_of(cell)
    assert changed.digest == job.digest
    assert changed.code != job.code
    store = Store(finished / "cells")
    assert (store.state(changed), store.load(changed)) == ("stale", None)
    keeping = Store(finished / "cells", keep_stale=True)
    assert (keeping.state(changed), keeping.load(changed)) == ("done", outcome)
    # A worker with other code than the sweep's refuses.
    assert "has another firmware or Python code" in run_job(job).error


def test_the_code_is_the_firmware_of_the_target(grid: Path) -> None:
    cell = load_grid(grid)[0]
    tuned = job_of(replace(cell, kernels="tuned"))
    assert job_of(cell).code == job_of(replace(cell, seed=9)).code
    assert job_of(cell).code != tuned.code
    assert job_of(cell).digest != tuned.digest


def test_the_digest_is_of_what_decides_the_result(grid: Path, tmp_path: Path) -> None:
    cell = load_grid(grid)[0]
    job = job_of(cell)
    copy = tmp_path / "copy.npz"
    copy.write_bytes(cell.backbone.read_bytes())
    same = replace(cell, label="another", backbone=copy, ram_kib=4096)
    assert job_of(same).digest == job.digest
    other = tmp_path / "other.npz"
    other.write_bytes(cell.backbone.read_bytes() + b"\0")
    for change in (
        {"backbone": other},
        {"angle": 31.0},
        {"mu": "2"},
        {"calibration": "naive"},
        {"easy": 1},
        {"layer_mu": "0,0,1,0"},
        {"replay": 0.5},
        {"retention": True},
        {"train_samples": 121},
        {"split": "validation"},
        {"seed": 7},
        {"target": "golden", "kernels": None},
    ):
        changed = replace(cell, **change)  # type: ignore[arg-type]
        assert job_of(changed).digest != job.digest, change
    assert key_of(cell)["images_sha256"] == cells_module._images_sha256("digits")


def test_comments_and_docstrings_are_no_code() -> None:
    bare = cells_module._bare_code
    assert bare('"""Text."""\nx = 1  # why\n') == bare("x = 1")
    assert bare('def f():\n    """Text."""\n    return 2\n') == bare("def f(): return 2")
    assert bare("x = 1") != bare("x = 2")
    assert bare('x = "a"') != bare('x = "b"')


@pytest.mark.parametrize("prefix", ["npz:", "speech-commands:", "wake-words:"])
def test_paths_of_data_are_absolute_for_workers_and_not_in_the_digest(
    prefix: str, grid: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    job = job_of(load_grid(grid)[0])
    own = replace(job, cell=replace(job.cell, dataset=f"{prefix}my data"))
    assert portable(own).cell.dataset == f"{prefix}{tmp_path / 'my data'}"
    assert portable(job).cell.dataset == "digits"
    monkeypatch.setattr(cells_module, "_images_sha256", lambda dataset: "")
    keys = [cells_module.key_of(one.cell) for one in (own, portable(own))]
    assert keys[0] == keys[1] and keys[0]["dataset"] == f"{prefix}my data"


def test_a_damaged_cell_is_told(grid: Path, tmp_path: Path) -> None:
    job = job_of(load_grid(grid)[0])
    file = tmp_path / f"{job.digest}.json"
    other = "holds no finished cell .*"
    whole = {"format": 1, "cell": job.digest, "code": job.code, "rows": [], "state_sha256": ""}
    file.write_text(json.dumps(whole))
    assert Store(tmp_path).load(job) is not None
    moved = json.dumps({**whole, "cell": "0" * 16})  # of another cell, else complete
    for content, sentence in (
        ("{", "is no JSON: .*"),
        ("[]", "is JSON, but no object, .*"),
        ('{"format": 1, "cell": "0"}', other),
        ('{"format": 0}', other),
        (moved, r"holds no finished cell \(it is of another cell or version\)"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=f"{sentence}; remove it"):
            Store(tmp_path).load(job)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--out", "results.txt"], "end it with .csv or .parquet"),
        (["--plot", "plot.pdf"], "end it with .svg or .png"),
        (["--jobs", "1", "--scheduler", "tcp://127.0.0.1:1"], "leave it out with --scheduler"),
    ],
)
def test_options_that_do_not_fit(
    grid: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert cli.main(["sweep", str(grid), *options]) == 2
    assert sentence in capsys.readouterr().err
