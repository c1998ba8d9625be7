"""The HTML report of a profile: what it shows (`content`), its plots, and the page."""
