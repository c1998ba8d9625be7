"""The cost model that is shipped, and the file of how well it predicts, beside today's kernels.

Another kernel makes other cycles, and neither file knows. Both come from the emulator, which counts
the same every time: `make cost-model`, then `make fit-check`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from picotrain.device.backends import problem
from picotrain.device.mailbox import MailboxDevice
from picotrain.profile.fit.fitting.check import FILE, Subject, compared, tinycnn, untrained
from picotrain.profile.fit.fitting.drawn import architecture
from picotrain.profile.fit.fitting.fitted import CHECK_SEED
from picotrain.profile.fit.fitting.material import material
from picotrain.profile.fit.fitting.measure import TARGET, measure, open_counter
from picotrain.profile.fit.model import load
from picotrain.profile.fit.prepare import INFER
from picotrain_golden import Method, fused

pytestmark = pytest.mark.skipif(bool(problem(TARGET)), reason=problem(TARGET))

SUBJECTS: dict[str, Callable[[], Subject]] = {
    "tinycnn, pre-trained": tinycnn,
    "motion": lambda: untrained("motion"),
}
STEPS = (INFER, Method("niti-static"), Method("priot"), Method("priot-s"))


@pytest.fixture(scope="module")
def counter() -> Iterator[MailboxDevice]:
    with open_counter(large=False) as device:
        yield device


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_shipped_model_is_of_the_kernels_of_today(counter: MailboxDevice, name: str) -> None:
    """Within the 5 % of the page, and so is what the page says was measured."""
    subject = SUBJECTS[name]()
    rows = json.loads(FILE.read_text(encoding="utf-8"))["networks"]
    (row,) = (one for one in rows if one["network"] == subject.name)
    for method in STEPS:
        today = compared(load(), counter, subject, method)
        assert today["predicted"] == pytest.approx(today["measured"], rel=0.05), method.name
        held = row["steps"][method.name]["measured"]
        assert held == pytest.approx(today["measured"], rel=0.05), method.name


@pytest.mark.parametrize("name", ["tinycnn, pre-trained", "drawn-1001", "drawn-1006"])
def test_one_operation_costs_about_what_two_do(counter: MailboxDevice, name: str) -> None:
    """As docs/fit.md says of `fit --fused`, which predicts the two apart; of the drawn chains these
    are the dearest and the cheapest as one."""
    if name in SUBJECTS:
        subject = SUBJECTS[name]()
        network, images = subject.network, subject.images
    else:
        seed = int(name.removeprefix("drawn-"))
        network, images = material(architecture(seed, affine=False), CHECK_SEED, 1)
    for method in (INFER, Method("priot")):
        pairs = replace(method, fused=True)
        assert any(fused(network, pairs))
        apart, one = (measure(counter, network, it, images) for it in (method, pairs))
        spent = [sum(found.train if method.trains else found.infer) for found in (apart, one)]
        assert 0.85 < spent[1] / spent[0] < 1.02
