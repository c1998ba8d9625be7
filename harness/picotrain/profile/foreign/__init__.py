"""Cycles of programs that picotrain did not build: any linked one for a Cortex-M0+."""
