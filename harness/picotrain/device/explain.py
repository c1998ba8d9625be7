"""A device's refusal in words: what its numbers mean and what to do."""

from __future__ import annotations

from picotrain.errors import CommandError, DamageFailure
from picotrain.image.elf import Elf
from picotrain_golden import Network

_BUFFERS = {
    "PT_MEMORY_WEIGHTS": "the weights",
    "PT_MEMORY_SCORES": "the scores",
    "PT_MEMORY_ACTIVATION": "the output",
    "PT_MEMORY_ERROR": "the error",
    "PT_MEMORY_SCRATCH": "the scratch memory",
    "PT_MEMORY_PLACES": "the places",
}
_STATES = ("EMPTY", "MODEL")
_ARGUMENTS = ("the method", "mu", "theta", "permille", "select", "start", "the seed", "easy")
"""Fields of struct pt_method."""
_TENSORS = {
    "PT_TENSOR_ACTIVATION": "activation",
    "PT_TENSOR_ERROR": "error",
    "PT_TENSOR_WEIGHTS": "weights",
    "PT_TENSOR_SCORES": "scores",
    "PT_TENSOR_BITMAP": "scored edges",
    "PT_TENSOR_FISHER": "Fisher information",
    "PT_TENSOR_SELECTION": "selection of rows",
    "PT_TENSOR_FACTORS": "factors",
    "PT_TENSOR_PROTOTYPES": "prototypes",
}

_LAYER_FAULTS = {
    "PT_ERR_LAYER_INPUT": (
        "layer {0} reads a tensor that is not made before it, or takes another shape"
    ),
    "PT_ERR_LAYER_UNREAD": "no layer reads the output of layer {0} (255: the network's input)",
    "PT_ERR_LAYER_BOUNDS": "layer {0} has bounds {1} to {2}, which hold nothing",
    "PT_ERR_LAYER_ZERO": "layer {0} keeps its zero point, but {1} goes in and {2} comes out",
    "PT_ERR_LAYER_FACTORS": "layer {0} cannot have {1} factors",
    "PT_ERR_FACTOR": "row {1} of layer {0} has multiplier {2} and shift {3}, out of range",
    "PT_ERR_LAYER_RANGE": "row {1} of layer {0} could overflow 32 bits with shift {3}",
    "PT_ERR_BLOB_LOGITS": "the scale of the logits, {0} * 2^({1} - 15), is out of range",
}
"""Of a network that is not what its importer should have made."""

_SPARSE = {
    "PT_ERR_SPARSE_FORM": "that method is for affine networks; use one that was imported",
    "PT_ERR_ROWS": "a selection of this network takes {0} bytes, {1} are the most",
    "PT_ERR_SELECTION_SIZE": (
        "a selection of this network takes {1} bytes, and {0} are given; select from its own rows"
    ),
    "PT_ERR_SELECTION_ROW": "row {1} of layer {0} is selected, which has {2} rows",
    "PT_ERR_SELECTION_EMPTY": "no row is selected; select one at least, or all (None)",
    "PT_ERR_SELECTION_METHOD": (
        "the method takes no selection of rows; use niti-dynamic, niti-static or priot"
    ),
    "PT_ERR_METHOD_NEEDED": (
        "nothing was gathered for it; set method fisher or prototype, and train it, first"
    ),
    "PT_ERR_BUDGET": (
        "no layer is worth its place within {2:,} bytes and {3:,} MACs; the smallest alone takes "
        "{0:,} bytes, and the one with the least to compute {1:,} MACs; if these fit, no image "
        "that method fisher saw had an error: make a head, or use other images"
    ),
    "PT_ERR_PROTOTYPE_HEAD": (
        "prototypes make a last layer that is linear, of at most 4096 inputs, and layer {0} is not"
    ),
    "PT_ERR_CLASS_EMPTY": "class {0} of {1} has no image, and each needs one for its prototype",
}
"""Of selections, and of what they and heads are made from."""

_FORMS = {
    "PT_POWER_OF_TWO": ("a chain of the power-of-two form", "chain"),
    "PT_AFFINE": ("affine", "affine"),
}
"""Of networks, and the kernels of firmware that has that form alone."""

