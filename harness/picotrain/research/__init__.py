"""Many adaptations: grids of them, the papers' tables, and campaigns over seeds: an imported
network, a watch, tasks of few samples, smaller networks.

It knows shrink, profile, convert and learn, and what those know.
"""
