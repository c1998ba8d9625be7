"""What was built: ELF files, UF2, where they are.

Knows the ground floor only.
"""
