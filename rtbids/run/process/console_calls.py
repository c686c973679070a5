"""The messages of ``run.console``: a script's call, and what came of it. Contents lie in a memory file beside the line.

A call is ``{"say": "console", "number", "call", "name", "pattern", "timeout", "size"}``, `size` being the bytes of the memory
file that comes along, or null for none. It is answered by ``{"do": "console", "number", "name", "size", "code", "error",
"hint"}``; ``error`` is null where nothing went wrong.
"""

from __future__ import annotations

import os
import time
from collections import deque
from functools import partial

from rtbids.errors import BadData, CannotWrite, ConnectionLost, ExperimentFault, InputMissing, RtbidsError, UsageFault
from rtbids.run.console.call import MOST, Answer, Call, Found, Refused
from rtbids.run.process.channel import Message, encoded
from rtbids.run.process.errands import Errands, Outcome
from rtbids.run.process.memory_file import MemoryFile, taken
from rtbids.wakeup import Wakeup

_FAULTS: dict[object, type[RtbidsError]] = {
    fault.exit_code: fault for fault in (UsageFault, BadData, InputMissing, CannotWrite, ConnectionLost)
}


class Calls:
    """The run's end of the calls of one experiment's process; nothing of it waits.

    Attributes
    ----------
    ready
        Set when `outcomes` has something to send.
    """

    def __init__(self, experiment: str, answer: Answer) -> None:
        self.ready = Wakeup()
        self.errands = Errands(experiment, answer)
        self._outcomes: deque[tuple[int, bytes, MemoryFile | None]] = deque()
        self._process = 0

    def take(self, message: Message, descriptor: int | None) -> None:
        """Take a call that has come, and the descriptor that came along with it."""
        along = None if descriptor is None else _Along(descriptor)
        self.errands.run(
            partial(_call, message, along, time.monotonic()), partial(self._tell, self._process, message["number"])
        )

    def outcomes(self) -> list[tuple[bytes, MemoryFile | None]]:
        """Return the lines to be sent, each with the memory file that goes along."""
        self.ready.clear()
        came = [self._outcomes.popleft() for _ in range(len(self._outcomes))]
        return [(line, along) for process, line, along in came if process == self._process]

    def forget(self) -> None:
        """Leave what was asked for unanswered: whoever asked is no more."""
        self._process += 1

    def close(self) -> None:
        self.errands.close()

    def _tell(self, process: int, number: int, outcome: Outcome) -> None:
        self._outcomes.append((process, *answered(number, outcome)))
        self.ready.set()


class _Along:
    """A descriptor that came along, closed whatever becomes of the call."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __del__(self) -> None:
        if (descriptor := self.release()) is not None:
            os.close(descriptor)

    def release(self) -> int | None:
        descriptor, self._descriptor = self._descriptor, None
        return descriptor


def asked(number: int, call: Call) -> Message:
    """Return the message of a call."""
    fields = {"call": call.kind, "name": call.name, "pattern": call.pattern, "timeout": call.left}
    return {"say": "console", "number": number, **fields, "size": None if call.content is None else len(call.content)}


def answered(number: int, outcome: Outcome) -> tuple[bytes, MemoryFile | None]:
    """Return the line of what came of a call, and the memory file that goes along with it."""
    message = {"do": "console", "number": number, "name": None, "size": None, "code": None, "error": None, "hint": None}
    if isinstance(outcome, RtbidsError):
        return encoded({**message, "code": outcome.exit_code, "error": str(outcome), "hint": outcome.hint}), None
    if outcome.content is None:
        return encoded({**message, "name": outcome.name}), None
    return encoded({**message, "size": len(outcome.content)}), MemoryFile(outcome.content)


def found(message: Message, descriptor: int | None) -> Found:
    """Return what a call has found; raise what went wrong."""
    if message["error"] is not None:
        raise _FAULTS.get(message["code"], ExperimentFault)(message["error"], message["hint"])
    return Found(None if descriptor is None else taken(descriptor, message["size"]), message["name"])


def _call(message: Message, along: _Along | None, since: float) -> Call:
    """Return a call as it was meant; its content is read here, where nobody waits for it."""
    descriptor, size = along.release() if along else None, message["size"] or 0
    if size > MOST:
        if descriptor is not None:
            os.close(descriptor)
        raise Refused(f"{message['name']}: more than {MOST // 2**20} MB are not written")
    content = None if descriptor is None else taken(descriptor, size)
    return Call(message["call"], message["name"], message["pattern"], content, message["timeout"], since)
