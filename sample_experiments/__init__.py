"""Experiments that work as they are, and to start one's own from."""
