"""Verbs of room `hardware`: a Pico on the desk."""
