"""The run's end of the bridge: a thread passes on over a link what experiments are told, and what they say.

The run's loop speaks to a socket as it would to a process of this machine, and never waits for the link.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rtbids.clock import CLOCK
from rtbids.errors import ConnectionLost, RtbidsError
from rtbids.priority import first_in_line
from rtbids.run.far import members
from rtbids.run.far.announcing import Announcing
from rtbids.run.far.aside import Aside
from rtbids.run.far.contents import Sending, say
from rtbids.run.far.manifest import Entry
from rtbids.run.far.members import Said
from rtbids.run.far.output_here import Output
from rtbids.run.far.parcel import Packing
from rtbids.run.far.place_here import Place
from rtbids.run.far.translating import Translating, as_said_there
from rtbids.run.far.way import EVERY, Way
from rtbids.run.one_line import short
from rtbids.run.process.channel import Message, encoded
from rtbids.run.process.memory_file import MemoryFile
from rtbids.run.resources import Resources
from rtbids.stream.link import Arrived, Link
from rtbids.stream.wire import Member
from rtbids.wakeup import Wakeup

MOST_WAITING = 32 << 20  # bytes that wait for the link before scripts are told more
MOST_LOST = 5  # times that the far side may begin anew while one script is brought there and loaded
SIGN_OF_LIFE = 1 << 20  # bytes of files after which the script's loading counts anew
_LEAVING = 5.0  # seconds for the other end to know of the end
logger = logging.getLogger("rtbids")


class Bridge(threading.Thread):
    """Serves until it is closed; `resources` are those of the scripts' machine.

    Parameters
    ----------
    stays
        Files and folders of this machine that are not copied, whichever experiment's folder they lie in.
    """

    def __init__(self, link: Link, stays: Collection[Path] = ()) -> None:
        super().__init__(name="bridge", daemon=True)
        self.resources: Resources | None = None
        self.way = Way(link)
        self._link = link
        self._sending = Sending()
        self._translating = Translating()
        self._packing = Packing(stays)
        self._aside = Aside()
        self._output = Output()
        self._places: dict[int, Place] = {}
        self._orders: deque[tuple[Place, Callable[[], None]]] = deque()
        self._woken = Wakeup()
        self._renewed = link.state.renewed
        self._error: RtbidsError | None = None  # why the link is over
        self._is_closing = False

    def start_process(self, place: Place, number: int, end: socket.socket) -> None:
        self._order(place, lambda: self._start(place, number, end))

    def let_go(self, place: Place, number: int, seconds: float) -> None:
        self._order(place, lambda: self._send(place, members.LET_GO, number=number, seconds=seconds))

    def end(self, place: Place, number: int) -> None:
        self._order(place, lambda: self._send(place, members.END, number=number))

    def leave(self, place: Place) -> None:
        self._order(place, lambda: self._leave(place))

    def close(self) -> None:
        """End in order, and the link with it."""
        self._is_closing = True
        self._woken.set()
        self.join(_LEAVING)
        self._aside.close()
        self._output.close()
        with suppress(RtbidsError, ValueError):
            self._link.finish(_LEAVING if self._link.state.is_up else 0.0)
        self._link.close()

    @property
    def copying(self) -> list[Entry]:
        """The files that are being copied, or were last, of scripts that are not loaded yet."""
        announcing = [place.announcing for place in list(self._places.values())]
        return [each.crossing for each in announcing if each is not None and each.crossing is not None]

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

    def _order(self, place: Place, what: Callable[[], None]) -> None:
        self._orders.append((place, what))
        self._woken.set()

    def _step(self) -> None:
        ready, takes = self._wait()
        renewed = self._link.state.renewed
        self._woken.clear()
        while self._orders:
            place, what = self._orders.popleft()
            with self._costing(place):
                what()
        self._aside.take_up()
        while self._error is None and (arrived := self._arrived()) is not None:
            self._take(arrived.member)
            self._link.settle(arrived.number)
        self.way.look()  # what was printed is known by now
        if renewed != self._renewed:  # once all is taken in that the one before has said
            self._renewed = renewed
            self._begin_anew()
        for place in list(self._places.values()):
            with self._costing(place):
                if place.passage.fileno() in takes:
                    place.passage.flush()
                if place.passage.fileno() in ready:
                    self._hear(place)

    @contextmanager
    def _costing(self, place: Place) -> Iterator[None]:
        """Have what goes wrong with one process cost that one."""
        try:
            yield
        except Exception as error:
            if self._link.is_over:
                raise
            self._give_up(place, error)

    def _give_up(self, place: Place, error: Exception) -> None:
        logger.debug("seat %d is given up", place.seat, exc_info=error)
        place.stop_announcing()
        self._send(place, members.END, number=place.passage.number)
        if not place.is_loaded:
            place.fail(error if isinstance(error, RtbidsError) else RtbidsError(f"it cannot be brought there ({short(error)})"))
        place.hang_up(f"what was said between the machines could not be passed on ({short(error)})")

    def _wait(self) -> tuple[list[int], list[int]]:
        passages = [place.passage for place in self._places.values() if place.passage.is_open]
        heard = passages if self._link.state.waiting_bytes < MOST_WAITING else []
        own = [self._woken.fileno(), self._aside.fileno(), *([] if self._error else [self._link.fileno()])]
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
        if member.name == members.PRINTED:
            self.way.printed += len(member.content)
            self._output.put(bytes(member.content))
            return
        if (said := members.said(member)) is None:
            return
        place = self._places.get(said.seat)
        if place is not None and said.number == place.passage.number:
            with self._costing(place):
                self._hear_of(place, said)

    def _hear_of(self, place: Place, said: Said) -> None:
        match said.what:
            case members.SAY:
                self._deliver(place, said)
            case members.WANT if place.announcing is not None:
                place.announcing.send(said.fields)
                if said.fields["at"] % SIGN_OF_LIFE == 0:
                    place.passage.deliver(encoded({"say": "loading"}))
            case members.CHANGED if place.announcing is not None:
                place.announcing.changed(said.fields["parcel"])
            case members.HANGUP:
                place.passage.leave()
            case members.FAREWELL:
                place.tell(said.fields)

    def _deliver(self, place: Place, said: Said) -> None:
        """Pass on what a script has said."""
        message: Message = said.fields["message"]
        if message.get("say") == "ready":
            place.is_loaded = True
            place.stop_announcing()
        line = encoded(self.way.translated(message))
        place.passage.deliver(line, None if said.along is None else MemoryFile(said.along))

    def _hear(self, place: Place) -> None:
        """Pass on what a script is told."""
        came, is_there = place.passage.arrived()
        for message, descriptor in came:
            self._pass_on(place, message, descriptor)
        if not is_there:
            place.passage.close()
            place.stop_announcing()
            self._send(place, members.HANGUP, number=place.passage.number)

    def _pass_on(self, place: Place, message: Message, descriptor: int | None) -> None:
        if message.get("do") == "load":
            self._announce(place, as_said_there(message))
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

    def _announce(self, place: Place, load: Message) -> None:
        """Say which files a script needs; it is told its first line once all of them are there."""
        place.stop_announcing()
        send, on_error = partial(self._say_of, place, place.passage.number), partial(self._give_up, place)
        place.announcing = Announcing(load, self._packing, self._aside, send, on_error)
        place.announcing.announce()

    def _say_of(self, place: Place, number: int, what: str, content: memoryview | None = None, **fields: object) -> None:
        if content is None:
            self._send(place, what, number=number, **fields)
        else:
            self._link.send(*members.with_content(place.seat, what, members.encoded(number=number, **fields), content))

    def _start(self, place: Place, number: int, end: socket.socket) -> None:
        self._places[place.seat] = place
        place.begin(number, end)
        if self._error is not None:
            place.hang_up(str(self._error), "for good")
        self._send(place, members.START, number=number)

    def _leave(self, place: Place) -> None:
        place.passage.close()
        place.stop_announcing()
        self._send(place, members.CLOSE)
        self._places.pop(place.seat, None)

    def _send(self, place: Place, what: str, **fields: Any) -> None:
        if self._error is None:
            number = self._link.send(members.name(place.seat, what), members.encoded(**fields))
            place.sent = number, CLOCK.now()

    def _begin_anew(self) -> None:
        """Go on with a far side that knows of nothing."""
        self._sending.forget()
        for place in self._places.values():
            if place.is_loaded or not place.passage.is_open:
                self._send(place, members.END, number=place.passage.number)
                place.hang_up("the far side was lost and has begun anew", "anew")
            else:
                self._bring_again(place)

    def _bring_again(self, place: Place) -> None:
        """Begin again with a script that was not loaded yet; not for ever, since it may be what its machine is lost by."""
        place.lost += 1
        if place.lost > MOST_LOST:
            why = f"the far side was lost {place.lost} times before the script was loaded"
            self._give_up(place, ConnectionLost(why, "look there for what ends it: has it too little memory?"))
            return
        self._send(place, members.START, number=place.passage.number)
        if place.announcing is not None:
            place.announcing.announce()

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
