"""Depth pruning in figures."""
