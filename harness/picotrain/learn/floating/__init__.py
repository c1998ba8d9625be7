"""Training in floating point (PyTorch): the loop, and the networks that it trains."""
