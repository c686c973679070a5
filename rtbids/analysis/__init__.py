"""Numbers computed volume by volume."""
