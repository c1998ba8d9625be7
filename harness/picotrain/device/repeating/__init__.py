"""Devices whose batches may be shown more than once, to the same bytes: `retrying` after a death,
`twice` to see a bit that flipped. `learned` is what both read and put back."""
