"""What the user's cache keeps of data sets: decoded images, and what was verified."""
