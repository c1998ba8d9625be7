"""Networks without their weights: what the TOML files of docs/networks.md say, checked."""
