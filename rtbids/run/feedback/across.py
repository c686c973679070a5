"""Feedback to a place on another machine, over a link: a file there, a named pipe, UDP, TCP.

A file gets every line, in order and once, whatever is cut or killed: a line says where in the file it stands, so that writing
it twice is writing it once. What is live gets no line that is no longer true: each has to be there within `FRESH` seconds after
it was put on its way; where it is not, the far side leaves it out and says so, and the newest of each experiment is put on its
way anew. During a cut none is: the newest is, once there is a connection.
"""

from __future__ import annotations

import json
import logging
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rtbids.clock import CLOCK, Clock
from rtbids.errors import ConnectionLost, RtbidsError
from rtbids.plural import counted
from rtbids.run.feedback.deliveries import Deliveries
from rtbids.run.feedback.feedback import COLUMNS, Row, as_json, as_tsv
from rtbids.run.one_line import short
from rtbids.stream.link import Link
from rtbids.wakeup import Wakeup

BEGIN, LINE, TOLD = "feedback/begin.json", "feedback/line.json", "feedback/told.json"
FILE = "file"
FRESH = 1.0  # seconds, and the time there and back, after which a line that is live is left out
ENDING = 60.0  # seconds that the end waits for a connection by which the rest of a file's lines can leave
_LOOK = 0.1  # seconds: there is no event for a line that is safe there
_LEAVING = 2.0  # seconds for the far side to know of the end
logger = logging.getLogger("rtbids")


class _Sending(Protocol):
    """How lines are put on their way."""

    patience: float  # seconds that the end waits for lines to arrive

    def put(self, number: int, row: Row) -> None: ...
    def left_out(self, number: int) -> None: ...
    def go_on(self) -> None: ...


class Across:
    """Send lines over `link` to a place of the given `kind`; a thread of its own does it, and neither call waits for the link.

    Parameters
    ----------
    label
        What the tables call it; see `Deliveries`.
    as_table
        Whether a file there is a table.
    """

    def __init__(self, link: Link, name: str, kind: str, label: str, *, as_table: bool = False, clock: Clock = CLOCK) -> None:
        self.name = name
        self.deliveries = Deliveries(label, self._connection)
        self._link = link
        self._clock = clock
        self._is_live = kind != FILE
        self._sending: _Sending = Newest(link, self.deliveries, clock) if self._is_live else Whole(link, as_table=as_table)
        self._handed: deque[tuple[int, Row]] = deque()
        self._woken = Wakeup()
        self._close_until: float | None = None
        self._is_over = self._has_warned = False
        self._thread = threading.Thread(target=self._serve, name=f"feedback to {name}", daemon=True)
        self._thread.start()

    def send(self, row: Row) -> None:
        """Hand a line over; an answer that is late goes to a file only."""
        if self._is_over or (self._is_live and row["status"] == "late"):
            return
        self._handed.append((self.deliveries.hand(row), row))
        self._woken.set()

    def close(self, timeout: float = 2.0) -> None:
        """Wait for what is on its way: `timeout` seconds, `ENDING` for a file; closing twice does nothing."""
        if self._close_until is None:
            patience = max(timeout, self._sending.patience)
            self._close_until = self._clock.now() + patience
            self._say_that_it_waits(patience)
            self._woken.set()
        self._thread.join()

    def _serve(self) -> None:
        try:
            while not self._is_done:
                self._step()
            self._link.finish(_LEAVING if self._link.state.is_up else 0.0)
        except RtbidsError as error:
            self._end(error)
        except Exception as error:
            self._end(RtbidsError(short(error)))
        finally:
            self._is_over = True
            self._say_what_is_lost()
            self._link.close()

    @property
    def _is_done(self) -> bool:
        if self._close_until is None or self._handed:
            return False
        state = self._link.state
        is_all_told = not self.deliveries.outstanding or (state.renewed > 0 and not state.waiting_members)
        return is_all_told or self._clock.now() >= self._close_until  # who was killed tells no more of what it brought out

    def _step(self) -> None:
        until = self._close_until
        left = None if until is None else max(0.0, min(_LOOK, until - self._clock.now()))
        select.select([self._woken.fileno(), self._link.fileno()], [], [], left)
        self._woken.clear()
        while (told := self._told()) is not None:
            self._hear(told)
        while self._handed:
            self._put(*self._handed.popleft())
        self._sending.go_on()

    def _put(self, number: int, row: Row) -> None:
        try:
            self._sending.put(number, row)
        except ValueError as error:  # JSON has no NaN
            self.deliveries.settle(number, None)
            if not self._has_warned:
                self._has_warned = True
                logger.warning("feedback to %s: a line is left out (%s)", self.name, short(error))

    def _told(self) -> Mapping[str, Any] | None:
        """Return what the far side says of a line, an empty object where it is something else; None where nothing came."""
        try:
            arrived = self._link.take()
        except StopIteration:
            raise ConnectionLost("the far side has ended") from None
        if arrived is None:
            return None
        self._link.settle(arrived.number)
        found = json.loads(bytes(arrived.member.content)) if arrived.member.name == TOLD else {}
        return found if isinstance(found, dict) else {}

    def _hear(self, told: Mapping[str, Any]) -> None:
        number, moment = told.get("number"), told.get("at")
        if isinstance(number, int) and isinstance(moment, int | float):
            self.deliveries.settle(number, moment - (self._link.state.offset or 0.0))
        elif isinstance(number, int):
            self._sending.left_out(number)

    def _connection(self) -> Mapping[str, object]:
        state = self._link.state
        said = {"Cuts": state.cuts, "RoundTrip": state.round_trip, "ClockUncertainty": state.uncertainty}
        return {key: value for key, value in said.items() if value is not None}

    def _end(self, error: RtbidsError) -> None:
        if self._close_until is None:
            hint = f" ({error.hint})" if error.hint else ""
            logger.warning("feedback to %s ends here: %s%s; the run goes on", self.name, error, hint)

    def _say_that_it_waits(self, patience: float) -> None:
        left = self.deliveries.outstanding
        if left and not self._is_live and not self._is_over and not self._link.state.is_up:
            text = "feedback to %s: %s there is no connection for; one is waited for, up to %.0f s"
            logger.warning(text, self.name, counted(left, "line"), patience)

    def _say_what_is_lost(self) -> None:
        if self._is_live and self.deliveries.left_out:
            text = "feedback to %s: %s not delivered, as newer ones were there when they could be"
            logger.warning(text, self.name, f"{counted(self.deliveries.left_out, 'line')}")
        if left := self.deliveries.outstanding:
            logger.warning("feedback to %s: %s not known to have been delivered", self.name, counted(left, "line"))