_KEPT = {
    "PT_ERR_STORE_FLASH": (
        "a flash with sectors of {0} bytes, pages of {1} and {2} sectors holds no states: pages "
        "are 128 or 256 bytes, at least 4 in a sector, and sectors 2 to {3}"
    ),
    "PT_ERR_STORE_VERSION": (
        "the newest state in flash is of version {0}, and this firmware reads {1}; it stays as it "
        "is until the states are cleared"
    ),
    "PT_ERR_STORE_ROOM": (
        "the newest state and the next take {0} sectors, and of the {1} that are there {2} are "
        "worn; the newest stays as it is"
    ),
    "PT_ERR_STORE_EMPTY": "none of the {0} sectors for states holds one; train, and save first",
    "PT_ERR_STORE_DAMAGED": "no state in flash can be read; the newest, in sector {0}, is damaged",
}
"""Of states that a device keeps by itself."""

_CHECKPOINTS = {
    "PT_CHECKPOINT_OF_MAGIC": "this is no state of a device",
    "PT_CHECKPOINT_OF_MODEL": "the state is of another network; load the one it was trained on",
    "PT_CHECKPOINT_OF_METHOD": (
        "the state is of another method, or of other options or rows; set those it was trained by"
    ),
    "PT_CHECKPOINT_OF_CRC": "the state is damaged: its bytes are not those that were saved",
    "PT_CHECKPOINT_OF_SIZE": "the state is of another size than this network's and method's",
    "PT_CHECKPOINT_OF_VALUES": "the state has a value of -128, which no training makes",
}

_REGIONS = {
    "TRAINER": "settings, plan and pointers of the training",
    "MODEL": "the network (its description, or weights that nothing trains)",
    "LEARNT": "what was learned (scores, or weights that train)",
    "CODE": "code or constants",
    "STACK": "the last word of the stack, which ran over",
    "MAILBOX": "the mailbox or its windows",
    "IO": "what was on its way between harness and device changed, or a command was lost",
}
"""Of memory that must not change by itself: firmware/nn/pt_guard.h."""

_UNTRAINABLE = {
    "PT_ERR_TRAIN_SIZE": (
        "an affine network of {0} layers and {2} outputs does not train, {1} and {3} are the most"
    ),
    "PT_ERR_TRAIN_NOTHING": "no layer of the affine network has weights, so nothing could train",
    "PT_ERR_TRAIN_WEIGHT": "weight {1} of layer {0} is -128, which no training can make",
    "PT_ERR_TRAIN_TERMS": "layer {0} would add up {1} terms to train, {2} are the most",
    "PT_ERR_TRAIN_FACTOR": "{1} of {2} multipliers of layer {0} are 0, and no error passes it",
    "PT_ERR_TRAIN_RANGE": (
        "row {1} of layer {0} could overflow 32 bits with other weights; priot and priot-s train "
        "it, which keep the weights"
    ),
}
"""Of an affine network that infers and does not train."""


def refuse_blob(
    network: Network, size: int, room: int, elf: Elf, frozen: bool = False
) -> CommandError:
    """The refusal of a model whose description and weights alone are larger than their room.

    `frozen`: the room is in flash.
    """
    weights = [layer.weight_count for layer in network.layers]
    largest = weights.index(max(weights))
    name = int(elf.enum("pt_memory_kind")["PT_MEMORY_WEIGHTS"]) << 8 | largest
    detail = (size, room, weights[largest], name)
    hint = explain("LOAD_MODEL", "PT_ERR_MEMORY", detail, elf)
    if frozen:
        hint = (
            f"the model needs {size:,} bytes and the flash has {room:,} for one, so "
            f"{size - room:,} are missing; use a smaller network, or --plan fast with --target "
            "host and --ram-kib"
        )
    return CommandError("LOAD_MODEL", "PT_ERR_MEMORY", detail, hint)


