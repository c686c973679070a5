"""What works on this machine and how fast: facts are measured, judged each by itself, and add up to a deadline."""
