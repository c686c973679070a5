"""The scripts' end of the bridge: starts their processes here for a run on another machine, and passes on what is said."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rtbids.errors import RtbidsError
from rtbids.run.far import members
from rtbids.run.far.aside import Aside
from rtbids.run.far.contents import Coming, copied
from rtbids.run.far.kept import Kept
from rtbids.run.far.laying import Laying
from rtbids.run.far.members import Said
from rtbids.run.far.output_there import Output
from rtbids.run.far.place_there import Place
from rtbids.run.far.store import Store
from rtbids.run.one_line import short
from rtbids.run.process.channel import Message, NotUnderstood, encoded
from rtbids.run.process.launcher import Launcher
from rtbids.run.resources import counted, looked
from rtbids.stream.link import Link
from rtbids.stream.wire import Member

MOST_WAITING = 32 << 20  # bytes that wait for the link before scripts are listened to again
EVERY = 2.0  # seconds between two looks at this machine
MOST_ALONG = 1 << 30  # bytes of what a script sends beside a line
_ENDING = 30.0  # seconds for the run to have taken all
logger = logging.getLogger("rtbids")


class Scripts:
    """Serves one run until it ends.

    Parameters
    ----------
    output
        What the launcher's processes print.
    store
        Has the files of experiments.
    folder
        Where they are laid out for the scripts.
    """

    def __init__(self, link: Link, launcher: Launcher, output: Output, store: Store, folder: Path) -> None:
        self._link = link
        self._launcher = launcher
        self._output = output
        self._store = store
        self._folder = folder
        self._kept = Kept(folder / "volumes")
        self._coming = Coming()
        self._aside = Aside()
        self._places: dict[int, Place] = {}
        self._counts = counted({})
        self._next_look = time.monotonic() + EVERY

    def serve(self) -> None:
        """Serve until the run ends; raise what ends the link."""
        try:
            while self._step():
                pass
            self._link.finish(_ENDING)
        finally:
            self._aside.close(_ENDING)

    def _step(self) -> bool:
        ready, takes = self._wait()
        if time.monotonic() >= self._next_look:
            self._look()
        self._aside.take_up()
        if not self._take_all():
            return False
        self._print()  # before what was said after it
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
        readers = [self._link.fileno(), self._aside.fileno(), self._output.fileno(), *(passage.fileno() for passage in heard)]
        readers += [place.seat.fileno() for place in places if place.is_let_go]
        writers = [passage.fileno() for passage in passages if passage.is_behind]
        ready, takes, _ = select.select(readers, writers, [], max(0.0, self._next_look - time.monotonic()))
        return ready, takes

    def _print(self) -> None:
        if printed := self._output.read(has_room=self._link.state.waiting_bytes < MOST_WAITING):
            self._link.send(members.PRINTED, printed)

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
        if (said := members.said(member)) is not None:
            with self._costing(said.seat, said.number):
                self._coming.put(said)
                self._do(said)

    @contextmanager
    def _costing(self, seat: int, number: int) -> Iterator[None]:
        """Have what goes wrong cost this process and no other."""
        try:
            yield
        except Exception as error:
            self._lose(seat, number, error)

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
            self._kept.left(said.seat)
            del self._places[said.seat]
        elif said.number == place.passage.number:
            self._do_there(place, said)

    def _do_there(self, place: Place, said: Said) -> None:
        match said.what:
            case members.FILES:
                self._lay_out(place, said)
            case members.FILE if place.laying is not None:
                place.laying.take(said)
            case members.SAY:
                self._deliver(said, place)
            case members.HANGUP:
                place.stop_laying()
                place.passage.leave()
            case members.LET_GO:
                place.let_go(float(said.fields["seconds"]))
            case members.END:
                place.end()

    def _lay_out(self, place: Place, said: Said) -> None:
        """Have a script's files fetched and laid out; then it is told to begin."""
        seat, number = said.seat, said.number

        def begin(load: Message) -> None:
            place.name = str(load["name"])
            place.passage.deliver(encoded(load))

        place.stop_laying()
        place.laying = Laying(
            said,
            self._store,
            self._aside,
            self._folder / f"{seat}",
            send=partial(self._send, seat),
            on_end=begin,
            on_error=partial(self._lose, seat, number),
        )

    def _deliver(self, said: Said, place: Place) -> None:
        """Pass on what a script is told."""
        message, content = said.fields["message"], self._coming.along(said)
        if message["do"] == "volume":
            message = self._kept.located(said.seat, message)
        place.passage.deliver(encoded(message), content)
        if message["do"] == "volume" and content is not None:
            self._kept.keep(message, content)

    def _hear(self, seat: int, place: Place) -> None:
        """Pass on what a script says."""
        number = place.passage.number
        with self._costing(seat, number):
            came, is_there = place.passage.arrived()
            for message, descriptor in came:
                content = None if descriptor is None else copied(descriptor, MOST_ALONG)
                self._note(seat, place, message)
                self._pass_on(seat, {"number": number, "message": message}, content)
            if not is_there:
                place.passage.close()
                self._send(seat, members.HANGUP, number=number)

    def _pass_on(self, seat: int, fields: Mapping[str, Any], content: memoryview | None) -> None:
        if content is None:
            self._send(seat, members.SAY, **fields)
        else:
            self._link.send(*members.with_content(seat, members.SAY, members.encoded(**fields), content))

    def _note(self, seat: int, place: Place, message: Message) -> None:
        match message:
            case {"say": "ready", "process": int() as process}:
                place.process, place.is_loaded = process, True
            case {"say": "ended", "entities": dict() as entities}:
                self._kept.ended(seat, entities)
                if rest := self._output.rest():  # perhaps nothing is printed any more that it would be said with
                    self._link.send(members.PRINTED, rest)

    def _tell_farewell(self, seat: int, place: Place) -> None:
        ended = place.seat.farewell()
        if ended is not None:
            place.is_let_go = False
            self._send(seat, members.FAREWELL, number=place.passage.number, code=ended["code"])

    def _lose(self, seat: int, number: int, error: Exception) -> None:
        """Give a process up, and say why."""
        if self._link.is_over:
            raise error
        why = f"what its process said was not understood ({error})" if isinstance(error, NotUnderstood) else short(error)
        logger.debug("seat %d: %s", seat, why, exc_info=error)
        place = self._places.get(seat)
        if place is not None and number >= place.passage.number:
            place.end()
            if not place.is_loaded and isinstance(error, RtbidsError):
                self._send(seat, members.SAY, number=number, message=members.fault(error))
        self._send(seat, members.HANGUP, number=number)
        self._send(seat, members.FAREWELL, number=number, code=None, why=why)

    def _send(self, seat: int, what: str, **fields: Any) -> None:
        self._link.send(members.name(seat, what), members.encoded(**fields))
