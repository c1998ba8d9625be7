"""What was learned stays: saved, restored on any device, gone on from, baked into the weights."""
