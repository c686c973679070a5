"""Streams between commands: the tar wire, what stands on it, and the endpoints it runs between."""
