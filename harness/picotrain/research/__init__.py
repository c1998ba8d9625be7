"""Many adaptations: grids of them, and the papers' tables.

Knows profile and learn, and what those know.
"""
