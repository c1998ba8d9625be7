"""Damaged and forged blobs on the sanitized firmware: refused with a name, or a valid network.

Every blob has a fixed seed. `support.decode` is the second opinion on what is valid; a report of a
sanitizer ends the device and fails the test.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import pytest

import support
from picotrain.device.blob import encode, seal
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.host import HostTarget
from picotrain.errors import CommandError, DeviceFailure, UserError
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison
from picotrain_golden import Layer, Network, Parameters, conv2d, linear, maxpool2, validate
from support import ENTRY, HEADER, INFER, METHODS, begin, images, layer_entry

ARENA = 48 * 1024
CONTROL_EVERY = 100

MAGIC, VERSION, SIZE, CRC, LAYERS, CLASSES, FORM = 0, 4, 8, 12, 16, 18, 20
LOGITS_EXPONENT, LOGITS_MULTIPLIER = 21, 22
INPUTS, SHAPE, OFFSET, WEIGHTS_SIZE = 12, 16, 36, 40
ABSURD_16 = (0, 1, 2, 3, 5, 15, 16, 127, 128, 255, 256, 4095, 4096, 4097, 32767, 32768, 65535)
ABSURD_32 = (0, 1, 3, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)


def small_network() -> Network:
    """Every kind of layer, sizes that need padding, and few enough bytes to hit the table often."""
    shape = (6, 5, 2)
    layers: list[Layer] = [conv2d(shape, 3, (3, 2), 1, (1, 1), True)]
    layers += [maxpool2(layers[0].out_shape)]
    layers += [linear(layers[1].out_shape, 5, True), linear((1, 1, 5), 3, False)]
    return support.calibrate(support.build("small", shape, layers))


@dataclass
class Fuzzer:
    """Offers blobs to a sanitized device and judges its answers."""

    device: MailboxDevice
    reference: GoldenDevice
    elf: Elf
    frozen: bool = False  # the blobs lie in flash
    outcomes: Counter[str] = field(default_factory=Counter)
    trained: int = 0  # affine networks
    control: Network = field(default_factory=lambda: support.shipped("oddnet"))

    @property
    def offered(self) -> int:
        return self.outcomes.total()

    def offer(self, blob: bytes) -> CommandError | None:
        """The refusal, or None. Refused or accepted, the second opinion must be the same."""
        if self.offered % CONTROL_EVERY == 0:
            self.serves()
        try:
            network = support.decode(blob)
        except ValueError:
            network = None
        try:
            self.device.load_blob(blob, self.frozen)
        except CommandError as refusal:
            assert refusal.command == "LOAD_MODEL"
            assert refusal.name.startswith("PT_ERR_")
            assert network is None, f"refused with {refusal} what is valid"
            self.outcomes[refusal.name] += 1
            return refusal
        assert network is not None, "accepted what is not valid"
        self.outcomes["accepted"] += 1
        self.train(network)
        return None

    def train(self, network: Network) -> None:
        """An accepted network trains exactly, or is refused for the same reason as by golden."""
        methods = [*METHODS.values(), *([INFER] * 3 if network.affine else [])]
        method = methods[self.offered % len(methods)]
        self.reference.load_model(network, self.frozen)
        refusals: list[object] = []
        for one in (self.reference, self.device):
            try:
                one.set_method(method)
                refusals.append(None)
            except CommandError as refusal:
                untrainable = refusal.name.startswith("PT_ERR_TRAIN_")
                answer = (refusal.name, refusal.detail)
                refusals.append("untrainable" if untrainable else answer)
            except UserError:
                assert network.affine and method.trains
                refusals.append("untrainable")
        self.trained += refusals == [None, None] and bool(network.affine) and method.trains
        assert refusals[0] == refusals[1]
        if refusals[0] is None:
            self.device._network = network
            comparison = Comparison(self.reference, self.device, network)
            pixels, labels = images(network, 1)
            comparison.traced_step(0, pixels[0], int(labels[0]))
            comparison.state(0)

    def serves(self) -> None:
        """The device still trains a good network."""
        comparison = begin(self.device, self.reference, self.control, METHODS["priot-s-weight"])
        pixels, labels = images(self.control, 1, self.offered)
        comparison.traced_step(self.offered, pixels[0], int(labels[0]))


@pytest.fixture(scope="module")
def sanitized() -> Iterator[MailboxDevice]:
    """One sanitized process for all blobs, so that damage done by one shows with the next."""
    target = HostTarget(support.sanitized(firmware.HOST_SANITIZED), ARENA)
    target.connect()
    device = MailboxDevice(target)
    yield device
    device.close()


@pytest.fixture(params=[False], ids=["arena"])
def fuzzer(
    sanitized: MailboxDevice, host_elf: Elf, request: pytest.FixtureRequest
) -> Iterator[Fuzzer]:
    try:
        sanitized.command("INFO")
    except DeviceFailure:  # a test before this one broke it, and said so
        sanitized._target.connect()
        sanitized._address = sanitized._target.mailbox_address()
    fuzzer = Fuzzer(sanitized, GoldenDevice(host_elf, ARENA), host_elf, request.param)
    yield fuzzer
    fuzzer.serves()


anywhere = pytest.mark.parametrize("fuzzer", [False, True], ids=["arena", "flash"], indirect=True)
"""Offers the blobs of a test in the arena, then in flash."""


@pytest.fixture(params=["oddnet", "small"])
def network(request: pytest.FixtureRequest) -> Network:
    return support.shipped("oddnet") if request.param == "oddnet" else small_network()


@pytest.fixture
def good(network: Network, host_elf: Elf) -> bytes:
    blob = encode(network, host_elf)
    support.decode(blob)
    return blob


def table_end(blob: bytes) -> int:
    return layer_entry(int.from_bytes(blob[LAYERS : LAYERS + 2], "little")).start


def put(blob: bytes, at: int, data: bytes) -> bytes:
    return blob[:at] + data + blob[at + len(data) :]


def u16(value: int) -> bytes:
    return struct.pack("<H", value)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def resized(blob: bytes, elf: Elf) -> bytes:
    """With a header that agrees with the blob's length and bytes."""
    return seal(put(blob, SIZE, u32(len(blob))), elf) if len(blob) >= HEADER.size else blob


