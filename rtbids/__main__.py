"""``python -m rtbids`` is ``rtbids``."""

from rtbids.cli.main import main

main()
