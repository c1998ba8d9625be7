"""The grid of a sweep: what becomes of it, and one sentence for every mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from picotrain.errors import UserError
from picotrain.learn import methods, models
from picotrain.learn.adapt import AdaptOptions
from picotrain.research.sweep.grid import KEYS, USED_BY, Cell, load_grid
from picotrain_golden import Method

SHARED = "[base]\ntrain_samples = 60\ntest_samples = 40\n"


@pytest.fixture
def cells(tmp_path: Path):  # type: ignore[no-untyped-def]
    def load(text: str) -> list[Cell]:
        path = tmp_path / "grid.toml"
        path.write_text(text)
        return load_grid(path)

    return load


def test_absent_keys_take_the_defaults_of_adapt(cells) -> None:  # type: ignore[no-untyped-def]
    (cell,) = cells("[[grid]]\n")
    assert (cell.label, cell.dataset, cell.model) == ("priot", "digits", "tinycnn")
    assert (cell.angle, cell.epochs, cell.split, cell.seed) == (30.0, 10, "test", 0)
    assert (cell.train_samples, cell.test_samples) == (1024, 400)
    assert (cell.target, cell.kernels, cell.ram_kib) == ("host", "portable", None)
    assert cell.backbone == models.backbone_path("tinycnn", "digits")
    assert (cell.calibration, cell.layer_mus, cell.easy) == ("shipped", (), 0)
    assert (cell.replay, cell.retention) == (0.0, False)
    ours = AdaptOptions()
    assert (cell.epochs, cell.split, cell.seed) == (ours.epochs, ours.evaluate_on, ours.seed)
    assert (cell.calibration, cell.layer_mus) == (ours.calibration, ours.layer_mu)
    assert (cell.replay, cell.retention) == (ours.replay, ours.retention)
    assert cell.training_method() == ours.method


@pytest.mark.parametrize("name", methods.NAMES[1:])
def test_defaults_of_a_method_are_its_own(cells, name: str) -> None:  # type: ignore[no-untyped-def]
    (cell,) = cells(f'[[grid]]\nmethod = "{name}"\n')
    assert cell.training_method() == Method(name)  # type: ignore[arg-type]


def test_a_grid_is_the_product_of_its_axes_in_the_order_of_the_keys(cells) -> None:  # type: ignore[no-untyped-def]
    found = cells(
        SHARED
        + """seeds = [3, 1]
        [[grid]]
        label = "a"
        mu = ["1", "3,2"]
        angle = [45, 30.5]
        [[grid]]
        label = "b"
        seeds = 7
        """
    )
    assert [(c.label, c.angle, c.mu, c.seed) for c in found] == [
        ("a", 45.0, "1", 3),
        ("a", 45.0, "1", 1),
        ("a", 45.0, "3,2", 3),
        ("a", 45.0, "3,2", 1),
        ("a", 30.5, "1", 3),
        ("a", 30.5, "1", 1),
        ("a", 30.5, "3,2", 3),
        ("a", 30.5, "3,2", 1),
        ("b", 30.0, "4,3,2", 7),
    ]
    assert list(KEYS)[-1] == "seeds"


def test_texts_have_one_form(cells) -> None:  # type: ignore[no-untyped-def]
    (cell,) = cells('[[grid]]\nmu = " 3, 2"\nlayer_mu = "0, -1,0,1"\nangle = -0.0\n')
    assert (cell.mu, cell.layer_mu, cell.layer_mus) == ("3,2", "0,-1,0,1", (0, -1, 0, 1))
    assert str(cell.angle) == "0.0"
    (cell,) = cells('[[grid]]\nlayer_mu = "0,0,0,0"\n')
    assert cell.layer_mu == ""


def test_what_a_method_does_not_use_is_set_to_its_default(cells) -> None:  # type: ignore[no-untyped-def]
    options = (
        'threshold = 9\nstart = "normal"\nscored = 0.5\nselect = "random"\ncalibration = "fair"\n'
    )
    names = ", ".join(f'"{name}"' for name in methods.NAMES[1:])
    found = cells(f"[[grid]]\nmethod = [{names}]\n{options}")
    given = {
        "threshold": 9,
        "start": "normal",
        "scored": 0.5,
        "select": "random",
        "calibration": "fair",
    }
    assert set(given) == set(USED_BY)
    for cell in found:
        (plain,) = cells(f'[[grid]]\nmethod = "{cell.method}"\n')
        for key, value in given.items():
            used = cell.method in USED_BY[key]
            assert getattr(cell, key) == (value if used else getattr(plain, key)), key


def test_the_same_cell_may_have_two_labels(cells) -> None:  # type: ignore[no-untyped-def]
    found = cells('[[grid]]\nlabel = "a"\n[[grid]]\nlabel = "b"\n')
    assert [cell.label for cell in found] == ["a", "b"]


MISTAKES = {
    "seed = 1": r"grid\.toml: unknown key 'seed'; use \[base\] and \[\[grid\]\]",
    "base = 3": r"base is 3; write it as a table, \[base\]",
    "[base]\nmu = '1'": r"there is no \[\[grid\]\]; write at least one",
    "grid = []": r"there is no \[\[grid\]\]; write at least one",
    "[[grid]]\nmus = '1'": r"grid\.toml: \[\[grid\]\] 1: unknown key 'mus'; use label, dataset",
    "[base]\nmus = '1'\n[[grid]]": r"grid\.toml: \[base\]: unknown key 'mus'; use label",
    "[[grid]]\nmu = []": r"\[\[grid\]\] 1: mu is an empty list; give it a value, or leave it out",
    "[[grid]]\nmu = ['1', ' 1']": r"mu has ' 1' twice; leave one of them out",
    "[[grid]]\nmu = 3": r"mu is 3; use a schedule as text, .*, e\.g\. \"3\" or \"5,4,3,2\"",
    "[[grid]]\nmu = '3,9'": r"mu is '3,9'; use a schedule as text, each value from -8 to 7",
    "[[grid]]\nmu = '3;2'": r"mu is '3;2'; use a schedule",
    "[[grid]]\nlabel = ['a']": r"label is \['a'\]; use one line of text, not a list",
    "[[grid]]\nlabel = ''": r"label is ''; use one line of text",
    "[[grid]]\nangle = '30'": r"angle is '30'; use degrees from -360 to 360",
    "[[grid]]\nangle = nan": r"angle is nan; use degrees",
    "[[grid]]\nangle = true": r"angle is True; use degrees",
    "[[grid]]\nmethod = 'infer'": r"method is 'infer'; use one of niti-dynamic, niti-static, prio",
    "[[grid]]\ncalibration = 'best'": r"calibration is 'best'; use one of shipped, naive, steps",
    "[[grid]]\nthreshold = 128": r"threshold is 128; use a whole number from -127 to 127",
    "[[grid]]\nthreshold = 1.0": r"threshold is 1\.0; use a whole number",
    "[[grid]]\nstart = 'one'": r"start is 'one'; use one of zero, normal",
    "[[grid]]\nscored = 0": r"scored is 0; use a share from 0\.001 to 1",
    "[[grid]]\nselect = 'best'": r"select is 'best'; use one of random, weight",
    "[[grid]]\neasy = 4096": r"easy is 4096; use a whole number from 0 to 4095",
    "[[grid]]\nlayer_mu = '1,x'": r"layer_mu is '1,x'; use text, one number",
    "[[grid]]\nlayer_mu = '1,1'": r"'1,1', 2 numbers, but network tinycnn has 4 layers with wei",
    "[[grid]]\nmethod = 'niti-dynamic'\nlayer_mu = '0,0,0,1'": r"leave layer_mu out",
    "[[grid]]\nreplay = 1.5": r"replay is 1\.5; use a share from 0 to 1",
    "[[grid]]\nretention = 1": r"retention is 1; use true or false",
    "[[grid]]\nepochs = 0": r"epochs is 0; use a whole number from 1",
    "[[grid]]\nepochs = true": r"epochs is True; use a whole number from 1",
    "[[grid]]\ntrain_samples = 1198": r"train_samples is 1198, but data set digits has 1197 such",
    "[[grid]]\ntest_samples = 401": r"test_samples is 401, but data set digits has 400 such .*400",
    "[[grid]]\nsplit = 'train'": r"split is 'train'; use one of test, validation",
    "[[grid]]\nseeds = [0, -1]": r"seeds is -1; use whole numbers from 0 to 2\^32 - 1",
    "[[grid]]\ndataset = 'letters'": r"1: dataset 'letters': unknown dataset .*; use mnist",
    "[[grid]]\nmodel = 'big'": r"1: model 'big': unknown network 'big'",
    "[[grid]]\nbackbone = 'no.npz'": r"1: backbone '.*no\.npz': there is no backbone at",
    "[[grid]]\nmodel = 'oddnet'": r"1: backbone '.*oddnet-digits\.npz': there is no backbone",
    "[[grid]]\ntarget = 'pico'": r"target is 'pico'; use one of golden, host",
    "[[grid]]\ntarget = 'serial:auto'": r"target is 'serial:auto'; use one of golden, host",
    "[[grid]]\nkernels = 'fast'": r"kernels: target host has no kernels 'fast'; use one of port",
    "[[grid]]\nram_kib = 64": r"ram_kib is too small, 64, but tinycnn with priot needs 13\d; use",
    "[[grid]]\n[[grid]]": r"\[\[grid\]\] 2: the cell 'priot', .* is there already, in \[\[grid\]\]",
    "[[grid]]\nmethod = 'niti-static'\nthreshold = [1, 2]": (
        r"1: the cell 'niti-static', niti-static, mu 1, angle 30, seed 0 is there already, in "
        r"itself \(niti-static does not use threshold\); leave one out, or give it another label"
    ),
    "[[grid]]\nretention = [true, false]": (
        r"two cells 'priot' differ only in retention, which the results have no column for; give"
    ),
    "[[grid": r"grid\.toml is not a TOML file: .*; mend it there",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text.replace("\n", " "))
def test_mistakes(cells, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=MISTAKES[text]) as caught:
        cells(text)
    assert "grid.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*none\.toml: No such file"):
        load_grid(tmp_path / "none.toml")


def test_a_backbone_of_another_network(cells, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "odd.npz"
    models.save_backbone(file, models.initial_network(models.resolve("oddnet"), 0), {})
    named = f'[[grid]]\nmodel = "tinycnn"\nbackbone = "{file}"\n'
    with pytest.raises(
        UserError, match=r"odd\.npz is not of network tinycnn: .*; name the network"
    ):
        cells(named)
    # Nobody named another one, so it is just that the images do not fit.
    with pytest.raises(UserError, match="network oddnet takes images"):
        cells(f'[[grid]]\nbackbone = "{file}"\n')


def test_images_that_do_not_fit(cells, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "mine.npz"
    np.savez(file, x=np.zeros((20, 8, 8), np.uint8), y=np.arange(20) % 10)
    backbone = models.backbone_path("tinycnn", "digits")
    with pytest.raises(UserError, match=r"takes images \[28, 28, 1\] .* but data set .*\[8, 8, 1"):
        cells(f'[[grid]]\ndataset = "npz:{file}"\nbackbone = "{backbone}"\n')
    with pytest.raises(UserError, match=r"no backbone is shipped for npz:.*; make one"):
        cells(f'[[grid]]\ndataset = "npz:{file}"\n')