class Whole:
    """All lines of a file, each with its place in it."""

    patience = ENDING

    def __init__(self, link: Link, *, as_table: bool) -> None:
        self._link = link
        self._form: Callable[[Row], str] = as_tsv if as_table else as_json
        head = "\t".join(COLUMNS) + "\n" if as_table else ""
        self._at = len(head.encode())
        link.send(BEGIN, json.dumps({"text": head}).encode())

    def put(self, number: int, row: Row) -> None:
        text = self._form(row)
        self._link.send(LINE, json.dumps({"number": number, "at": self._at, "text": text}).encode())
        self._at += len(text.encode())

    def left_out(self, number: int) -> None:
        """It never is."""

    def go_on(self) -> None:
        """Nothing waits here: the link has it."""


class Newest:
    """Lines that are worth nothing once there are newer ones."""

    patience = 0.0

    def __init__(self, link: Link, deliveries: Deliveries, clock: Clock) -> None:
        self._link = link
        self._deliveries = deliveries
        self._clock = clock
        self._newest: dict[object, tuple[int, Row]] = {}  # of each experiment
        self._waiting: set[object] = set()  # experiments whose newest line is not on its way

    def put(self, number: int, row: Row) -> None:
        as_json(row)  # what cannot be written costs no other line its place
        experiment = row["experiment"]
        if experiment in self._waiting:
            self._deliveries.settle(self._newest[experiment][0], None)
        self._newest[experiment] = number, row
        self._waiting.add(experiment)
        self.go_on()

    def left_out(self, number: int) -> None:
        """Put a line on its way once more if there is no newer one."""
        experiment = next((name for name, (newest, _) in self._newest.items() if newest == number), None)
        if experiment is None:
            self._deliveries.settle(number, None)
        else:
            self._waiting.add(experiment)

    def go_on(self) -> None:
        state = self._link.state
        if not state.is_up or not self._waiting:
            return
        until = None if state.offset is None else self._clock.now() + state.offset + FRESH + (state.round_trip or 0.0)
        for experiment in sorted(self._waiting, key=lambda name: self._newest[name][0]):
            number, row = self._newest[experiment]
            self._link.send(LINE, json.dumps({"number": number, "until": until, "row": row}, allow_nan=False).encode())
        self._waiting.clear()
