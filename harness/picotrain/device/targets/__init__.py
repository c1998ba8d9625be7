"""One module per backend that has a memory, behind the protocol in `base`."""
