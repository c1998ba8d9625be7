"""Smaller networks in tables: pruning of channels, of layers, and of both, over seeds."""
