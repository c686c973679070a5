"""What a script sees of the past: volumes, feedback that has left, earlier runs. Read only."""
