"""A plugin for pytest: the suites run on the programs of `make coverage`, sanitized ones too."""

from __future__ import annotations

from picotrain.image import firmware
from picotrain.places import BUILD

FOLDER = BUILD / "coverage"
PORTABLE = FOLDER / "host-plain" / "picotrain-host"
TUNED = FOLDER / "host-tuned" / "picotrain-host"

firmware.HOST = firmware.HOST_SANITIZED = PORTABLE
firmware.HOST_TUNED = firmware.HOST_TUNED_SANITIZED = TUNED
