"""The run's end of an experiment: in a process of its own, or, for a breakpoint, in the run's.

Both hosts have the same shape: `offer` a volume, `end` a run, wait for `fileno`, take the `replies`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

from rtbids.clock import CLOCK, SystemClock
from rtbids.errors import BadData, ExperimentFault, InputMissing, RtbidsError, UsageFault
from rtbids.run.channel import Channel, Message, share
from rtbids.run.deadlines import Value
from rtbids.run.experiment import Experiment, Sent
from rtbids.run.recipe import Recipe
from rtbids.volume import Entities, Volume, run_key
from rtbids.wakeup import Wakeup

LOADING = 120.0  # seconds that a script may take to be imported: some load models
_FAULTS: dict[int, type[RtbidsError]] = {f.exit_code: f for f in (UsageFault, BadData, InputMissing, ExperimentFault)}


@dataclass(frozen=True)
class Past:
    """A volume that the analysis has seen before, to be read again when its turn comes."""

    entities: Entities
    index: int


@dataclass(frozen=True)
class _Busy:
    """What the script is at: loading, the feedback of `volume`, or, without one, the end of a run."""

    since: float
    entities: Entities = field(default_factory=dict)
    volume: int | None = None
    loading: bool = False


@dataclass(frozen=True)
class Answer:
    """The script answered, or failed where `error` is not None. Times in POSIX seconds."""

    entities: Entities
    volume: int
    value: Value = None
    analysed: float | None = None
    answered: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Alternate:
    """The script set its alternate."""

    entities: Entities
    value: Value


@dataclass(frozen=True)
class Ended:
    """The script has ended a run; `error` is what ``end(run)`` raised."""

    entities: Entities
    error: str | None = None


@dataclass(frozen=True)
class Gone:
    """The experiment's process is no more."""

    why: str


IsOverdue: TypeAlias = Callable[[Entities, int], bool]
Recall: TypeAlias = Callable[[Entities, int], Volume | None]
Reply: TypeAlias = Answer | Alternate | Ended | Gone


