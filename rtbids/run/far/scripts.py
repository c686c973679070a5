"""The scripts' end of the bridge: starts their processes here for a run on another machine, and passes on what is said."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtbids.clock import CLOCK
from rtbids.errors import RtbidsError, StreamBroken
from rtbids.run.far import members, paths
from rtbids.run.far.contents import Coming, Sending, along, copied, say
from rtbids.run.far.kept import Kept
from rtbids.run.far.members import Said
from rtbids.run.far.passage import Passage
from rtbids.run.far.store import Store
from rtbids.run.one_line import short
from rtbids.run.process.channel import MOST_LINE, Message, NotUnderstood, encoded
from rtbids.run.process.launcher import Launcher, Seat
from rtbids.run.recipe import memory
from rtbids.run.resources import counted, looked
from rtbids.stream.link import Link
from rtbids.stream.wire import Member, is_confined

MOST_WAITING = 32 << 20  # bytes that wait for the link before scripts are listened to again
EVERY = 2.0  # seconds between two looks at this machine
MOST_ALONG = 1 << 30  # bytes of what a script sends beside a line
_ENDING = 30.0  # seconds for the run to have taken all
logger = logging.getLogger("rtbids")


class Place:
    """A seat, and the end of the channel of its process."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.seat: Seat = launcher.seat()
        self.passage = Passage(MOST_LINE)
        self.is_let_go = False
        self.manifest: list[Mapping[str, Any]] = []
        self.name = ""  # of the experiment
        self.process: int | None = None  # the latest that was loaded

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
    store
        Has the files of experiments.
    folder
        Where they are laid out for the scripts.
    """

    def __init__(self, link: Link, launcher: Launcher, store: Store, folder: Path) -> None:
        self._link = link
        self._launcher = launcher
        self._store = store
        self._folder = folder
        self._kept = Kept(folder / "volumes")
        self._sending = Sending()
        self._coming = Coming()
        self._places: dict[int, Place] = {}
        self._counts = counted({})
        self._next_look = time.monotonic() + EVERY

    def serve(self) -> None:
        """Serve until the run ends; raise what ends the link."""
        while self._step():
            pass
        self._link.finish(_ENDING)

    def _step(self) -> bool:
        ready, takes = self._wait()
        if time.monotonic() >= self._next_look:
            self._look()
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
        writers = [passage.fileno() for passage in passages if passage.is_behind]
        ready, takes, _ = select.select(readers, writers, [], max(0.0, self._next_look - time.monotonic()))
        return ready, takes

    def _look(self) -> None:
        """Tell what is used of this machine; old news is not kept for later."""
        self._next_look = time.monotonic() + EVERY
        there = {place.name: place.process for place in self._places.values() if place.process and place.passage.is_open}
        before, self._counts = self._counts, counted(there)
        if self._link.state.is_up:
            self._link.send(members.RESOURCES, members.encoded(**vars(looked(before, self._counts, self._folder))))

    def _take_all(self) -> bool:
        """Take what the run has sent; say whether more may come."""
        latest = None
        try:
            while (arrived := self._link.take()) is not None:
                self._take(arrived.member)
                latest = arrived.number
        except StopIteration:
            return False
        finally:
            if latest is not None:  # once for all: a receipt takes time from what is on its way
                self._link.settle(latest)
        return True

    def _take(self, member: Member) -> None:
        if self._store.take(member) or (said := members.said(member)) is None:
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
            case members.FILES:
                place.manifest = said.fields["files"]
                self._send(said.seat, members.LACKING, number=said.number, lacking=self._store.lacking(place.manifest))
            case members.SAY:
                self._deliver(said, place)
            case members.HANGUP:
                place.passage.leave()
            case members.LET_GO:
                place.let_go(float(said.fields["seconds"]))
            case members.END:
                place.end()

    def _deliver(self, said: Said, place: Place) -> None:
        """Pass on what a script is told."""
        message, content = said.fields["message"], along(self._coming, said)
        if message["do"] == "load":
            folder = self._folder / f"{said.seat}"
            self._store.lay_out(place.manifest, folder)
            message = as_it_is_here(message, folder)
            place.name = str(message["name"])
        elif message["do"] == "volume":
            message = self._kept.located(said.seat, message)
        place.passage.deliver(encoded(message), content)
        if message["do"] == "volume" and content is not None:
            self._kept.keep(message, content)

    def _hear(self, seat: int, place: Place) -> None:
        """Pass on what a script says."""
        try:
            came, is_there = place.passage.arrived()
            for message, descriptor in came:
                self._note(seat, place, message)
                content = None if descriptor is None else copied(descriptor, MOST_ALONG)
                say(self._link, self._sending, seat, {"number": place.passage.number, "message": message}, content, None)
        except NotUnderstood as error:
            self._lose(seat, place.passage.number, f"what its process said was not understood ({error})")
            return
        if not is_there:
            place.passage.close()
            self._send(seat, members.HANGUP, number=place.passage.number)

    def _note(self, seat: int, place: Place, message: Message) -> None:
        match message:
            case {"say": "ready", "process": int() as process}:
                place.process = process
            case {"say": "ended", "entities": dict() as entities}:
                self._kept.ended(seat, entities)

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


def as_it_is_here(load: Message, folder: Path) -> Message:
    """Return a script's first line with this machine's clock, memory and files."""
    most = memory.most() if load["memory"] is None else load["memory"]
    return {**paths.changed(load, lambda name: str(folder / confined(name))), "offset": CLOCK.offset, "memory": most}


def confined(name: str) -> str:
    if not is_confined(name):
        raise StreamBroken(f"expected the name of a file of the experiment, found {name[:80]!r}")
    return name
