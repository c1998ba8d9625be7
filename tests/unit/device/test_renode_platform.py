"""Renode's platform files, without Renode: syntax, files, and agreement with the firmware."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from picotrain.device.targets import renode

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "emulation" / "renode"
BOARD = ROOT / "firmware" / "boards" / "rp2040"

REPL = (FOLDER / "rp2040.repl").read_text()
RESC = (FOLDER / "rp2040.resc").read_text()
MODELS = (FOLDER / "Rp2040.cs").read_text()

ENTRY = re.compile(r"(\w+): (\w+\.\w+) @ sysbus(?: (0x[0-9A-F]+))?")
ATTRIBUTE = re.compile(r'    (\w+): (0x[0-9A-F]+|\d+|true|false|"[^"]*"|[a-z]\w*)')
INTERRUPT = re.compile(r"    (?:IRQ )?-> (\w+)@(\d+)")
STOCK = {"Memory.MappedMemory", "IRQControllers.NVIC", "CPU.CortexM", "UART.PL011"}

COMMAND = re.compile(
    r"using sysbus|\$\w+\?=\S+|include \$ORIGIN/\S+|mach create \"\w+\"|runMacro \$reset"
    r"|machine LoadPlatformDescription \$platform|sysbus LoadBinary \$\w+ 0x[0-9A-F]+"
    r"|macro reset|\"\"\"|    sysbus\.cpu VectorTableOffset 0x0|:\w+: .+"
)


class Entry:
    """One peripheral of the platform file."""

    def __init__(self, type_: str, address: str | None) -> None:
        self.type = type_
        self.address = int(address, 16) if address else None
        self.attributes: dict[str, str] = {}
        self.interrupts: list[tuple[str, int]] = []


def parse_platform(text: str) -> dict[str, Entry]:
    """The peripherals by name; any line of another kind is an error."""
    entries: dict[str, Entry] = {}
    entry: Entry | None = None
    for line in text.splitlines():
        if not line or line.startswith("//"):
            continue
        if match := ENTRY.fullmatch(line):
            assert match[1] not in entries, f"{match[1]} stands twice"
            entry = entries[match[1]] = Entry(match[2], match[3])
        elif entry and (match := INTERRUPT.fullmatch(line)):
            entry.interrupts.append((match[1], int(match[2])))
        elif entry and (match := ATTRIBUTE.fullmatch(line)):
            entry.attributes[match[1]] = match[2]
        else:
            raise AssertionError(f"not in the syntax that every Renode reads: {line!r}")
    return entries


PLATFORM = parse_platform(REPL)


def numbers(header: Path) -> dict[str, int]:
    found = re.findall(r"#define (\w+) PT_U\((0x[0-9a-f]+|\d+)\)", header.read_text())
    return {name: int(value, 0) for name, value in found}


REGISTERS = numbers(BOARD / "rp2040.h")


def class_of(name: str) -> str:
    """The text of one class of the models."""
    match = re.search(rf"    public class {name}\b.*?\n    }}\n", MODELS, re.DOTALL)
    assert match, f"Rp2040.cs has no class {name}"
    return match[0]


def size_of(entry: Entry) -> int:
    if "size" in entry.attributes:
        return int(entry.attributes["size"], 0)
    return {
        "IRQControllers.NVIC": 0x1000,
        "UART.PL011": 0x1000,
        "Miscellaneous.Rp2040Aliases": 0x3000,
        "Miscellaneous.Rp2040Ssi": 0x1000,
    }.get(entry.type, 0x4000)


def holder(address: int) -> str | None:
    """The name of the peripheral that answers at an address."""
    for name, entry in PLATFORM.items():
        if entry.address is not None and 0 <= address - entry.address < size_of(entry):
            return name
    return None


@pytest.mark.parametrize("line", ["using x prefixed", "    x: True", "x: a @ y", "  x: 1"])
def test_the_parser_here_refuses_the_rest(line: str) -> None:
    with pytest.raises(AssertionError, match="not in the syntax"):
        parse_platform(f"uart0: UART.PL011 @ sysbus 0x40034000\n{line}\n")


def test_types_attributes_and_names_exist() -> None:
    for name, entry in PLATFORM.items():
        for value in entry.attributes.values():
            if value[0].islower() and value not in ("true", "false"):
                assert value in PLATFORM, f"{name} names {value}, which is not there"
        for target, _ in entry.interrupts:
            assert target in PLATFORM
        if entry.type in STOCK:
            continue
        space, _, class_name = entry.type.partition(".")
        assert space == "Miscellaneous"
        constructor = re.search(rf"public {class_name}\(([^)]*)\)", class_of(class_name))
        assert constructor
        parameters = {part.split()[1] for part in constructor[1].split(", ")} - {"machine"}
        required = {part.split()[1] for part in constructor[1].split(", ") if "=" not in part}
        assert entry.attributes.keys() <= parameters
        assert required - {"machine"} <= entry.attributes.keys(), f"{name} lacks a parameter"


def test_nothing_overlaps() -> None:
    spans = sorted(
        (entry.address, entry.address + size_of(entry))
        for entry in PLATFORM.values()
        if entry.address is not None
    )
    for (_, end), (start, _) in pairwise(spans):
        assert end <= start


def test_script_uses_what_is_known_and_there() -> None:
    for line in RESC.splitlines():
        assert not line or COMMAND.fullmatch(line), line
    for name in re.findall(r"\$ORIGIN/(\S+)", RESC):
        path = (FOLDER / name).resolve()
        built = ROOT / "build" / "rp2040"
        assert path.is_file() or path.parent == built, name
    assert {"picotrain.bin", "rom.bin"} <= {Path(n).name for n in re.findall(r"\S+\.bin", RESC)}
    assigned = set(re.findall(r"^\$(\w+)\?=", RESC, re.MULTILINE))
    used = set(re.findall(r"(?<!^)\$(\w+)", RESC, re.MULTILINE)) - {"ORIGIN", "reset"}
    assert assigned == used


def test_memories_are_the_linker_scripts() -> None:
    script = (BOARD / "link.ld").read_text()
    found = re.findall(r"(\w+) \(\w+\) : ORIGIN = (0x\w+), LENGTH = (\d+)([MK])", script)
    unit = {"K": 1 << 10, "M": 1 << 20}
    region = {name: (int(at, 16), int(n) * unit[u]) for name, at, n, u in found}
    flash, sram = PLATFORM["flash"], PLATFORM["sram"]
    assert (sram.address, size_of(sram)) == region["sram"]
    assert flash.address == region["flash"][0]
    assert region["model"][0] == region["flash"][0] + region["flash"][1]
    assert size_of(flash) == region["flash"][1] + region["model"][1]
    assert range(region["sram"][0], sum(region["sram"])) == renode.SRAM
    assert flash.address is not None
    assert range(flash.address, flash.address + size_of(flash)) == renode.FLASH
    rom = PLATFORM["rom"]
    assert rom.address == 0 and size_of(rom) == 16 << 10
    dpram = PLATFORM["usbDpram"]
    assert (dpram.address, size_of(dpram)) == (0x50100000, 4 << 10)


OWNERS = {
    "XIP_BASE": "flash",
    "SYST_": "nvic",
    "NVIC_": "nvic",
    "VTOR": "nvic",
    "MPU_CTRL": "nvic",
    "XIP_SSI": "ssi",
    "VREG": "vreg",
    "PSM_WDSEL": "psm",
    "RESETS_RESET": "resets",
    "CLK_": "clocks",
    "XOSC_": "xosc",
    "PLL_SYS_BASE": "pllSys",
    "PLL_USB_BASE": "pllUsb",
    "GPIO": "ioBank0",
    "PADS_GPIO": "padsBank0",
    "IO_QSPI_SS_CTRL": "ioQspi",
    "PADS_QSPI_BASE": "padsQspi",
    "UART": "uart0",
    "TIME": "timer",
    "WATCHDOG_": "watchdog",
}


def test_every_register_of_the_firmware_is_where_it_says() -> None:
    addresses = {name: n for name, n in REGISTERS.items() if n >= 0x10000000}
    checked = set()
    for name, address in addresses.items():
        owners = [owner for prefix, owner in OWNERS.items() if name.startswith(prefix)]
        if not owners or re.search(r"_(ENABLE|TRIGGER|PAUSE_\w+|STABLE|LOCK|XN)$", name):
            continue  # bits
        assert holder(address) == owners[0], f"{name} at {address:#010x}"
        checked.add(owners[0])
    assert checked == set(OWNERS.values())


def test_aliases_answer_where_the_firmware_writes_them() -> None:
    for alias in ("PT_ALIAS_SET", "PT_ALIAS_CLEAR"):
        for name in ("RESETS_RESET", "PLL_SYS_BASE", "WATCHDOG_CTRL"):
            assert holder(REGISTERS[name]) == holder(REGISTERS[name] + REGISTERS[alias])
        assert holder(REGISTERS["UARTCR"] + REGISTERS[alias]) == "uart0Aliases"
    # Rp2040Block: 0 plain, 1 XOR, 2 SET, 3 CLEAR.
    writes = class_of("Rp2040Block")
    assert [int(n) for n in re.findall(r"case (\d):", writes)] == [1, 2, 3]
    assert re.search(r"case 2:\s+value = .* \| value;", writes)
    assert re.search(r"case 3:\s+value = .* & ~value;", writes)


@pytest.mark.parametrize(
    ("register", "base", "class_name"),
    [
        ("RESETS_RESET_DONE", "RESETS_RESET", "Rp2040Resets"),
        ("PSM_WDSEL", "psm", "Rp2040Psm"),
        ("XOSC_STATUS", "XOSC_CTRL", "Rp2040Xosc"),
        ("CLK_REF_SELECTED", "clocks", "Rp2040Clocks"),
        ("CLK_SYS_SELECTED", "clocks", "Rp2040Clocks"),
        ("CLK_REF_CTRL", "clocks", "Rp2040Clocks"),
        ("CLK_SYS_CTRL", "clocks", "Rp2040Clocks"),
        ("WATCHDOG_LOAD", "watchdog", "Rp2040Watchdog"),
        ("WATCHDOG_REASON", "watchdog", "Rp2040Watchdog"),
        ("WATCHDOG_TICK", "watchdog", "Rp2040Watchdog"),
        ("TIMEHR", "timer", "Rp2040Timer"),
        ("TIMELR", "timer", "Rp2040Timer"),
        ("TIMERAWL", "timer", "Rp2040Timer"),
        ("IO_QSPI_SS_CTRL", "ioQspi", "Rp2040Ssi"),
    ],
)
def test_offsets_in_the_models_are_the_headers(register: str, base: str, class_name: str) -> None:
    start = REGISTERS.get(base)
    if start is None:
        address = PLATFORM[base].address
        assert address is not None
        start = address
    assert f"0x{REGISTERS[register] - start:02X}" in class_of(class_name)


def test_offsets_of_the_ssi() -> None:
    ssi = class_of("Rp2040Ssi")
    for name in ("SSI_SSIENR", "SSI_SR", "SSI_DR0"):
        assert f"0x{REGISTERS[name]:02X}" in ssi


def test_interrupts_and_clock_are_the_firmwares() -> None:
    interrupt = re.search(r"#define UART0_IRQ (\d+)", (BOARD / "rp2040.h").read_text())
    assert interrupt
    assert PLATFORM["uart0"].interrupts == [("nvic", int(interrupt[1]))]
    makefile = (ROOT / "firmware" / "Makefile").read_text()
    clock = re.search(r"CLOCK_MHZ \?= (\d+)", makefile)
    assert clock
    assert PLATFORM["cpu"].attributes["PerformanceInMips"] == clock[1]
    assert PLATFORM["nvic"].attributes["systickFrequency"] == clock[1] + "000000"
    assert PLATFORM["uart0"].attributes["frequency"] == clock[1] + "000000"
    assert PLATFORM["cpu"].attributes["cpuType"] == '"cortex-m0+"'


def test_counter_leaves_the_platforms_addresses_alone() -> None:
    assert holder(renode._COUNTER_ADDRESS) is None
