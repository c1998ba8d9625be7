"""Cycles, RAM and flash before anything runs: the cost model of docs/fit.md."""
