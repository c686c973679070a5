"""An experiment in a process of its own, which may hang, crash or be started again."""

from __future__ import annotations

import queue
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from rtbids.clock import CLOCK, SystemClock
from rtbids.errors import ExperimentFault
from rtbids.run import analysis_config
from rtbids.run.channel import Channel, Message, Shared, encoded, mapped
from rtbids.run.experiment import Sent
from rtbids.run.host import (
    Alternate,
    Answer,
    Complaint,
    Ended,
    Faulted,
    Gone,
    Heard,
    IsOverdue,
    Loaded,
    Mapped,
    Measured,
    Past,
    Recall,
    Reply,
    Stage,
    fault,
)
from rtbids.run.recipe import Recipe
from rtbids.run.responses import Response
from rtbids.run.statistical_maps import StatMap
from rtbids.volume import Entities, Volume, run_key

LOADING = 120.0  # seconds that a script may take to be imported, or to start: some load models
MOST_WAITING = 32  # volumes whose voxels are held for a script that is behind; older ones are read back from the archive
_Key = tuple[tuple[str, str], ...]


@cache
def _dying() -> queue.SimpleQueue[subprocess.Popen[bytes]]:
    """Return the queue of a thread that waits until processes which were ended are gone."""
    dying: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()

    def reap() -> None:
        while True:
            dying.get().wait()

    threading.Thread(target=reap, name="reaper", daemon=True).start()
    return dying


@dataclass(frozen=True)
class _Busy:
    """What the script is at."""

    since: float
    stage: Stage
    entities: Entities = field(default_factory=dict)
    volume: int | None = None


