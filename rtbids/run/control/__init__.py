"""A run asked and ordered from another process: the control socket, what it tells, what it does."""
