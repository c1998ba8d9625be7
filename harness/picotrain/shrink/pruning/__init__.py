"""Pruning of channels while a network trains."""
