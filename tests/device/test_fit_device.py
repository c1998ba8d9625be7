"""What `picotrain fit` says of a network, and what a device then takes."""

from __future__ import annotations

import pytest

from picotrain.device.backends import problem
from picotrain.device.interface import Device
from picotrain.image.firmware import layout, pico_arena_bytes
from picotrain.profile.fit.fitting.drawn import architecture, forked
from picotrain.profile.fit.fitting.fitted import CHECK_SEED
from picotrain.profile.fit.fitting.material import METHODS, material, some_rows
from picotrain.profile.fit.fitting.measure import TARGET, measure, open_counter
from picotrain.profile.fit.model import load
from picotrain.profile.fit.observe import observe
from picotrain.profile.fit.prepare import INFER
from picotrain.profile.fit.verdict import judge
from picotrain_golden import Method


@pytest.mark.parametrize("affine", [True, False])
def test_the_room_is_exact(device: Device, affine: bool) -> None:
    network, images = material(architecture(CHECK_SEED, affine), CHECK_SEED, 1)
    pairs = () if affine else (Method("infer", fused=True), Method("priot", fused=True))
    for method in (INFER, *METHODS, *pairs):
        verdict = judge(load(), network, method, images, layout(), pico_arena_bytes())
        for room in verdict.rooms:
            if room.because:
                continue
            device.load_model(network, frozen=room.plan == "lean")
            device.set_method(method)
            memory = device.memory()
            assert (memory.network, memory.model_in_flash) == (room.ram, room.flash)


@pytest.mark.skipif(bool(problem(TARGET)), reason=problem(TARGET))
@pytest.mark.parametrize("form", ["affine", "chain", "forked"])
def test_cycles_are_predicted(form: str) -> None:
    """Within 5 %, of a network that the model was not fitted to, operation by operation in sum."""
    affine, seed = form != "chain", CHECK_SEED + 50
    drawn = forked(seed) if form == "forked" else architecture(seed, affine)
    network, images = material(drawn, CHECK_SEED, 1)
    with open_counter(large=False) as device:
        for method in (INFER, Method("niti-static"), Method("priot")):
            seen = observe(network, method, images)
            found = measure(device, network, method, images)
            totals = found.train if method.trains else found.infer
            assert load().predict(network, method, seen).total == pytest.approx(totals[0], rel=0.05)
        if affine:
            chosen, priot = some_rows(network, 3), Method("priot")
            found = measure(device, network, priot, images, chosen)
            backward = sum(
                cost
                for (phase, _), cost in found.operations[0].items()
                if phase in ("error", "update")
            )
            made = load().predict(network, priot, observe(network, priot, images, chosen), chosen)
            assert made.backward == pytest.approx(backward, rel=0.05)
