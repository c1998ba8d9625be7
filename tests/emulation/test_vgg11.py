"""VGG11 on the emulated chip with enlarged SRAM: nothing depends on a network's size.

9.2 million weights are 35 times a Pico's SRAM. The image has the objects of `microbit`; the linker
and QEMU give it 96 MiB. One traced step and one trained image are enough to see a size that does
not fit, and take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from picotrain.cli import main
from picotrain.cli.material import random_material
from picotrain.datasets import Split
from picotrain.device import backends
from picotrain.device.cycles import difference, total
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison
from picotrain_golden import Network
from support import METHODS, require

pytestmark = pytest.mark.skipif(
    bool(backends.problem("qemu-large")), reason=backends.problem("qemu-large")
)

LARGE = 96 << 20
STEPS = {name: METHODS[name] for name in ("niti-dynamic", "niti-static", "priot-zero")} | {
    "priot-s": METHODS["priot-s-weight"]
}


@pytest.fixture(scope="module")
def material() -> tuple[Network, Split]:
    """An untrained VGG11, calibrated on noise, and two images of noise."""
    return random_material("vgg11", 1, 2)


@pytest.fixture
def qemu() -> Iterator[MailboxDevice]:
    device = backends.open_device("qemu", kernels="large")
    assert isinstance(device, MailboxDevice)
    yield device
    device.close()


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_vgg11(
    material: tuple[Network, Split],
    qemu: MailboxDevice,
    host_device: Callable[[int], MailboxDevice],
    host_elf: Elf,
    name: str,
) -> None:
    """Every tensor of a step equals golden's; after it, and a second one, the host's state."""
    network, split = material
    arena = firmware.arena_bytes(qemu.elf.path)
    golden, host = GoldenDevice(host_elf, arena), host_device(arena)
    for device in (golden, qemu, host):
        device.load_model(network)
        device.set_method(STEPS[name])
    start = state_sha256(host, network)

    comparison = Comparison(golden, qemu, network)
    comparison.traced_step(0, split.images[0], int(split.labels[0]))
    # 15 activations, 14 errors, of 9 layers the steps and the new state, and the saturation.
    assert comparison.report.tensors == 15 + 14 + 2 * 9 + 1
    host.train(split.images[:1], split.labels[:1])
    first = state_sha256(host, network)
    assert state_sha256(golden, network) == state_sha256(qemu, network) == first != start

    before = qemu.blocks()
    results = [device.train(split.images[1:], split.labels[1:]) for device in (qemu, host)]
    after = qemu.blocks()
    assert before is not None and after is not None
    assert results[0].loss_norms.tolist() == results[1].loss_norms.tolist() != [0]
    assert results[0].predictions.tolist() == results[1].predictions.tolist()
    assert state_sha256(qemu, network) == state_sha256(host, network) != first
    print(f"{name}: {total(difference(after, before)):,} cycles a step, by the cycle model")


def test_only_the_end_of_sram_is_elsewhere(microbit_elf: Elf) -> None:
    large = Elf(require(firmware.MICROBIT_LARGE))
    moved = {"pt_arena_end", "pt_stack_start", "pt_stack_end", "pt_sram_end"}
    assert set(large.symbols()) - set(microbit_elf.symbols()) <= {"pt_sram_size"}
    for name in microbit_elf.symbols():
        by = LARGE - firmware.PICO_RAM if name in moved else 0
        assert large.symbol(name) == microbit_elf.symbol(name) + by, name


def test_verify_gives_golden_the_same_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert backends.arena_bytes("host") is None
    assert backends.arena_bytes("qemu") == firmware.arena_bytes(firmware.MICROBIT)
    arena = backends.arena_bytes("qemu", "large")
    assert arena is not None and LARGE - firmware.PICO_RAM < arena < LARGE
    given = ["verify", "--target", "qemu", "--kernels", "large", "--model", "vgg11"]
    assert main([*given, "--method", "infer", "--steps", "1"]) == 0
    assert "qemu (large kernels) against golden" in capsys.readouterr().out
