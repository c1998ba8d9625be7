"""Verbs of the room `shrink`."""
