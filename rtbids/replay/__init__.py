"""A past run, or a scanner of our own, as if live."""
