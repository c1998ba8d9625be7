"""What the firmware does in each operation, counted from shapes and what the values are like."""
