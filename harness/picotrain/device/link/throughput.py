"""How fast the link moves memory: bytes per second of PEEK and POKE, and the time of an echo.

python3 -m picotrain.device.link.throughput /dev/ttyACM0
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.serial import BAUD, SerialTarget
from picotrain.errors import DeviceFailure, LinkFailure, UserError
from picotrain.image import firmware
from picotrain.inputs import positive
from picotrain.output import check, write_json
from picotrain.versions import to_run

_ECHOES = 20
_ECHO_BYTES = 16


@dataclass(frozen=True)
class Throughput:
    """What was measured: useful bytes, by the host's clock, retries included."""

    target: str
    size: int
    """Bytes that went each way."""
    poke_bytes_per_second: float
    peek_bytes_per_second: float
    echo_seconds: float
    """One short request and its answer, the median of some."""
    retries: int

    def text(self) -> str:
        return (
            f"{self.target}: {self.size:,} bytes each way: "
            f"write {self.poke_bytes_per_second / 1000:,.1f} kB/s, "
            f"read {self.peek_bytes_per_second / 1000:,.1f} kB/s, "
            f"echo {1000 * self.echo_seconds:.2f} ms, {self.retries} retries"
        )


def measure_throughput(target: SerialTarget, size: int = 64 * 1024) -> Throughput:
    """Write `size` random bytes into the model window of a connected target and read them back.

    The device forgets its model. Raises LinkFailure where what is read is not what was written, or
    the window is smaller.
    """
    device = MailboxDevice(target)
    device.command("RESET")
    address, room = device.window("MODEL")
    if size > room:
        raise LinkFailure(f"the model window has {room} bytes, {size} do not fit")
    data = random.Random(1).randbytes(size)
    retries = target.retries

    start = perf_counter()
    target.write(address, data)
    written = perf_counter()
    back = target.read(address, size)
    end = perf_counter()
    if back != data:
        at = next(at for at, (a, b) in enumerate(zip(data, back, strict=True)) if a != b)
        raise LinkFailure(f"byte {at} of {size} came back as {back[at]}, not {data[at]}")

    echoes = []
    for _ in range(_ECHOES):
        begin = perf_counter()
        target.echo(data[:_ECHO_BYTES])
        echoes.append(perf_counter() - begin)
    return Throughput(
        target=target.name,
        size=size,
        poke_bytes_per_second=size / (written - start),
        peek_bytes_per_second=size / (end - written),
        echo_seconds=sorted(echoes)[_ECHOES // 2],
        retries=target.retries - retries,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one device; returns 0, 1 for a device's failure, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(
        prog=to_run("picotrain.device.link.throughput"), description=__doc__
    )
    parser.add_argument("url", help="a serial port, or a pyserial URL")
    parser.add_argument("--elf", type=Path, default=firmware.RP2040, help="what the device runs")
    parser.add_argument("--baud", type=positive, default=BAUD)
    parser.add_argument("--bytes", type=positive, default=64 * 1024)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    options = parser.parse_args(arguments)
    if options.json is not None:
        check(options.json)
    target = SerialTarget(options.elf, options.url, options.baud)
    try:
        target.connect()
        result = measure_throughput(target, options.bytes)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    except DeviceFailure as failure:
        parser.exit(1, f"{failure.failure_class}: {failure}\n")
    finally:
        target.close()
    print(result.text())
    if options.json is not None:
        write_json(options.json, asdict(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