def flip(blob: bytes, bit: int) -> bytes:
    return put(blob, bit // 8, bytes([blob[bit // 8] ^ 1 << bit % 8]))


def weight_places(network: Network, good: bytes) -> dict[int, tuple[int, int]]:
    """Offset in the blob -> (layer, index) of the weight there."""
    places = {}
    at = table_end(good)
    for index, layer in enumerate(network.layers):
        for weight in range(layer.weight_count):
            places[at + weight] = (index, weight)
        at += -(-layer.weight_count // 4) * 4
    return places


# All together more than 6,000 blobs.


@anywhere
def test_cut(fuzzer: Fuzzer, good: bytes) -> None:
    draw = random.Random(1)
    lengths = [0, 1, 12, 23, 24, 25, table_end(good) - 1, table_end(good), len(good) - 1]
    lengths += [draw.randrange(len(good)) for _ in range(90)]
    for length in lengths:
        refusal = fuzzer.offer(good[:length])
        assert refusal is not None and refusal.name == "PT_ERR_BLOB_SIZE"
        needed = len(good) if length >= HEADER.size else HEADER.size
        assert refusal.detail == (length, needed, 0, 0)
        # Where the length and the CRC are mended, the table or the weights do not end.
        refusal = fuzzer.offer(resized(good[:length], fuzzer.elf))
        assert refusal is not None and refusal.name == "PT_ERR_BLOB_SIZE"


@anywhere
def test_extended(fuzzer: Fuzzer, good: bytes) -> None:
    draw = random.Random(2)
    for count in [1, 2, 3, 4, 8] + [draw.randrange(1, 4000) for _ in range(45)]:
        longer = good + draw.randbytes(count)
        refusal = fuzzer.offer(longer)
        assert refusal is not None
        assert (refusal.name, refusal.detail[:2]) == ("PT_ERR_BLOB_SIZE", (len(longer), len(good)))
        refusal = fuzzer.offer(resized(longer, fuzzer.elf))
        assert refusal is not None
        assert (refusal.name, refusal.detail[:2]) == ("PT_ERR_BLOB_SIZE", (len(longer), len(good)))


@anywhere
def test_flipped_bits(fuzzer: Fuzzer, good: bytes) -> None:
    draw = random.Random(3)
    names = {MAGIC: "PT_ERR_BLOB_MAGIC", VERSION: "PT_ERR_BLOB_VERSION", SIZE: "PT_ERR_BLOB_SIZE"}
    bits = list(range(8 * HEADER.size)) + draw.sample(range(8 * len(good)), 250)
    for bit in bits:
        refusal = fuzzer.offer(flip(good, bit))
        assert refusal is not None
        assert refusal.name == names.get(bit // 32 * 4, "PT_ERR_BLOB_CRC"), f"bit {bit}"


def test_flipped_bits_of_the_table_with_a_good_crc(fuzzer: Fuzzer, good: bytes) -> None:
    for bit in range(8 * LAYERS, 8 * table_end(good), 1 if len(good) < 1000 else 3):
        fuzzer.offer(seal(flip(good, bit), fuzzer.elf))
    assert len(fuzzer.outcomes) >= 6
    assert fuzzer.outcomes["accepted"] > 20


def test_flipped_bits_of_weights_with_a_good_crc(
    fuzzer: Fuzzer, network: Network, good: bytes
) -> None:
    """Any weight but -128 is a weight."""
    draw = random.Random(5)
    places = weight_places(network, good)
    offsets = draw.sample(sorted(places), min(100, len(places)))
    zeros = [at for at in places if good[at] == 0]
    for at, bit in [(at, draw.randrange(8)) for at in offsets] + [(at, 7) for at in zeros[:20]]:
        damaged = seal(flip(good, 8 * at + bit), fuzzer.elf)
        refusal = fuzzer.offer(damaged)
        if damaged[at] == 0x80:
            assert refusal is not None
            assert (refusal.name, refusal.detail) == ("PT_ERR_WEIGHT", (*places[at], 0, 0))
        else:
            assert refusal is None
    assert fuzzer.outcomes["PT_ERR_WEIGHT"] == len(zeros[:20])


def test_weights_of_minus_128(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    draw = random.Random(6)
    places = weight_places(network, good)
    edges = {min(places), max(places)}
    for at in [*sorted(edges), *draw.sample(sorted(places), 48)]:
        refusal = fuzzer.offer(seal(put(good, at, b"\x80"), fuzzer.elf))
        assert refusal is not None
        assert (refusal.name, refusal.detail) == ("PT_ERR_WEIGHT", (*places[at], 0, 0))


def test_absurd_shapes(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    draw = random.Random(7)
    for _ in range(400):
        blob = good
        for _ in range(draw.choice((1, 1, 2, 4))):
            entry = layer_entry(draw.randrange(len(network.layers))).start
            if draw.random() < 0.6:
                at = entry + SHAPE + 2 * draw.randrange(6)
                blob = put(blob, at, u16(draw.choice(ABSURD_16)))
            else:
                at = entry + SHAPE + 12 + draw.randrange(6)
                blob = put(blob, at, bytes([draw.choice((0, 1, 2, 3, 15, 16, 255))]))
        fuzzer.offer(seal(blob, fuzzer.elf))
    assert fuzzer.outcomes["PT_ERR_LAYER_SHAPE"] > 200


def test_absurd_shapes_that_agree_with_each_other(fuzzer: Fuzzer, host_elf: Elf) -> None:
    """One layer alone, whose sizes multiply to more than 32 bits hold or a sum may add."""
    draw = random.Random(8)
    sizes = (1, 2, 3, 64, 255, 256, 1024, 2048, 4095, 4096)
    for _ in range(200):
        height, width, channels = (draw.choice(sizes) for _ in range(3))
        outputs = draw.choice(sizes)
        kind = draw.choice((1, 3))
        if kind == 3:
            layer = linear((height, width, channels), outputs, False)
        else:
            kernel = (draw.randrange(1, 16), draw.randrange(1, 16))
            layer = conv2d((height, width, channels), outputs, kernel, 1, (0, 0), False)
        shape = (*layer.in_shape, *(max(size, 0) for size in layer.out_shape))
        entry = ENTRY.pack(
            *(kind, 0, -7, 8, 7, 14, 20),
            *(0, 0, 0, 0, 0, support.NETWORK_INPUT, support.NO_LAYER, 0),
            *shape,
            *(*layer.kernel, *layer.stride, 0, 0, 0),
            *(HEADER.size + ENTRY.size, layer.weight_count & 0xFFFFFFFF, 0),
        )
        size = HEADER.size + ENTRY.size + 64
        header = HEADER.pack(0x314D5450, 3, size, 0, 1, min(outputs, 256), 0, 0, 0)
        fuzzer.offer(seal(header + entry + bytes(64), host_elf))
    assert {"PT_ERR_LAYER_SHAPE", "PT_ERR_LAYER_TERMS", "PT_ERR_BLOB_SIZE"} <= set(fuzzer.outcomes)


LIMITS = {
    # shape, outputs, kernel, stride, padding: consistent in themselves, weights and all
    "padding-h": ((3, 3, 1), 1, (1, 2), 1, (1, 0), "PT_ERR_LAYER_SHAPE"),
    "padding-w": ((3, 3, 1), 1, (2, 3), 2, (1, 3), "PT_ERR_LAYER_SHAPE"),
    "kernel-h": ((20, 2, 1), 1, (16, 1), 1, (0, 0), "PT_ERR_LAYER_SHAPE"),
    "kernel-w": ((2, 20, 1), 1, (1, 16), 1, (0, 0), "PT_ERR_LAYER_SHAPE"),
    "stride": ((9, 9, 1), 1, (3, 3), 3, (0, 0), "PT_ERR_LAYER_SHAPE"),
    "height": ((4097, 1, 1), 1, (1, 1), 1, (0, 0), "PT_ERR_LAYER_SHAPE"),
    "width": ((1, 4097, 1), 1, (1, 1), 1, (0, 0), "PT_ERR_LAYER_SHAPE"),
    "channels": ((1, 1, 4097), 1, (1, 1), 1, (0, 0), "PT_ERR_LAYER_SHAPE"),
    "outputs": ((1, 1, 1), 4097, (1, 1), 1, (0, 0), "PT_ERR_LAYER_SHAPE"),
    "out-height": ((4096, 1, 1), 1, (2, 1), 1, (1, 0), "PT_ERR_LAYER_SHAPE"),
    "positions": ((4096, 33, 1), 1, (1, 1), 1, (0, 0), "PT_ERR_LAYER_TERMS"),
    "weights": ((1, 1, 4096), 1025, (1, 1), 1, (0, 0), "PT_ERR_LAYER_TERMS"),
    "elements": ((64, 64, 1), 1025, (1, 1), 1, (0, 0), "PT_ERR_LAYER_SHAPE"),
    "plane": ((4096, 4096, 1), 1, (1, 1), 2, (0, 0), "PT_ERR_LAYER_SHAPE"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_one_past_a_limit(fuzzer: Fuzzer, limit: str) -> None:
    """Each rule alone stands between the blob and the kernels."""
    shape, outputs, kernel, stride, padding, name = LIMITS[limit]
    layer = conv2d(shape, outputs, kernel, stride, padding, True)
    head = linear(layer.out_shape, 2, False)
    parameters = [
        Parameters(np.ones((one.rows, one.row_length), np.int8), -6, 6, 6, 10, 10)
        for one in (layer, head)
    ]
    network = Network("limit", shape, (layer, head), tuple(parameters))
    # The head may be larger than the arena: its weights are not looked at any more.
    blob = resized(encode(network, fuzzer.elf)[: ARENA // 2], fuzzer.elf)
    refusal = fuzzer.offer(blob)
    assert refusal is not None
    assert (refusal.name, refusal.detail[0]) == (name, 0)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((4096, 1024, 1), True),
        ((397, 2113, 5), False),  # 2^22 + 1
        ((4096, 2048, 1), False),
        ((4096, 512, 2), True),
        ((4096, 4096, 4096), False),
    ],
)
def test_elements_of_a_tensor(fuzzer: Fuzzer, shape: tuple[int, int, int], fits: bool) -> None:
    """2^22 of them and no more, where nothing but pools looks at them: in golden, and on the
    device."""
    pools = [maxpool2(shape)]
    while prod(pools[-1].out_shape) > 1 << 14:
        pools.append(maxpool2(pools[-1].out_shape))
    head = linear(pools[-1].out_shape, 2, False)
    held = Parameters(np.ones((2, head.row_length), np.int8), -6, 6, 6, 10, 10)
    layers = (*pools, head)
    network = Network("pools", pools[0].in_shape, layers, (*[None] * len(pools), held))
    try:
        validate(network)
    except ValueError as error:
        assert not fits
        assert str(error).endswith(f"{prod(shape)} elements, more than {1 << 22}")
    else:
        assert fits
    refusal = fuzzer.offer(encode(network, fuzzer.elf))
    told = None if refusal is None else (refusal.name, refusal.detail[0])
    assert told == (None if fits else ("PT_ERR_LAYER_SHAPE", 0))


@pytest.mark.parametrize(
    "out_shape", [(3, 2, 4), (3, 2, 2), (4, 2, 3), (3, 3, 3), (2, 2, 3), (6, 5, 3)]
)
def test_pool_that_is_none(fuzzer: Fuzzer, out_shape: tuple[int, int, int]) -> None:
    """An output that a 2x2 pool of 7 x 5 x 3 does not make, with a head that fits it."""
    pool = replace(maxpool2((7, 5, 3)), out_shape=out_shape)
    assert pool != maxpool2((7, 5, 3))
    head = linear(out_shape, 2, False)
    held = Parameters(np.ones((2, head.row_length), np.int8), -6, 6, 6, 10, 10)
    blob = encode(Network("pool", (7, 5, 3), (pool, head), (None, held)), fuzzer.elf)
    refusal = fuzzer.offer(blob)
    assert refusal is not None
    assert (refusal.name, refusal.detail) == ("PT_ERR_LAYER_SHAPE", (0, 0, 0, 0))


def test_swapped_layers(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    draw = random.Random(9)
    count = len(network.layers)
    for first in range(count):
        for second in range(count):
            a, b = layer_entry(first), layer_entry(second)
            for part in (slice(0, ENTRY.size), slice(0, SHAPE), slice(SHAPE, SHAPE + 18)):
                blob = put(good, a.start + part.start, good[b][part])
                if draw.random() < 0.5:
                    blob = put(blob, b.start + part.start, good[a][part])
                fuzzer.offer(seal(blob, fuzzer.elf))
    assert fuzzer.outcomes.total() - fuzzer.outcomes["accepted"] > count


@anywhere
def test_offsets_and_sizes_of_weights(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    draw = random.Random(10)
    for index in range(len(network.layers)):
        for field_at, name in ((OFFSET, "offset"), (WEIGHTS_SIZE, "size")):
            at = layer_entry(index).start + field_at
            right = int.from_bytes(good[at : at + 4], "little")
            near = [right + step for step in (-4, -1, 1, 4)]
            values = [*ABSURD_32, *near, len(good), draw.getrandbits(32)]
            for value in {value & 0xFFFFFFFF for value in values} - {right}:
                refusal = fuzzer.offer(seal(put(good, at, u32(value)), fuzzer.elf))
                assert refusal is not None
                assert (refusal.name, refusal.detail) == (
                    "PT_ERR_LAYER_OFFSET",
                    (index, value, right, 0),
                ), name


def test_header_fields(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    layers, classes = len(network.layers), network.classes
    for value in ABSURD_16:
        for at, right in ((LAYERS, layers), (CLASSES, classes)):
            if value == right:
                continue
            refusal = fuzzer.offer(seal(put(good, at, u16(value)), fuzzer.elf))
            assert refusal is not None
            least, most = (1, 24) if at == LAYERS else (2, 256)
            if not least <= value <= most:
                assert refusal.name == "PT_ERR_BLOB_LAYERS"
                assert refusal.detail[0 if at == LAYERS else 2] == value
    for value in (2, 0x80, 0xFF):
        refusal = fuzzer.offer(seal(put(good, FORM, bytes([value])), fuzzer.elf))
        assert refusal is not None
        assert (refusal.name, refusal.detail) == ("PT_ERR_BLOB_FORM", (value, 2, 0, 0))
    for at, field_, detail in (
        (LOGITS_EXPONENT, b"\xff", (0, 0xFFFFFFFF)),
        (LOGITS_MULTIPLIER, u16(32768), (32768, 0)),
    ):
        refusal = fuzzer.offer(seal(put(good, at, field_), fuzzer.elf))
        assert refusal is not None
        assert (refusal.name, refusal.detail) == ("PT_ERR_BLOB_LOGITS", (*detail, 0, 0))
    # What it says of its layers belongs to the other form.
    other = put(put(good, FORM, bytes([1])), LOGITS_MULTIPLIER, u16(32768))
    refusal = fuzzer.offer(seal(other, fuzzer.elf))
    assert refusal is not None and refusal.name == "PT_ERR_LAYER_KIND"
    for at, name in ((MAGIC, "PT_ERR_BLOB_MAGIC"), (VERSION, "PT_ERR_BLOB_VERSION")):
        for value in ABSURD_32:
            if put(good, at, u32(value)) == good:
                continue
            refusal = fuzzer.offer(seal(put(good, at, u32(value)), fuzzer.elf))
            assert refusal is not None
            assert (refusal.name, refusal.detail[0]) == (name, value)
    for value in ABSURD_32:
        refusal = fuzzer.offer(seal(put(good, SIZE, u32(value)), fuzzer.elf))
        assert refusal is not None
        assert (refusal.name, refusal.detail[:2]) == ("PT_ERR_BLOB_SIZE", (len(good), value))


def test_scales_out_of_range(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    for index, layer in enumerate(network.layers):
        entry = layer_entry(index).start
        for at, value in ((3, 25), (4, 25), (5, 32), (6, 32), (3, 255), (2, 9), (2, 256 - 25)):
            refusal = fuzzer.offer(seal(put(good, entry + at, bytes([value])), fuzzer.elf))
            assert refusal is not None
            shown = value - 256 & 0xFFFFFFFF if at == 2 and value > 127 else value
            assert (refusal.name, refusal.detail[:2]) == ("PT_ERR_LAYER_SCALE", (index, shown))
        others = [(at, 1) for at in (7, 8, 9, 10, 11, 14, 34)]  # of the affine form, and reserved
        for at, value in ((0, 0), (0, 4), (0, 255), (1, 2), *others):
            refusal = fuzzer.offer(seal(put(good, entry + at, bytes([value])), fuzzer.elf))
            assert refusal is not None
            assert (refusal.name, refusal.detail[0]) == ("PT_ERR_LAYER_KIND", index)
        if layer.kind == "maxpool2":
            refusal = fuzzer.offer(seal(put(good, entry + 1, b"\x01"), fuzzer.elf))
            assert refusal is not None and refusal.name == "PT_ERR_LAYER_KIND"


def test_head(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    """The last layer is linear, without ReLU, with an output for each class."""
    last = len(network.layers) - 1
    relu = put(good, layer_entry(last).start + 1, b"\x01")
    one_less = put(good, CLASSES, u16(network.classes - 1))
    one_more = put(good, CLASSES, u16(network.classes + 1))
    for blob in (relu, one_less, one_more):
        refusal = fuzzer.offer(seal(blob, fuzzer.elf))
        assert refusal is not None
        assert (refusal.name, refusal.detail) == ("PT_ERR_HEAD", (last, 0, 0, 0))


@anywhere
def test_random_bytes(fuzzer: Fuzzer, good: bytes) -> None:
    draw = random.Random(13)
    end = table_end(good)
    for number in range(500):
        blob = good
        for _ in range(draw.randrange(1, 12)):
            at = draw.randrange(LAYERS, end)
            blob = put(blob, at, draw.randbytes(min(draw.choice((1, 1, 2, 4)), end - at)))
        fuzzer.offer(seal(blob, fuzzer.elf))
        if number % 5 == 0:
            # A good header over noise, and noise alone.
            fuzzer.offer(
                seal(good[: HEADER.size] + draw.randbytes(len(good) - HEADER.size), fuzzer.elf)
            )
            fuzzer.offer(draw.randbytes(draw.randrange(200)))
    for fill in (b"\x00", b"\xff", b"\x80"):
        fuzzer.offer(fill * len(good))
        fuzzer.offer(seal(good[: HEADER.size] + fill * (len(good) - HEADER.size), fuzzer.elf))


def test_length_that_is_not_the_blobs(fuzzer: Fuzzer, good: bytes) -> None:
    """The length that the command gives decides, not the one in the header."""
    device = fuzzer.device
    for size in (0, 1, 23, 24, len(good) - 4, len(good) - 1, len(good) + 1, ARENA):
        device.command("RESET")
        device.write_window("MODEL", good.ljust(ARENA, b"\x5a"))
        name, detail = support.refusal(device, "LOAD_MODEL", [size])
        assert (name, detail[:2]) == ("PT_ERR_BLOB_SIZE", (size, 24 if size < 24 else len(good)))
    for size in (ARENA + 1, 0xFFFFFFFF):
        assert support.refusal(device, "LOAD_MODEL", [size])[0] == "PT_ERR_MEMORY"
    # It is looked at before the CRC, which is over what the header says.
    device.command("RESET")
    device.write_window("MODEL", flip(good, 8 * len(good) - 1).ljust(ARENA, b"\x5a"))
    for size, name in ((len(good) + 1, "PT_ERR_BLOB_SIZE"), (len(good), "PT_ERR_BLOB_CRC")):
        assert support.refusal(device, "LOAD_MODEL", [size])[0] == name
