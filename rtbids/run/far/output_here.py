"""What scripts on another machine print: on standard error here, as that of scripts on this machine is."""

from __future__ import annotations

import codecs
import queue
import sys
import threading
from contextlib import suppress

from rtbids.priority import give_way
from rtbids.run.far.output_there import left_out

MOST = 64  # pieces that wait for a terminal that stands still
_LEAVING = 1.0  # seconds for it to take what is left


class Output(threading.Thread):
    """Writes what it is given; who gives it something never waits."""

    def __init__(self) -> None:
        super().__init__(name="output", daemon=True)
        self._pieces: queue.Queue[bytes | None] = queue.Queue(MOST)
        self._left_out = 0
        self.start()

    def put(self, content: bytes) -> None:
        try:
            self._pieces.put_nowait(left_out(self._left_out) + content)
            self._left_out = 0
        except queue.Full:
            self._left_out += len(content)

    def close(self) -> None:
        """End once all is written, or the terminal still stands."""
        with suppress(queue.Full):
            self._pieces.put_nowait(None)
        self.join(_LEAVING)

    def run(self) -> None:
        give_way()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a piece may end within a character
        while (content := self._pieces.get()) is not None:
            with suppress(OSError, ValueError):  # the terminal is gone: the run goes on
                sys.stderr.write(decoder.decode(content))
                sys.stderr.flush()
