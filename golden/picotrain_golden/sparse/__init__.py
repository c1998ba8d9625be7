"""Sparse updates and heads from few samples: docs/numerics.md section 16."""
