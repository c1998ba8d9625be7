"""Faults on purpose, planted from outside on any target, and what the harness says of each."""
