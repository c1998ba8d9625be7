"""Where every byte goes: flash and RAM, the arena over time, the stack. All sizes are bytes."""
