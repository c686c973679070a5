"""The analysis, volume by volume: what is worked out before the script is asked."""
