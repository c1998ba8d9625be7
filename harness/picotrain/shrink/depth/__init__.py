"""Depth pruning: the first blocks of a trained network, with a small auxiliary one behind them."""
