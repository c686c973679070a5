"""Scripts that run on another machine: both ends of the bridge between a run here and its experiments' processes there.

What is said over a link (`rtbids.stream.link`) are the lines of `rtbids.run.process.channel`, as members ``seat/N/say.json``,
and what a launcher is told; what travels beside a line is in the same member, and kept for the next that names it.
"""
