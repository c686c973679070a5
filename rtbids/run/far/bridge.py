"""The run's end of the bridge: a thread passes on over a link what experiments are told, and what they say.

The run's loop speaks to a socket as it would to a process of this machine, and never waits for the link.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from rtbids.clock import CLOCK
from rtbids.errors import ConnectionLost, InputMissing, RtbidsError, UsageFault
from rtbids.priority import first_in_line
from rtbids.run.far import members
from rtbids.run.far.contents import Coming, Sending, along, say
from rtbids.run.far.members import Said
from rtbids.run.far.parcel import Packing, Parcel
from rtbids.run.far.passage import Passage
from rtbids.run.far.store import PREFIX
from rtbids.run.far.translating import Translating, as_said_there
from rtbids.run.far.way import EVERY, Way
from rtbids.run.one_line import short
from rtbids.run.process.channel import Message, encoded
from rtbids.run.process.host import Lost
from rtbids.run.resources import Resources
from rtbids.stream.link import Arrived, Link, State
from rtbids.stream.wire import Member
from rtbids.wakeup import Wakeup

MOST_WAITING = 32 << 20  # bytes that wait for the link before scripts are told more
_LEAVING = 5.0  # seconds for the other end to know of the end
logger = logging.getLogger("rtbids")
Tell = Callable[[Mapping[str, Any]], None]


class Place:
    """A seat as the bridge sees it. `tell` is called, from its thread, with how a process has ended."""

    def __init__(self, seat: int, tell: Tell) -> None:
        self.seat = seat
        self.tell = tell
        self.passage = Passage()
        self.parcel: Parcel | None = None  # until it was sent
        self.is_loaded = False
        self.sent: tuple[int, float] | None = None  # number of the latest member, and when (POSIX seconds)

    def hang_up(self, why: str, lost: Lost) -> None:
        """Tell the run that the process is no more, as its machine is lost."""
        if self.passage.number:
            self.passage.leave()
            self.tell({"number": self.passage.number, "code": None, "why": why, "lost": lost})

    def fail(self, error: RtbidsError) -> None:
        """Have the run think that the script cannot be loaded."""
        fault = {"say": "fault", "during": "load", "code": error.exit_code, "error": str(error), "hint": error.hint}
        self.passage.deliver(encoded(fault))


class Bridge(threading.Thread):
    """Serves until it is closed; `resources` are those of the scripts' machine."""

    def __init__(self, link: Link) -> None:
        super().__init__(name="bridge", daemon=True)
        self.resources: Resources | None = None
        self.way = Way(link)
        self._link = link
        self._sending = Sending()
        self._coming = Coming()
        self._translating = Translating()
        self._packing = Packing()
        self._places: dict[int, Place] = {}
        self._orders: deque[Callable[[], None]] = deque()
        self._woken = Wakeup()
        self._renewed = link.state.renewed
        self._error: RtbidsError | None = None  # why the link is over
        self._is_closing = False

    def start_process(self, place: Place, number: int, end: socket.socket) -> None:
        self._order(lambda: self._start(place, number, end))

    def let_go(self, place: Place, number: int, seconds: float) -> None:
        self._order(lambda: self._send(place, members.LET_GO, number=number, seconds=seconds))

    def end(self, place: Place, number: int) -> None:
        self._order(lambda: self._send(place, members.END, number=number))

    def leave(self, place: Place) -> None:
        self._order(lambda: self._leave(place))

    def close(self) -> None:
        """End in order, and the link with it."""
        self._is_closing = True
        self._woken.set()
        self.join(_LEAVING)
        with suppress(RtbidsError, ValueError):
            self._link.finish(_LEAVING if self._link.state.is_up else 0.0)
        self._link.close()

    def run(self) -> None:
        with first_in_line():
            self._serve()

    def _serve(self) -> None:
        while not self._is_closing or self._orders:
            try:
                self._step()
            except RtbidsError as error:
                self._break_off(error)
            except Exception as error:
                logger.debug("the bridge broke off", exc_info=True)
                self._break_off(RtbidsError(f"the connection to the scripts broke off ({short(error)})"))

    def _order(self, what: Callable[[], None]) -> None:
        self._orders.append(what)
        self._woken.set()

    def _step(self) -> None:
        state = self._link.state
        if state.renewed != self._renewed:
            self._begin_anew(state)
        ready, takes = self._wait(state)
        self.way.look()
        self._woken.clear()
        while self._orders:
            self._orders.popleft()()
        while self._error is None and (arrived := self._arrived()) is not None:
            self._take(arrived.member)
            self._link.settle(arrived.number)
        for place in list(self._places.values()):
            if place.passage.fileno() in takes:
                place.passage.flush()
            if place.passage.fileno() in ready:
                self._hear(place)

    def _wait(self, state: State) -> tuple[list[int], list[int]]:
        passages = [place.passage for place in self._places.values() if place.passage.is_open]
        heard = passages if state.waiting_bytes < MOST_WAITING else []
        own = [self._woken.fileno(), *([] if self._error else [self._link.fileno()])]
        readers = [*own, *(passage.fileno() for passage in heard)]
        writers = [passage.fileno() for passage in passages if passage.is_behind]
        ready, takes, _ = select.select(readers, writers, [], EVERY)
        return ready, takes

    def _arrived(self) -> Arrived | None:
        try:
            return self._link.take()
        except StopIteration:
            raise ConnectionLost("the far side has ended") from None

    def _take(self, member: Member) -> None:
        if member.name == members.RESOURCES:
            self.resources = Resources(**members.decoded(member))
            return
        if (said := members.said(member)) is None:
            return
        place = self._places.get(said.seat)
        if place is not None and said.number == place.passage.number:
            self._hear_of(place, said)

    def _hear_of(self, place: Place, said: Said) -> None:
        match said.what:
            case members.SAY:
                self._deliver(place, said)
            case members.LACKING:
                self._send_files(place, said.fields["lacking"])
            case members.HANGUP:
                place.passage.leave()
            case members.FAREWELL:
                place.tell(said.fields)

    def _deliver(self, place: Place, said: Said) -> None:
        """Pass on what a script has said."""
        message: Message = said.fields["message"]
        place.is_loaded = place.is_loaded or message.get("say") == "ready"
        place.passage.deliver(encoded(self.way.translated(message)), along(self._coming, said))

    def _hear(self, place: Place) -> None:
        """Pass on what a script is told."""
        came, is_there = place.passage.arrived()
        for message, descriptor in came:
            self._pass_on(place, message, descriptor)
        if not is_there:
            place.passage.close()
            self._send(place, members.HANGUP, number=place.passage.number)

    def _pass_on(self, place: Place, message: Message, descriptor: int | None) -> None:
        if message.get("do") == "load":
            self._load(place, message)
            return
        try:
            message, content, key = self._translating.there(message, descriptor)
        except RtbidsError as error:  # a volume that is no longer where it was archived
            said = {"entities": message["entities"], "volume": message["index"], "say": "failed", "error": str(error)}
            place.passage.deliver(encoded(said))
            return
        if self._error is None:
            fields = {"number": place.passage.number, "message": message}
            place.sent = say(self._link, self._sending, place.seat, fields, content, key), CLOCK.now()

    def _load(self, place: Place, message: Message) -> None:
        """Say which files a script needs; once those that are lacking are there, it is told to begin."""
        try:
            place.parcel = self._packing.pack(as_said_there(message))
        except RtbidsError as error:
            place.fail(error)
            return
        self._send(place, members.FILES, number=place.passage.number, files=place.parcel.manifest)

    def _send_files(self, place: Place, lacking: Iterable[str]) -> None:
        parcel, place.parcel = place.parcel, None
        if parcel is None:
            return
        try:
            for sha256 in set(lacking) & set(parcel.hashes.values()):
                self._link.send(f"{PREFIX}{sha256}", parcel.content(sha256))
        except (UsageFault, InputMissing) as error:
            place.fail(error)
            return
        self._send(place, members.SAY, number=place.passage.number, message=parcel.load, content=None)

    def _start(self, place: Place, number: int, end: socket.socket) -> None:
        self._places[place.seat] = place
        place.passage.open(end, number)
        place.is_loaded, place.parcel = False, None
        if self._error is not None:
            place.hang_up(str(self._error), "for good")
        self._send(place, members.START, number=number)

    def _leave(self, place: Place) -> None:
        place.passage.close()
        self._send(place, members.CLOSE)
        self._places.pop(place.seat, None)

    def _send(self, place: Place, what: str, **fields: Any) -> None:
        if self._error is None:
            number = self._link.send(members.name(place.seat, what), members.encoded(**fields))
            place.sent = number, CLOCK.now()

    def _begin_anew(self, state: State) -> None:
        """Go on with a far side that knows of nothing."""
        self._renewed = state.renewed
        self._sending.forget()
        for place in self._places.values():
            self._send(place, members.END, number=place.passage.number)
            place.hang_up("the far side was lost and has begun anew", "anew")

    def _break_off(self, error: RtbidsError) -> None:
        """Go on without the link: nobody there says anything any more."""
        if self._error is None:
            self._error, self.way.is_over = error, True
            if not self._is_closing and any(place.is_loaded for place in self._places.values()):  # else it is raised
                logger.error("the far side is lost: %s%s", error, f" ({error.hint})" if error.hint else "")
        for place in self._places.values():
            if not place.is_loaded:
                place.fail(error)
            place.hang_up(str(error), "for good")
