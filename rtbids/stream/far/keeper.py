"""The keeper of a session: a process of its own that does what was asked for, while connections come and go."""

from __future__ import annotations

import importlib
import json
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtbids import __version__
from rtbids.errors import ConnectionLost, RtbidsError, UsageFault
from rtbids.stream.far import logs, passing, registry
from rtbids.stream.far.wanted_spool import wanted
from rtbids.stream.link import Descriptors, FarLink, Hello, refuse, serve
from rtbids.wakeup import Wakeup

Verb = Callable[[FarLink, Mapping[str, Any]], None]
_HANDED = 5.0  # seconds for a relay to say why it comes
_STOPPING = 30.0  # seconds for what is done here to end once a signal says so
_HEARD = 60.0  # seconds for the near side to come once more and hear what went wrong
logger = logging.getLogger("rtbids")
_told: dict[str, Any] = {}


def tell(**fields: Any) -> None:
    """Let who asks for this keeper's status know something of what it does, such as its last volume."""
    _told.update(fields)


class Keeper:
    """Serves one session on a socket that listens.

    Parameters
    ----------
    function
        ``module:function`` of the verb.
    linger
        Seconds without a connection after which the session ends.
    may_stay
        Whether a hello with ``"keep": true`` has it stay for ever.
    """

    def __init__(self, listener: socket.socket, path: Path, function: str, linger: float, may_stay: bool = False) -> None:
        self._listener = listener
        self._path = path
        self._function = function
        self._linger = linger
        self._may_stay = may_stay
        self._number = path.stat().st_ino
        self._stopped_since: float | None = None
        self._wakeup = Wakeup()
        self._began = time.time()
        self._down_since = time.monotonic()
        self._link: FarLink | None = None
        self._hello: Hello | None = None
        self._verb: threading.Thread | None = None
        self._error: BaseException | None = None
        self._failing = threading.Lock()
        self._over_since: float | None = None
        self._is_heard = False  # by the near side: how it ended
        self._is_done = False

    def run(self) -> int:
        """Keep the session until it is over; return an exit code."""
        logs.to_stderr()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        watched: list[Any] = [self._listener, self._wakeup]
        try:
            while (left := self._time_left()) is None or left > 0:
                ready, _, _ = select.select(watched, [], [], left)
                self._wakeup.clear()
                if self._listener in ready:
                    self._accept()
                self._look()
            self._end()
        except BaseException as error:
            logger.exception("the keeper ends: %s", error)
            self._error = self._error or error
        registry.forget(self._path, self._number, failed=self._error is not None)
        logging.shutdown()
        return 0 if self._error is None else 1

    def _time_left(self) -> float | None:
        """Return for how long the session goes on if nobody comes; None while there is somebody."""
        now = time.monotonic()
        if self._over_since is not None:
            return 0.0 if self._is_heard else self._over_since + min(_HEARD, self._linger) - now
        if self._stopped_since is not None:
            return self._stopped_since + _STOPPING - now
        if self._may_stay and self._hello is not None and self._hello.arguments.get("keep") is True:
            return None
        if self._link is not None and self._link.state.is_up:
            return None
        linger = self._linger if self._link is not None else max(self._linger, _HEARD)
        return self._down_since + linger - now

    def _look(self) -> None:
        if self._over_since is None and self._is_done:
            self._over_since = time.monotonic()

    def _accept(self) -> None:
        end, _ = self._listener.accept()
        end.settimeout(_HANDED)
        descriptors: tuple[int, ...] = ()
        try:
            if not end.recv(1, socket.MSG_PEEK):  # who only wanted to know whether there is somebody
                end.close()
                return
            said, descriptors = passing.receive(end)
            if said.get("do") == "status":
                passing.send(end, self._status())
            elif said.get("do") == "attach" and len(descriptors) == 2:
                hello = Hello.read(str(said.get("hello")).encode())
                transport, descriptors = Descriptors(*descriptors, end.close), ()
                self._attach(transport, hello)
                return
        except (OSError, RtbidsError) as error:
            logger.warning("a connection was not taken: %s", error)
        for descriptor in descriptors:
            os.close(descriptor)
        end.close()

    def _attach(self, transport: Descriptors, hello: Hello) -> None:
        """Go on with the connection that a relay has handed over; the relay is let go when that is closed."""
        try:
            link = self._link or self._begin(hello)
            if self._hello is not None and hello.verb != self._hello.verb:
                raise UsageFault(f"this session is one of {self._hello.verb}, not of {hello.verb[:40]!r}")
        except RtbidsError as error:
            refuse(transport, error)
            return
        if self._over_since is not None:
            self._is_heard = True  # it is refused with what ended the session
        link.attach(transport, hello)

    def _begin(self, hello: Hello) -> FarLink:
        """Begin what the first hello asks for; raise what stands in the way, by which the session is over."""
        try:
            verb = self._loaded()  # before the near side hears that it is there, or its first member waits for this
        except Exception as error:
            logger.exception("%s cannot begin: %s", hello.verb, error)
            self._error, self._over_since, self._is_heard = error, time.monotonic(), True
            raise self._fault(hello, error) from error
        self._hello = hello
        self._record()
        self._link = serve(hello, spool=wanted(hello.arguments), on_state=lambda _: self._note())
        logger.addHandler(logs.ToNearSide(self._link))
        self._verb = threading.Thread(target=self._do, args=(verb, self._link, hello), name=hello.verb, daemon=True)
        self._verb.start()
        return self._link

    def _loaded(self) -> Verb:
        module, _, name = self._function.partition(":")
        verb: Verb = getattr(importlib.import_module(module), name)
        return verb

    def _fault(self, hello: Hello, error: BaseException) -> RtbidsError:
        return RtbidsError(f"{hello.verb} failed: {type(error).__name__}: {error}", f"see {self._log}")

    def _note(self) -> None:
        """Remember since when there is no connection; called by a thread of the link."""
        self._down_since = time.monotonic()
        self._wakeup.set()

    def _do(self, verb: Verb, link: FarLink, hello: Hello) -> None:
        """Do what was asked for; the other side hears how it ended."""
        try:
            verb(link, hello.arguments)
            self._is_heard = True
            link.close()
        except RtbidsError as error:
            self._fail(link, error)
        except BaseException as error:
            logger.exception("%s ends: %s", hello.verb, error)
            self._fail(link, self._fault(hello, error))
        finally:
            self._is_done = True
            self._wakeup.set()

    def _fail(self, link: FarLink, error: RtbidsError) -> None:
        """End the link by what went wrong first; who fails by that waits until the other side was told."""
        with self._failing:
            if self._error is not None:
                return
            logger.error("%s", error)
            self._error = error
            self._is_heard = link.state.is_up or link.was_left or self._stopped_since is not None
            link.close(error)

    def _end(self) -> None:
        """End a session that nobody came back to, or that is over."""
        if self._link is None or self._over_since is not None:
            return
        self._link.close(ConnectionLost(f"nobody came back for {self._linger:g} s"))
        if self._verb is not None and self._stopped_since is None:
            self._verb.join(_HEARD)

    def _stop(self, number: int, frame: object) -> None:
        """End because a signal says so: as a verb that fails."""
        if self._link is not None:
            self._stopped_since = self._stopped_since or time.monotonic()
            error = ConnectionLost(f"the far side was stopped by {signal.Signals(number).name}")
            threading.Thread(target=self._fail, args=(self._link, error), daemon=True).start()
        else:
            raise SystemExit(0)
        self._wakeup.set()

    def _status(self) -> dict[str, Any]:
        link = asdict(self._link.state) if self._link is not None else None
        return {**self._known(), "link": link, "told": dict(_told)}

    def _known(self) -> dict[str, Any]:
        hello = self._hello
        known = {"pid": os.getpid(), "version": __version__, "began": self._began}
        if hello is None:
            return known
        return {
            **known,
            "session": hello.session,
            "verb": hello.verb,
            "arguments": dict(hello.arguments),
            "near": hello.version,
        }

    def _record(self) -> None:
        """Leave a line for people who wonder what this process is; it is no loss where the disk is full."""
        path = self._path.with_suffix(".json")
        with suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({key: value for key, value in self._known().items() if key != "arguments"}, file)

    @property
    def _log(self) -> Path:
        return self._path.with_suffix(".log")
