"""What a run does when a client of its control socket asks for it."""

from __future__ import annotations

import difflib
import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtbids.errors import RtbidsError, Stopped, UsageFault
from rtbids.run.control.control import Control, Reply, refusal
from rtbids.run.control.status import described
from rtbids.run.lanes import Lane
from rtbids.run.session import Session

DONE: Reply = {"ok": True}
logger = logging.getLogger("rtbids")
Answering = Callable[[Reply], None]


class Orders:
    """Do what is asked of a session. `control` is set when its socket is there.

    Parameters
    ----------
    prepare
        Makes a lane of the fields of a request ``start`` and the names that are taken; it may take its time.
    about
        What the status says of the run besides: its source, its data set.
    """

    control: Control

    def __init__(
        self, session: Session, prepare: Callable[[Mapping[str, Any], Sequence[str]], Lane], about: Mapping[str, Any]
    ) -> None:
        self._session = session
        self._prepare = prepare
        self._about = about
        self._is_preparing = False

    def take(self, request: Mapping[str, Any], reply: Answering) -> None:
        """Do what `request` asks for, and reply when it is done."""
        session = self._session
        match request.get("do"):
            case "status":
                reply({**DONE, **described(session, self._about)})
                return
            case "start":
                self._start(request, reply)
                return
            case "stop":
                session.stop_lane(self._lane(request))
            case "restart":
                self._restart(self._lane(request))
            case "pause" | "resume" as what:
                self._pause(what == "pause")
            case "end":
                session.stop.set()
            case "abort":
                session.abort(Stopped(signal.SIGTERM, "it was aborted by a command"))
            case other:
                raise UsageFault(f"no request {other!r}", "status, start, stop, restart, pause, resume, end, abort")
        reply(DONE)

    def _lane(self, request: Mapping[str, Any]) -> Lane:
        name = request.get("experiment")
        if not isinstance(name, str):
            raise UsageFault("expected the name of an experiment")
        staying = {lane.name: lane for lane in self._session.lanes if not lane.is_leaving}
        if name not in staying:
            near = difflib.get_close_matches(name, staying, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(staying) or 'none'}"
            raise UsageFault(f"no experiment {name!r} is running", hint)
        return staying[name]

    def _restart(self, lane: Lane) -> None:
        if lane.host.is_here:
            raise UsageFault("an experiment in the run's own process cannot be started again")
        lane.restart()

    def _pause(self, paused: bool) -> None:
        if paused != self._session.paused:
            self._session.paused = self._session.progress.paused = paused
            word = "is paused" if paused else "goes on"
            logger.warning("feedback %s after %d volumes", word, self._session.progress.volumes)

    def _start(self, request: Mapping[str, Any], reply: Answering) -> None:
        if self._is_preparing:
            raise UsageFault("another experiment is being started", "wait until it is there")
        if self._session.stop.is_set() or any(lane.host.is_here for lane in self._session.lanes):
            raise UsageFault("no experiment can be started in this run: it is ending, or debugged with --in-process")
        self._is_preparing = True
        names = [lane.name for lane in self._session.lanes]
        threading.Thread(target=self._find, args=(request, names, reply), name="preparing", daemon=True).start()

    def _find(self, request: Mapping[str, Any], names: Sequence[str], reply: Answering) -> None:
        """Read config and masks and open destinations, which may take long, in a thread; the rest is the loop's."""
        try:
            lane = self._prepare(request, names)
        except Exception as error:
            refused = refusal(error)
            self.control.later(lambda: self._done(reply, refused))
        else:
            self.control.later(lambda: self._add(lane, reply))

    def _add(self, lane: Lane, reply: Answering) -> None:
        def begun(error: RtbidsError | None) -> None:
            self._done(reply, refusal(error) if error else {**DONE, "experiment": lane.name})

        lane.is_added, lane.on_begun = True, begun
        try:
            self._session.add(lane)
        except Exception as error:
            self._done(reply, refusal(error))

    def _done(self, reply: Answering, message: Reply) -> None:
        self._is_preparing = False
        reply(message)
