"""Published data sets that a user has unpacked in a folder of their own, as their authors lay them
out: `speech-commands:FOLDER`, `wake-words:FOLDER`. Knows all other rooms of the data sets.
"""

SUFFIXES = (".wav", ".jpg", ".jpeg", ".txt")
"""What the names of files end with that are read, in either case."""
