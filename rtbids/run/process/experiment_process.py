"""An experiment in a process of its own, which may hang, crash or be started again."""

from __future__ import annotations

import logging
import select
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rtbids.clock import CLOCK, SystemClock
from rtbids.errors import ConnectionLost, ExperimentFault
from rtbids.run.console import call
from rtbids.run.deadlines import Reason
from rtbids.run.one_line import short
from rtbids.run.past.sent import Sent
from rtbids.run.process import host, told
from rtbids.run.process.channel import MOST_LINE, Channel, Message, NotUnderstood
from rtbids.run.process.console_calls import Calls
from rtbids.run.process.given import Given
from rtbids.run.process.host import Alternate, Answer, Complaint, Ended, Faulted, Gone, Heard, Loaded, Past, Reply
from rtbids.run.process.launcher import Launcher
from rtbids.run.process.memory_file import comes_along
from rtbids.run.process.patience import LOADING
from rtbids.run.process.said import understood
from rtbids.run.process.shared import Shared
from rtbids.run.process.starter import Seating, Starter
from rtbids.run.process.waiting import ROOM, Room, Waiting
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.responses.responses import Response
from rtbids.volume import Entities, Volume, run_key
from rtbids.wakeup import Wakeup

LAST_WORDS = 1.0  # seconds that it may take to end once nobody speaks to it any more

logger = logging.getLogger("rtbids")


@dataclass(frozen=True)
class _Busy:
    """What the script is at."""

    since: float
    stage: host.Stage
    entities: Entities = field(default_factory=dict)
    volume: int | None = None


