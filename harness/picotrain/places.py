"""Where things lie: what comes with picotrain, what is built from it, and where results go.

In a checkout the parts that come with picotrain (firmware, emulation, models, experiments) are its
top-level folders and all that is built is below `build`. An installed wheel holds the same
folders as `shipped` inside the package, and what is built here is in the user's cache.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

IN_CHECKOUT = not (_PACKAGE / "shipped").is_dir()
SHIPPED = _PACKAGE.parents[1] if IN_CHECKOUT else _PACKAGE / "shipped"
"""The folder that holds `firmware`, `emulation`, `models` and `experiments`."""

RESULTS = Path("picotrain-results")
"""Where results go unless an option says otherwise: below the current folder."""


def user_cache() -> Path:
    """The user's folder for what can be made again: `PICOTRAIN_CACHE`, or as XDG names it."""
    named = os.environ.get("PICOTRAIN_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "picotrain"


BUILD = SHIPPED / "build" if IN_CHECKOUT else user_cache() / "build"
"""Where compiled parts are made."""
