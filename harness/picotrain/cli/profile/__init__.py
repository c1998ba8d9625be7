"""Verbs of room `profile`: cycles and bytes."""