class ExperimentProcess:
    """An experiment in a process of its own.

    At most one volume is with the script; the others wait here. When it is free it is told of all that waited, so that its
    analysis misses nothing, and asked for the feedback of those whose line has not left yet (``backlog: skip``) or of all.

    Parameters
    ----------
    is_overdue
        Says whether the line of a volume (entities, index) has left already.
    recall
        Reads a volume of an open run back; None where it is kept nowhere.
    past
        What its analysis is to be given before anything else.
    """

    is_here = False

    def __init__(
        self,
        recipe: Recipe,
        is_overdue: IsOverdue,
        recall: Recall,
        *,
        past: Iterable[Past] = (),
        clock: SystemClock = CLOCK,
    ) -> None:
        self._recipe = recipe
        self._is_overdue = is_overdue
        self._recall = recall
        self._clock = clock
        self._waiting: deque[Shared | Past | Heard | Entities] = deque(past)
        self._said: dict[_Key, Mapping[str, Any]] = {}
        self._given: dict[_Key, list[Past | Heard]] = {}
        self._history: dict[_Key, list[bytes]] = {}
        self._unsaid: list[bytes] = []
        self._busy: _Busy | None = None
        self.is_over = False
        _dying()  # started here, where nobody waits
        self._start()

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    @property
    def stage(self) -> Stage | None:
        return self._busy.stage if self._busy else None

    @property
    def silent_since(self) -> float | None:
        return self._busy.since if self._busy else None

    @property
    def is_behind(self) -> bool:
        return not self.is_over and self._channel.is_behind

    @property
    def process(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._channel.fileno()

    def flush(self) -> None:
        self._channel.flush()

    def offer(self, shared: Shared) -> None:
        if self.is_over:
            self._remember(Past(shared.volume.entities, shared.volume.index))
            return
        self._waiting.append(shared)
        self._hand_on()
        if len(self._waiting) > MOST_WAITING and isinstance(held := self._waiting[-MOST_WAITING - 1], Shared):
            self._waiting[-MOST_WAITING - 1] = Past(held.volume.entities, held.volume.index, ask=held.ask)

    def respond(self, entities: Entities, response: Response) -> None:
        """Give the script a response, in its turn: after the volumes that came before it."""
        heard = Heard(entities, response)
        if self.is_over:
            self._remember(replace(heard, ask=False))
            return
        self._waiting.append(heard)
        self._hand_on()

    def end(self, entities: Entities) -> None:
        self._waiting.append(entities)
        self._hand_on()

    def tell(self, entities: Entities, sent: Sent) -> None:
        fields = {"do": "sent", "entities": dict(entities), "volume": sent.volume, "value": sent.value, "status": sent.status}
        line = encoded(fields)
        self._unsaid.append(line)
        self._history.setdefault(run_key(entities), []).append(line)

    def replies(self) -> list[Reply]:
        is_there = self._channel.poll()
        replies: list[Reply] = []
        while (message := self._channel.receive(wait=False)) is not None:
            replies += self._reply(message)
        if not is_there:
            return [*replies, *self._given_up(why := self._farewell()), Gone(why)]
        if not any(isinstance(reply, Faulted) for reply in replies):
            self._hand_on()
        return replies

    def restart(self, why: str) -> list[Reply]:
        """End the process where it still runs and start it again; its analysis is given what it had seen, then what waits."""
        given_up = self._given_up(why)
        if not self.is_over:
            self._end_process()
        self._said.clear()
        self._waiting.extendleft(reversed([item for given in self._given.values() for item in given]))
        self._given.clear()
        self._unsaid = [line for lines in self._history.values() for line in lines]
        self.is_over = False
        self._start()
        return given_up

    def give_up(self, why: str) -> list[Reply]:
        given_up = self._given_up(why)
        if not self.is_over:
            self.is_over = True
            self._end_process()
        waiting, self._waiting = self._waiting, deque()
        for item in waiting:
            if isinstance(item, Shared):
                self._remember(Past(item.volume.entities, item.volume.index))
            elif isinstance(item, Past | Heard):
                self._remember(replace(item, ask=False))
            else:
                self._forget(item)
                given_up.append(Ended(item))
        return given_up

    def close(self) -> None:
        """End the process: by the end of its channel, and by force where it does not listen."""
        if self.is_over:
            return
        self.is_over = True
        self._channel.close()
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._end_process()

    def wait_until_loaded(self) -> None:
        """Return when the script is loaded; raise what keeps it from that."""
        until = self._clock.now() + LOADING
        while True:
            writers = [self] if self.is_behind else []
            if not any(select.select([self], writers, [], max(0.0, until - self._clock.now()))):
                self.close()
                raise ExperimentFault(f"{self._recipe.script}: not loaded within {LOADING:.0f} s")
            self.flush()
            for reply in self.replies():
                if isinstance(reply, Loaded):
                    return
                if isinstance(reply, Gone):
                    raise ExperimentFault(f"{self._recipe.script}: {reply.why}")
                if isinstance(reply, Faulted):
                    self.close()
                    raise reply.error

    def _end_process(self) -> None:
        """End the process by force. To be rid of one that holds much memory may take long, and nobody waits for it."""
        self._process.kill()
        self._channel.close()
        _dying().put(self._process)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        # -P: what lies in the working directory is not imported in place of a module of the same name.
        command = [sys.executable, "-P", "-m", "rtbids.run.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        ours.setblocking(False)
        self._channel = Channel(ours)
        self._busy = _Busy(self._clock.now(), "loading")
        config = self._recipe.config
        rois = {name: str(path) for name, path in config.rois.items()}
        load: dict[str, Any] = {"do": "load", "script": str(self._recipe.script), "settings": config.settings, "rois": rois}
        load["analysis"] = analysis_config.to_json(config.analysis)
        self._channel.post(encoded({**load, "offset": self._clock.offset, "memory": self._recipe.memory}))

    def _hand_on(self) -> None:
        while self._waiting and self._busy is None:
            item = self._waiting.popleft()
            if self._unsaid:
                self._channel.post(b"".join(self._unsaid))
                self._unsaid.clear()
            if isinstance(item, Past):
                if (volume := self._recall(item.entities, item.index)) is not None:
                    self._give(Shared(volume), ask=item.ask and self._is_worth_asking(volume))
            elif isinstance(item, Shared):
                self._give(item, ask=item.ask and self._is_worth_asking(item.volume))
            elif isinstance(item, Heard):
                self._pass_on(item)
            else:
                self._busy = _Busy(self._clock.now(), "end", item)
                self._forget(item)
                self._channel.post(encoded({"do": "end", "entities": dict(item)}))

    def _give(self, shared: Shared, *, ask: bool) -> None:
        volume = shared.volume
        message = {
            "do": "volume",
            "ask": ask,
            "entities": dict(volume.entities),
            "index": volume.index,
            "shape": volume.shape,
            "dtype": volume.data.dtype.str,
            "affine": volume.affine.ravel().tolist(),
            "slope": volume.slope,
            "inter": volume.inter,
            "times": dict(volume.times),
        }
        key = run_key(volume.entities)
        self._remember(Past(volume.entities, volume.index))
        begins = key not in self._said
        if self._said.get(key) is not volume.metadata:
            self._said[key] = volume.metadata
            message |= {"metadata": dict(volume.metadata), "events": volume.events}
        # Asked or not: volumes that were sent ahead of the analysis would fill the channel.
        self._busy = _Busy(self._clock.now(), "loading" if begins else "feedback", volume.entities, volume.index)
        self._channel.post(encoded(message), shared)

    def _pass_on(self, heard: Heard) -> None:
        self._remember(replace(heard, ask=False))
        self._busy = _Busy(self._clock.now(), "response", heard.entities)
        message = {"do": "response", "ask": heard.ask, "entities": dict(heard.entities), "response": asdict(heard.response)}
        self._channel.post(encoded(message))

    def _remember(self, past: Past | Heard) -> None:
        self._given.setdefault(run_key(past.entities), []).append(past)

    def _forget(self, entities: Entities) -> None:
        for kept in (self._said, self._given, self._history):
            kept.pop(run_key(entities), None)

    def _is_worth_asking(self, volume: Volume) -> bool:
        """Pass over a volume whose line has left, unless it is the newest or all are wanted."""
        newest = not any(isinstance(item, Shared) for item in self._waiting)
        return newest or self._recipe.config.backlog == "all" or not self._is_overdue(volume.entities, volume.index)

    def _reply(self, message: Message) -> list[Reply]:
        busy, entities = self._busy, message.get("entities", {})
        match message["say"]:
            case "ready":
                self._busy = None
                return [Loaded()]
            case "begun" if busy is not None:
                self._busy = replace(busy, since=self._clock.now(), stage="feedback")
                return []
            case "responded":
                self._busy = None
                return []
            case "analysed":
                self._busy = None
                return _measured(message)
            case "map":
                return [Mapped(entities, _map(message, self._channel.descriptor()))]
            case "complaint":
                return [Complaint(entities, message["error"])]
            case "answer" | "failed":
                self._busy = None
                fields = {key: message.get(key) for key in ("value", "analysed", "answered", "error")}
                answer = Answer(entities, message["volume"], given=busy.since if busy else None, **fields)
                return [*_measured(message), answer]
            case "alternate":
                return [Alternate(entities, message["value"])]
            case "ended":
                self._busy = None
                return [Ended(entities)]
            case "fault" if message["during"] == "end" and busy is not None:
                self._busy = None
                return [Ended(busy.entities, message["error"])]
        return [Faulted(fault(message))]

    def _given_up(self, why: str) -> list[Reply]:
        """Return what stands in for the answer that will never come."""
        busy, self._busy = self._busy, None
        if busy is None or (busy.volume is None and busy.stage != "end"):
            return []
        if busy.volume is None:
            return [Ended(busy.entities, why)]
        return [Answer(busy.entities, busy.volume, error=why)]

    def _farewell(self) -> str:
        """Say how the process ended, of which the channel is closed."""
        try:
            code = self._process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            return "the experiment's process closed its channel"
        if code < 0:
            return f"the experiment's process was ended by {signal.Signals(-code).name}"
        return f"the experiment's process ended by itself (exit code {code})"


def _measured(message: Message) -> list[Reply]:
    measures = message.get("measures")
    return [Measured(message["entities"], message["volume"], measures)] if measures else []


def _map(message: Message, descriptor: int) -> StatMap:
    values, affine = mapped(descriptor, "<f4", tuple(message["shape"])), np.array(message["affine"]).reshape(4, 4)
    return StatMap(message["contrast"], message["statistic"], values, affine, message["fields"])
