"""What it costs: cycles by function and layer, kernels alone, memory, baselines, the report.

Knows learn and what that knows.
"""
