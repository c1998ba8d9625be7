"""Drives a picotrain device, wherever it is: targets, protocol, data, the main job, the CLI."""
