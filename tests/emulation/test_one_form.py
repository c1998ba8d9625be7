"""Firmware that was built without one of the forms of networks: it learns the same bytes, and
refuses the other form by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import exact_cases
import support
from picotrain.device import backends
from picotrain.device.interface import state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError
from picotrain.image.elf import open_elf
from picotrain.learn import models
from picotrain_golden import Method, Network

CHAIN, AFFINE = exact_cases.networks(1)
OF = {"chain": CHAIN, "affine": AFFINE}
OTHER = {"chain": "affine", "affine": "chain"}
SAID = {
    "chain": "the network is affine",
    "affine": "the network is a chain of the power-of-two form",
}
METHODS = [method for name, method in support.METHODS.items() if name != "priot-s-random"]


def opened(target: str, kernels: str) -> MailboxDevice:
    variant = f"{target}-{kernels}" if kernels != "tuned" else target
    if problem := backends.problem(variant):
        pytest.skip(problem)
    device = backends.open_device(target, kernels=kernels)
    assert isinstance(device, MailboxDevice)
    return device


def learnt(device: MailboxDevice, network: Network, methods: list[Method]) -> list[str]:
    """What each method makes of six images: state, and predictions of the same."""
    pixels, labels = support.images(network, 6)
    found = []
    for method in methods:
        device.load_model(network)
        device.set_method(method)
        device.train(pixels, labels)
        found.append(state_sha256(device, network))
        assert device.evaluate(pixels, labels).predictions.shape == labels.shape
    return found


@pytest.mark.parametrize("form", OF)
def test_on_qemu_it_learns_what_the_whole_firmware_learns(form: str) -> None:
    """By every method; fused where there are chains, which makes the bytes of the same apart."""
    with opened("qemu", "tuned") as whole, opened("qemu", form) as one:
        methods = [method for method in METHODS if form == "chain" or not method.fused]
        first = learnt(one, OF[form], methods)
        assert first == learnt(whole, OF[form], methods)
        assert len(set(first)) == len(methods) - (2 if form == "chain" else 0)
        small, large = one.memory().code, whole.memory().code
        assert small is not None and large is not None and small < large - 14 * 1024


@pytest.mark.parametrize("target", ["qemu", "rp2040js"])
@pytest.mark.parametrize("form", OF)
def test_the_other_form_is_refused_and_the_device_goes_on(target: str, form: str) -> None:
    priot = [support.METHODS["priot"]]
    with opened(target, form) as device:
        before = learnt(device, OF[form], priot)
        with pytest.raises(CommandError) as caught:
            device.load_model(OF[OTHER[form]])
        assert caught.value.name == "PT_ERR_FORM"
        assert caught.value.detail == (int(form == "chain"), 0, 0, 0)
        image = {"qemu": "microbit", "rp2040js": "rp2040"}[target]
        assert (
            f"{SAID[form]}, and the firmware {image}-{form} was built without that form; use "
            "firmware that has it: without a form in --kernels or --board, or with "
            f"{OTHER[form]}"
        ) in str(caught.value)
        assert learnt(device, OF[form], priot) == before


@pytest.mark.parametrize(
    ("method", "plan", "most"),
    [("priot", "fast", 149_000), ("priot", "lean", 92_000), ("priot-s", "lean", 52_000)],
)
def test_the_ram_of_tinycnn_all_in(method: str, plan: str, most: int) -> None:
    """Code, static data, the stack that was used and the arena, after images that teach."""
    network = models.load_backbone(models.backbone_path("tinycnn", "digits"))[0]
    pixels, labels = support.images(network, 6)
    with opened("qemu", "chain") as device:
        device.load_model(network, frozen=plan == "lean")
        device.set_method(replace(Method(method), fused=True))
        trained = device.train(pixels, labels)
        device.evaluate(pixels, labels)
        assert trained.loss_norms.any()
        total = device.memory().total
        assert total is not None and total <= most


@pytest.mark.parametrize("board", ["microbit", "rp2040"])
def test_nothing_of_the_other_form_is_in_sram(board: str) -> None:
    """But the kernel of linear layers, and what adds to sums, which both forms call."""
    found = {}
    for form in ("chain", "affine"):
        path = backends.KERNELS["qemu" if board == "microbit" else "rp2040js"][form]
        elf = open_elf(support.require(path))
        found[form] = {name for name in elf.symbols() if elf.symbol(name) >= 0x20000000}
    assert not {name for name in found["chain"] if "affine" in name or "fisher" in name}
    assert {"pt_conv2d_pool_error_s8", "pt_linear_error_s32"} <= found["chain"]
    gone = ("pt_conv2d_", "pt_maxpool2_", "pt_convolution", "pt_lanes_", "pt_linear_forward")
    assert not {name for name in found["affine"] if name.startswith(gone)} - {"pt_conv2d_operator"}
    assert {"pt_affine_conv2d_s8", "pt_linear_error_s32"} <= found["affine"]


@pytest.mark.parametrize("form", OF)
def test_kernels_of_the_other_form_cannot_be_timed(form: str) -> None:
    """The bench's first word is the kernel."""
    with opened("qemu", form) as device:
        kernels = device.elf.enum("pt_bench_kernel")
        wanted = "AFFINE_MAXPOOL" if form == "chain" else "MAXPOOL2_FORWARD"
        job = np.zeros(1, device.elf.dtype("pt_bench_job"))
        job["kernel"] = int(kernels[f"PT_BENCH_{wanted}"])
        device.write_window("MODEL", job.tobytes())
        assert support.refusal(device, "BENCH", [0]) == (
            "PT_ERR_FORM",
            (int(form == "chain"), 0, 0, 0),
        )
