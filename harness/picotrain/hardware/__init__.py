"""A board on the desk: find it, flash it, test it (docs/hardware.md)."""
