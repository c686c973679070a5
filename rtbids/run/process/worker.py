"""The experiment's own process: ``python -m rtbids.run.process.worker DESCRIPTOR``, started by `rtbids.run.process.launching`.

A hang or a crash in here stops nothing but the answers. What the script prints goes to standard error: standard output is data.
"""

from __future__ import annotations

import io
import logging
import os
import resource
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.clock import SystemClock
from rtbids.convert.stored import Stored
from rtbids.errors import ExperimentFault, RtbidsError
from rtbids.run.console import console
from rtbids.run.console.console import Console
from rtbids.run.one_line import short
from rtbids.run.past.sent import Sent
from rtbids.run.past.where import Where
from rtbids.run.process import worker_log
from rtbids.run.process.asking import Asking
from rtbids.run.process.channel import Channel, Message, encoded
from rtbids.run.process.incoming import Incoming
from rtbids.run.process.launching import live_and_die_with_the_launcher
from rtbids.run.process.patience import DEADLINES
from rtbids.run.process.shared import kept, mapped
from rtbids.run.recipe import analysis_config, region
from rtbids.run.record.statistical_maps import StatMap
from rtbids.run.responses.responses import Response
from rtbids.run.script.experiment import Experiment
from rtbids.volume import Volume, run_key, volume_of

MOST_VALUE = 64 * 1024  # bytes of a value as JSON: it passes through the run's loop, where others wait
_BEHIND = 5  # niceness: where both want the processor, the run, which keeps the deadlines, has it first
_FIRST_TO_GO = "1000"  # where memory is short, the kernel ends the script and not the run


class Worker:
    """Answer the messages of a channel until it closes."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._incoming = Incoming(channel)
        self._asking = Asking(channel, self._incoming)
        self._along: int | None = None  # the descriptor that came along with the message that is taken
        self._deadline: float | None = None
        self._clock = SystemClock()
        self._metadata: dict[tuple[tuple[str, str], ...], tuple[Mapping[str, Any], str | None]] = {}
        self._begun: set[tuple[tuple[str, str], ...]] = set()
        self._stored: dict[tuple[tuple[str, str], ...], Stored] = {}
        self._experiment: Experiment | None = None
        self._log: worker_log.ToTheRun | None = None
        self._early: list[Message] = []  # responses to runs that have not begun here: their volumes are kept nowhere

    def serve(self) -> None:
        while (arrived := self._incoming.next()) is not None:
            message, self._along = arrived
            try:
                self._take(message)
            except RtbidsError as error:
                fault = {"say": "fault", "code": error.exit_code, "error": str(error), "hint": error.hint}
                self._channel.send({**fault, "during": message["do"]})

    def _take(self, message: Message) -> None:
        match message["do"]:
            case "load":
                self._load(message)
            case "volume":
                self._volume(message)
            case "sent":
                sent = Sent(message["volume"], message["value"], message["status"])
                self._loaded.sent(message["entities"], sent)
            case "response":
                self._response(message)
                self._channel.send({"say": "responded"})
            case "end":
                self._end(message["entities"])
                if self._log is not None:
                    self._log.settle()
                self._channel.send({"say": "ended", "entities": message["entities"]})

    @property
    def _loaded(self) -> Experiment:
        assert self._experiment is not None, "the first message loads the script"
        return self._experiment

    def _load(self, message: Message) -> None:
        self._channel.send({"say": "loading"})
        self._clock = SystemClock(message["offset"])
        self._deadline = message["deadline"]
        self._log = worker_log.tell(self._channel, message["log"])
        _limit_memory(message["memory"])
        rois = {name: region.from_json(fields) for name, fields in message["rois"].items()}
        script, analysis = Path(message["script"]), analysis_config.from_json(message["analysis"])
        events = Path(message["events"]) if message["events"] else None
        say = (self._hand_over, self._complain)
        self._experiment = Experiment(script, message["settings"], rois, *say, analysis, events, self._console)
        self._channel.send({"say": "ready", "process": os.getpid()})

    def _console(self, first: Volume) -> Console:
        """Return what a run's script sees of the console; a disk that hangs is to be no reason to start the script again."""
        deadline = self._deadline or first.repetition_time
        return Console(self._asking.ask, min(console.TIMEOUT, deadline * DEADLINES / 2))

    def _hand_over(self, entities: Mapping[str, str], value: Any) -> None:
        self._channel.send({"say": "alternate", "entities": entities, "value": _within_bounds(value)})

    def _complain(self, entities: Mapping[str, str], error: str) -> None:
        self._channel.send({"say": "complaint", "entities": entities, "error": error})

    def _response(self, message: Message) -> None:
        if run_key(message["entities"]) in self._begun:
            self._loaded.respond(message["entities"], Response(**message["response"]), ask=message["ask"])
        else:
            self._early.append({**message, "ask": False})

    def _volume(self, message: Message) -> None:
        answer = {"entities": message["entities"], "volume": message["index"], "came": self._clock.now()}
        where = Where(**message["where"])
        try:
            volume = self._received(message, where)
        except RtbidsError as error:  # it is no longer where it was archived
            self._channel.send({**answer, "say": "failed", "error": str(error)})
            return
        if run_key(volume.entities) not in self._begun:
            self._begin(volume, where)
        try:
            answer["measures"] = self._loaded.analyse(volume, where)
            answer["analysed"] = self._clock.now()
            answer["say"] = "analysed"
            if message["ask"]:
                value = _within_bounds(self._loaded.feedback(volume))
                answer |= {"say": "answer", "value": value, "answered": self._clock.now()}
        except RtbidsError as error:
            answer |= {"say": "failed", "error": str(error)}
        self._channel.send(answer)
        self._settle(message["entities"])

    def _begin(self, first: Volume, where: Where) -> None:
        self._begun.add(run_key(first.entities))
        self._loaded.begin(first, where)
        self._channel.send({"say": "begun"})
        early, self._early = self._early, []
        for heard in early:
            self._response(heard)

    def _settle(self, entities: Mapping[str, str]) -> None:
        try:
            self._loaded.settle(entities)
        except RtbidsError as error:
            self._complain(entities, str(error))

    def _send_maps(self, entities: Mapping[str, str]) -> None:
        try:
            for found in self._loaded.maps(entities):
                self._send_map(entities, found)
        except RtbidsError as error:
            self._complain(entities, str(error))

    def _send_map(self, entities: Mapping[str, str], found: StatMap) -> None:
        fields = {"contrast": found.contrast, "statistic": found.statistic, "fields": found.fields}
        place = {"shape": found.values.shape, "affine": found.affine.ravel().tolist()}
        descriptor = kept(memoryview(found.values.tobytes(order="F")))
        try:
            self._channel.send({"say": "map", "entities": entities, **fields, **place}, descriptor)
        finally:
            os.close(descriptor)

    def _end(self, entities: Mapping[str, str]) -> None:
        """End a run, if it has begun: there may have been no volume that could be read."""
        key = run_key(entities)
        self._metadata.pop(key, None)
        self._stored.pop(key, None)
        if key in self._begun:
            self._begun.remove(key)
            self._send_maps(entities)
            self._loaded.end(entities)

    def _received(self, message: Message, where: Where) -> Volume:
        key = run_key(message["entities"])
        if "metadata" in message:
            self._metadata[key] = message["metadata"], message["events"]
        metadata, events = self._metadata[key]
        return volume_of(
            self._read(key, where) if message["stored"] else self._mapped(message),
            np.array(message["affine"]).reshape(4, 4),
            message["entities"],
            metadata,
            message["index"],
            times=message["times"],
            slope=message["slope"],
            inter=message["inter"],
            events=events,
        )

    def _mapped(self, message: Message) -> NDArray[Any]:
        assert self._along is not None, "voxels come along"
        return mapped(self._along, message["dtype"], tuple(message["shape"]))

    def _read(self, key: tuple[tuple[str, str], ...], where: Where) -> NDArray[Any]:
        """Read a volume back from the archive, here, where nobody waits for the disk."""
        if key not in self._stored:
            assert where.file is not None, "a stored volume has a file"
            self._stored[key] = Stored(Path(where.file))
        return self._stored[key].read(where.place)


