"""Where the cost model comes from, and how well it predicts: networks on the emulator."""
