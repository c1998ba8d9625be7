"""Drives a picotrain device, wherever it is: targets, protocol, data, the main job, the CLI.

The names in `__all__` are for programs of your own, and stay (docs/python.md). Each is imported
when it is first used, so that `import picotrain` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picotrain.datasets import Dataset, Split
    from picotrain.datasets import load as load_dataset
    from picotrain.device.backends import open_device
    from picotrain.device.interface import BatchResult, Device, TraceTensor, state_sha256
    from picotrain.errors import DeviceFailure, UserError
    from picotrain.learn.adapt import AdaptOptions, AdaptResult, adapt
    from picotrain.learn.field.bake import bake
    from picotrain.learn.field.state import State
    from picotrain.learn.field.state_file import load_state, save_state
    from picotrain.learn.models import load_network
    from picotrain_golden import Method, Network, Selection

__all__ = [
    "AdaptOptions",
    "AdaptResult",
    "BatchResult",
    "Dataset",
    "Device",
    "DeviceFailure",
    "Method",
    "Network",
    "Selection",
    "Split",
    "State",
    "TraceTensor",
    "UserError",
    "adapt",
    "bake",
    "load_dataset",
    "load_network",
    "load_state",
    "open_device",
    "save_state",
    "state_sha256",
]

_PLACES = {
    "AdaptOptions": "picotrain.learn.adapt",
    "AdaptResult": "picotrain.learn.adapt",
    "BatchResult": "picotrain.device.interface",
    "Dataset": "picotrain.datasets",
    "Device": "picotrain.device.interface",
    "DeviceFailure": "picotrain.errors",
    "Method": "picotrain_golden",
    "Network": "picotrain_golden",
    "Selection": "picotrain_golden",
    "Split": "picotrain.datasets",
    "State": "picotrain.learn.field.state",
    "TraceTensor": "picotrain.device.interface",
    "UserError": "picotrain.errors",
    "adapt": "picotrain.learn.adapt",
    "bake": "picotrain.learn.field.bake",
    "load_dataset": "picotrain.datasets:load",
    "load_network": "picotrain.learn.models",
    "load_state": "picotrain.learn.field.state_file",
    "open_device": "picotrain.device.backends",
    "save_state": "picotrain.learn.field.state_file",
    "state_sha256": "picotrain.device.interface",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, its_name = _PLACES[name].partition(":")
    value = getattr(import_module(module), its_name or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
