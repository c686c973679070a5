"""De-identification in a process of its own: on a core of its own, and with an end of its own where a file brings it down.

What goes between is bytes and a line of JSON. The other process ends when this one does, however that happens.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from rtbids import errors
from rtbids.errors import RtbidsError
from rtbids.send.cleaning import Clean, Deidentify

logger = logging.getLogger("rtbids")
LONGEST = 300.0  # seconds that one file may take
_WORDS = ("sop_class", "instance", "series", "study", "patient")


class Fault(Exception):
    """What went wrong over there that is no error of ours; ``kind`` is what it is called, without its words."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class Carried:
    """A de-identified file that came from another process."""

    content: bytes
    sop_class: str
    instance: str
    series: str
    study: str
    patient: str


class Apart:
    """Calls `clean` in another process, which is started when it is needed; used by one thread at a time."""

    def __init__(self, clean: Deidentify) -> None:
        self._clean = clean
        self._process: multiprocessing.process.BaseProcess | None = None
        self._link: Connection | None = None

    def __call__(self, content: bytes) -> Clean:
        link = self._link or self.start()
        try:
            link.send_bytes(content)
            if not link.poll(LONGEST):
                raise Fault(f"it took longer than {LONGEST:.0f} s")
            answer, result = json.loads(link.recv_bytes()), link.recv_bytes()
        except (EOFError, OSError, Fault) as error:
            self.close()
            raise error if isinstance(error, Fault) else Fault("its process ended") from None
        if "error" in answer:
            _raise(answer)
        return Carried(result, *(answer[word] for word in _WORDS))

    def start(self) -> Connection:
        """Start the other process; raise what says that `clean` cannot be handed over to it."""
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
        self._process = context.Process(target=_serve, args=(theirs, self._clean), name="rtbids deidentify", daemon=True)
        with _one_at_a_time:
            self._process.start()
        theirs.close()
        self._link = ours
        return ours

    def close(self) -> None:
        """End the other process; it is started again when it is needed."""
        if self._link is not None:
            self._link.close()
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join()
        self._link = self._process = None


_one_at_a_time = threading.Lock()


def _raise(answer: dict[str, str]) -> None:
    kind = getattr(errors, answer["error"], None)
    if kind is None:
        raise Fault(answer["error"])
    raise kind(answer["message"], answer["hint"])


def _serve(link: Connection, clean: Deidentify) -> None:
    """Answer until the other side has gone; it is told to stop, and not we."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        while True:
            answer, content = _answer(clean, link.recv_bytes())
            link.send_bytes(json.dumps(answer).encode())
            link.send_bytes(content)


def _answer(clean: Deidentify, content: bytes) -> tuple[dict[str, str | None], bytes]:
    try:
        result = clean(content)
    except RtbidsError as error:
        known = next(kind.__name__ for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind)
        return {"error": known, "message": str(error), "hint": error.hint}, b""
    except Exception as error:  # its words may identify
        return {"error": type(error).__name__}, b""
    return {word: getattr(result, word) for word in _WORDS}, result.content
