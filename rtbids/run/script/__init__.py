"""The researcher's script: loaded, given volumes, asked for feedback; and what it gives, checked."""
