"""Verbs of the room `convert`."""