class ExperimentProcess:
    """An experiment in a process of its own.

    At most one volume is with the script; the others wait here. When it is free it is told of all that waited, so that its
    analysis misses nothing, and asked for the feedback of those whose line has not left yet (``backlog: skip``) or of all.

    Parameters
    ----------
    launcher
        Starts its process; without one it has one of its own.
    is_overdue
        Says whether the line of a volume (entities, index) has left already.
    recall
        Reads a volume of an open run back; None where it is kept nowhere.
    console
        Does what the script asks for at the console, in a thread.
    room
        For what waits and is archived nowhere.
    """

    is_here = False

    def __init__(
        self,
        recipe: Recipe,
        is_overdue: host.IsOverdue,
        recall: host.Recall,
        *,
        launcher: Starter | None = None,
        console: call.Answer = call.nothing,
        room: Room = ROOM,
        clock: SystemClock = CLOCK,
    ) -> None:
        self._recipe = recipe
        self._is_overdue = is_overdue
        self._recall = recall
        self._clock = clock
        self._waiting = Waiting(recipe.name, room)
        self._said: dict[object, Mapping[str, Any]] = {}  # the sidecar that it knows, by run
        self._given = Given()
        self._unsaid: list[bytes] = []
        self._busy: _Busy | None = None
        self._process: int | None = None
        self._has_closed = False
        self._catches_up = False  # with what came while nothing could come to it
        self.is_over = False
        self._launcher: Starter = launcher or Launcher()
        self._close_launcher = self._launcher.close if launcher is None else lambda: None
        self._seat: Seating = self._launcher.seat()
        self._calls = Calls(recipe.name, console)
        self._start()

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return self._waiting.is_full

    @property
    def stage(self) -> host.Stage | None:
        return self._busy.stage if self._busy else None

    @property
    def silent_since(self) -> float | None:
        return max(self._busy.since, self._seat.held_up(self._busy.stage)) if self._busy else None

    @property
    def cut_since(self) -> float | None:
        return self._seat.cut_since

    @property
    def connection(self) -> host.Connection | None:
        return self._seat.connection

    def was_cut(self, since: float) -> bool:
        return self._catches_up or self._seat.was_cut(since)

    @property
    def is_behind(self) -> bool:
        return not self.is_over and self._channel.is_behind

    @property
    def fetched(self) -> Wakeup:
        return self._calls.ready

    @property
    def at_console(self) -> Mapping[str, int]:
        return self._calls.errands.counts

    @property
    def process(self) -> int | None:
        return self._process or None

    def fileno(self) -> int:
        return self._seat.fileno() if self._has_closed else self._channel.fileno()

    def flush(self) -> None:
        self._channel.flush()

    def offer(self, shared: Shared) -> None:
        if self.is_over:
            self._given.add(Past(shared.volume.entities, shared.volume.index))
            return
        self._waiting.add(shared)
        self._catches_up = self._catches_up or self._seat.cut_since is not None
        self._hand_on()
        self._waiting.let_go()

    def catch_up(self, past: Iterable[Past | Heard]) -> None:
        """Take what there was before: its analysis is given that first."""
        self._waiting.extend(past)
        self._hand_on()

    def respond(self, entities: Entities, response: Response) -> None:
        """Give the script a response, in its turn: after the volumes that came before it."""
        heard = Heard(entities, response)
        if self.is_over:
            self._given.add(replace(heard, ask=False))
            return
        self._waiting.append(heard)
        self._hand_on()

    def end(self, entities: Entities) -> None:
        self._waiting.append(entities)
        self._hand_on()

    def tell(self, entities: Entities, sent: Sent) -> None:
        line = told.sent(entities, sent)
        self._unsaid.append(line)
        self._given.told(entities, line)

    def replies(self) -> list[Reply]:
        if self._has_closed:
            return self._farewell()
        for line, along in self._calls.outcomes():
            self._channel.post(line, along)
        replies: list[Reply] = []
        try:
            is_there = self._channel.poll()
            while (message := self._channel.receive(wait=False)) is not None:
                replies += self._reply(understood(message))
        except (NotUnderstood, ValueError, OSError) as error:  # the latter of a map that its file does not hold
            return [*replies, Gone(f"what its process said was not understood ({short(error)})")]
        if not is_there:
            self._has_closed = True
            self._seat.let_go()
        elif not any(isinstance(reply, Faulted) for reply in replies):
            self._hand_on()
        return replies

    def restart(self, why: str) -> list[Reply]:
        """End the process where it still runs and start it again; its analysis is given what it had seen, then what waits."""
        given_up = self._given_up(why)
        self._calls.forget()
        if not self.is_over:
            self._channel.close()
        self._said.clear()
        self._waiting.extendleft(reversed(self._given.taken()))
        self._unsaid = self._given.lines
        self.is_over = False
        self._start()
        return given_up

    def give_up(self, why: str) -> list[Reply]:
        given_up = self._given_up(why)
        self._calls.forget()
        if not self.is_over:
            self.is_over = True
            self._seat.end()
            self._channel.close()
        for item in self._waiting.all():
            if isinstance(item, Shared):
                self._given.add(Past(item.volume.entities, item.volume.index))
            elif isinstance(item, Past | Heard):
                self._given.add(replace(item, ask=False))
            else:
                self._forget(item)
                given_up.append(Ended(item))
        return given_up

    def close(self) -> None:
        """End the process: by the end of its channel, and by force where it does not listen."""
        if not self.is_over:
            self.is_over = True
            self._seat.let_go(LAST_WORDS)
            self._channel.close()
            self._seat.wait(2 * LAST_WORDS)
        self._calls.close()
        self._waiting.close()
        self._seat.close()
        self._close_launcher()

    def wait_until_loaded(self) -> None:
        """Return when the script is loaded; raise what keeps it from that."""
        while True:
            left = self._left_to_load()
            said, _, _ = select.select([self], [self] if self.is_behind else [], [], max(0.0, left))
            if left <= 0 and not said:  # what it said while another one was waited for counts
                break
            self.flush()
            for reply in self.replies():
                if isinstance(reply, Loaded):
                    return
                if isinstance(reply, Gone):
                    raise ExperimentFault(f"{self._recipe.script}: {reply.why}")
                if isinstance(reply, Faulted):
                    self.close()
                    raise reply.error
        is_cut = self.cut_since is not None
        self.close()
        if is_cut:
            raise ConnectionLost(f"{self._recipe.script}: not loaded: no connection to its machine for {LOADING:.0f} s")
        raise ExperimentFault(f"{self._recipe.script}: not loaded within {LOADING:.0f} s")

    def _left_to_load(self) -> float:
        """Return how many seconds the script still has; those of a cut count anew."""
        since = max(self.silent_since or 0.0, self.cut_since or 0.0)
        return since + LOADING - self._clock.now()

    def _start(self) -> None:
        """Start the process, in place of the one before."""
        try:
            ours = self._seat.start()
        except OSError:  # somebody has ended the launcher
            self._seat = self._launcher.seat()
            ours = self._seat.start()
        self._channel = Channel(ours, MOST_LINE)
        self._has_closed, self._process = False, None
        self._busy = _Busy(self._clock.now(), "starting")
        self._channel.post(told.load(self._recipe, self._clock.offset))

    def _hand_on(self) -> None:
        while self._waiting and self._busy is None:
            item = self._waiting.next()
            if self._unsaid:
                self._channel.post(b"".join(self._unsaid))
                self._unsaid.clear()
            if isinstance(item, Past):
                if (shared := self._recall(item.entities, item.index)) is not None:
                    self._give(shared, ask=item.ask and self._is_worth_asking(shared.volume))
            elif isinstance(item, Shared):
                self._give(item, ask=item.ask and self._is_worth_asking(item.volume))
            elif isinstance(item, Heard):
                self._pass_on(item)
            elif item is not None:
                self._busy = _Busy(self._clock.now(), "end", item)
                self._forget(item)
                self._channel.post(told.end(item))
        if self._busy is None and self._seat.cut_since is None:
            self._catches_up = False

    def _give(self, shared: Shared, *, ask: bool) -> None:
        volume, key = shared.volume, run_key(shared.volume.entities)
        self._given.add(Past(volume.entities, volume.index))
        begins, is_new = key not in self._said, self._said.get(key) is not volume.metadata
        self._said[key] = volume.metadata
        # Asked or not: volumes that were sent ahead of the analysis would fill the channel.
        self._busy = _Busy(self._clock.now(), "loading" if begins else "feedback", volume.entities, volume.index)
        self._channel.post(told.volume(shared, ask=ask, is_new=is_new), None if shared.is_stored else shared)

    def _pass_on(self, heard: Heard) -> None:
        self._given.add(replace(heard, ask=False))
        self._busy = _Busy(self._clock.now(), "response", heard.entities)
        self._channel.post(told.response(heard))

    def _forget(self, entities: Entities) -> None:
        self._said.pop(run_key(entities), None)
        self._given.forget(entities)

    def _is_worth_asking(self, volume: Volume) -> bool:
        """Pass over a volume whose line has left, unless it is the newest or all are wanted."""
        newest = not self._waiting.has_volumes
        return newest or self._recipe.config.backlog == "all" or not self._is_overdue(volume.entities, volume.index)

    def _reply(self, message: Message) -> list[Reply]:
        busy, entities = self._busy, message.get("entities", {})
        if "volume" in message and (busy is None or message["volume"] != busy.volume):
            raise NotUnderstood("an answer that nobody has asked for")
        match message["say"]:
            case "loading" if busy is not None:
                self._busy = replace(busy, since=self._clock.now(), stage="loading")
                return []
            case "ready":
                self._busy, self._process = None, message["process"]
                return [Loaded()]
            case "begun" if busy is not None:
                self._busy = replace(busy, since=self._clock.now(), stage="feedback")
                return []
            case "responded":
                self._busy = None
                return []
            case "analysed":
                self._busy = None
                return told.measured(message)
            case "map":
                if busy is not None:  # many of them may take long to come
                    self._busy = replace(busy, since=self._clock.now())
                return [told.found(message, self._channel.descriptor())]
            case "complaint":
                return [Complaint(entities, message["error"])]
            case "answer" | "failed":
                self._busy = None
                return told.answer(message, busy.since if busy else None)
            case "console":
                self._calls.take(message, self._channel.descriptor() if comes_along(message) else None)
                return []
            case "log":
                told.logged(self._recipe.name, message)
                return []
            case "alternate":
                return [Alternate(entities, message["value"])]
            case "ended":
                self._busy = None
                return [Ended(entities)]
            case "fault" if message["during"] == "end" and busy is not None:
                self._busy = None
                return [Ended(busy.entities, message["error"])]
        return [Faulted(told.fault(message))]

    def _given_up(self, why: str, *, is_lost: bool = False) -> list[Reply]:
        """Return what stands in for the answer that will never come; `is_lost`: as the script's machine is."""
        busy, self._busy = self._busy, None
        if busy is None or (busy.volume is None and busy.stage != "end"):
            return []
        if busy.volume is None:
            return [Ended(busy.entities, broken_off=why)]
        reason: Reason = "link" if is_lost or self._seat.cut_since is not None else "error"
        return [Answer(busy.entities, busy.volume, error=why, reason=reason)]

    def _farewell(self) -> list[Reply]:
        """Return what there is to say of a process that has closed its channel, once it has ended."""
        ended = self._seat.farewell()
        if ended is None:
            return []
        why, lost = told.farewell(ended), ended.get("lost")
        return [*self._given_up(why, is_lost=lost is not None), Gone(why, lost)]
