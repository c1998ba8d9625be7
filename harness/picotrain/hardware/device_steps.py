"""Steps that test the device behind the link: who it is, what it computes, how it fails."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from picotrain.datasets import Split
from picotrain.device.backends import open_device
from picotrain.device.targets.fault import read_fault
from picotrain.errors import CrashFailure, TimeoutFailure
from picotrain.hardware.rig import DeviceRig
from picotrain.hardware.suite import CheckFailed, Finding, NotPossible
from picotrain.learn.verify import Comparison, verify
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network


@dataclass(frozen=True)
class Material:
    """The network and the images that are run on the device."""

    network: Network
    images: Split
    steps: int


def identity(rig: DeviceRig) -> Finding:
    """The device answers as the firmware that we have symbols of."""
    hello = rig.target().hello()
    memory = rig.device().command("INFO")["memory"]
    clock = f"{hello.clock_hz / 1e6:g} MHz" if hello.clock_hz else "not clocked"
    boot = f"up in {hello.boot_cycles:,} cycles" if hello.boot_cycles else "boot not timed"
    chip = hello.chip.hex() if any(hello.chip) else "unknown"
    details = {
        "chip": chip,
        "build": hello.build.hex(),
        "clock_hz": hello.clock_hz,
        "boot_cycles": hello.boot_cycles,
        "reset": hello.reset,
        "arena": int(memory["arena"]),
    }
    text = f"chip {chip}, build {hello.build.hex()}, {clock}, {boot}, last reset: {hello.reset}"
    return Finding(text, details)


def compare(rig: DeviceRig, material: Material, method: Method, frozen: bool) -> Finding:
    """Every tensor of some steps against golden; `frozen`: with the weights in flash."""
    device = rig.device()
    golden = open_device("golden")
    for side in (golden, device):
        side.load_model(material.network, frozen=frozen)
        side.set_method(method)
    images = material.images
    with progress_bar(method.name, material.steps, "step") as advance:
        comparison = Comparison(golden, device, material.network)
        report = verify(
            comparison, images.images, images.labels, material.steps, method.trains, advance
        )
    text = (
        f"{report.steps} steps, {report.batches} batches: {report.tensors:,} tensors, "
        f"{report.elements:,} elements, 0 differences"
    )
    return Finding(text, asdict(report))


def crash(rig: DeviceRig) -> Finding:
    """A fault: the device restarts, says so, and kept the registers; then it works as before."""
    hello = rig.restart("fault")
    if hello.reset != "fault":
        raise CheckFailed(f"after a fault the device says that its reset was {hello.reset!r}")
    device = rig.device()
    if device.window("FAULT")[1] == 0:
        raise NotPossible("the device restarted after its fault, but this board keeps no registers")
    record = read_fault(device.read_window("FAULT"), device.elf)
    if not isinstance(record, CrashFailure):
        raise CheckFailed("after a fault the window FAULT holds no record of one")
    _check_registers(record)
    _works(rig)
    registers = {name: f"0x{value:08x}" for name, value in record.registers.items()}
    return Finding(f"{record}; the device works again", {"registers": registers})


def _check_registers(record: CrashFailure) -> None:
    """The registers can be those of a program that ran on this chip."""
    if record.place == "?" or record.place.startswith("0x"):
        raise CheckFailed(f"the fault's pc 0x{record.registers['pc']:08x} is in no function")
    if not 0x20000000 <= record.registers["sp"] <= 0x20042000:
        raise CheckFailed(f"the fault's sp 0x{record.registers['sp']:08x} is not in SRAM")


def watchdog(rig: DeviceRig) -> Finding:
    """A program that hangs: the watchdog resets the device, which says so and works again."""
    hello = rig.restart("hang")
    if hello.reset != "watchdog":
        raise CheckFailed(f"after a hang the device says that its reset was {hello.reset!r}")
    device = rig.device()
    if device.window("FAULT")[1] == 0:
        where = "the watchdog reset the device"
    else:
        record = read_fault(device.read_window("FAULT"), device.elf)
        if not isinstance(record, TimeoutFailure):
            raise CheckFailed("after a hang the window FAULT holds no record of one")
        where = str(record)
    _works(rig)
    return Finding(f"{where}; it works again")


def _works(rig: DeviceRig) -> None:
    device = rig.device()
    device.check()
    device.command("RESET")
    device.command("INFO")
    if rig.target().echo(b"still here") != b"still here":
        raise CheckFailed("after its restart the device does not echo")
