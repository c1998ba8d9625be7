"""Networks for tasks of few samples: heads of any number of ways, prototypes, and backbones that
are made for them."""
