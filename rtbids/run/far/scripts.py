"""The scripts' end of the bridge: starts their processes here for a run on another machine, and passes on what is said."""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable
from typing import Any

from rtbids.clock import CLOCK
from rtbids.errors import RtbidsError
from rtbids.run.far import members
from rtbids.run.far.contents import Coming, Sending, copied
from rtbids.run.far.members import Said
from rtbids.run.far.passage import Passage
from rtbids.run.one_line import short
from rtbids.run.process.channel import MOST_LINE, Message, NotUnderstood, encoded
from rtbids.run.process.launcher import Launcher, Seat
from rtbids.run.recipe import memory
from rtbids.stream.link import Link
from rtbids.stream.wire import Member

MOST_WAITING = 32 << 20  # bytes that wait for the link before scripts are listened to again
MOST_ALONG = 1 << 30  # bytes of what a script sends beside a line
_ENDING = 30.0  # seconds for the run to have taken all
logger = logging.getLogger("rtbids")
Translate = Callable[[Message], Message]


class Place:
    """A seat, and the end of the channel of its process."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.seat: Seat = launcher.seat()
        self.passage = Passage(MOST_LINE)
        self.is_let_go = False

    def start(self, number: int) -> None:
        self.is_let_go = False
        self.passage.open(self._started(), number)

    def let_go(self, seconds: float) -> None:
        self.is_let_go = True
        self.seat.let_go(seconds)

    def end(self) -> None:
        self.is_let_go = False
        self.seat.end()
        self.passage.close()

    def close(self) -> None:
        self.passage.close()
        self.seat.close()

    def _started(self) -> socket.socket:
        try:
            return self.seat.start()
        except OSError:  # somebody has ended the launcher
            self.seat = self._launcher.seat()
            return self.seat.start()


class Scripts:
    """Serves one run until it ends.

    Parameters
    ----------
    translate
        Says a line of the run in words that hold here.
    """

    def __init__(self, link: Link, launcher: Launcher, translate: Translate) -> None:
        self._link = link
        self._launcher = launcher
        self._translate = translate
        self._sending = Sending(link)
        self._coming = Coming()
        self._places: dict[int, Place] = {}

    def serve(self) -> None:
        """Serve until the run ends; raise what ends the link."""
        while self._step():
            pass
        self._link.finish(_ENDING)

    def _step(self) -> bool:
        ready, takes = self._wait()
        if not self._take_all():
            return False
        for number, place in list(self._places.items()):
            if place.passage.fileno() in takes:
                place.passage.flush()
            if place.passage.fileno() in ready:
                self._hear(number, place)
            if place.is_let_go:
                self._tell_farewell(number, place)
        return True

    def _wait(self) -> tuple[list[int], list[int]]:
        places = list(self._places.values())
        passages = [place.passage for place in places if place.passage.is_open]
        heard = passages if self._link.state.waiting_bytes < MOST_WAITING else []
        readers = [self._link.fileno(), *(passage.fileno() for passage in heard)]
        readers += [place.seat.fileno() for place in places if place.is_let_go]
        ready, takes, _ = select.select(readers, [passage.fileno() for passage in passages if passage.is_behind], [])
        return ready, takes

    def _take_all(self) -> bool:
        """Take what the run has sent; say whether more may come."""
        try:
            while (arrived := self._link.take()) is not None:
                self._take(arrived.member)
                self._link.settle(arrived.number)
        except StopIteration:
            return False
        return True

    def _take(self, member: Member) -> None:
        if self._coming.take(member) or (said := members.said(member)) is None:
            return
        try:
            self._do(said)
        except (OSError, RtbidsError) as error:  # it costs this process and no other
            logger.warning("%s: %s", member.name, error)
            self._lose(said.seat, said.number, short(error))

    def _do(self, said: Said) -> None:
        if said.what == members.START:
            if said.seat not in self._places:
                self._places[said.seat] = Place(self._launcher)
            self._places[said.seat].start(said.number)
            return
        place = self._places.get(said.seat)
        if place is None:
            return
        if said.what == members.CLOSE:
            place.close()
            del self._places[said.seat]
        elif said.number == place.passage.number:
            self._do_there(place, said)

    def _do_there(self, place: Place, said: Said) -> None:
        match said.what:
            case members.SAY:
                self._deliver(place, said.fields["message"], said.fields.get("content"))
            case members.HANGUP:
                place.passage.leave()
            case members.LET_GO:
                place.let_go(float(said.fields["seconds"]))
            case members.END:
                place.end()

    def _deliver(self, place: Place, message: Message, content: int | None) -> None:
        """Pass on what a script is told."""
        along = None if content is None else self._coming.get(content)
        if content is not None and along is None:
            raise NotUnderstood(f"content {content} is not here")
        place.passage.deliver(encoded(self._translate(message)), along)

    def _hear(self, seat: int, place: Place) -> None:
        """Pass on what a script says."""
        try:
            came, is_there = place.passage.arrived()
            for message, descriptor in came:
                content = None if descriptor is None else self._sending.send(copied(descriptor, MOST_ALONG))
                self._send(seat, members.SAY, number=place.passage.number, message=message, content=content)
        except NotUnderstood as error:
            self._lose(seat, place.passage.number, f"what its process said was not understood ({error})")
            return
        if not is_there:
            place.passage.close()
            self._send(seat, members.HANGUP, number=place.passage.number)

    def _tell_farewell(self, seat: int, place: Place) -> None:
        ended = place.seat.farewell()
        if ended is not None:
            place.is_let_go = False
            self._send(seat, members.FAREWELL, number=place.passage.number, code=ended["code"])

    def _lose(self, seat: int, number: int, why: str) -> None:
        """Give a process up, and say why."""
        if (place := self._places.get(seat)) is not None:
            place.end()
        self._send(seat, members.HANGUP, number=number)
        self._send(seat, members.FAREWELL, number=number, code=None, why=why)

    def _send(self, seat: int, what: str, **fields: Any) -> None:
        self._link.send(members.name(seat, what), members.encoded(**fields))


def as_it_is_here(message: Message) -> Message:
    """Return a script's first line with this machine's clock and memory; any other as it is."""
    if message.get("do") != "load":
        return message
    return {**message, "offset": CLOCK.offset, "memory": memory.most() if message["memory"] is None else message["memory"]}
