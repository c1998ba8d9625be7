"""Networks in floating point become affine int8 networks: a graph of layers with real weights, its
forward pass, and the scales that images which are representative give its tensors.
"""
