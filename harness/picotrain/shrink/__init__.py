"""Smaller networks before they ship, within limits in bytes, MACs and milliseconds.

It knows how networks are trained, what they cost on a device, and how they become integers.
"""