class Host(Protocol):
    def fileno(self) -> int: ...
    def offer(self, volume: Volume) -> None: ...
    def end(self, entities: Entities) -> None: ...
    def sent(self, entities: Entities, sent: Sent) -> None: ...
    def replies(self) -> list[Reply]: ...
    def close(self) -> None: ...

    def restart(self, why: str) -> list[Reply]: ...

    @property
    def backlog(self) -> int:
        """How many volumes wait for the script."""
        ...

    @property
    def silent_since(self) -> float | None:
        """Since when the script has been at what it does now."""
        ...

    @property
    def is_loading(self) -> bool:
        """Whether what it does now is being imported."""
        ...


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
    """

    def __init__(self, recipe: Recipe, is_overdue: IsOverdue, recall: Recall, *, clock: SystemClock = CLOCK) -> None:
        self._recipe = recipe
        self._is_overdue = is_overdue
        self._recall = recall
        self._clock = clock
        self._waiting: deque[Volume | Past | Entities] = deque()
        self._said: dict[tuple[tuple[str, str], ...], Mapping[str, Any]] = {}
        self._given: dict[tuple[tuple[str, str], ...], list[Past]] = {}
        self._history: dict[tuple[tuple[str, str], ...], list[Message]] = {}
        self._unsaid: deque[Message] = deque()
        self._busy: _Busy | None = None
        self._again = False  # whether it was ended and started again
        self._start()
        self._wait_until_loaded()

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    @property
    def silent_since(self) -> float | None:
        """Since when the script has been at what it does now (POSIX seconds); None where it is free."""
        return self._busy.since if self._busy else None

    @property
    def is_loading(self) -> bool:
        return self._busy is not None and self._busy.loading

    def fileno(self) -> int:
        return self._channel.fileno()

    def offer(self, volume: Volume) -> None:
        self._waiting.append(volume)
        self._hand_on()

    def end(self, entities: Entities) -> None:
        self._waiting.append(entities)
        self._hand_on()

    def sent(self, entities: Entities, sent: Sent) -> None:
        line = {"do": "sent", "entities": dict(entities), "volume": sent.volume, "value": sent.value, "status": sent.status}
        self._unsaid.append(line)
        self._history.setdefault(run_key(entities), []).append(line)

    def replies(self) -> list[Reply]:
        if not self._channel.poll():
            return [*self._given_up(why := self._farewell()), Gone(why)]
        replies: list[Reply] = []
        while (message := self._channel.receive(wait=False)) is not None:
            replies += self._reply(message)
        if not any(isinstance(reply, Gone) for reply in replies):
            self._hand_on()
        return replies

    def restart(self, why: str) -> list[Reply]:
        """End the process where it still runs and start it again; its analysis is given what it had seen, then what waits."""
        given_up = self._given_up(why)
        self._again = True
        self._end_process()
        self._said.clear()
        self._waiting.extendleft(reversed([item for given in self._given.values() for item in given]))
        self._given.clear()
        self._unsaid = deque(line for lines in self._history.values() for line in lines)
        self._start()
        return given_up

    def close(self) -> None:
        """End the process: by the end of its channel, and by force where it does not listen."""
        self._channel.close()
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._end_process()

    def _end_process(self) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        # -P: what lies in the working directory is not imported in place of a module of the same name.
        command = [sys.executable, "-P", "-m", "rtbids.run.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        ours.settimeout(LOADING)
        self._channel = Channel(ours)
        self._busy = _Busy(self._clock.now(), loading=True)
        config = self._recipe.config
        rois = {name: str(path) for name, path in config.rois.items()}
        load = {"do": "load", "script": str(self._recipe.script), "settings": config.settings, "rois": rois}
        self._say({**load, "offset": self._clock.offset})

    def _wait_until_loaded(self) -> None:
        try:
            message = self._channel.receive()
        except TimeoutError:
            self._end_process()
            raise ExperimentFault(f"{self._recipe.script}: not loaded within {LOADING:.0f} s") from None
        if message is None:
            raise ExperimentFault(f"{self._recipe.script}: {self._farewell()}")
        if message["say"] == "fault":
            self.close()
            raise fault(message)
        self._busy = None

    def _say(self, message: Message, descriptor: int | None = None) -> None:
        with suppress(OSError):  # it is gone: the next `replies` says so
            self._channel.send(message, descriptor)

    def _hand_on(self) -> None:
        while self._waiting and self._busy is None:
            item = self._waiting.popleft()
            while self._unsaid:
                self._say(self._unsaid.popleft())
            if isinstance(item, Past):
                if (volume := self._recall(item.entities, item.index)) is not None:
                    self._give(volume, ask=False)
            elif isinstance(item, Volume):
                self._give(item, ask=self._is_worth_asking(item))
            else:
                self._busy = _Busy(self._clock.now(), item)
                self._said.pop(run_key(item), None)
                self._given.pop(run_key(item), None)
                self._history.pop(run_key(item), None)
                self._say({"do": "end", "entities": dict(item)})

    def _give(self, volume: Volume, *, ask: bool) -> None:
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
        self._given.setdefault(key, []).append(Past(volume.entities, volume.index))
        if self._said.get(key) is not volume.metadata:
            self._said[key] = volume.metadata
            message |= {"metadata": dict(volume.metadata), "events": volume.events}
        # Asked or not: volumes that were sent ahead of the analysis would fill the channel, and we would wait for it.
        self._busy = _Busy(self._clock.now(), volume.entities, volume.index)
        descriptor = share(volume)
        self._say(message, descriptor)
        os.close(descriptor)

    def _is_worth_asking(self, volume: Volume) -> bool:
        """Pass over a volume whose line has left, unless it is the newest or all are wanted."""
        newest = not any(isinstance(item, Volume) for item in self._waiting)
        return newest or self._recipe.config.backlog == "all" or not self._is_overdue(volume.entities, volume.index)

    def _reply(self, message: Message) -> list[Reply]:
        busy, entities = self._busy, message.get("entities", {})
        match message["say"]:
            case "ready":
                self._busy = None
                return []
            case "analysed":
                self._busy = None
                return []
            case "answer" | "failed":
                self._busy = None
                fields = {key: message.get(key) for key in ("value", "analysed", "answered", "error")}
                return [Answer(entities, message["volume"], **fields)]
            case "alternate":
                return [Alternate(entities, message["value"])]
            case "ended":
                self._busy = None
                return [Ended(entities)]
            case "fault" if message["during"] == "end" and busy is not None:
                self._busy = None
                return [Ended(busy.entities, message["error"])]
        if not self._again:
            raise fault(message)
        why = message["error"]  # it could be begun before: the run goes on, and it may yet be begun again
        return [*self._given_up(why), Gone(why)]

    def _given_up(self, why: str) -> list[Reply]:
        """Return what stands in for the answer that will never come."""
        busy, self._busy = self._busy, None
        if busy is None or busy.loading:
            return []
        if busy.volume is None:
            return [Ended(busy.entities, why)]
        return [Answer(busy.entities, busy.volume, error=why)]

    def _farewell(self) -> str:
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._end_process()
            return "the experiment's process closed its channel"
        if code < 0:
            return f"the experiment's process was ended by {signal.Signals(-code).name}"
        return f"the experiment's process ended by itself (exit code {code})"


class ExperimentHere:
    """An experiment in the run's own process, so that a breakpoint in it works."""

    def __init__(self, recipe: Recipe, *, clock: SystemClock = CLOCK) -> None:
        self._clock = clock
        self._replies: list[Reply] = []
        self._ready = Wakeup()
        self._begun: set[tuple[tuple[str, str], ...]] = set()
        config = recipe.config
        self._experiment = Experiment(recipe.script, config.settings, config.rois, self._hand_over)

    @property
    def backlog(self) -> int:
        return 0

    @property
    def silent_since(self) -> float | None:
        return None  # it is never left alone: who has a breakpoint may take his time

    @property
    def is_loading(self) -> bool:
        return False

    def restart(self, why: str) -> list[Reply]:
        raise ExperimentFault("an experiment in the run's own process cannot be started again")

    def fileno(self) -> int:
        return self._ready.fileno()

    def offer(self, volume: Volume) -> None:
        key = run_key(volume.entities)
        if key not in self._begun:
            self._begun.add(key)
            self._experiment.begin(volume)
        answer = Answer(volume.entities, volume.index)
        try:
            self._experiment.analyse(volume)
            answer = replace(answer, analysed=self._clock.now())
            value = self._experiment.feedback(volume)
            answer = replace(answer, value=value, answered=self._clock.now())
        except RtbidsError as error:
            answer = replace(answer, error=str(error))
        self._say(answer)

    def end(self, entities: Entities) -> None:
        self._begun.discard(run_key(entities))
        try:
            self._experiment.end(entities)
            self._say(Ended(entities))
        except RtbidsError as error:
            self._say(Ended(entities, str(error)))

    def sent(self, entities: Entities, sent: Sent) -> None:
        self._experiment.sent(entities, sent)

    def replies(self) -> list[Reply]:
        self._ready.clear()
        replies, self._replies = self._replies, []
        return replies

    def close(self) -> None:
        """Nothing to end."""

    def _hand_over(self, entities: Entities, value: Value) -> None:
        self._say(Alternate(entities, value))

    def _say(self, reply: Reply) -> None:
        self._replies.append(reply)
        self._ready.set()


def fault(message: Message) -> RtbidsError:
    """Return the error that the experiment's process reports."""
    kind: Literal[64, 65, 66, 70] | Any = message["code"]
    return _FAULTS.get(kind, ExperimentFault)(message["error"], message.get("hint"))
