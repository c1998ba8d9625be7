"""A device that stands alone (firmware/examples/standalone): its flash, its lines, its samples."""