def explain(command: str, name: str, detail: tuple[int, ...], elf: Elf) -> str:
    """One sentence for a refusal that a user can mend; empty for the others."""
    a, b, c, d = detail
    if name == "PT_ERR_STATE":
        empty, no_method = (int(elf.enum("pt_trainer_state")[f"PT_STATE_{one}"]) for one in _STATES)
        if b == empty:
            return "there is a model; reset the device first"
        return "set a method first" if a == no_method else "load a model first"
    if name == "PT_ERR_ARGUMENT" and command == "TRAIN":
        return "method infer trains nothing; set another method first"
    if name == "PT_ERR_ARGUMENT" and command in ("SET_METHOD", "SET_MU") and a < len(_ARGUMENTS):
        value, least, most = (_signed(one) for one in (b, c, d))
        return f"{_ARGUMENTS[a]} is {value}; use one from {least} to {most}"
    if name == "PT_ERR_TENSOR":
        kinds = elf.enum("pt_tensor_kind")
        known = {int(kind): kind.name for kind in kinds}
        what = _TENSORS.get(known.get(a, ""))
        return f"layer {_signed(b)} has no {what} now" if what else ""
    if name == "PT_ERR_MEMORY" and command == "SELECT":
        return (
            f"selecting rows takes {c:,} bytes beside what was gathered, {a:,} in all, and the "
            f"device has {b:,}; use target host or golden with --ram-kib"
        )
    if name == "PT_ERR_MEMORY":
        return (
            f"the model needs {a:,} bytes and the device has {b:,}, so {a - b:,} are missing; "
            f"the largest buffer is {words_of_buffer(d, elf)} with {c:,} bytes; use a smaller "
            "network, plan lean (weights in flash; infer, priot, priot-s), a method with less "
            "state (priot-s), or target host or golden with --ram-kib"
        )
    if name == "PT_ERR_EXPONENT":
        return (
            f"the logits have exponent {_signed(a)}, and the loss needs {_signed(b)} or more; "
            "calibrate the backbone, choose one with --logits-exponent, or use niti-dynamic"
        )
    if name == "PT_ERR_FROZEN":
        return (
            "the weights lie in flash, where nothing can train or write them; use priot or "
            "priot-s, or load the model into the arena (--plan fast)"
        )
    if name == "PT_ERR_FORM":
        what = "that kernel" if command == "BENCH" else "the network"
        form, kernels = _FORMS[elf.enum("pt_model_form")(a).name]
        return (
            f"{what} is {form}, and the firmware {elf.path.parent.name} was built without that "
            f"form; use firmware that has it: without a form in --kernels or --board, or with "
            f"{kernels}"
        )
    if name == "PT_ERR_AFFINE":
        return (
            "the sums of an affine network were checked with the weights that it has, so only a "
            "method that trains weights takes others; set niti-dynamic or niti-static first"
        )
    if name in _SPARSE:
        return _SPARSE[name].format(a, b, c, d)
    if name in _KEPT:
        return _KEPT[name].format(a, b, c, d)
    if name == "PT_ERR_CHECKPOINT":
        fields = {int(one): one.name for one in elf.enum("pt_checkpoint_field")}
        return _CHECKPOINTS.get(fields.get(a, ""), "")
    if name in _UNTRAINABLE:
        return _UNTRAINABLE[name].format(a, b, c, d) + "; use method infer, or another network"
    if name in _LAYER_FAULTS:
        return _LAYER_FAULTS[name].format(a, _signed(b), _signed(c), _signed(d))
    if name == "PT_ERR_LABEL":
        return f"image {a} has label {b}, but the network has {c} classes; use its data set"
    if name == "PT_ERR_BATCH":
        return f"{a} images in one batch, at most {b} fit"
    return ""


def damage(device: str, region: str, found: int, expected: int) -> DamageFailure:
    """The failure of a device whose memory in that region has another sum than it should."""
    where = _REGIONS[region]
    what = where if region == "IO" else f"memory changed by itself: {where}"
    return DamageFailure(
        f"{device}: {what} (sum {found:#010x}, and {expected:#010x} when it was written); reset "
        "the device and go on from the last state that was saved",
        region,
    )


def region_of(number: int, elf: Elf) -> str:
    """The region in the detail of PT_ERR_DAMAGED."""
    return elf.enum("pt_region")(number).name.removeprefix("PT_REGION_")


def words_of_buffer(name: int, elf: Elf) -> str:
    """The buffer behind the last number of PT_ERR_MEMORY."""
    if name & 0xFF == elf.enum("pt_special_layer")["PT_INPUT_LAYER"]:
        return "the input"
    return f"{_BUFFERS[elf.enum('pt_memory_kind')(name >> 8).name]} of layer {name & 0xFF}"


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word
