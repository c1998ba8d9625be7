"""Verbs of room `research`: grids of adaptations, and the papers' tables."""
