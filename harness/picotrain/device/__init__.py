"""Devices behind one protocol: golden, the emulators, a Pico; and the ways to them.

Knows image and golden.
"""
