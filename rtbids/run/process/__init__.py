"""The script's own process and what is said between it and the run; a hang or a crash stops there."""