def main(descriptor: int) -> None:
    """Serve the channel at `descriptor`."""
    live_and_die_with_the_launcher()
    _stand_behind_the_run()
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # whoever reads it, a terminal or not
    channel = _own_channel(descriptor)
    with suppress(BrokenPipeError, ConnectionResetError):  # the run has ended, and nobody waits for the answer
        try:
            Worker(channel).serve()
        except (Exception, KeyboardInterrupt) as error:  # which a script may raise; nobody has pressed Ctrl-C in here
            channel.send({"say": "log", "level": logging.ERROR, "text": f"its process ends: {short(error)}"})
            sys.exit(1)


def _own_channel(descriptor: int) -> Channel:
    """Return the channel, which what the script starts does not keep open: its end tells the run that the script has ended."""
    end = socket.socket(fileno=descriptor)
    end.set_inheritable(False)
    channel = Channel(end)
    os.register_at_fork(after_in_child=channel.close)
    return channel


def _stand_behind_the_run() -> None:
    """Let the run go first in everything, and a script keep every volume that it was given."""
    os.nice(_BEHIND)
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    # A mapped volume holds a descriptor for as long as the script keeps it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _limit_memory(most: int) -> None:
    """Have what goes beyond `most` bytes raise MemoryError in the script. Volumes, which are shared, do not count on Linux."""
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with suppress(OSError, ValueError):  # some systems have the limit and do not let it be set
        resource.setrlimit(kind, (most, hard))


def _within_bounds(value: Any) -> Any:
    """Return a value that is short enough to be sent on."""
    if isinstance(value, Mapping) and (size := len(encoded(value))) > MOST_VALUE:
        raise ExperimentFault(f"feedback is at most {MOST_VALUE} bytes as JSON, found {size}")
    return value


if __name__ == "__main__":
    main(int(sys.argv[1]))
